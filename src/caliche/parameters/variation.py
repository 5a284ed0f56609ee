"""How a parameter varies in time: knots, what lies between them, and a prior on how much it varies.

All of it acts on the transformed coordinate of the parameter's prior, so that bounds hold at every
time. The coordinate at the knots is level + smoothness * increments @ v, where v ~ N(0, 1): the
level is the mean over time, and what the increments say about the differences between knots is a
Gaussian Markov random field (Rue and Held 2005, doi:10.1201/9780203492024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError

Between = Literal["step", "linear", "cubic"]


class Variation(eqx.Module):
    """The variation of one parameter over the times of a window.

    Attributes
    ----------
    basis : (time + 1, knot) weight of each knot at each time; rows add up to one.
    increments : (knot, knot - 1) what whitened increments add to the knots at unit smoothness.
    smoothness : () standard deviation of the change over a day (random walk), or of the first
        harmonic, in units of the transformed coordinate.
    labels : name of each knot, such as a date.
    """

    basis: Float[Array, "time knot"]
    increments: Float[Array, "knot increment"]
    smoothness: Float[Array, ""]
    labels: tuple[str, ...] = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of knots."""
        return len(self.labels)

    def coordinate(self, u: Float[Array, " knot"]) -> Float[Array, " knot"]:
        """Transformed coordinate at the knots of a level and whitened increments."""
        return u[0] + self.smoothness * (self.increments @ u[1:])

    def whitened(self, coordinate: Float[Array, " knot"]) -> Float[Array, " knot"]:
        """The level and whitened increments of the coordinate at the knots."""
        matrix = jnp.column_stack([jnp.ones(self.size), self.smoothness * self.increments])
        return jnp.linalg.solve(matrix, coordinate)

    def until(self, n_time: int) -> Variation:
        """The same over the first so many times."""
        return eqx.tree_at(lambda v: v.basis, self, self.basis[:n_time])


def random_walk(
    days: np.ndarray,
    knots: Sequence[float],
    labels: Sequence[str],
    between: Between,
    smoothness: float,
) -> Variation:
    """A parameter that wanders from knot to knot.

    Parameters
    ----------
    days : (time + 1,) days since some instant.
    knots : days of the knots, increasing. With `step` a knot's value holds from it until the next;
        else it is interpolated, linearly or by a cubic spline, and constant beyond the ends.
    smoothness : standard deviation of the change over one day.

    Raises
    ------
    InputError : fewer than two knots, knots that do not increase, or that the record is far from.
    """
    at = np.asarray(knots, float)
    if len(at) < 2 or (np.diff(at) <= 0.0).any():
        raise InputError(
            "at least two knots in time that increase",
            f"{[float(f'{t:.4g}') for t in at]}",
            "add a knot, or make the parameter constant",
        )
    if at[1] <= days[0] or at[-2] >= days[-1]:
        raise InputError(
            "knots within the record, at most one of them before and one after it",
            f"{int(np.sum(at <= days[0]))} before and {int(np.sum(at >= days[-1]))} after",
            "leave out those that the record does not reach",
        )
    if between == "step":
        holds = np.clip(np.searchsorted(at, days, side="left") - 1, 0, None)
        basis = np.eye(len(at))[holds]
    else:
        inside = np.clip(days, at[0], at[-1])
        if between == "linear" or len(at) == 2:
            basis = np.stack([np.interp(inside, at, row) for row in np.eye(len(at))], axis=1)
        else:
            from scipy.interpolate import CubicSpline

            basis = np.asarray(CubicSpline(at, np.eye(len(at)), bc_type="natural")(inside))
    steps = np.sqrt(np.diff(at))
    walk = np.tril(np.ones((len(at), len(at) - 1)), -1) * steps
    increments = walk - basis.mean(axis=0) @ walk
    return _variation(basis, increments, smoothness, labels)


def harmonics(
    days: np.ndarray, period: float, order: int, labels: Sequence[str], smoothness: float
) -> Variation:
    """A parameter with a cycle: its mean and `order` harmonics of `period` (days).

    The knots are the values at 2 order + 1 equally spaced phases, which determine the harmonics.
    The k-th harmonic has prior standard deviation smoothness / k.
    """
    size = 2 * order + 1
    if order < 1:
        raise InputError("at least one harmonic", str(order), "make the parameter constant instead")

    def waves(phase: np.ndarray) -> np.ndarray:
        k = np.arange(1, order + 1)
        angle = 2.0 * math.pi * phase[:, None] * k
        return np.concatenate([np.cos(angle) / k, np.sin(angle) / k], axis=1)

    at_knots = waves(np.arange(size) / size)
    whole = np.column_stack([np.ones(size), at_knots])
    basis = np.column_stack([np.ones(len(days)), waves(days / period)]) @ np.linalg.inv(whole)
    return _variation(basis, at_knots, smoothness, labels)


def _variation(
    basis: np.ndarray, increments: np.ndarray, smoothness: float, labels: Sequence[str]
) -> Variation:
    if not smoothness > 0.0:
        raise InputError(
            "a positive smoothness", f"{smoothness:g}", "leave it out to have it estimated"
        )
    return Variation(
        jnp.asarray(basis), jnp.asarray(increments), jnp.asarray(float(smoothness)), tuple(labels)
    )
