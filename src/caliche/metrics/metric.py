"""Metrics: a few numbers of a prediction that say how a process behaves, smooth in all it predicts.

All are made of what was observed: a gap in the observations is a gap in the prediction. Means,
bins, harmonics and patterns are sums with weights, linear in the predictions; the others are made
of these or of the series, and curved.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LINEAR, AMPLITUDE, PHASE, RATIO = "linear", "amplitude", "phase", "ratio"
SD, MEMORY, MAXIMUM = "sd", "memory", "maximum"
# Of a stream's standard deviation: how far below the largest value of a day others still count.
SOFTNESS = 0.1
_TOGETHER = 8  # predictions whose metrics one call computes


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name, unit : for tables.
    kind : what it is made of, see the top of this file.
    stream : the column of its series.
    rows : the weighted sums that it is made of; (cosine, sine) of harmonics, (upper, lower) of a
        ratio.
    period : of a phase, in `unit`.  reference : of a phase, that of the observations, in `unit`; a
        phase is told as the departure from it, so that it has no jump nearby.
    """

    name: str
    unit: str
    kind: str
    stream: int
    rows: tuple[int, ...] = ()
    period: float = 1.0
    reference: float = 0.0

    @property
    def linear(self) -> bool:
        """Whether it is linear in the predictions: errors of them then move it by nothing on
        average, and their covariance is carried over exactly."""
        return self.kind == LINEAR


class Metrics(eqx.Module):
    """Predictions (time + 1, stream) -> metrics (K,).

    Attributes
    ----------
    metrics : what they are.
    weights : (row, time + 1) of the weighted sums.
    mask : (time + 1, stream) 1 where observed and possible to predict.
    day : (time + 1,) number of the day of each time.
    whole : (day, stream) 1 for days that are seen whole.
    scale : (stream,) standard deviation of the observed series.
    row_stream : the stream of each row.
    """

    weights: Float[Array, "row time"]
    mask: Float[Array, "time stream"]
    day: Array
    whole: Float[Array, "day stream"]
    scale: Float[Array, " stream"]
    metrics: tuple[Metric, ...] = eqx.field(static=True)
    row_stream: tuple[int, ...] = eqx.field(static=True)

    def __len__(self) -> int:
        return len(self.metrics)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(metric.name for metric in self.metrics)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(metric.unit for metric in self.metrics)

    @property
    def linear(self) -> np.ndarray:
        """(K,) which are linear in the predictions."""
        return np.array([metric.linear for metric in self.metrics])

    def of_fields(self, fields: np.ndarray) -> np.ndarray:
        """Metrics (n, K) of many predictions (n, time + 1, stream); NaN where they are."""
        some = np.concatenate([fields, np.repeat(fields[-1:], -len(fields) % _TOGETHER, axis=0)])
        found = [
            np.asarray(_many(self, jnp.asarray(some[k : k + _TOGETHER])))
            for k in range(0, len(some), _TOGETHER)
        ]
        return np.concatenate(found)[: len(fields)]

    def only(self, which: np.ndarray) -> Metrics:
        """Some of the metrics, by mask or number."""
        chosen = np.arange(len(self))[which]
        return dataclasses.replace(self, metrics=tuple(self.metrics[k] for k in chosen))

    def __call__(self, prediction: Float[Array, "time stream"]) -> Float[Array, " metric"]:
        # Where before anything else: what cannot be predicted is NaN, and 0 NaN is not 0.
        clean = jnp.where(self.mask > 0.0, prediction, 0.0)
        sums = [self.weights[row] @ clean[:, stream] for row, stream in enumerate(self.row_stream)]
        return jnp.stack([self._one(metric, sums, clean) for metric in self.metrics])

    def _one(self, metric: Metric, sums: list[Array], clean: Array) -> Array:
        rows = [sums[row] for row in metric.rows]
        k = metric.stream
        if metric.kind == LINEAR:
            return rows[0]
        if metric.kind == AMPLITUDE:
            return jnp.sqrt(rows[0] ** 2 + rows[1] ** 2 + 1e-24 * self.scale[k] ** 2)
        if metric.kind == PHASE:
            turn = 2.0 * jnp.pi / metric.period
            cos, sin = jnp.cos(turn * metric.reference), jnp.sin(turn * metric.reference)
            # A harmonic of nothing has no phase; the tiny number keeps its derivative finite.
            along = rows[0] * cos + rows[1] * sin + 1e-12 * self.scale[k]
            return metric.reference + jnp.arctan2(rows[1] * cos - rows[0] * sin, along) / turn
        if metric.kind == RATIO:
            return rows[0] / rows[1]
        series, mask = clean[:, k], self.mask[:, k]
        if metric.kind == MAXIMUM:
            return self._maximum(series, k)
        number = jnp.sum(mask)
        away = (series - jnp.sum(series) / number) * mask
        variance = jnp.sum(away**2) / number
        if metric.kind == SD:
            return jnp.sqrt(variance + 1e-24 * self.scale[k] ** 2)
        both = mask[1:] * mask[:-1]
        product = jnp.sum(away[1:] * away[:-1] * both) / jnp.maximum(jnp.sum(both), 1.0)
        return product / (variance + 1e-12 * self.scale[k] ** 2)

    def _maximum(self, series: Float[Array, " time"], k: int) -> Array:
        """Mean over the days of a smooth maximum: the logarithm of a sum of exponentials."""
        number, soft = self.whole.shape[0], SOFTNESS * self.scale[k]
        seen = self.mask[:, k] > 0.0
        low = jnp.where(seen, series, -jnp.inf)
        top = jax.lax.stop_gradient(jax.ops.segment_max(low, self.day, number))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        above = jnp.where(seen, jnp.exp((series - top[self.day]) / soft), 0.0)
        total = jax.ops.segment_sum(above, self.day, number)
        whole = self.whole[:, k]
        each = top + soft * jnp.log(jnp.where(whole > 0.0, total, 1.0))
        return jnp.sum(jnp.where(whole > 0.0, each, 0.0)) / jnp.sum(whole)


