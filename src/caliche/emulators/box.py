"""The box of control vectors over which an emulator knows its model, and the map to [-1, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from caliche.errors import InputError
from caliche.parameters.space import Entry, ParameterSpace
from caliche.wording import number_of

# How far from the middle a box goes along a normal prior, in standard deviations.
REACH = 2.0
# The share of a flat prior between two bounds that a box without a start range covers.
COVERED = 0.95
# How much wider than a start range a box is, so that searches that begin on its ends can move.
_MARGIN = 0.2
# Round-off that still counts as inside, in units of the box.
EDGE = 1e-9


@dataclass(frozen=True)
class Box:
    """A box in u, the whitened control vector.

    Attributes
    ----------
    lower, upper : (P,) the ends in u; finite, lower below upper.
    names : (P,) of the entries of u, for messages; empty if nobody named them.

    Raises
    ------
    InputError : ends that are no box.
    """

    lower: np.ndarray
    upper: np.ndarray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lower, upper = (np.array(end, float) for end in (self.lower, self.upper))
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)
        object.__setattr__(self, "names", tuple(self.names))
        flat = lower.ndim == 1 and lower.shape == upper.shape and lower.size > 0
        if not flat or not np.all(np.isfinite(lower) & np.isfinite(upper) & (lower < upper)):
            raise InputError(
                "a box with finite ends, each lower one below its upper one",
                f"{_short(lower)} to {_short(upper)}",
                "widen the box, or fix the parameter that does not vary",
            )

    @property
    def size(self) -> int:
        """Number of entries of u."""
        return len(self.lower)

    @property
    def centre(self) -> np.ndarray:
        """(P,) the middle, in u."""
        return 0.5 * (self.lower + self.upper)

    @property
    def half(self) -> np.ndarray:
        """(P,) half the sides, in u: du = half dx."""
        return 0.5 * (self.upper - self.lower)

    @property
    def volume(self) -> float:
        """Volume in u."""
        return float(np.prod(2.0 * self.half))

    def to_unit(self, u: Any) -> Any:
        """x in [-1, 1] of u: numpy (..., P), or one point (P,) of JAX."""
        return (u - self.centre) / self.half

    def from_unit(self, x: Any) -> Any:
        """u of x in [-1, 1]: numpy (..., P), or one point (P,) of JAX."""
        return self.centre + self.half * x

    def contains(self, u: np.ndarray) -> np.ndarray:
        """Which points u (..., P) lie inside, the edge included; NaN does not."""
        return np.all(np.abs(self.to_unit(np.asarray(u, float))) <= 1.0 + EDGE, axis=-1)

    def demand(self, u: np.ndarray) -> np.ndarray:
        """The points u (n, P) as an array, all of them inside.

        Raises
        ------
        InputError : another number of parameters; a point outside the box.
        """
        points = np.atleast_2d(np.asarray(u, float))
        if points.ndim != 2 or points.shape[1] != self.size:
            raise InputError(
                f"points of {number_of(self.size, 'parameter')}",
                f"an array {np.shape(u)}",
                "pass u (n, P)",
            )
        outside = ~self.contains(points)
        if outside.any():
            x = self.to_unit(points[outside][0])
            k = int(np.argmax(np.where(np.isfinite(x), np.abs(x), np.inf)))
            name = self.names[k] if self.names else f"entry {k + 1} of u"
            raise InputError(
                f"points inside the box of the emulator's runs, {name} between "
                f"{self.lower[k]:.4g} and {self.upper[k]:.4g} in u",
                f"{points[outside][0, k]:.4g} (and {int(outside.sum())} of {len(points)} "
                "points outside)",
                "stay inside the box, or run the model there and emulate a wider box",
            )
        return points

    def widened(self, share: float, limit: Box | None = None) -> Box:
        """The box with every side longer by this share, cut at `limit`."""
        lower, upper = (
            self.centre - (1.0 + share) * self.half,
            self.centre + (1 + share) * self.half,
        )
        if limit is not None:
            lower, upper = np.maximum(lower, limit.lower), np.minimum(upper, limit.upper)
        return Box(lower, upper, self.names)

    def volume_in(self, other: Box) -> float:
        """The share (0 to 1) of another box that lies in this one."""
        shared = np.minimum(self.upper, other.upper) - np.maximum(self.lower, other.lower)
        return float(np.prod(np.clip(shared, 0.0, None) / (2.0 * other.half)))


def box_of(space: ParameterSpace, reach: float = REACH) -> Box:
    """The box from which runs for an emulator are drawn.

    Along an informative prior `reach` standard deviations to either side; along a flat one its
    start range and a fifth more, else the central 95 % between its bounds.

    Raises
    ------
    InputError : a reach that is not positive; a flat prior without two bounds or a start range.
    """
    if not reach > 0.0:
        raise InputError("a reach above 0 standard deviations", f"{reach:g}", f"use {REACH:g}")
    ends = np.array([_ends(entry, reach) for entry in space.entries])
    return Box(ends[:, 0], ends[:, 1], space.names)


def _ends(entry: Entry, reach: float) -> tuple[float, float]:
    prior, start = entry.parameter.prior, entry.parameter.start
    if entry.informative:
        return -reach, reach
    if start is not None:
        low, high = (float(prior.to_whitened(jnp.asarray(float(end)))) for end in start)
        margin = 0.5 * _MARGIN * (high - low)
        return low - margin, high + margin
    if math.isfinite(prior.lower) and math.isfinite(prior.upper):
        end = math.log((1.0 + COVERED) / (1.0 - COVERED))
        return -end, end
    raise InputError(
        f"a prior, two bounds or a start range of {entry.name}, over which to emulate",
        "a flat prior without them",
        f"give {entry.parameter.name} bounds, a prior or start = [low, high]",
    )


def _short(end: np.ndarray) -> str:
    return np.array2string(end, precision=4, threshold=8)
