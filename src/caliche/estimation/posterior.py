"""Error bars from curvature: the Gauss-Newton posterior, and how far the residuals support it.

The naive covariance H^-1 = (J^T J)^-1 takes the declared sigma at its word and the errors as
independent. Real residuals are larger and correlated in time. The inflated covariance is the
sandwich H^-1 (sum_k c_k J_k^T J_k + prior) H^-1 over streams k, with
c_k = max(1, s_k^2 max(1, (1 + rho_k) / (1 - rho_k))): s_k^2 the residual variance over the
declared one, rho_k the lag-1 autocorrelation. The factor in rho is exact for a slowly varying
sensitivity and generous otherwise (Bayley and Hammersley 1946, doi:10.2307/2983560).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.method import RANK_TOLERANCE, at_bound
from caliche.estimation.tangent_run import run_with_tangents
from caliche.inverse_problem import Problem
from caliche.parameters.space import ParameterSpace

# Residuals cannot tell a longer memory than this from a trend.
LARGEST_AUTOCORRELATION = 0.98


@dataclass(frozen=True)
class ResidualStatistics:
    """Of one fitted stream: number fitted, residual variance over sigma^2, autocorrelation, and its
    term of the cost, |residual|^2 / 2."""

    n: int
    variance_ratio: float
    lag1_autocorrelation: float
    cost: float = float("nan")

    @property
    def inflation(self) -> float:
        """Factor c on the variance of the estimates."""
        rho = min(self.lag1_autocorrelation, LARGEST_AUTOCORRELATION)
        return max(1.0, self.variance_ratio * max(1.0, (1.0 + rho) / (1.0 - rho)))


@dataclass(frozen=True)
class Posterior:
    """Gaussian posterior about an optimum, in whitened coordinates.

    Attributes
    ----------
    u : (P,) the optimum.
    covariance, covariance_naive : (P, P) inflated and naive; they leave out the directions that
        the data do not see, and parameters held by a bound.
    unseen : (P, m) directions without curvature, of unit length after division by `scale`.
    scale : (P,) units in which the curvature is compared.
    held : (P,) parameters held by a bound.
    residuals : statistics of each fitted stream.
    """

    u: np.ndarray
    covariance: np.ndarray
    covariance_naive: np.ndarray
    unseen: np.ndarray
    scale: np.ndarray
    held: np.ndarray
    residuals: dict[str, ResidualStatistics]

    def sd(self, slope: np.ndarray, naive: bool = False) -> float:
        """Standard deviation of a quantity with this derivative (P,) by u.

        Infinite if the data do not see the quantity, NaN if it depends on a held parameter only.
        """
        slope = np.where(self.held, 0.0, slope)
        length = np.linalg.norm(slope / self.scale)
        if length == 0.0:
            return float("nan")
        if np.any(np.abs(self.unseen.T @ (slope / self.scale)) > 1e-3 * length):
            return float("inf")
        covariance = self.covariance_naive if naive else self.covariance
        return float(np.sqrt(slope @ covariance @ slope))


def lag1_autocorrelation(values: np.ndarray) -> float:
    """Autocorrelation (about zero) of successive observations; NaN marks missing ones.

    Successive means at the most common spacing, so that hourly data on a half-hourly axis count.
    Zero where there are too few pairs.
    """
    index = np.flatnonzero(np.isfinite(values))
    if len(index) < 10:
        return 0.0
    gaps = np.diff(index)
    pairs = index[:-1][gaps == np.bincount(gaps).argmax()]
    later = index[1:][gaps == np.bincount(gaps).argmax()]
    power = np.sum(values[index] ** 2) / len(index)
    if power == 0.0:
        return 0.0
    return float(np.mean(values[pairs] * values[later]) / power)


def residual_statistics(
    problem: Problem, misfit: np.ndarray, fitted: float
) -> dict[str, ResidualStatistics]:
    """Statistics of the standardised misfits (time + 1, stream) of each stream.

    `fitted` is the number of degrees of freedom that the observations spent on parameters.
    """
    return _statistics(_series(problem, misfit), fitted)


def _series(problem: Problem, misfit: np.ndarray) -> dict[str, np.ndarray]:
    """Misfits (time + 1,) of each stream, NaN where it is not fitted."""
    seen = np.where(np.asarray(problem.mask), misfit, np.nan)
    return {name: seen[:, k] for k, name in enumerate(problem.stream_names)}


def _statistics(series: Mapping[str, np.ndarray], fitted: float) -> dict[str, ResidualStatistics]:
    counts = {name: int(np.isfinite(values).sum()) for name, values in series.items()}
    kept = max(0.0, 1.0 - fitted / max(sum(counts.values()), 1))  # the streams share them
    result = {}
    for name, values in series.items():
        square = float(np.nansum(values**2))
        ratio = square / max(counts[name] * kept, 1.0)
        result[name] = ResidualStatistics(
            counts[name], ratio, lag1_autocorrelation(values), 0.5 * square
        )
    return result


@jax.jit
def _linearise_at(
    problem: Problem, u: Float[Array, " parameter"], prediction: Array, slopes: Array
) -> tuple[Array, Array]:
    return problem.linearise_at(u, prediction, slopes)


def linearised(problem: Problem, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residual and Jacobian of a problem at u, as `Problem.linearise` gives them."""
    at = jnp.asarray(u)
    run = run_with_tangents(problem, at)
    residual, jacobian = _linearise_at(problem, at, run.prediction, run.slopes)
    return np.asarray(residual), np.asarray(jacobian)


