"""Observation errors of metrics: those of the series, carried through with their persistence.

The errors of a stream are AR(1) with a standard deviation s(t) and an autocorrelation rho of errors
one step apart, as its error model says. With g_k = d(metric k) / d(series) at the observations

    cov(k, l) = sum over t, t' of g_k(t) s(t) rho^|t - t'| s(t') g_l(t'),

gaps included, since the errors go on in a gap. For a mean of n values this is s^2 / n times
(1 + rho) / (1 - rho), and not s^2 / n. Errors of different streams are independent. A curved metric
of values with errors is off on average as well, where a linear one is not; draws of the same
errors, in pairs of opposite sign, say by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.signal import lfilter

from caliche.errors import InputError
from caliche.metrics.metric import Metrics
from caliche.observations import Observations

PAIRS = 256  # of draws with opposite signs


@dataclass(frozen=True)
class SeriesErrors:
    """The errors of a record.

    Attributes
    ----------
    sd : (time + 1, stream) standard deviation.
    autocorrelation : (stream,) of errors one step apart.
    freedom : (stream,) degrees of freedom of Student's t, infinite if normal.
    """

    sd: np.ndarray
    autocorrelation: np.ndarray
    freedom: np.ndarray

    def __post_init__(self) -> None:
        if np.any(self.freedom <= 2.0):
            raise InputError(
                "errors with a finite variance: student_degrees_of_freedom above 2",
                f"{np.min(self.freedom):g}",
                "raise it for history matching",
            )

    @property
    def total_sd(self) -> np.ndarray:
        """(time + 1, stream) standard deviation with the tails of Student's t."""
        finite = np.where(np.isinf(self.freedom), 3.0, self.freedom)
        return self.sd * np.where(np.isinf(self.freedom), 1.0, np.sqrt(finite / (finite - 2.0)))


def errors_of(observations: Observations) -> SeriesErrors:
    """The errors of a record, as its error model says.

    Raises
    ------
    InputError : heavy tails without a variance.
    """
    shape = observations.values.shape
    rho = np.zeros(shape[1])
    if observations.autocorrelation is not None:
        rho = np.asarray(observations.autocorrelation, float)
    freedom = np.asarray(observations.freedom or (np.inf,) * shape[1], float)
    sd = np.asarray(observations.scale) / np.asarray(observations.root)
    return SeriesErrors(np.broadcast_to(sd, shape), rho, freedom)


@dataclass(frozen=True)
class MetricErrors:
    """Observed metrics with their errors.

    Attributes
    ----------
    values : (K,) metrics of the observations, less `bias`.
    covariance : (K, K) of their errors.
    bias : (K,) by how much errors of the series move a metric on average.
    naive : (K,) standard deviations if errors were independent, for comparison.
    """

    values: np.ndarray
    covariance: np.ndarray
    bias: np.ndarray
    naive: np.ndarray


def metric_errors(
    metrics: Metrics, observed: np.ndarray, errors: SeriesErrors, seed: int = 0
) -> MetricErrors:
    """Metrics of observations and their errors.

    Parameters
    ----------
    observed : (time + 1, stream), any number where masked.
    """
    mask = np.asarray(metrics.mask)
    series = jnp.asarray(np.where(mask > 0.0, observed, 0.0))
    values, slopes = _slopes(metrics, series)
    sd = errors.total_sd
    slopes = np.asarray(slopes) * sd  # (K, time + 1, stream)
    covariance = np.zeros((len(metrics), len(metrics)))
    naive = np.zeros(len(metrics))
    for k, rho in enumerate(errors.autocorrelation):
        rows = slopes[:, :, k]
        covariance += rows @ persistent(rows, float(rho)).T
        naive += np.sum(rows**2, axis=1)
    bias = np.zeros(len(metrics))
    curved = ~metrics.linear
    if curved.any():
        bias[curved] = _bias(metrics.only(curved), series, errors, seed)
    return MetricErrors(
        np.asarray(values) - bias, 0.5 * (covariance + covariance.T), bias, np.sqrt(naive)
    )


@jax.jit
def _slopes(metrics: Metrics, series: jax.Array) -> tuple[jax.Array, jax.Array]:
    return metrics(series), jax.jacrev(metrics)(series)


@jax.jit
def _many(metrics: Metrics, series: jax.Array) -> jax.Array:
    return jax.lax.map(metrics, series, batch_size=8)


def draw_errors(errors: SeriesErrors, number: int, rng: np.random.Generator) -> np.ndarray:
    """(number, time + 1, stream) errors of a record."""
    n_time, n_stream = errors.sd.shape
    noise = rng.standard_normal((number, n_time, n_stream))
    for k, rho in enumerate(errors.autocorrelation):
        if rho:
            noise[:, 1:, k] *= np.sqrt(1.0 - rho**2)
            noise[:, :, k] = lfilter([1.0], [1.0, -rho], noise[:, :, k], axis=1)
        if np.isfinite(errors.freedom[k]):
            chi2 = rng.chisquare(errors.freedom[k], (number, n_time))
            noise[:, :, k] *= np.sqrt(errors.freedom[k] / chi2)
    return noise * errors.sd


def _bias(metrics: Metrics, series: jax.Array, errors: SeriesErrors, seed: int) -> np.ndarray:
    """(K,) mean of metric(y + e) - metric(y), from pairs e and -e: the straight part is gone."""
    rng = np.random.default_rng([seed, 3])
    centre, total, pairs = np.asarray(_many(metrics, series[None]))[0], 0.0, 0
    while pairs < PAIRS:
        drawn = jnp.asarray(draw_errors(errors, 32, rng))
        both = np.asarray(
            _many(metrics, jnp.concatenate([series[None] + drawn, series[None] - drawn]))
        )
        total = total + np.sum(both - centre, axis=0)
        pairs += 32
    return np.asarray(total) / (2.0 * pairs)


def persistent(rows: np.ndarray, rho: float) -> np.ndarray:
    """Rows (k, time) times the correlation matrix rho^|t - t'| of AR(1) errors, in O(time)."""
    if rho == 0.0:
        return rows
    forward = lfilter([1.0], [1.0, -rho], rows, axis=1)
    backward = np.flip(lfilter([1.0], [1.0, -rho], np.flip(rows, axis=1), axis=1), axis=1)
    return np.asarray(forward) + backward - rows
