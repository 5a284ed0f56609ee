"""The initial profile of SoilHeat: between knots in depth."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Interpolation = Literal["linear", "cubic"]


def interpolate(
    nodes: Sequence[float],
    depths: Sequence[float],
    values: Float[Array, " knot"],
    how: Interpolation,
) -> Float[Array, " node"]:
    """Values at `nodes` from those at `depths` (m, increasing), constant beyond them.

    `cubic` is the natural cubic spline: twice continuously differentiable, straight at both ends.
    """
    if how == "linear":
        return jnp.interp(jnp.asarray(nodes), jnp.asarray(depths), values)
    return jnp.asarray(_natural_cubic(tuple(nodes), tuple(depths))) @ values


@functools.lru_cache(maxsize=32)
def _natural_cubic(nodes: tuple[float, ...], depths: tuple[float, ...]) -> np.ndarray:
    """Matrix (node, knot) that takes values at knots to those of the spline."""
    knots, at = np.asarray(depths), np.clip(nodes, depths[0], depths[-1])
    n = len(knots)
    if n == 1:
        return np.ones((len(at), 1))
    gap = np.diff(knots)
    # Second derivatives (knot, knot): continuity of the slope, and none at the ends.
    left, right = np.zeros((n, n)), np.zeros((n, n))
    left[0, 0] = left[-1, -1] = 1.0
    for k in range(1, n - 1):
        before, after = gap[k - 1], gap[k]
        left[k, k - 1 : k + 2] = before / 6.0, (before + after) / 3.0, after / 6.0
        right[k, k - 1 : k + 2] = 1.0 / before, -1.0 / before - 1.0 / after, 1.0 / after
    bend = np.linalg.solve(left, right)
    index = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, n - 2)
    width = gap[index]
    b = (at - knots[index]) / width
    a = 1.0 - b
    rows, unit = np.arange(len(at)), np.eye(n)
    matrix = a[:, None] * unit[index] + b[:, None] * unit[index + 1]
    above, below = (weight * (weight**2 - 1.0) * width**2 / 6.0 for weight in (a, b))
    matrix[rows] += above[:, None] * bend[index] + below[:, None] * bend[index + 1]
    return matrix
