"""Heat conduction between soil layers of finite thickness, one implicit step at a time.

Temperatures are means of layers, also the first one, which faces the air without a skin. A step is
backward Euler. Conduction is eliminated from the bottom up once, before the surface flux is known;
the surface then is one scalar equation, T_0 = free + response * G. Rows are written out as scalars,
which vectorise over members.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.tangents import of_one, quotient

Scalar = Float[Array, ""]


class LayerColumn(eqx.Module):
    """Factors of a step of layered soil.

    Attributes
    ----------
    capacity : heat capacity of each layer, J m-2 K-1.
    kept, lifted, lowered : the elimination, see `free` and `finish`.
    response : rise of the first layer by a surface flux of 1 W m-2 over a step, K m2 W-1.
    """

    capacity: tuple[Scalar, ...]
    kept: tuple[Scalar, ...]
    lifted: tuple[Scalar, ...]
    lowered: tuple[Scalar, ...]
    response: Scalar

    @staticmethod
    def build(
        thickness: Sequence[float],
        thermal_conductivity: Scalar,
        volumetric_heat_capacity: Scalar,
        time_step: float,
    ) -> LayerColumn:
        """Uniform soil of layers of these thicknesses (m), insulated below; time step in s.

        Conduction goes from centre to centre of layers.
        """
        ratio = time_step * thermal_conductivity / volumetric_heat_capacity
        eliminated = of_one(functools.partial(_eliminate, thickness=tuple(thickness)))
        kept, lifted, lowered, response = eliminated(ratio)
        return LayerColumn(
            tuple(volumetric_heat_capacity * d for d in thickness),
            kept,
            lifted,
            lowered,
            response * (time_step / volumetric_heat_capacity),
        )

    def free(self, temperatures: Sequence[Scalar]) -> tuple[Scalar, ...]:
        """After a step without surface flux: the first layer, and what `finish` needs below."""
        up = [self.kept[-1] * temperatures[-1]]
        for i in range(len(temperatures) - 2, -1, -1):
            up.append(self.kept[i] * temperatures[i] + self.lifted[i] * up[-1])
        return tuple(up[::-1])

    def finish(self, first: Scalar, free: Sequence[Scalar]) -> tuple[Scalar, ...]:
        """All layers, once the first is known: free + response * (mean surface flux)."""
        layers = [first]
        for below, lowered in zip(free[1:], self.lowered, strict=True):
            layers.append(below + lowered * layers[-1])
        return tuple(layers)

    def heat_gained(self, after: Sequence[Scalar], before: Sequence[Scalar]) -> Scalar:
        """Change of sensible heat in the column, J m-2."""
        gains = [c * (new - old) for c, new, old in zip(self.capacity, after, before, strict=False)]
        return sum(gains[1:], gains[0])


class _Eliminated(NamedTuple):
    """The elimination of soil of heat capacity 1; `response` to the heat of a step, in m-1."""

    kept: tuple[Scalar, ...]
    lifted: tuple[Scalar, ...]
    lowered: tuple[Scalar, ...]
    response: Scalar


def _eliminate(ratio: Scalar, thickness: tuple[float, ...]) -> _Eliminated:
    """The elimination at a ratio of diffusivity times time step (m2), on which alone it depends."""
    coupling = [ratio * (2.0 / (a + b)) for a, b in itertools.pairwise(thickness)]
    one = jnp.ones_like(ratio)
    pivots = [quotient(one, thickness[-1] + (coupling[-1] if coupling else 0.0 * ratio))]
    for i in range(len(thickness) - 2, -1, -1):
        below = coupling[i] * (1.0 - coupling[i] * pivots[0])
        below = thickness[i] + below + (coupling[i - 1] if i else 0.0)
        pivots.insert(0, quotient(one, below))
    return _Eliminated(
        tuple(p * d for p, d in zip(pivots, thickness, strict=True)),
        tuple(p * k for p, k in zip(pivots, coupling, strict=False)),
        tuple(p * k for p, k in zip(pivots[1:], coupling, strict=True)),
        pivots[0],
    )