@dataclass
class Made:
    """Metrics on their way, with the rows of weights that they are made of."""

    rows: list[np.ndarray] = dataclasses.field(default_factory=list)
    streams: list[int] = dataclasses.field(default_factory=list)
    metrics: list[Metric] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)

    def row(self, weights: np.ndarray, stream: int) -> int:
        """The number of a row of weights (time + 1,) of a stream, which this adds."""
        self.rows.append(weights)
        self.streams.append(stream)
        return len(self.rows) - 1

    @staticmethod
    def mean(seen: np.ndarray) -> np.ndarray:
        """Weights (time + 1,) of the mean of what is seen."""
        return seen / seen.sum()

    @staticmethod
    def change(seen: np.ndarray) -> np.ndarray:
        """Weights (time + 1,) of the slope of a straight line, times the length of the record."""
        when = np.arange(len(seen), dtype=float)
        line = np.where(seen, when - when[seen].mean(), 0.0)
        return line / np.sum(line**2) * np.ptp(when[seen])

    def metrics_of(
        self, mask: np.ndarray, day: np.ndarray, whole: np.ndarray, scale: np.ndarray
    ) -> Metrics:
        """All of them; the arrays are those of `Metrics`."""
        return Metrics(
            jnp.asarray(np.stack(self.rows) if self.rows else np.zeros((0, len(mask)))),
            jnp.asarray(mask.astype(float)),
            jnp.asarray(day),
            jnp.asarray(whole.astype(float)),
            jnp.asarray(scale),
            tuple(self.metrics),
            tuple(self.streams),
        )


@jax.jit
def _many(metrics: Metrics, fields: Array) -> Array:
    return jax.vmap(metrics)(fields)
