"""From where starts ended to a result: guesses, the best start, error bars, words."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.curvature import Posterior, derived_quantities
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.intervals import intervals, quadratic_at, slopes_at, to_physical
from caliche.estimation.method import (
    BOUND_REACHED,
    CONVERGED,
    STATUS,
    Iterate,
    Outcome,
)
from caliche.estimation.optima import find_optima
from caliche.estimation.result import ParameterEstimate, Result, Start, with_the_rest
from caliche.estimation.timing import Stopwatch
from caliche.estimation.verdict import failure_note, remarks_of
from caliche.parameters.space import Entry, ParameterSpace
from caliche.problems.base import Problem
from caliche.remarks import SAME_MISFIT


def first_guesses(
    space: ParameterSpace, starts: int | Float[Array, "start parameter"], seed: int
) -> Float[Array, "start parameter"]:
    """Control vectors of so many starts, or those given."""
    if isinstance(starts, int | np.integer):
        if starts < 1:
            raise InputError("at least one start", str(starts), "use starts = 1 or more")
        return space.draw_starts(int(starts), seed)
    if np.ndim(starts) != 2 or np.shape(starts)[1] != space.size:
        raise InputError(
            f"starts of shape (number of starts, {space.size})",
            str(np.shape(starts)),
            "stack control vectors as made by space.to_whitened",
        )
    return starts


def best_start(final: Iterate) -> int:
    """Start of the lowest finite misfit.

    A tie goes to one that converged, and then to one with the fewest parameters at a bound: where
    the data do not constrain a parameter, its bound is no better than any other value.
    """
    cost = np.where(np.isfinite(final.cost), final.cost, np.inf)
    unfinished = np.asarray(final.status) != CONVERGED
    at_bounds = np.sum(np.abs(final.u) > BOUND_REACHED, axis=1)
    order = np.lexsort((cost, at_bounds, unfinished, cost > cost.min() + SAME_MISFIT))
    return int(order[0])


def curvature_result(
    problem: Problem,
    method: str,
    reason: str,
    seed: int,
    outcome: Outcome,
    best: int,
    curvature: Posterior,
    hyper: Hyperparameters | None,
    earlier_runs: int,
    watch: Stopwatch,
) -> Result:
    """The result of an outcome, with the error bars of a Gauss-Newton posterior."""
    space, final = problem.space, outcome.final
    u = curvature.u
    ends, trajectory, central = to_physical(
        vectors, space, [np.asarray(final.u), outcome.history.u, u]
    )
    at = quadratic_at(space, curvature)
    parameters, held, slopes = {}, at.held.tolist(), slopes_at(space, u)
    failed = not np.isfinite(final.cost[best])  # slopes may be finite where values are not
    below, above = intervals(space, at)
    for k, entry in enumerate(space.entries):
        interval = (np.nan, np.nan) if failed else (below[k], above[k])
        parameters[entry.name] = _estimate(
            entry,
            space.describe_prior(entry.parameter.name),
            held[k],
            central[k],
            interval,
            curvature,
            np.zeros_like(slopes[k]) if failed else slopes[k],
        )
    parameters = with_the_rest(space, parameters)
    covariance = slopes @ curvature.covariance @ slopes.T
    optima, reached = find_optima(problem, final, ends, best, curvature)
    starts = tuple(
        Start(
            dict(zip(space.names, trajectory[k, 0].tolist(), strict=True)),
            dict(zip(space.names, ends[k].tolist(), strict=True)),
            float(final.cost[k]),
            bool(final.status[k] == CONVERGED),
            STATUS[int(final.status[k])],
            reached[k],
        )
        for k in range(len(ends))
    )
    left = float(final.remaining[best]) if starts[best].converged else 0.0
    return Result(
        method=method,
        converged=starts[best].converged,
        reason=reason,
        seed=seed,
        n_iterations=outcome.n_iterations,
        n_model_runs=int(np.sum(final.model_runs)) + earlier_runs,
        seconds=watch.seconds(),
        parameters=parameters,
        names=space.names,
        covariance=covariance,
        correlation=correlation_of(covariance),
        u=curvature.u,
        covariance_u=curvature.covariance,
        starts=starts,
        misfit=outcome.history.misfit,
        trajectory=trajectory,
        residuals=curvature.residuals,
        derived=derived_quantities(problem, curvature),
        remarks=(
            *remarks_of(space, parameters, curvature, starts, optima, left),
            *failure_note(outcome.failed, int(np.sum(final.model_runs))),
        ),
        prior_cost=prior_cost(space, curvature.u),
        hyperparameters=hyper,
        optima=optima,
    )


def prior_cost(space: ParameterSpace, u: np.ndarray) -> float:
    """What the priors add to the cost: half the squared coordinates that have one."""
    return float(0.5 * np.sum(np.where(np.asarray(space.informative), u, 0.0) ** 2))


@jax.jit
def vectors(space: ParameterSpace, u: Float[Array, "row p"]) -> Float[Array, "row p"]:
    return jax.vmap(space.vector)(u)


def _estimate(
    entry: Entry,
    words: str,
    held: bool,
    value: float,
    interval: tuple[float, float],
    curvature: Posterior,
    slope: np.ndarray,
) -> ParameterEstimate:
    d, prior = entry.parameter.declaration, entry.parameter.prior
    return ParameterEstimate(
        name=entry.name,
        long_name=entry.long_name,
        unit=d.unit,
        estimate=float(value),
        sd=np.nan if held else curvature.sd(slope),
        sd_naive=np.nan if held else curvature.sd(slope, naive=True),
        interval=(float(interval[0]), float(interval[1])),
        initial=entry.parameter.initial,
        lower=prior.lower,
        upper=prior.upper,
        fixed=False,
        prior=words,
        at_bound=held,
        knot=entry.knot,
    )


def correlation_of(covariance: np.ndarray) -> np.ndarray:
    """Correlation matrix; zero beside a parameter without variance."""
    sd = np.sqrt(np.diag(covariance))
    scale = np.where(sd > 0.0, sd, 1.0)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return np.clip(correlation, -1.0, 1.0)
