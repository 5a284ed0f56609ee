"""`estimate`: one verb for every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.cards.methods import MEMBER_METHODS, method_of
from caliche.errors import InputError
from caliche.estimation.curvature import linearised, posterior
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.ensemble.core import MemberMethod
from caliche.estimation.ensemble.run import estimate_by_members
from caliche.estimation.hyperparameters import (
    Hyperparameters,
    Unknown,
    estimate_hyperparameters,
    of_one_site,
)
from caliche.estimation.information import kept, with_information
from caliche.estimation.method import (
    Callback,
    Method,
    Outcome,
    run_method,
)
from caliche.estimation.outcome import best_start, curvature_result, first_guesses, reason_of
from caliche.estimation.programs import make_room
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.estimation.unused import with_unused
from caliche.estimation.verdict import judged
from caliche.files.checkpoint import Checkpoint
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
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
    make_room()
    chosen = method_of(method, options) if isinstance(method, str) else method
    if chosen.max_iterations < 1:
        raise InputError("at least one iteration", str(chosen.max_iterations), "allow some more")
    if isinstance(chosen, MemberMethod):
        found = estimate_by_members(
            problem, chosen, starts, seed, callback, unknown, checkpoint, watch
        )
        return judged(given, with_unused(given, found))
    if checkpoint is not None:
        raise InputError(
            f"a method that keeps its state, one of {', '.join(MEMBER_METHODS)}",
            chosen.name,
            "leave out resume",
        )
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
