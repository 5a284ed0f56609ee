"""What is seen of a model: which diagnostics, at which depth, averaged how; and how well.

The operator belongs to a site, not to a model: models offer diagnostics, sites have sensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models.base import Diagnostics, Model, Profile
from caliche.variables import variable

# Streams of one profile that are computed entry by entry. More than a dozen sums of products with
# constants in one loop take LLVM beyond all memory (41 nodes); the whole profile is one product.
_FEW = 5


@dataclass(frozen=True)
class Stream:
    """One observed quantity: its name (with depth), and over how many steps it is averaged.

    `steps` = 0 compares the model at the instant of the stamp (states) or over its last step
    (fluxes); n > 0 compares the mean over the n steps that end at the stamp.
    """

    name: str
    steps: int = 0


class ObservationOperator(eqx.Module):
    """Predictions (time + 1, stream) of what the sensors of a site would read.

    `select` picks and interpolates inside the time loop, so that only what is observed is kept;
    `average` then takes the means in time.
    """

    streams: tuple[Stream, ...] = eqx.field(static=True)
    _sources: tuple[tuple[str, int, float], ...] = eqx.field(static=True)

    def select(self, diagnostics: Diagnostics) -> tuple[Float[Array, ""], ...]:
        """The streams in one step's diagnostics, interpolated linearly in depth."""
        asked = Counter(name for name, _, _ in self._sources)
        values = []
        for name, index, weight in self._sources:
            value = diagnostics[name]
            if isinstance(value, Profile):
                entries = value if asked[name] <= _FEW else value.stack()
                # Index and weight are numbers known when compiling, never traced.
                value = entries[index] if weight == 0.0 else (
                    (1.0 - weight) * entries[index] + weight * entries[index + 1]
                )  # fmt: skip
            values.append(value)
        return tuple(values)

    @property
    def averages(self) -> bool:
        """Whether any stream is a mean over several steps."""
        return any(stream.steps for stream in self.streams)

    def visible(self, n_time: int) -> np.ndarray:
        """Which entries (n_time, stream) can be predicted at all.

        A flux has no value at time zero, and a mean none before it is complete.
        """
        blind = [max(s.steps, 0 if variable(s.name).is_state else 1) for s in self.streams]
        return np.arange(n_time)[:, None] >= np.array(blind)[None, :]

    def average(
        self, initial: Sequence[Float[Array, ""]], series: Sequence[Float[Array, " time"]]
    ) -> Float[Array, "time+1 stream"]:
        """Predictions at times 0 ... N, from what `select` gave at time 0 and over the steps.

        NaN where a mean would need what was before time 0.
        """
        columns = []
        for stream, at_start, later in zip(self.streams, initial, series, strict=True):
            column = jnp.append(at_start, later)
            if stream.steps:
                over_step = later
                if variable(stream.name).is_state:
                    over_step = 0.5 * (column[1:] + column[:-1])
                column = _running_mean(over_step, stream.steps)
            columns.append(column)
        return jnp.stack(columns, axis=1)


def _running_mean(values: Float[Array, " time"], steps: int) -> Float[Array, " time+1"]:
    """Mean of the last `steps` values, NaN for the first `steps` entries of time 0 ... N."""
    windows = jnp.stack([values[k : len(values) - steps + 1 + k] for k in range(steps)])
    return jnp.concatenate([jnp.full(steps, jnp.nan), windows.mean(axis=0)])


def make_operator(model: Model, streams: Sequence[Stream]) -> ObservationOperator:
    """The operator that observes `streams` of `model`.

    Raises
    ------
    InputError : an unknown stream, a depth outside the model's grid, or a quantity the model does
        not compute.
    """
    sources = []
    for stream in streams:
        entry = variable(stream.name)
        if entry.name not in model.diagnostics:
            raise InputError(
                f"a stream that the model computes ({', '.join(model.diagnostics)})",
                stream.name,
                "leave it out, or choose a closure that gives it",
            )
        if entry.depth is None:
            sources.append((entry.name, 0, 0.0))
        else:
            sources.append(
                (entry.name, *_locate(stream.name, entry.depth, model.depths[entry.name]))
            )
    return ObservationOperator(tuple(streams), tuple(sources))


def _locate(stream: str, depth: float, depths: np.ndarray) -> tuple[int, float]:
    """Index above a depth and weight of the entry below it."""
    if not depths[0] <= depth <= depths[-1]:
        raise InputError(
            f"a depth within the grid of the model ({depths[0]:g} to {depths[-1]:g} m)",
            f"{stream}",
            "deepen the grid or leave the stream out",
        )
    index = min(int(np.searchsorted(depths, depth, side="right")) - 1, len(depths) - 2)
    weight = float((depth - depths[index]) / (depths[index + 1] - depths[index]))
    if weight > 1.0 - 1e-12:
        return index + 1, 0.0
    return index, 0.0 if weight < 1e-12 else weight


class Observations(eqx.Module):
    """Observed values and their uncertainty on the model's time axis.

    Attributes
    ----------
    values : (time + 1, stream), SI; any finite number where nothing was observed.
    mask : (time + 1, stream), True where a value was observed and is to be fitted.
    sigma : (stream,) standard deviation of observation plus representation error.
    """

    values: Float[Array, "time stream"]
    mask: Array
    sigma: Float[Array, " stream"]

    @staticmethod
    def from_series(series: Mapping[str, np.ndarray], sigma: Mapping[str, float]) -> Observations:
        """From one array (time + 1,) per stream, NaN where missing: masked, never filled.

        Raises
        ------
        InputError : a standard deviation that is not positive, or a stream without observations.
        """
        for name, values in series.items():
            if not sigma[name] > 0.0:
                raise InputError(
                    f"a positive sigma of {name}", f"{sigma[name]:g}",
                    f"give the error of one observation in {variable(name).unit}",
                )  # fmt: skip
            if not np.isfinite(values).any():
                raise InputError(
                    f"observations of {name} in the window", "none",
                    "move the window, relax the quality control or leave the stream out",
                )  # fmt: skip
        stacked = np.stack([np.asarray(v, float) for v in series.values()], axis=1)
        mask = np.isfinite(stacked)
        return Observations(
            jnp.asarray(np.where(mask, stacked, 0.0)),
            jnp.asarray(mask),
            jnp.asarray([float(sigma[name]) for name in series]),
        )
