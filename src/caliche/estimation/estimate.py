"""`estimate`: one verb for every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.cards.methods import MEMBER_METHODS, method_of
from caliche.errors import InputError
from caliche.estimation.checkpoint import Checkpoint
from caliche.estimation.ensemble_core import MemberMethod
from caliche.estimation.hyperparameters import (
    Hyperparameters,
    Unknown,
    estimate_hyperparameters,
    of_one_site,
)
from caliche.estimation.information import kept, with_information
from caliche.estimation.intervals import intervals, quadratic_at, to_physical
from caliche.estimation.least_squares import NEGLIGIBLE, LevenbergMarquardt
from caliche.estimation.method import (
    BOUND_REACHED,
    CONVERGED,
    NOT_FINITE,
    STATUS,
    Callback,
    Iterate,
    Method,
    Outcome,
    run_method,
)
from caliche.estimation.optima import find_optima
from caliche.estimation.posterior import Posterior, derived_quantities, linearised, posterior
from caliche.estimation.result import ParameterEstimate, Result, Start, with_the_rest
from caliche.estimation.timing import Stopwatch
from caliche.estimation.unused import with_unused
from caliche.estimation.verdict import judged, remarks_of
from caliche.inverse_problem import InverseProblem, Problem
from caliche.parameters.space import Entry, ParameterSpace
from caliche.remarks import SAME_MISFIT

# The likelihood is found anew so often where its own search finds a better optimum.
MOST_REVISIONS = 3


def estimate(
    problem: Problem,
    method: str | Method | MemberMethod = "lm",
    starts: int | Float[Array, "start parameter"] = 1,
    seed: int = 0,
    callback: Callback | None = None,
    unknown: Unknown | None = None,
    checkpoint: Checkpoint | None = None,
    **options: Any,
) -> Result:
    """Estimate the free parameters of a problem, with error bars.

    Parameters
    ----------
    method : `lm` (Levenberg-Marquardt), `lbfgs`, `adam`, or one that needs no gradients: the
        ensembles `4denvar`, `eki`, `etki` and `uki`, the searches `ga` and `cma`; or a `Method`.
    starts : number of starts, the first at the initial values and the others a Latin hypercube
        over the start ranges, priors or bounds; or control vectors (start, P).
    seed : of the starts.
    callback : called after each iteration with its number, the best misfit, and the number of
        starts still running.
    unknown : hyperparameters to be estimated too: smoothness of parameters that vary, size and
        autocorrelation of errors. The error bars hold given their estimates.
    checkpoint : where a method without gradients keeps its state after each iteration.
    options : of the method, such as `max_iterations` or `tolerance`.

    Raises
    ------
    InputError : an unknown method or option; too few members of an ensemble that run.
    """
    watch, given = Stopwatch(), problem
    chosen = method_of(method, options) if isinstance(method, str) else method
    if isinstance(chosen, MemberMethod):
        # It builds on this module.
        from caliche.estimation.ensemble_estimate import estimate_by_members

        found = estimate_by_members(
            problem, chosen, starts, seed, callback, unknown, checkpoint, watch
        )
        return judged(given, with_unused(given, found))
    if checkpoint is not None:
        raise InputError(
            f"a method that keeps its state, one of {', '.join(MEMBER_METHODS)}",
            chosen.name, "leave out resume",
        )  # fmt: skip
    starts = first_guesses(problem.space, starts, seed)
    asked = Unknown() if unknown is None else unknown
    if asked.information:
        problem = with_information(of_one_site(problem), None)
    outcome = run_method(chosen, problem, starts, callback)
    best = best_start(outcome.final)
    hyper, runs = None, 0
    if asked and np.isfinite(outcome.final.cost[best]):
        problem, hyper, runs, outcome, best = _with_hyperparameters(
            chosen, of_one_site(problem), starts, outcome, best, asked, callback
        )
    u = np.asarray(outcome.final.u[best])
    curvature = posterior(problem, u, at_their_word=asked.information == "bars")
    if asked.information == "bars" and curvature.told is not None:
        told = kept(of_one_site(problem), u, ~curvature.held, curvature.told)
        hyper = dataclasses.replace(hyper or Hyperparameters(), information=told)
    elif hyper is not None and hyper.information is not None:
        curvature = curvature.with_costs_over(hyper.information.share)
    reason = reason_of(chosen, outcome.final, best)
    found = curvature_result(
        problem, chosen.name, reason, seed, outcome, best, curvature, hyper, runs, watch
    )
    if hyper is not None and not hyper.converged:
        reason = f"{reason}; {hyper.rounds}"
        found = dataclasses.replace(found, converged=False, reason=reason)
    return judged(given, with_unused(given, found))


def _with_hyperparameters(
    method: Method,
    problem: InverseProblem,
    starts: Float[Array, "start parameter"],
    outcome: Outcome,
    best: int,
    unknown: Unknown,
    callback: Callback | None,
) -> tuple[InverseProblem, Hyperparameters, int, Outcome, int]:
    """The problem with its hyperparameters estimated, these, the runs so far, every start once
    more, and which of them is the estimate."""
    runs = int(np.sum(outcome.final.model_runs))
    fitting = method if isinstance(method, LevenbergMarquardt) else LevenbergMarquardt()
    alike = fitting is method

    def run(method: Method, problem: Problem, u: Float[Array, "one p"]) -> Outcome:
        # As many starts as there are, all the same: the program for them is compiled already.
        return run_method(method, problem, jnp.broadcast_to(u, starts.shape) if alike else u)

    u, revisions = outcome.final.u[best], 0
    while True:
        problem, u, hyper = estimate_hyperparameters(problem, u, unknown, fitting, run)
        # The term of the information belongs to this optimum: others are looked for without it.
        search = problem
        if hyper.information is not None:
            search = with_information(problem, hyper.information, whole=False)
        residual, _ = linearised(search, u)
        misfit = 0.5 * float(residual @ residual)
        # With priors the optimum that the powers alone have here is a little lower.
        here = run(fitting, search, jnp.asarray(u)[None])
        lowest = min(misfit, float(np.nan_to_num(here.final.cost[0], nan=np.inf)))
        again = run_method(method, search, starts, callback)
        best, revisions = best_start(again.final), revisions + 1
        runs += hyper.n_model_runs + int(here.final.model_runs[0])
        if revisions == MOST_REVISIONS or not again.final.cost[best] < lowest - SAME_MISFIT:
            break
        runs += int(np.sum(again.final.model_runs))
        u = again.final.u[best]  # a better optimum: how much is told there?
    if not again.final.cost[best] < lowest + SAME_MISFIT:  # no start came back to where it is
        runs += int(np.sum(again.final.model_runs))
        starts = jnp.concatenate([jnp.asarray(u)[None], starts[1:]])
        again = run_method(method, search, starts, callback)
        best = best_start(again.final)
    if hyper.information is not None:
        final = again.final
        there = np.arange(len(final.cost)) == best
        final = final._replace(
            u=np.where(there[:, None], u, final.u), cost=np.where(there, misfit, final.cost)
        )
        again = dataclasses.replace(again, final=final)
    return problem, hyper, runs, again, best


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
            str(np.shape(starts)), "stack control vectors as made by space.to_whitened",
        )  # fmt: skip
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
    parameters, held, slopes = {}, at.held.tolist(), np.asarray(_slopes(space, jnp.asarray(u)))
    failed = not np.isfinite(final.cost[best])  # slopes may be finite where values are not
    below, above = intervals(space, at)
    for k, entry in enumerate(space.entries):
        interval = (np.nan, np.nan) if failed else (below[k], above[k])
        parameters[entry.name] = _estimate(
            entry, space.describe_prior(entry.parameter.name), held[k], central[k], interval,
            curvature, np.zeros_like(slopes[k]) if failed else slopes[k],
        )  # fmt: skip
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
        remarks=remarks_of(space, parameters, curvature, starts, optima, left),
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


@jax.jit
def _slopes(space: ParameterSpace, u: Float[Array, " p"]) -> Float[Array, "p p"]:
    """Derivative of the physical values by u."""
    return jax.jacfwd(space.vector)(u)


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


def is_rough(method: Method, final: Iterate, best: int) -> bool:
    """Whether a start counts as arrived with a step left that is more than negligible."""
    left = float(final.remaining[best])
    return int(final.status[best]) == CONVERGED and left >= max(NEGLIGIBLE, method.tolerance)


def reason_of(method: Method, final: Iterate, best: int) -> str:
    """Why a method stopped, in words."""
    status = int(final.status[best])
    remaining = float(final.remaining[best])
    if is_rough(method, final, best):
        return (
            f"converged to {remaining:.2g} posterior standard deviations and no nearer: the misfit "
            "is rough there, and no step lowers it any more"
        )
    if status == CONVERGED:
        why = f"less than the tolerance of {method.tolerance:g}"
        if remaining >= method.tolerance:
            why = "and no step lowers the misfit any more"
        return (
            f"converged: the next Gauss-Newton step would move the parameters by {remaining:.1g} "
            f"of their standard deviations, {why}"
        )
    if status == NOT_FINITE:
        return f"{STATUS[status]}, from any start" if len(final.status) > 1 else STATUS[status]
    return (
        f"{STATUS[status]}; the next Gauss-Newton step would still move the parameters by "
        f"{remaining:.2g} standard deviations"
    )