class StreamCurvature(NamedTuple):
    """What one stream says at u: J^T r (P,), J^T J (P, P), and its residuals (time + 1,), NaN where
    it is not fitted."""

    gradient: np.ndarray
    hessian: np.ndarray
    residuals: np.ndarray


def posterior(problem: Problem, u: np.ndarray) -> Posterior:
    """Gauss-Newton posterior of an inverse problem about its optimum."""
    residual, jacobian = linearised(problem, u)
    n = problem.observations.mask.size
    own, rows = residual[n:], jacobian[n:]
    streams = _by_stream(problem, residual[:n], jacobian[:n])
    return posterior_of_streams(problem.space, u, streams, (rows.T @ own, rows.T @ rows))


def stream_curvatures(problem: Problem, u: np.ndarray) -> dict[str, StreamCurvature]:
    """Gradient, curvature and residuals of each stream, in one run with tangents."""
    residual, jacobian = linearised(problem, u)
    n = problem.observations.mask.size
    return _by_stream(problem, residual[:n], jacobian[:n])


def _by_stream(
    problem: Problem, residual: np.ndarray, jacobian: np.ndarray
) -> dict[str, StreamCurvature]:
    shape = problem.observations.mask.shape
    residual, jacobian = residual.reshape(shape), jacobian.reshape(*shape, -1)
    found = {}
    for k, (name, values) in enumerate(_series(problem, residual).items()):
        rows = jacobian[:, k]
        found[name] = StreamCurvature(rows.T @ residual[:, k], rows.T @ rows, values)
    return found


def posterior_of_streams(
    space: ParameterSpace,
    u: np.ndarray,
    streams: Mapping[str, StreamCurvature],
    prior: tuple[np.ndarray, np.ndarray] | None = None,
) -> Posterior:
    """The posterior about u (P,), from what each stream says there.

    prior : gradient and curvature of the prior's part of the cost; None for that of the space.
    """
    informative = space.informative.astype(float)
    pull, stiffness = (informative * u, np.diag(informative)) if prior is None else prior
    gradient = pull + sum(s.gradient for s in streams.values())
    data = sum(s.hessian for s in streams.values())
    held = np.asarray(at_bound(space, u, gradient))
    free = ~np.logical_or.outer(held, held)
    hessian = np.where(free, data + stiffness, np.diag(held.astype(float)))
    scale = np.sqrt(np.clip(np.diag(hessian), 1e-300, None))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    seen = values > RANK_TOLERANCE * values[-1]
    inverse = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
    naive = np.where(free, inverse / np.outer(scale, scale), 0.0)
    # The trace of the influence matrix: a parameter that its prior determines takes none.
    fitted = float(np.sum(naive * data))
    statistics = _statistics({name: s.residuals for name, s in streams.items()}, fitted)
    middle = stiffness
    for name, stream in streams.items():
        middle = middle + statistics[name].inflation * stream.hessian
    return Posterior(u, naive @ middle @ naive, naive, vectors[:, ~seen], scale, held, statistics)


@jax.jit
def _derived(problem: Problem, u: Float[Array, " parameter"]) -> tuple[dict, dict]:
    return problem.derived(u), jax.jacfwd(problem.derived)(u)


def derived_quantities(
    problem: Problem, estimate: Posterior
) -> dict[str, tuple[float, float, str, str]]:
    """Quantities the model computes from parameters: name -> (value, sd, unit, long name).

    Means over time where parameters vary.
    """
    values, slopes = _derived(problem, jnp.asarray(estimate.u))
    return {
        name: (float(values[name]), estimate.sd(np.asarray(slopes[name])), unit, text)
        for name, (unit, text) in problem.derived_labels.items()
    }
