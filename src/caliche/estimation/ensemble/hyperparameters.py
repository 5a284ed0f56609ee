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
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.density import physical
from caliche.estimation.ensemble.batches import Batch
from caliche.estimation.ensemble.members import EnsembleOutcome, term_of
from caliche.estimation.hyperparameters import (
    SETTLED,
    WEIGHING_ROUNDS,
    Fit,
    Searched,
    Unknown,
    fit_of,
    hyperparameters_of,
    scale_slope,
    updated,
    with_memory,
)
from caliche.estimation.method import Callback, History, Method, Outcome
from caliche.estimation.outcome import best_start
from caliche.files.checkpoint import Checkpoint
from caliche.files.whole_file import remove
from caliche.problems.inverse import InverseProblem

MOST_ROUNDS = 20


def search_in_rounds(
    method: Method,
    problem: InverseProblem,
    starts: Float[Array, "start parameter"],
    unknown: Unknown,
    callback: Callback | None,
    checkpoint: Checkpoint | None,
    seed: int,
) -> Searched:
    """The whole search with the hyperparameters of each round, until these no longer change."""
    problem = with_memory(problem, unknown)
    if checkpoint is not None and not checkpoint.resume:
        forget_rounds(checkpoint.path)
    runs, done, change, spent, told = 0, 0, np.inf, {}, None
    number, weighings = 0, 0
    while True:
        kept = _of_round(checkpoint, number)
        outcome = method.search(problem, starts, _further(callback, done), kept, seed)
        number += 1
        last = int(np.sum(outcome.final.model_runs))
        runs += last
        done += outcome.n_iterations
        lowest = float(np.min(outcome.final.cost))
        weighed = told is not None or not unknown.information
        if (change < SETTLED and weighed) or number == MOST_ROUNDS or not np.isfinite(lowest):
            break
        u = np.asarray(outcome.final.u[best_start(outcome.final)])
        if isinstance(outcome, EnsembleOutcome):
            said, further = _fit_by_members(problem, u, outcome), 1 + len(outcome.members)
        else:
            said, further = fit_of(problem, u), 1 + problem.space.size
        runs += further
        asked, keep = unknown.now(change, told), weighings >= WEIGHING_ROUNDS
        problem, u, change, spent, told = updated(problem, asked, said, told, keep_weights=keep)
        weighings += told is not None
        if not method.gives_posterior:  # a search goes on from where it was
            starts = jnp.asarray(u)[None]
    found = dataclasses.replace(
        hyperparameters_of(problem, unknown),
        spent=spent,
        converged=bool(change < SETTLED),
        n_iterations=number,
        n_model_runs=runs,
        information=told,
    )
    if told is None:
        return Searched(problem, outcome, found, runs - last)
    outcome = _with_weights_alone(problem, outcome, told.share)
    return Searched(problem, outcome, found, runs - last, told.share)


def _with_weights_alone(problem: InverseProblem, outcome: Outcome, share: float) -> Outcome:
    """The outcome with the J that every method gives: of streams with their weights and the priors,
    without the share and the term of the information, which belong to one optimum."""

    def plain(misfit: np.ndarray, u: np.ndarray) -> np.ndarray:
        prior = 0.5 * np.sum(np.where(problem.space.informative, u, 0.0) ** 2, axis=-1)
        term = 0.5 * np.sum(term_of(problem, physical(problem.space, u)) ** 2, axis=-1)
        return (misfit - term - prior) / share + prior

    final, way = outcome.final, outcome.history
    return dataclasses.replace(
        outcome,
        final=final._replace(cost=plain(np.asarray(final.cost), np.asarray(final.u))),
        history=History(plain(way.misfit, way.u), way.u),
    )


def _fit_by_members(problem: InverseProblem, u: np.ndarray, outcome: EnsembleOutcome) -> Fit:
    """What an ensemble says: no derivative of the model is needed."""
    members = outcome.members
    e = Batch(problem).grid(members)
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
