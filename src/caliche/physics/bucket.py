"""A bucket of soil water: how wet the surface is, what evaporates and what runs off.

Manabe (1969), doi:10.1175/1520-0493(1969)097<0739:CATOC>2.3.CO;2, with its corners rounded so that
everything is differentiable, and written so that water is conserved to round-off and the store
never becomes negative: no value is ever clipped.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]

# Evaporation is unlimited from this fraction of the capacity on (Manabe 1969).
CRITICAL_FRACTION = 0.75
# Runoff sets in within this fraction of the capacity below it.
_SPREAD = 0.02
# Dew (kg m-2 in a step) of which half may run off: far below what anybody can measure.
_LITTLE = 1e-4
# The thirstiest air leaves this share less one of the store: more than rounding can take.
_ROUND_OFF = 1.0 + 1e-14


class Wetness(NamedTuple):
    """How a store feeds evaporation over a step.

    availability : evaporation over that of a wet surface, beta (1).
    limit : beta times the step over the water in the store, m2 s kg-1.
    """

    availability: Scalar
    limit: Scalar


def wetness(store: Scalar, capacity: Scalar, time_step: float) -> Wetness:
    """beta = x / (1 + x^8)^(1/8), a smooth min(1, x) of x = store / (0.75 capacity).

    Parameters
    ----------
    store, capacity : kg m-2, the first not negative, the second positive.  time_step : s.
    """
    critical = CRITICAL_FRACTION * capacity
    x = store / critical
    eighth = jnp.square(jnp.square(jnp.square(x)))
    shape = 1.0 / jnp.sqrt(jnp.sqrt(jnp.sqrt(1.0 + eighth)))
    return Wetness(x * shape, shape * (time_step / critical) * _ROUND_OFF)


def evaporation(potential: Scalar, wet: Wetness) -> Scalar:
    """Evaporation E (kg m-2 s-1) of a surface that gives `potential` where it is wet.

    beta E_p / sqrt(1 + y^2), with y what beta E_p would take in the step over what there is: less
    than the store however thirsty the air, and beta E_p itself to y^2 / 2 (1e-5 in a dry week).
    """
    y = potential * wet.limit
    return wet.availability * potential / jnp.sqrt(1.0 + y * y)


def runoff(store: Scalar, inflow: Scalar, capacity: Scalar) -> Scalar:
    """What of an inflow runs off, all in kg m-2; the store gains the rest.

    The share that runs off is exp(-d), d = (capacity - store) / (0.02 capacity), at every instant
    of the inflow; this is that rule integrated, so that rain in one step or two is the same. What
    a store holds above its capacity, because that has shrunk, runs off at once.
    """
    width = _SPREAD * capacity
    room = capacity - store
    deficit, rise = jnp.where(room >= 0.0, room, 0.0) / width, inflow / width
    # Two forms of one function, each where its exponentials are small enough.
    below = deficit > rise
    d, i = jnp.where(below, deficit, 1.0), jnp.where(below, rise, 0.0)
    little = jnp.log1p(jnp.exp(-d) * jnp.expm1(i))
    d, i = jnp.where(below, 0.0, deficit), jnp.where(below, 1.0, rise)
    much = i - d + jnp.log(jnp.exp(d - i) - jnp.expm1(-i))
    return width * jnp.where(below, little, much) + jnp.where(room < 0.0, -room, 0.0)


def settle(store: Scalar, evaporated: Scalar, capacity: Scalar) -> tuple[Scalar, Scalar]:
    """Store after evaporation (or, if negative, dew) of a step, and what ran off, in kg m-2."""
    dew = jnp.where(evaporated < 0.0, -evaporated, 0.0)
    # Of the dew v, v^2 / (v + little) has to pass as rain does: smooth, and none if there is none.
    passing = dew * dew / (dew + _LITTLE)
    off = runoff(store, passing, capacity)
    return store - evaporated - off, off
