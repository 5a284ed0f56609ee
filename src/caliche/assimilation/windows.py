"""Assimilation window by window: strong-constraint 4D-Var whose posterior is the next prior.

In each window the control vector u is estimated by Levenberg-Marquardt from

    J(u) = |residuals of the window|^2 / 2 + (u - m)^T A (u - m) / 2,

where m and A are mean and information (inverse covariance) of what is known before. At its minimum
u the Gauss-Newton Hessian H = J_o^T J_o + A is the information of the posterior. The model's state
s at the window's end is handed on together with its exact derivative F by u, which begins with that
of the state at the window's start: the next window starts from s + F (u' - u), so that an earlier
parameter still counts for what it did to the state. With constant parameters and a linear problem
the windows one after the other give what the whole record gives at once; else to first order.

Between windows parameters may change (Evensen, Vossepoel and van Leeuwen 2022,
doi:10.1007/978-3-030-96709-3, chapter 2 for the recursion):

- drift : u' = u + N(0, Q), a random walk, Q diagonal. A' = H (I + Q H)^-1, and the state is
  regressed on the new parameters, s + F (I + Q H)^-1 (u' - u). What the state still knows of the
  old ones beyond that is left out: exact where the model forgets within a window.
- forget f : the observations of earlier windows count 1 / f with each window, the prior stays:
  A' = H / f + (1 - 1 / f) A_0 with A_0 that of the prior. Parameters are constant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from caliche.assimilation.forecast import forecast, pseudo_inverse
from caliche.errors import InputError, nearest
from caliche.estimation.curvature import Posterior, inverse, linearised, rows_of, statistics
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.information import what_is_told
from caliche.estimation.method import (
    CONVERGED,
    STATUS,
    History,
    Outcome,
    at_bound,
    ended,
    run_method,
)
from caliche.estimation.outcome import best_start, curvature_result
from caliche.estimation.tangent_run import run_with_tangents
from caliche.estimation.timing import Stopwatch
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.problems.window import (
    Handed,
    Piece,
    WindowProblem,
    carry,
    cut,
    first_of_all,
    independent_of_parameters,
    window_problem,
)

LARGEST = 1e6  # drift, and forgetting


@dataclass(frozen=True)
class WindowSettings:
    """How to assimilate window by window.

    steps : length of a window.  lead : steps of spin-up before the first.
    drift : standard deviation of the random walk of u from window to window, in standard deviations
    of an informative prior; of all free parameters, or by name.  forget : factor (1 or more) by
    which the information of the observations of earlier windows is divided with each window.
    """

    steps: int
    lead: int = 0
    drift: float | Mapping[str, float] = 0.0
    forget: float = 1.0

    def __post_init__(self) -> None:
        drifts = self.drift.values() if isinstance(self.drift, Mapping) else [self.drift]
        for name, value, low in (
            *(("drift", d, 0.0) for d in drifts),
            ("forget", self.forget, 1.0),
        ):
            if not low <= value <= LARGEST:
                wanted = f"{name} of {low:g} or more"
                wanted += f", up to {LARGEST:g}" if value > LARGEST else ""
                raise InputError(wanted, f"{value:g}", f"{name} = {low:g}")
        if any(drifts) and self.forget > 1.0:
            raise InputError(
                "either drift or forget",
                f"both, forget = {self.forget:g}",
                "leave out one of them: both let parameters change",
            )

    def drift_of(self, space: ParameterSpace) -> np.ndarray:
        """Drift of each entry of u (P,).

        Raises
        ------
        InputError : a name that is not a free parameter.
        """
        if not isinstance(self.drift, Mapping):
            return np.full(space.size, float(self.drift))
        for name in self.drift:
            if name not in space.names:
                raise InputError(
                    "a free parameter that drifts", repr(name), nearest(name, space.names)
                )
        return np.array([float(self.drift.get(name, 0.0)) for name in space.names])


@dataclass(frozen=True)
class Analysis:
    """What one window gave.

    record : numbers and words, as JSON takes them; `shift` is how far the window moved parameters
    from what was known before, in its standard deviations, root mean square over them.
    u, covariance_u : (P,) and (P, P), inflated.
    forecast, analysis : (time, stream) predictions at the times of the window, with the parameters
    known before it and after it; NaN where there is none.  handed : to the next window.
    """

    record: dict[str, Any]
    u: np.ndarray
    covariance_u: np.ndarray
    forecast: np.ndarray
    analysis: np.ndarray
    handed: Handed


@runtime_checkable
class Store(Protocol):
    """Where finished windows are kept."""

    def read(self, number: int) -> Analysis | None: ...
    def write(self, number: int, analysis: Analysis) -> None: ...


Callback = Callable[[int, int, dict[str, Any]], None]
"""Called after each window with its number from 1, how many there are, and its record."""


def assimilate_windows(
    problem: InverseProblem,
    settings: WindowSettings,
    method: LevenbergMarquardt | None = None,
    store: Store | None = None,
    callback: Callback | None = None,
) -> list[Analysis]:
    """Estimate the parameters of a problem window by window.

    A window without observations is carried through. Where a store holds windows, these are not
    computed again; the outcome is the same to the last digit.

    Raises
    ------
    InputError : windows that do not fit the record, or parameters that vary in time.
    """
    if problem.space.variations:
        raise InputError(
            "constant parameters, as windows are how they vary",
            f"{', '.join(problem.space.variations)} with a variation in time",
            "take the variation out, and use --drift",
        )
    pieces = cut(problem, settings.steps, settings.lead)
    settings.drift_of(problem.space)  # refuses names before anything runs
    problem = independent_of_parameters(problem)
    handed, found = first_of_all(problem), []
    for number, piece in enumerate(pieces):
        analysis = None if store is None else store.read(number)
        if analysis is None:
            analysis = _analyse(
                problem, piece, number, handed, settings, method or LevenbergMarquardt()
            )
            if store is not None:
                store.write(number, analysis)
        handed = analysis.handed
        found.append(analysis)
        if callback is not None:
            callback(number + 1, len(pieces), analysis.record)
    return found


def _analyse(
    problem: InverseProblem,
    piece: Piece,
    number: int,
    handed: Handed,
    settings: WindowSettings,
    method: LevenbergMarquardt,
) -> Analysis:
    """Forecast, minimum and hand-over of one window."""
    window, watch = window_problem(problem, piece, handed), Stopwatch()
    predicted, innovations = forecast(window, handed)
    observed = window.n_observations > 0
    start = np.asarray(problem.space.initial()) if number == 0 else handed.mean
    outcome = _minimum(window, start, method) if observed else _unchanged(handed)
    best = best_start(outcome.final)
    u = np.asarray(outcome.final.u[best])
    curvature, hessian, score = _curvature(window, u, handed.score)
    status = int(outcome.final.status[best])
    reason = STATUS[status] if observed else "no observations: carried through"
    result = curvature_result(
        window, method.name, reason, 0, outcome, best, curvature, None, 0, watch
    )
    prediction = np.asarray(run_with_tangents(window, jnp.asarray(u)).prediction)
    prior_cost = 0.5 * float(np.sum(np.asarray(window.background(jnp.asarray(u))) ** 2))
    known = pseudo_inverse(handed.information)[1]
    record = {
        "number": number + 1,
        "first": piece.first,
        "last": piece.last,
        "observations": window.n_observations,
        "converged": status == CONVERGED,
        "reason": reason,
        "iterations": outcome.n_iterations,
        "parameters": {
            name: {key: entry for key, entry in asdict(p).items() if key in _KEPT}
            for name, p in result.parameters.items()
            if not p.fixed
        },
        "innovations": {name: asdict(entry) for name, entry in innovations.items()},
        "residuals": {
            name: {
                "n": r.n,
                "variance_ratio": r.variance_ratio,
                "inflation": r.inflation,
                "lag1_autocorrelation": r.lag1_autocorrelation,
            }
            for name, r in curvature.residuals.items()
        },
        "cost": {
            "observations": {name: r.cost for name, r in curvature.residuals.items()},
            "prior": prior_cost,
        },
        "shift": float(np.sqrt(2.0 * prior_cost / known)) if number and known else None,
        "seconds": result.seconds,
    }
    own = slice(piece.first - piece.start, piece.last - piece.start + 1)
    return Analysis(
        record,
        u,
        curvature.covariance,
        predicted[own],
        prediction[own],
        _hand_over(window, piece, u, hessian, score, settings),
    )


_KEPT = ("estimate", "sd", "sd_naive", "interval", "at_bound")


def _minimum(window: WindowProblem, start: np.ndarray, method: LevenbergMarquardt) -> Outcome:
    return run_method(method, window, jnp.asarray(start)[None])


def _unchanged(handed: Handed) -> Outcome:
    """The outcome of a window in which nothing was observed."""
    zero, u = np.zeros(1), handed.mean[None]
    final = ended(u, zero, zero, np.array([CONVERGED]), np.zeros(1, int))
    return Outcome(final, History(zero[None], u[None]), 0)


# -- analysis and hand-over ----------------------------------------------------------------------


def _curvature(
    window: WindowProblem, u: np.ndarray, score: np.ndarray
) -> tuple[Posterior, np.ndarray, np.ndarray]:
    """Gaussian posterior of a window, its Hessian, and the covariance of the cost's gradient.

    The covariance is the sandwich H^-1 V H^-1 over all windows so far: `score` is what earlier
    ones, with their residuals, put in the middle.
    """
    residual, jacobian = linearised(window, u)
    rows, n = rows_of(window, residual, jacobian), window.observations.mask.size
    hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residual
    held = np.asarray(at_bound(window.space, u, gradient))
    naive, unseen, scale = inverse(hessian, held)
    found = {}
    if window.n_observations:
        known = window.observations.information
        powers = np.ones(rows.mask.shape[1]) if known is None else np.asarray(known)
        prior = jacobian[n:].T @ jacobian[n:]
        told = what_is_told(rows, prior, ~held, powers, declared=True)
        score = score + np.einsum("k,j,kjpq->pq", powers, powers, told.scores.blocks)
        fitted = float(np.sum(naive * (hessian - prior)))
        found = statistics(
            window.stream_names,
            rows.residual,
            rows.mask,
            fitted,
            told,
            powers,
            window.operator.time_step / 3600.0,
        )
    covariance = naive @ score @ naive
    curvature = Posterior(u, covariance, naive, unseen, scale, held, found, hessian, gradient)
    return curvature, hessian, score


def _hand_over(
    window: WindowProblem,
    piece: Piece,
    u: np.ndarray,
    hessian: np.ndarray,
    score: np.ndarray,
    settings: WindowSettings,
) -> Handed:
    """Prior and state of the next window, see the top of this file."""
    state, slopes = carry(window, u, piece.carry)
    handed = Handed(u, hessian, score, state, slopes, u)
    if settings.forget > 1.0:
        return forgotten(handed, settings.forget, window.space.informative)
    drift = settings.drift_of(window.space)
    return drifted(handed, drift) if drift.any() else handed


def drifted(handed: Handed, drift: np.ndarray) -> Handed:
    """After a step of a random walk of these standard deviations (P,) of u."""
    walk = np.diag(drift**2)
    share = np.linalg.inv(np.eye(len(drift)) + walk @ handed.information)
    left = handed.information @ share
    left = 0.5 * (left + left.T)
    score = share.T @ handed.score @ share + left @ walk @ left
    return dataclasses.replace(handed, information=left, score=score, slopes=handed.slopes @ share)


def forgotten(handed: Handed, forget: float, informative: np.ndarray) -> Handed:
    """With the observations so far at 1 / `forget` of their weight, and the prior at all of it."""
    kept = 1.0 / forget
    back = (1.0 - kept) * np.diag(informative.astype(float))
    information = kept * handed.information + back
    mean = handed.mean - pseudo_inverse(information)[0] @ back @ handed.mean
    return dataclasses.replace(
        handed, mean=mean, information=information, score=kept * handed.score + back
    )
