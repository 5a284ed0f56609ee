"""Hyperparameters of a process: where their posterior is highest, and draws about it.

Length-scales have a log-normal prior on [-1, 1] with median e sqrt(P), so that an input without
effect does not run away to infinity; the nugget's expects a model that is smooth to 1e-6 of its
variance (ClimaLand's emulator of a collapsed ensemble had no bound on either).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from caliche.emulators.process import likelihood_and_slope
from caliche.emulators.rows import Rows, expected_scale

LEAST_NUGGET, MOST_NUGGET = 1e-10, 1e-2
_SCALES = np.log([0.05, 60.0])
_NUGGETS = np.log([LEAST_NUGGET, MOST_NUGGET])
# Slopes of a model with switches may be noise beside those of the process.
_SLOPE_NUGGETS = np.log([LEAST_NUGGET, 1e4])
# Length-scales and nuggets of slopes from which searches begin.
_STARTS = ((2.0, 1e-6), (6.0, 1e-2))
_ITERATIONS = 40
_SPREAD_SCALE, _SPREAD_NUGGET, _USUAL_NUGGET = 1.5, 3.0, 1e-6
_STEP = 1e-3  # of the differences of exact gradients that make the curvature
# Draws from which those that count are resampled; what a draw may count over the mean of all.
_PROPOSALS = 4
_FAILED = 1e10


@dataclass(frozen=True)
class Found:
    """Hyperparameters of one output.

    log_theta : (D, P + 2), the highest first.  weight : (D,), sum 1.  evaluations : of the
    likelihood.
    """

    log_theta: np.ndarray
    weight: np.ndarray
    evaluations: int


class _Objective:
    """Minus the log posterior of hyperparameters and its gradient, counted."""

    def __init__(self, kernel: str, basis: str, rows: Rows, y: np.ndarray) -> None:
        self._kernel, self._basis, self._rows, self._y = kernel, basis, rows, jnp.asarray(y)
        p = rows.points.shape[1]
        middle = [np.log(expected_scale(p))] * p + [np.log(_USUAL_NUGGET)] * 2
        self._middle = np.array(middle)
        self._sd = np.array([_SPREAD_SCALE] * p + [_SPREAD_NUGGET] * 2)
        self.bounds = np.array([_SCALES] * p + [_NUGGETS, _SLOPE_NUGGETS])
        self.evaluations = 0

    @property
    def precision(self) -> np.ndarray:
        """(t,) of the prior."""
        return 1.0 / self._sd**2

    def starts(self) -> list[np.ndarray]:
        """Where searches begin (t,)."""
        p = len(self._middle) - 2
        usual = np.log(_USUAL_NUGGET)
        return [np.array([np.log(s)] * p + [usual, np.log(nugget)]) for s, nugget in _STARTS]

    def __call__(self, log_theta: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        value, slope = likelihood_and_slope(
            self._kernel, self._basis, self._rows, self._y, jnp.asarray(log_theta)
        )
        away = (log_theta - self._middle) / self._sd
        height = float(0.5 * away @ away) - float(value)
        slope = away / self._sd - np.asarray(slope)
        if not np.isfinite(height) or not np.isfinite(slope).all():
            return _FAILED, np.zeros_like(log_theta)
        return height, slope


def search(
    kernel: str,
    basis: str,
    rows: Rows,
    y: np.ndarray,
    draws: int = 0,
    seed: int = 0,
    start: np.ndarray | None = None,
) -> Found:
    """Hyperparameters of an output y (row,) at the highest posterior, and draws about it.

    Parameters
    ----------
    draws : of the Laplace approximation beside the highest, resampled by importance; 0 for none.
    start : (P + 2,) logarithms from which to search, instead of two starts.
    """
    objective = _Objective(kernel, basis, rows, y)
    best, lowest = None, np.inf
    for begin in objective.starts() if start is None else [start]:
        found = minimize(
            objective,
            begin,
            jac=True,
            method="L-BFGS-B",
            bounds=objective.bounds,
            options={"maxiter": _ITERATIONS},
        )
        if best is None or found.fun < lowest:
            best, lowest = found.x, found.fun
    assert best is not None
    if not draws:
        return Found(best[None], np.ones(1), objective.evaluations)
    others, weight = _draws(objective, best, lowest, draws, seed)
    return Found(np.concatenate([best[None], others]), weight, objective.evaluations)


def _draws(
    objective: _Objective, best: np.ndarray, lowest: float, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws (draws, t) of the Laplace approximation and weights (draws + 1,), the best first.

    Candidates within the bounds are weighed by posterior over proposal, no weight above the root
    of their number times the mean (Ionides 2008, doi:10.1198/106186008X320456), and resampled.
    """
    values, vectors = np.linalg.eigh(_curvature(objective, best))
    root = vectors / np.sqrt(np.maximum(values, 0.25 * objective.precision.min()))
    random = np.random.default_rng(seed)
    z = random.standard_normal((_PROPOSALS * draws, len(best)))
    candidates = np.clip(best + z @ root.T, *objective.bounds.T)
    height = np.array([lowest - objective(c)[0] for c in candidates])
    log_weight = height + 0.5 * np.sum(z**2, axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight = np.minimum(weight, np.sqrt(len(weight)) * weight.mean())
    # Systematic resampling: as many of each as its weight says, but for the fraction.
    place = (np.arange(draws) + random.random()) / draws
    drawn = np.searchsorted(np.cumsum(weight) / weight.sum(), place)
    return candidates[np.minimum(drawn, len(candidates) - 1)], np.full(draws + 1, 1.0 / (draws + 1))


def _curvature(objective: _Objective, best: np.ndarray) -> np.ndarray:
    """(t, t) second derivative of the objective, by differences of its exact gradient."""
    low, high = objective.bounds.T
    rows = []
    for k in range(len(best)):
        step = np.zeros_like(best)
        step[k] = _STEP
        up, down = np.minimum(best + step, high), np.maximum(best - step, low)
        rows.append((objective(up)[1] - objective(down)[1]) / (up - down)[k])
    matrix = np.array(rows)
    return 0.5 * (matrix + matrix.T)
