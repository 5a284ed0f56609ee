"""`estimate`: one verb for every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from caliche.cards.methods import MEMBER_METHODS, method_of
from caliche.errors import InputError
from caliche.estimation.curvature import posterior
from caliche.estimation.descent.hyperparameters import search_again
from caliche.estimation.ensemble.hyperparameters import search_in_rounds
from caliche.estimation.ensemble.members import EnsembleOutcome
from caliche.estimation.ensemble.result import ensemble_result
from caliche.estimation.hyperparameters import Hyperparameters, Searched, Unknown, of_one_site
from caliche.estimation.information import kept, with_information
from caliche.estimation.method import Callback, Method
from caliche.estimation.outcome import best_start, curvature_result, first_guesses
from caliche.estimation.programs import make_room
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.estimation.unused import with_unused
from caliche.estimation.verdict import judged
from caliche.files.checkpoint import Checkpoint
from caliche.problems.base import Problem


def estimate(
    problem: Problem,
    method: str | Method = "lm",
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
    _check(chosen, checkpoint)
    guesses = first_guesses(problem.space, starts, seed)
    asked = Unknown() if unknown is None else unknown
    if asked.information:
        problem = with_information(of_one_site(problem), None)
    if not (asked or (asked.information and chosen.gives_posterior)):
        found = Searched(problem, chosen.search(problem, guesses, callback, checkpoint, seed))
    elif chosen.needs_gradient:
        found = search_again(chosen, of_one_site(problem), guesses, asked, callback)
    else:
        site = of_one_site(problem)
        found = search_in_rounds(chosen, site, guesses, asked, callback, checkpoint, seed)
    result = _result(chosen, found, asked, seed, watch)
    return judged(given, with_unused(given, result))


def _check(method: Method, checkpoint: Checkpoint | None) -> None:
    if method.max_iterations < 1:
        raise InputError("at least one iteration", str(method.max_iterations), "allow some more")
    if checkpoint is not None and not method.keeps_state:
        raise InputError(
            f"a method that keeps its state, one of {', '.join(MEMBER_METHODS)}",
            method.name,
            "leave out resume",
        )


def _result(method: Method, found: Searched, asked: Unknown, seed: int, watch: Stopwatch) -> Result:
    """The result of a search: error bars from its members where it has some, else from the
    curvature at the best start."""
    problem, outcome, hyper, runs, share, best = found
    if isinstance(outcome, EnsembleOutcome):
        result = ensemble_result(problem, outcome, seed, hyper, runs, share, watch)
        return _with_rounds(method, result)
    best = best_start(outcome.final) if best is None else best
    u = np.asarray(outcome.final.u[best])
    anew = asked.information == "bars" and (hyper is None or hyper.information is None)
    curvature = posterior(problem, u, at_their_word=anew).with_costs_over(share)
    if anew and curvature.told is not None:
        told = kept(of_one_site(problem), u, ~curvature.held, curvature.told)
        hyper = dataclasses.replace(hyper or Hyperparameters(), information=told)
    reason = outcome.reasons[best]
    result = curvature_result(
        problem, method.name, reason, seed, outcome, best, curvature, hyper, runs, watch
    )
    return _with_rounds(method, result)


def _with_rounds(method: Method, result: Result) -> Result:
    """The result, with what to say of the rounds in which hyperparameters were estimated."""
    hyper = result.hyperparameters
    if hyper is None or not hyper.n_iterations or (hyper.converged and method.needs_gradient):
        return result
    reason = f"{result.reason}; {hyper.rounds}"
    return dataclasses.replace(
        result, converged=result.converged and hyper.converged, reason=reason
    )
