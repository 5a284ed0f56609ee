"""Normal modes of a soil column: shapes that decay without changing, each at its own rate."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.physics.heat_conduction import Column

Scalar = Float[Array, ""]
# Arrays of NumPy where the numbers are known when compiling.
Numbers = Array | np.ndarray | np.floating


@dataclass(frozen=True)
class Ends:
    """Which nodes at the ends are no unknowns: a skin without mass, a bottom of given value."""

    skin: bool
    fixed_bottom: bool

    def active(self, column: Column) -> tuple[Any, Any, Any, Any]:
        """Heat capacity (n,) of the unknowns, conductance (n-1,) between them, that to the given
        bottom () (zero if there is none) and resistance () of the skin."""
        capacity, conductance = column.heat_capacity, column.conductance
        below, resistance = 0.0 * conductance[-1], 0.0 * conductance[0]
        if self.fixed_bottom:
            capacity, conductance, below = capacity[:-1], conductance[:-1], conductance[-1]
        if self.skin:
            capacity, conductance, resistance = capacity[1:], conductance[1:], 1.0 / conductance[0]
        return capacity, conductance, below, resistance


class NormalModes(eqx.Module):
    """Free decay of a column: rates (mode,) in s-1, shapes, and the mass of every mode.

    A shape is the anomaly of a node per unit amplitude of each mode (mode,), one for each unknown.
    The shapes are orthogonal under the heat capacities, and of the same mass. They are numbers
    where the soil is homogeneous; where they depend on parameters they come row by row, so that
    nodes that nobody observes cost nothing in adjoints.
    """

    rates: Float[Array | np.ndarray, " mode"]
    shapes: tuple[Float[Array, " mode"], ...] | Float[np.ndarray, "node mode"]
    mass: Float[Array | np.ndarray, ""]  # J m-2 K-1 in the units of the shapes

    def of_homogeneous(self, conductivity: Scalar, capacity: Scalar) -> NormalModes:
        """From the modes of the same grid with unit properties: only rates and mass scale."""
        return NormalModes(self.rates * (conductivity / capacity), self.shapes, capacity)


def normal_modes(column: Column, ends: Ends) -> NormalModes:
    """The normal modes of a column. Computed at once if its numbers are known when compiling."""
    known = isinstance(column.conductance, np.ndarray)
    xp: Any = np if known else jnp
    capacity, conductance, below, _ = ends.active(column)
    root = xp.sqrt(capacity)
    off = -conductance / (root[1:] * root[:-1])
    pad = xp.pad(conductance, (1, 1))
    last = xp.where(np.arange(len(root)) == len(root) - 1, below, 0.0)
    diagonal = (pad[1:] + pad[:-1] + last) / capacity
    matrix = xp.diag(diagonal) + xp.diag(off, 1) + xp.diag(off, -1)
    rates, vectors = xp.linalg.eigh(matrix)
    shapes = vectors / root[:, None]
    by_row = shapes if known else tuple(shapes[i] for i in range(len(root)))
    return NormalModes(rates, by_row, xp.ones(()))


@functools.lru_cache(maxsize=32)
def grid_modes(nodes: tuple[float, ...], faces: tuple[float, ...], ends: Ends) -> NormalModes:
    """Normal modes of a grid (depths in m) with unit conductivity and capacity, as numbers."""
    return normal_modes(Column(1.0 / np.diff(nodes), np.diff(faces)), ends)
