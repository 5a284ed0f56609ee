"""What may be wrong with an observation, as parameters: clock, depth, bias, share of a flux.

A nuisance is estimated beside the parameters of the model, or fixed; by default there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models.base import ParameterDeclaration
from caliche.variables import variable

Kind = Literal["bias", "clock-offset", "depth-offset", "flux-fraction"]

_SOURCE = "a property of the sensor, not of the surface"
# kind -> unit, default, lower, upper, what it is
_KINDS: dict[str, tuple[str, float, float, float, str]] = {
    "bias": ("", 0.0, -1e3, 1e3, "bias"),
    "clock-offset": ("h", 0.0, -3.0, 3.0, "lag behind the forcing"),
    "depth-offset": ("m", 0.0, -0.03, 0.03, "depth below the stated one"),
    "flux-fraction": ("1", 1.0, 0.3, 1.5, "measured share"),
}
KINDS = tuple(_KINDS)


@dataclass(frozen=True)
class Nuisance:
    """A parameter of the observation of some streams.

    Parameters
    ----------
    name : of the parameter.
    kind : `bias` is added to the prediction. `clock-offset` (h) makes the sensor lag: what it
        reads at t is the model at t - offset. `depth-offset` (m) is how much deeper than stated the
        sensor lies. `flux-fraction` multiplies the prediction: the share of a flux that its sensor
        catches, as an eddy-covariance system or a heat-flux plate; one for Qh and Qle together, or
        one each.
    streams : names of the streams that share it.
    lower, upper : what its value cannot leave; None for the defaults of its kind.
    """

    name: str
    kind: Kind
    streams: tuple[str, ...]
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        units = {variable(stream).unit for stream in self.streams}
        if len(units) != 1:
            raise InputError(
                f"streams of one unit for nuisance {self.name}",
                ", ".join(self.streams) or "none",
                "list the streams that share it, and make one nuisance for each unit",
            )
        if self.kind == "depth-offset" and any(variable(s).depth is None for s in self.streams):
            raise InputError(
                f"streams with a depth for nuisance {self.name}",
                ", ".join(self.streams),
                "name soil temperatures such as soil_temperature_0.05m",
            )

    @property
    def declaration(self) -> ParameterDeclaration:
        unit, default, lower, upper, what = _KINDS[self.kind]
        if self.kind == "depth-offset":  # which cannot lift a sensor out of the ground
            depths = [variable(stream).depth or 0.0 for stream in self.streams]
            lower = max(lower, -0.9 * min(depths))
        return ParameterDeclaration(
            self.name,
            f"{what} of {', '.join(stream.replace('_', ' ') for stream in self.streams)}",
            unit or variable(self.streams[0]).unit,
            default,
            lower if self.lower is None else self.lower,
            upper if self.upper is None else self.upper,
            _SOURCE,
        )


def lagged(
    series: Float[Array, " time"], steps: Float[Array, ""], blind: int
) -> Float[Array, " time"]:
    """The series `steps` earlier, a cubic through four neighbours (Catmull and Rom), continuous
    with its slope in time and in the lag. The first `blind` entries do not exist."""
    n = len(series)
    known = jnp.where(jnp.arange(n) < blind, series[min(blind, n - 1)], series)
    position = jnp.clip(jnp.arange(n, dtype=jnp.float64) - steps, 0.0, n - 1.0)
    whole = jnp.clip(jnp.floor(position), 0.0, n - 2.0)
    index = whole.astype(int)
    s = position - whole

    def at(offset: int) -> Float[Array, " time"]:
        return known[jnp.clip(index + offset, 0, n - 1)]

    return _hermite(s, at(0), at(1), 0.5 * (at(1) - at(-1)), 0.5 * (at(2) - at(0)))


def at_depth(
    depth: Float[Array, ""], depths: np.ndarray, values: list[Float[Array, "..."]]
) -> Float[Array, "..."]:
    """Values (node, each of any shape) at a depth among `depths`, continuous with its slope; exact
    for parabolas."""
    z, stacked = jnp.asarray(depths), jnp.stack(values)
    index = jnp.clip(jnp.searchsorted(z, depth, side="right") - 1, 0, len(depths) - 2)
    slopes = jnp.stack(_slopes(np.diff(depths), values))
    width = z[index + 1] - z[index]
    return _hermite(
        (depth - z[index]) / width,
        stacked[index],
        stacked[index + 1],
        width * slopes[index],
        width * slopes[index + 1],
    )


def _slopes(gaps: np.ndarray, values: list[Float[Array, "..."]]) -> list[Float[Array, "..."]]:
    """Slope at each node of the parabola through it and its neighbours."""
    rises = [(b - a) / gap for (a, b), gap in zip(pairwise(values), gaps, strict=True)]
    if len(rises) == 1:
        return [rises[0], rises[0]]
    share = gaps[:-1] / (gaps[:-1] + gaps[1:])
    bends = [b - a for a, b in pairwise(rises)]
    first, last = rises[0] - share[0] * bends[0], rises[-1] + (1.0 - share[-1]) * bends[-1]
    return [first, *(a + p * c for a, p, c in zip(rises, share, bends, strict=False)), last]


def _hermite(s: Array, low: Array, high: Array, slope_low: Array, slope_high: Array) -> Array:
    """Cubic between two values with given slopes (per unit of s, 0 to 1)."""
    rise = high - low
    second = 3.0 * rise - 2.0 * slope_low - slope_high
    third = slope_low + slope_high - 2.0 * rise
    return low + s * (slope_low + s * (second + s * third))


def reach(nuisances: tuple[Nuisance, ...], stream: str, time_step: float) -> tuple[int, int]:
    """How many times at the start and at the end a clock offset of a stream may look beyond."""
    before = after = 0
    for nuisance in nuisances:
        if nuisance.kind == "clock-offset" and stream in nuisance.streams:
            d = nuisance.declaration
            before = math.ceil(max(d.upper, 0.0) * 3600.0 / time_step) + 1
            after = math.ceil(max(-d.lower, 0.0) * 3600.0 / time_step) + 1
    return before, after
