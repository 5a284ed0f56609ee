"""Models, parameters and forcing shared by the tests of SoilHeat."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from caliche.models import SoilHeat, simulate
from caliche.models.soil_heat.closures import (
    BOWEN_RATIO,
    BULK_TRANSFER,
    COMBINED,
    MONIN_OBUKHOV,
    TurbulentClosure,
)
from caliche.physics.radiation import emitted_longwave

SCHEMES = ("backward-euler", "crank-nicolson", "sdirk2")
# Every scheme with every bottom and three closures, each pair of the three once; and a fourth.
COMBINATIONS = [
    (scheme, bottom, (COMBINED, BOWEN_RATIO, BULK_TRANSFER)[(i + j) % 3])
    for i, scheme in enumerate(SCHEMES)
    for j, bottom in enumerate(("fixed-temperature", "measured-temperature", "zero-flux"))
] + [
    ("backward-euler", "varying-temperature", MONIN_OBUKHOV),
    ("crank-nicolson", "measured-temperature", MONIN_OBUKHOV),
    ("sdirk2", "zero-flux", MONIN_OBUKHOV),
]
COMBINATION_IDS = ["-".join([scheme, bottom, c.name]) for scheme, bottom, c in COMBINATIONS]

LIKELY = {
    "incoming_shortwave": 300.0,
    "incoming_longwave": 320.0,
    "air_temperature": 291.0,
    "wind_speed": 2.0,
    "specific_humidity": 0.008,
    "air_pressure": 1e5,
    "bottom_temperature": 293.0,
    "precipitation": 1e-5,
}


def _prescribed(params, surface_temperature, forcing):
    emitted = emitted_longwave(params["emissivity"], surface_temperature)
    return -forcing["prescribed_flux"] - emitted, jnp.zeros_like(emitted)


# A closure is data: this one cancels the emission, so that in the dark the ground heat flux is
# the one prescribed.
PRESCRIBED = TurbulentClosure("prescribed", _prescribed, (), ("prescribed_flux",))


def parameters(model: SoilHeat, **values: float) -> dict[str, jax.Array]:
    """Defaults of the model, some replaced."""
    defaults = {d.name: d.default for d in model.declarations}
    assert values.keys() <= defaults.keys()
    return {name: jnp.asarray(float(value)) for name, value in {**defaults, **values}.items()}


def steady_forcing(model: SoilHeat, steps: int, **values) -> dict[str, jax.Array]:
    """Forcing constant in time, some of it replaced by a number or a series (steps + 1,)."""
    known = {**LIKELY, "prescribed_flux": 0.0, **values}
    if model.turbulence is PRESCRIBED:
        known = {**known, "incoming_shortwave": 0.0, "incoming_longwave": 0.0}
    return {
        name: jnp.asarray(np.broadcast_to(np.asarray(known[name], float), steps + 1))
        for name in model.forcing_variables
    }


@jax.jit
def simulated(model: SoilHeat, params, forcing) -> tuple:
    """Final state, diagnostics at the start, and those of every step."""
    return simulate(model, params, forcing)


def run(model: SoilHeat, params, forcing) -> dict[str, jax.Array]:
    """Diagnostics of every step."""
    return simulated(model, params, forcing)[2]


def temperatures(model: SoilHeat, params, forcing) -> np.ndarray:
    """Temperature (time + 1, node) including the start, K."""
    _, start, series = simulated(model, params, forcing)
    return np.vstack([start["soil_temperature"], series["soil_temperature"]])


def observed_order(errors: list[float]) -> np.ndarray:
    """Order of convergence from errors of runs whose step halves each time."""
    return np.log2(np.asarray(errors[:-1]) / np.asarray(errors[1:]))
