"""Sites calibrated together: Levenberg-Marquardt on one cost, site by site in compiled programs.

What is compiled is one run with tangents for each kind of site, which serves its own calibration,
the joint one, every calibration with a site left out, and the error bars. Runs of different sites
go side by side on the cores of the machine.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.curvature import (
    Posterior,
    equations_at,
    inverse,
    linearised,
    posterior,
    rows_of,
    statistics,
)
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.devices import side_by_side
from caliche.estimation.hyperparameters import (
    Hyperparameters,
    Unknown,
    estimate_hyperparameters,
    information_at,
)
from caliche.estimation.information import at_their_word, godambe, what_is_told, with_information
from caliche.estimation.method import (
    Callback,
    Outcome,
    at_bound,
    reason_of,
    run_method,
)
from caliche.estimation.outcome import curvature_result
from caliche.estimation.programs import make_room
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.names import at_site
from caliche.problems.base import NormalEquations, Problem
from caliche.problems.inverse import InverseProblem
from caliche.problems.joint import JointProblem, controls_of


def estimate_joint(
    problem: JointProblem,
    method: LevenbergMarquardt | None = None,
    start: Float[Array, " parameter"] | None = None,
    callback: Callback | None = None,
) -> Result:
    """Calibrate several sites together, with error bars.

    The result is that of `caliche.estimate(problem, "lm")`, which compiles all sites into one
    program; this one compiles each kind of site once, whatever is shared and left out.

    Parameters
    ----------
    start : control vector (P,) to begin at; default the first guess.
    callback : see `caliche.estimate`.
    """
    watch = Stopwatch()
    chosen = LevenbergMarquardt() if method is None else method
    outcome = fit_joint(problem, chosen, start, callback)
    return joint_result(problem, outcome, chosen, watch)


def fit_joint(
    problem: JointProblem,
    method: LevenbergMarquardt,
    start: Float[Array, " parameter"] | None = None,
    callback: Callback | None = None,
) -> Outcome:
    """The fit of `estimate_joint`, without error bars."""
    begin = problem.space.initial() if start is None else jnp.asarray(start)
    chosen = _SiteBySite(method.max_iterations, method.tolerance, method.name)
    return run_method(chosen, problem, begin[None], callback)


def joint_result(
    problem: JointProblem, outcome: Outcome, method: LevenbergMarquardt, watch: Stopwatch
) -> Result:
    """What a fit of several sites says."""
    curvature = joint_posterior(problem, np.asarray(outcome.final.u[0]))
    reason = reason_of(method, outcome.final, 0)
    return curvature_result(problem, method.name, reason, 0, outcome, 0, curvature, None, 0, watch)


def fit_site(
    problem: InverseProblem, unknown: Unknown | None, method: LevenbergMarquardt
) -> tuple[InverseProblem, Outcome, Hyperparameters | None]:
    """One site by itself, as `caliche.estimate` does, with the program that `fit_joint` uses.

    Returns the problem with its hyperparameters as they were found, the fit, and what they are.
    """
    make_room()
    asked = Unknown() if unknown is None else unknown
    if asked.information:
        problem = with_information(problem, None)
    outcome = run_method(method, problem, problem.space.initial()[None])
    if not np.isfinite(outcome.final.cost[0]):
        return problem, outcome, None
    found, first = None, int(outcome.final.model_runs[0])
    if asked:
        problem, u, found = estimate_hyperparameters(problem, outcome.final.u[0], asked, method)
        found = dataclasses.replace(found, n_model_runs=first + found.n_model_runs)
        outcome = run_method(method, problem, jnp.asarray(u)[None])
    if asked.information == "bars":
        told = information_at(problem, np.asarray(outcome.final.u[0]), declared=True)
        found = dataclasses.replace(found or Hyperparameters(), information=told)
        problem = at_their_word(problem)
    return problem, outcome, found


def site_result(
    problem: InverseProblem,
    outcome: Outcome,
    method: LevenbergMarquardt,
    found: Hyperparameters | None = None,
) -> Result:
    """What the fit of one site says."""
    curvature = posterior(problem, np.asarray(outcome.final.u[0]))
    reason = reason_of(method, outcome.final, 0)
    runs = 0 if found is None else found.n_model_runs
    return curvature_result(
        problem, method.name, reason, 0, outcome, 0, curvature, found, runs, Stopwatch()
    )


class _SiteBySite(LevenbergMarquardt):
    """Levenberg-Marquardt whose normal equations are those of `joint_equations`."""

    def equations(self, problem: Problem, u: Any) -> NormalEquations:
        assert isinstance(problem, JointProblem)
        return joint_equations(problem, jnp.asarray(u))


def joint_equations(problem: JointProblem, u: Array) -> NormalEquations:
    """Normal equations of several sites at u, their runs side by side."""
    told = functools.partial(equations_at, whole=False)
    found = side_by_side(told, problem.problems, controls_of(problem, jnp.asarray(u)))
    return _join(problem, jnp.asarray(u), found)


def joint_posterior(problem: JointProblem, u: np.ndarray) -> Posterior:
    """The posterior of several sites about u, from what each stream of each site says there.

    With errors at their word what the observations tell is asked site by site: errors of different
    sites are independent.
    """
    controls = [np.asarray(own) for own in controls_of(problem, jnp.asarray(u))]
    parts = side_by_side(linearised, problem.problems, controls)
    space, mix = problem.space, np.asarray(problem.mix)
    prior = np.diag(space.informative.astype(float))
    sites = []
    for site, own, rows, found in zip(
        problem.sites, problem.problems, problem.rows, parts, strict=True
    ):
        seen = rows_of(own, *found)
        by_u = mix[list(rows)]
        seen = seen._replace(jacobian=seen.jacobian @ by_u)
        known = own.observations.information
        names = tuple(at_site(name, site) for name in own.stream_names)
        powers = np.ones(len(names)) if known is None else np.asarray(known)
        sites.append((names, seen, powers, known is None, own.operator.time_step / 3600.0))
    by_word = np.sum([rows.hessian.sum(axis=0) for _, rows, *_ in sites], axis=0)
    each = [np.einsum("k,kpq->pq", powers, rows.hessian) for _, rows, powers, *_ in sites]
    data = np.sum(each, axis=0)
    pull = space.informative * u
    gradient = pull + sum(powers @ rows.gradient for _, rows, powers, *_ in sites)
    held = np.asarray(at_bound(space, u, gradient))
    naive, *_ = inverse(by_word + prior, held)
    # As for one problem, all streams share what the parameters spend.
    spent = float(np.sum(naive * by_word)) / max(sum(rows.mask.sum() for _, rows, *_ in sites), 1)
    middle, word, found = np.zeros_like(prior), np.zeros_like(prior), {}
    for (names, rows, powers, at_word, hours), own_data in zip(sites, each, strict=True):
        rest = prior + data - own_data
        told = what_is_told(rows, rest, ~held, powers, declared=at_word)
        middle = middle + np.einsum("k,j,kjpq->pq", powers, powers, told.scores.blocks)
        word = word + np.einsum("k,kpq->pq", powers**2, told.scores.independent)
        fitted = spent * float(rows.mask.sum())
        found |= statistics(names, rows.residual, rows.mask, fitted, told, powers, hours)
    data = godambe(data, middle, word, prior, ~held)
    covariance, unseen, scale = inverse(data + prior, held, gradient)
    return Posterior(u, covariance, naive, unseen, scale, held, found, data + prior, gradient)


@jax.jit
def _join(problem: JointProblem, u: Array, parts: Sequence[NormalEquations]) -> NormalEquations:
    return problem.with_background(u, problem.join(parts))


def controls_by_site(problem: JointProblem, u: np.ndarray) -> Mapping[str, np.ndarray]:
    """The control vector of each site at a joint one."""
    found = controls_of(problem, jnp.asarray(u))
    return {site: np.asarray(own) for site, own in zip(problem.sites, found, strict=True)}
