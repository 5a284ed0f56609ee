"""Sixteen kinds of weather, and parameters at and within the bounds that a model declares."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from caliche.models import SoilHeat

DAY = 86400.0


def weather(time_step: float, steps: int) -> dict[str, dict[str, np.ndarray]]:
    """Forcing (steps + 1,) of each kind of weather, at time steps of up to a day (s)."""
    day = np.arange(steps + 1) * time_step / DAY
    height = np.maximum(np.sin(2.0 * np.pi * (day - 0.25)), 0.0)
    height = height if time_step < 0.4 * DAY else np.full(steps + 1, 1.0 / np.pi)
    wave = np.sin(2.0 * np.pi * (day - 0.35))
    other = np.arange(steps + 1) % 2  # 0 and 1 in turn
    shower = np.arange(steps + 1) % 12 == 5

    def make(sun, sky, air, wind, humidity, rain=0.0, pressure=1e5):
        values = {
            "incoming_shortwave": sun,
            "incoming_longwave": sky,
            "air_temperature": air,
            "wind_speed": wind,
            "specific_humidity": humidity,
            "precipitation": rain,
            "air_pressure": pressure,
        }
        return {k: np.broadcast_to(np.asarray(v, float), steps + 1) for k, v in values.items()}

    return {
        "calm clear night": make(0.0, 220.0, 283.0, 0.0, 0.004),
        "desert noon": make(1100.0, 380.0, 313.0, 1.0, 0.004),
        "desert days, calm": make(1100.0 * height, 320.0, 305.0 + 8.0 * wave, 0.0, 0.003),
        "storm": make(150.0 * height, 360.0, 288.0 - 5.0 * other, 25.0, 0.009, 2e-3),
        "hurricane": make(50.0, 420.0, 300.0, 60.0, 0.018, 1e-2),
        "polar night, calm": make(0.0, 120.0, 223.0, 0.5, 1e-5),
        "polar night, wind": make(0.0, 140.0, 228.0, 15.0, 3e-5),
        "snow and frost": make(250.0 * height, 230.0, 258.0, 3.0, 0.0012, 1e-4),
        "humid tropics": make(900.0 * height, 430.0, 303.0, 0.3, 0.022, 3e-4 * other),
        "no wind all day": make(1000.0 * height, 330.0, 295.0 + 6.0 * wave, 0.0, 0.008),
        "sun that jumps": make(1200.0 * other, 330.0, 295.0, 1.5, 0.008),
        "sky that jumps, calm": make(1200.0 * other, 200.0 + 200.0 * other, 300.0, 0.0, 0.0),
        "fog": make(20.0, 350.0, 279.0, 0.1, 0.0062),
        "fronts": make(300.0, 300.0, 280.0 + 25.0 * other, 8.0, 0.004),
        "high plateau": make(1250.0 * height, 200.0, 270.0, 4.0, 0.002, 0.0, 5.5e4),
        "downpour": make(900.0 * height, 380.0, 303.0, 20.0 * other, 0.01, 1e-2 * shower),
    }


def corners(model: SoilHeat, most: int) -> np.ndarray:
    """Parameters (corner, parameter) at a bound each: all corners, or so many of them."""
    count = len(model.declarations)
    if 2**count <= most:
        which = np.array(list(itertools.product([0.0, 1.0], repeat=count)))
    else:
        which = np.random.default_rng(0).integers(0, 2, (most, count)).astype(float)
    return scale(model, which)


def scale(model: SoilHeat, unit: np.ndarray) -> np.ndarray:
    """Parameters (..., parameter) within their bounds from numbers between 0 and 1."""
    lower = np.array([d.lower for d in model.declarations])
    upper = np.array([d.upper for d in model.declarations])
    return lower + unit * (upper - lower)


def stacked(model: SoilHeat, kinds: dict[str, dict[str, np.ndarray]]) -> dict[str, jax.Array]:
    """Forcing (kind, time) of a model."""
    return {
        name: jnp.asarray(np.stack([kind[name] for kind in kinds.values()]))
        for name in model.forcing_variables
    }
