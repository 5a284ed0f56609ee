"""The lag of some streams behind the forcing that fits best, parameters following linearly.

A lag of hours is not small: it turns the slope in time round. So the predictions about an optimum,
and their slopes by the parameters, are moved step by step, and the linear least-squares problem of
the parameters is solved at each.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from caliche.estimation.curvature import ResidualStatistics, linearised, residual_statistics
from caliche.estimation.tangent_run import run_with_tangents
from caliche.problems.inverse import InverseProblem

FURTHEST = 12.0  # h
LONGEST_MEAN = 6.0  # h; means over more have no clock to speak of
COARSEST, FINEST = 6.0, 0.5  # h; time steps that have one, and the step of the search
PART = 8  # a clock is not moved by more than one in so many parts of the record


@dataclass(frozen=True)
class Optimum:
    """A problem linearised about u (P,), or there with the clocks of some streams moved.

    prediction : (time + 1, stream).  slopes : (time + 1, stream, P).
    residual, jacobian : as `Problem.linearise` gives them, parameters having followed a moved
    clock by `followed` (P,).  before : squared residuals without it.
    """

    problem: InverseProblem
    u: np.ndarray
    prediction: np.ndarray
    slopes: np.ndarray
    residual: np.ndarray
    jacobian: np.ndarray
    followed: np.ndarray
    before: float
    weights: np.ndarray

    @property
    def n_data(self) -> int:
        """Entries of the residual that belong to observations."""
        return self.weights.size

    @functools.cached_property
    def fitted(self) -> float:
        """Degrees of freedom that the observations spent on parameters."""
        rows = self.jacobian[: self.n_data]
        return float(np.sum((rows @ self.covariance) * rows))

    def statistics(self, residual: np.ndarray) -> dict[str, ResidualStatistics]:
        """Statistics of each stream, of a residual as this one."""
        misfit = residual[: self.n_data].reshape(self.weights.shape)
        misfit = np.where(self.weights > 0.0, misfit, np.nan)
        return residual_statistics(self.problem, misfit, self.fitted)

    @functools.cached_property
    def covariance(self) -> np.ndarray:
        """(P, P) inverse of the curvature."""
        return np.linalg.pinv(self.jacobian.T @ self.jacobian, hermitian=True)

    def whitened(self, change: np.ndarray) -> np.ndarray:
        """Derivative of the residuals (time + 1, stream) along a change of the predictions."""
        return _whitened(self.problem, self.weights, change[..., None])[..., 0]


def optimum(problem: InverseProblem, u: np.ndarray) -> Optimum:
    """The problem about its optimum."""
    residual, jacobian = linearised(problem, u)
    run = run_with_tangents(problem, jnp.asarray(u))
    return Optimum(
        problem,
        u,
        np.asarray(run.prediction),
        np.asarray(run.slopes),
        residual,
        jacobian,
        np.zeros(len(u)),
        float(residual @ residual),
        np.asarray(problem.weights),
    )


def furthest_lag(problem: InverseProblem) -> float:
    """Hours by which clocks are moved at most: half a day, a part of a short record; 0 where the
    time steps are too long to tell."""
    hours = problem.operator.time_step / 3600.0
    if hours > COARSEST:
        return 0.0
    n_time = problem.observations.mask.shape[0]
    every = _every(problem)
    return hours * every * int(min(FURTHEST / hours, n_time // PART) // every)


def _every(problem: InverseProblem) -> int:
    """Steps between the lags that are tried."""
    return max(1, round(FINEST * 3600.0 / problem.operator.time_step))


def best_lag(about: Optimum, columns: list[int]) -> tuple[float, Optimum]:
    """The lag (h) of the streams (indices) that fits best, and the problem linearised there.

    The ends of their records, which a lag may move out of sight, do not count.
    """
    problem = about.problem
    hours = problem.operator.time_step / 3600.0
    furthest = round(furthest_lag(problem) / hours)
    streams = [problem.operator.streams[c] for c in columns]
    margin = furthest + max(max(s.steps, 1) for s in streams)
    weights = about.weights.copy()
    n = len(weights)
    for c in columns:
        weights[:margin, c] = weights[n - furthest :, c] = 0.0
    parts = _Parts(about, weights, columns)
    every = _every(problem)
    lags = range(-furthest, furthest + 1, every)
    misfits = {lag: parts.misfit(lag) for lag in lags}
    best = min(misfits, key=lambda lag: misfits[lag])
    return best * hours, parts.moved(best, misfits[0])


class _Parts:
    """The linear problem of the parameters, with some of its columns moved in time."""

    def __init__(self, about: Optimum, weights: np.ndarray, columns: list[int]) -> None:
        self.about, self.columns = about, columns
        rest = weights.copy()
        rest[:, columns] = 0.0
        self.weights = weights
        self.observed = np.asarray(about.problem.observations.values)
        n = about.n_data
        # Streams are whitened one by one, so that those that stay need it once.
        still = _flat(_whitened(about.problem, rest, self._stacked(0)))
        self.own = np.column_stack([about.residual[n:], about.jacobian[n:]])
        self.fixed = still.T @ still + self.own.T @ self.own
        self.mine = np.where(np.isin(np.arange(weights.shape[1]), columns), weights, 0.0)

    def _stacked(self, lag: int) -> np.ndarray:
        """Misfit and slopes (time + 1, stream, 1 + P), predictions moved by `lag` steps."""
        prediction, slopes = (_lagged(a, lag) for a in (self.about.prediction, self.about.slopes))
        return np.concatenate([(prediction - self.observed)[..., None], slopes], axis=-1)

    def misfit(self, lag: int) -> float:
        """Least squared residual over the parameters."""
        rows = _whitened(self.about.problem, self.mine, self._stacked(lag))[:, self.columns]
        total = self.fixed + _flat(rows).T @ _flat(rows)
        step = np.linalg.pinv(total[1:, 1:], hermitian=True) @ total[1:, 0]
        return float(total[0, 0] - total[0, 1:] @ step)

    def moved(self, lag: int, before: float) -> Optimum:
        """The problem linearised there, parameters having followed."""
        about = self.about
        prediction, slopes = about.prediction.copy(), about.slopes.copy()
        prediction[:, self.columns] = _lagged(prediction, lag)[:, self.columns]
        slopes[:, self.columns] = _lagged(slopes, lag)[:, self.columns]
        stacked = np.concatenate([(prediction - self.observed)[..., None], slopes], axis=-1)
        data = _flat(_whitened(about.problem, self.weights, stacked))
        rows = np.concatenate([data, self.own])
        residual, jacobian = rows[:, 0], rows[:, 1:]
        step = -np.linalg.pinv(jacobian.T @ jacobian, hermitian=True) @ (jacobian.T @ residual)
        return dataclasses.replace(
            about,
            prediction=prediction + slopes @ step,
            slopes=slopes,
            residual=residual + jacobian @ step,
            jacobian=jacobian,
            followed=step,
            before=before,
            weights=self.weights,
        )


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1])


def _lagged(values: np.ndarray, lag: int) -> np.ndarray:
    """Values (time, ...) `lag` steps earlier; the ends repeat what there is."""
    rows = np.clip(np.arange(len(values)) - lag, 0, len(values) - 1)
    return values[rows]


def _whitened(problem: InverseProblem, weights: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Derivatives of the residuals (time + 1, stream, any) along changes of the predictions, for
    normal errors; what has no weight may be NaN."""
    weighted = np.where(weights[..., None] > 0.0, changes, 0.0) * weights[..., None]
    if problem.observations.autocorrelation is None:
        return weighted
    return np.asarray(_whiten(problem, jnp.asarray(weighted), jnp.asarray(weights > 0.0)))


@jax.jit
def _whiten(problem: InverseProblem, changes: jax.Array, mask: jax.Array) -> jax.Array:
    observed = dataclasses.replace(problem.observations, freedom=())
    return jax.vmap(lambda change: observed.residual(change, mask), -1, -1)(changes)
