"""The benchmark problem by an adaptive solver: diffrax, Kvaerno3 (3rd order, implicit).

The method of lines on 21 nodes, the first with half a cell, since an ordinary differential
equation has no place for a surface without mass. Forcing is linear between its half-hourly values.
Kidger (2021), arXiv:2202.02435; Kvaerno (2004), doi:10.1023/B:BITN.0000046811.70614.38.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.forcing import NAMES, STEP, STEPS_PER_DAY, site_forcing
from benchmarks.problems import INITIAL_TEMPERATURE, TRUTH

LAYERS = 20
TOLERANCE = 1e-4
MOST_STEPS = 16**5


def make_programs(days: int) -> dict[str, Callable]:
    """`forward` and `gradient` of the misfit over so many days, functions of theta (5,).

    Theta is relative to the truth.

    Raises
    ------
    ImportError : diffrax is not installed.
    """
    try:
        import diffrax
    except ImportError:
        raise ImportError("diffrax is not installed") from None
    steps = days * STEPS_PER_DAY
    raw = site_forcing(steps)
    times = STEP * jnp.arange(steps + 1)
    forcing = diffrax.LinearInterpolation(times, jnp.asarray(np.stack([raw[n] for n in NAMES], 1)))
    truth = jnp.asarray(list(TRUTH.values()))

    def forward(relative: jax.Array) -> jax.Array:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(_heating),
            diffrax.Kvaerno3(),
            0.0,
            STEP * steps,
            60.0,
            jnp.full(LAYERS + 1, INITIAL_TEMPERATURE),
            args=(truth * relative, forcing),
            saveat=diffrax.SaveAt(ts=times[1:]),
            max_steps=MOST_STEPS,
            stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
        )
        return solution.ys[:, jnp.asarray([1, 4])]

    observed = jnp.full((steps, 2), INITIAL_TEMPERATURE)

    def misfit(relative: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum((forward(relative) - observed) ** 2)

    return {"forward": forward, "gradient": jax.grad(misfit)}


def _heating(time: jax.Array, temperature: jax.Array, arguments: tuple) -> jax.Array:
    """Rate of change (21,) of the temperature of every node, K s-1."""
    (conductivity, capacity, albedo, transfer, moisture), forcing = arguments
    shortwave, longwave, air, wind, humidity = forcing.evaluate(time)
    spacing, surface = 1.0 / LAYERS, temperature[0]
    conductance = 1.2 * transfer * wind
    saturation = 0.622e-5 * 611.2 * jnp.exp(17.67 * (surface - 273.15) / (surface - 29.65))
    ground = (
        (1.0 - albedo) * shortwave
        + 0.97 * longwave
        - 0.97 * 5.67e-8 * surface**4
        - 1005.0 * conductance * (surface - air)
        - 2.5e6 * moisture * conductance * (saturation - humidity)
    )
    flux = jnp.concatenate([ground[None], -conductivity * jnp.diff(temperature) / spacing])
    net = flux - jnp.append(flux[1:], 0.0)
    cells = jnp.full(LAYERS + 1, spacing).at[jnp.asarray([0, -1])].set(0.5 * spacing)
    return net / (capacity * cells)
