"""Stores of water below ground: a root zone that overflows, a groundwater that drains slowly.

After Milly and Shmakin (2002), J. Hydrometeorol. 3, 283,
doi:10.1175/1525-7541(2002)003<0283:GMOLWA>2.0.CO;2.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.switches import capped_share, smooth_cap, smooth_plus

Scalar = Float[Array, ""]

SHALLOWEST = 0.01  # m, least depth of roots
STRESS_WIDTH = 0.1  # of the water at which stress begins
OVERFLOW_WIDTH = 0.01  # of the capacity, around it, within which drainage sets in


def rooting_depth(root_mass: Scalar, scale: Scalar, critical_density: Scalar) -> Scalar:
    """Depth (m) at which an exponential profile of roots thins out to the critical density.

    Parameters
    ----------
    root_mass : of the whole profile, kg m-2.
    scale : depth over which the density falls to 1/e, m.
    critical_density : kg m-3.
    """
    depth = scale * jnp.log(root_mass / (scale * critical_density))
    return SHALLOWEST + smooth_plus(depth - SHALLOWEST, 0.5 * SHALLOWEST)


def moisture_stress(wet: Scalar) -> Scalar:
    """Evaporation as a fraction of that without shortage: water over what is enough, at most 1."""
    return smooth_cap(wet, STRESS_WIDTH)


def taken_up(wet: Scalar) -> Scalar:
    """`moisture_stress(wet) / wet`, also of a dry root zone, where it is 1."""
    return capped_share(wet, STRESS_WIDTH)


def drainage(water: Scalar, capacity: Scalar, time_scale: Scalar, time_step: float) -> Scalar:
    """Water (kg m-2) that leaves the root zone in a step: the excess, within a time scale (s).

    Backward Euler where the store is well above its capacity.
    """
    share = time_step / (time_scale + time_step)
    return share * smooth_plus(water - capacity, OVERFLOW_WIDTH * capacity)


def groundwater_step(
    storage: Scalar, recharge: Scalar, residence_time: Scalar, time_step: float
) -> tuple[Scalar, Scalar]:
    """Groundwater after a step, and what flowed out of it (kg m-2).

    The exact solution of dW/dt = recharge - W / residence_time for a recharge that is even over
    the step; recharge in kg m-2 for the whole step, residence time in s.
    """
    steps = time_step / residence_time
    left = jnp.exp(-steps)
    lost = -jnp.expm1(-steps)
    of_recharge = lost / steps
    after = left * storage + of_recharge * recharge
    return after, lost * storage + (1.0 - of_recharge) * recharge
