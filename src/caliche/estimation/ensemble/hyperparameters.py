"""Unknown sizes and memories of errors, and smoothness, with methods that run members.

Rounds of the whole method, each followed by one update of the fixed point of `hyperparameters`:
the same equations as with Levenberg-Marquardt, with what they need taken from the members. Their
covariance stands for H^-1, and the variance of their residuals, summed over a stream, for the
degrees of freedom that the parameters take from it; a search has the curvature at its best member.
With the same random numbers in every round, the rounds have a fixed point; for a linear model with
Gaussian priors it is that of the marginal likelihood.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.hyperparameters import (
    SETTLED,
    WEIGHING_ROUNDS,
    Fit,
    Unknown,
    fit_of,
    hyperparameters_of,
    scale_slope,
    updated,
    with_memory,
)
from caliche.estimation.information import with_information
from caliche.estimation.method import Callback
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.files.checkpoint import Checkpoint
from caliche.files.whole_file import remove
from caliche.problems.inverse import InverseProblem

MOST_ROUNDS = 20

Starts = int | Float[Array, "start parameter"]


def estimate_in_rounds(
    problem: InverseProblem,
    unknown: Unknown,
    fit: Callable[[InverseProblem, Starts, Callback | None, Checkpoint | None], Result],
    residuals: Callable[[InverseProblem, np.ndarray], np.ndarray],
    starts: Starts,
    callback: Callback | None,
    checkpoint: Checkpoint | None,
    watch: Stopwatch,
) -> Result:
    """Result with the hyperparameters estimated as well.

    Parameters
    ----------
    fit : the whole method on a problem, from starts.
    residuals : (k, time + 1, stream) of members u (k, P) of a problem.
    """
    problem = with_memory(problem, unknown)
    if unknown.information:
        problem = with_information(problem, None)
    if checkpoint is not None and not checkpoint.resume:
        forget_rounds(checkpoint.path)
    runs, done, change, spent, told = 0, 0, np.inf, {}, None
    number = 0
    while True:
        result = fit(problem, starts, _further(callback, done), _of_round(checkpoint, number))
        number += 1
        runs += result.n_model_runs
        done += result.n_iterations
        lowest = min(start.misfit for start in result.starts)
        if change < SETTLED or number == MOST_ROUNDS or not np.isfinite(lowest):
            break
        if result.ensemble is None:
            said = fit_of(problem, result.u)
            runs += 1 + problem.space.size
        else:
            said = _fit_by_members(problem, result.u, result.ensemble.u, residuals)
            runs += 1 + len(result.ensemble.u)
        problem, u, change, spent, told = updated(
            problem, unknown, said, told, keep_weights=number > WEIGHING_ROUNDS
        )
        if result.ensemble is None:  # a search goes on from where it was
            starts = jnp.asarray(u)[None]
    settled = bool(change < SETTLED)
    found = dataclasses.replace(
        hyperparameters_of(problem, unknown),
        spent=spent,
        converged=settled,
        n_iterations=number,
        n_model_runs=runs,
        information=told,
    )
    reason = f"{result.reason}; {found.rounds}"
    return dataclasses.replace(
        result,
        converged=result.converged and settled,
        reason=reason,
        n_model_runs=runs,
        seconds=watch.seconds(),
        hyperparameters=found,
    )


def _fit_by_members(
    problem: InverseProblem,
    u: np.ndarray,
    members: np.ndarray,
    residuals: Callable[[InverseProblem, np.ndarray], np.ndarray],
) -> Fit:
    """What an ensemble says: no derivative of the model is needed."""
    e = residuals(problem, members)
    e = e[np.isfinite(e).all(axis=(1, 2))]
    used = np.var(e, axis=0, ddof=1).sum(axis=0)
    covariance = np.cov(members, rowvar=False).reshape(len(u), len(u))
    return Fit(u, covariance, used, *scale_slope(problem, _forward(problem, jnp.asarray(u))))


@jax.jit
def _forward(problem: InverseProblem, u: Float[Array, " p"]) -> Float[Array, "time stream"]:
    return problem.forward(u)


def _further(callback: Callback | None, done: int) -> Callback | None:
    """The callback, counting on from the rounds before."""
    if callback is None:
        return None
    return lambda iteration, misfit, running: callback(done + iteration, misfit, running)


# -- states: a file a round, the first under the name that was asked for -------------------------


def _of_round(checkpoint: Checkpoint | None, number: int) -> Checkpoint | None:
    """Where a round keeps its state; a finished round is only read again."""
    if checkpoint is None or number == 0:
        return checkpoint
    path = _file(checkpoint.path, number)
    return Checkpoint(path, checkpoint.resume and path.is_file())


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def forget_rounds(path: Path) -> None:
    """Remove the states of all rounds but the first."""
    for number in range(1, MOST_ROUNDS):
        remove(_file(path, number))
