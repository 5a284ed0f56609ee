"""Hyperparameters with methods that follow gradients: estimated at the optimum of the search, which
then begins again with them."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.curvature import linearised
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.hyperparameters import Searched, Unknown, estimate_hyperparameters
from caliche.estimation.information import with_information
from caliche.estimation.method import Callback, Method, Outcome
from caliche.estimation.outcome import best_start
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.remarks import SAME_MISFIT

# The likelihood is found anew so often where its own search finds a better optimum.
MOST_REVISIONS = 3


def search_again(
    method: Method,
    problem: InverseProblem,
    starts: Float[Array, "start parameter"],
    unknown: Unknown,
    callback: Callback | None,
) -> Searched:
    """The search, the hyperparameters at its optimum, and every start once more with them."""
    outcome = method.search(problem, starts, callback)
    best = best_start(outcome.final)
    if not np.isfinite(outcome.final.cost[best]):
        return Searched(problem, outcome)
    runs = int(np.sum(outcome.final.model_runs))
    fitting = method if isinstance(method, LevenbergMarquardt) else LevenbergMarquardt()
    alike = fitting is method

    def run(method: Method, problem: Problem, u: Float[Array, "one p"]) -> Outcome:
        # As many starts as there are, all the same: the program for them is compiled already.
        return method.search(problem, jnp.broadcast_to(u, starts.shape) if alike else u)

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
        again = method.search(search, starts, callback)
        best, revisions = best_start(again.final), revisions + 1
        runs += hyper.n_model_runs + int(here.final.model_runs[0])
        if revisions == MOST_REVISIONS or not again.final.cost[best] < lowest - SAME_MISFIT:
            break
        runs += int(np.sum(again.final.model_runs))
        u = again.final.u[best]  # a better optimum: how much is told there?
    if not again.final.cost[best] < lowest + SAME_MISFIT:  # no start came back to where it is
        runs += int(np.sum(again.final.model_runs))
        starts = jnp.concatenate([jnp.asarray(u)[None], starts[1:]])
        again = method.search(search, starts, callback)
        best = best_start(again.final)
    if hyper.information is None:
        return Searched(problem, again, hyper, runs)
    final = again.final
    there = np.arange(len(final.cost)) == best
    final = final._replace(
        u=np.where(there[:, None], u, final.u), cost=np.where(there, misfit, final.cost)
    )
    again = dataclasses.replace(again, final=final)
    return Searched(problem, again, hyper, runs, hyper.information.share, best)
