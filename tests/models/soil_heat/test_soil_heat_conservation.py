"""Energy: nothing is lost between the surface, the soil and the bottom, whatever the options."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.models import SoilHeat
from caliche.models.loop.time_loop import everything
from caliche.models.soil_heat.closures import CLOSURES
from caliche.physics.column_schemes import ColumnState
from caliche.physics.surface_energy_balance import LAST_STEP
from soil_heat_cases import COMBINATION_IDS, COMBINATIONS

# Stretched, two layers, the boundary on a node.
DEPTHS = 0.8 * np.linspace(0.0, 1.0, 9) ** 2
LAYER_BOTTOM = float(DEPTHS[4])
RANGES = {
    "incoming_shortwave": (0.0, 1200.0),
    "incoming_longwave": (150.0, 500.0),
    "air_temperature": (255.0, 320.0),
    "wind_speed": (0.0, 20.0),
    "specific_humidity": (0.0, 0.03),
    "air_pressure": (6e4, 1.05e5),
    "bottom_temperature": (270.0, 310.0),
    "precipitation": (0.0, 0.01),
}
# One number between 0 and 1 for each parameter, forcing variable and node temperature.
UNIT = arrays(float, 30, elements=st.floats(0.0, 1.0))


def state_of(model, prepared, temperature):
    """The state with these temperatures of all nodes (K)."""
    anomaly = temperature - prepared.reference
    return ColumnState(prepared.implicit.encode(anomaly), anomaly[0], anomaly[-1])


@eqx.filter_jit
def step(model, params, temperature, forcing):
    """Temperatures of all nodes after a step, and its diagnostics."""
    prepared = model.prepare(params)
    _, now = model.step(prepared, state_of(model, prepared, temperature), forcing)
    now = everything(now)
    return now["soil_temperature"], now


@eqx.filter_jit
def curvature(model, params, surface_temperature, forcing):
    """Second derivative of the ground heat flux, W m-2 K-2."""

    def flux(t):
        return model.surface_fluxes(params, t, forcing).ground_heat_flux

    return jnp.abs(jax.grad(jax.grad(flux))(surface_temperature))


def draw(model: SoilHeat, unit: np.ndarray):
    """Parameters between their bounds, forcing and temperatures within what occurs on land."""
    unit = iter(unit)
    params = {
        d.name: jnp.asarray(d.lower + next(unit) * (d.upper - d.lower)) for d in model.declarations
    }
    forcing = {
        name: jnp.asarray(RANGES[name][0] + next(unit) * np.ptp(RANGES[name]))
        for name in model.forcing_variables
    }
    # Up to 20 K from node to node, and up to 10 K between surface and air.
    departure = jnp.stack([jnp.asarray(20.0 * next(unit) - 10.0) for _ in DEPTHS])
    temperature = forcing["air_temperature"] + departure
    if model.bottom == "fixed-temperature":
        params["bottom_temperature"] = temperature[-1]
    return params, forcing, temperature


@pytest.mark.parametrize(("scheme", "bottom", "closure"), COMBINATIONS, ids=COMBINATION_IDS)
@example(unit=np.zeros(30))
@example(unit=np.ones(30))
@given(unit=UNIT)
def test_energy_budget_closes(scheme, bottom, closure, unit):
    model = SoilHeat(
        DEPTHS,
        1800.0,
        scheme,
        closure,
        bottom=bottom,
        initial="uniform",
        layer_bottoms=[LAYER_BOTTOM],
    )
    params, forcing, old = draw(model, unit)
    new, now = step(model, params, old, forcing)

    # the surface
    soil = now["ground_heat_flux"]
    tolerance = 1e-9 + 1e-12 * float(jnp.abs(soil).max())  # round-off of the greatest flux
    outgoing = now["outgoing_shortwave"] + now["outgoing_longwave"]
    incoming = forcing["incoming_shortwave"] + forcing["incoming_longwave"]
    assert abs(incoming - outgoing - now["net_radiation"]) < tolerance
    assert abs(now["net_radiation"] - now["turbulent_heat_flux"] - soil[0]) < tolerance
    if closure.separates:
        parts = now["sensible_heat_flux"] + now["latent_heat_flux"]
        assert abs(parts - now["turbulent_heat_flux"]) < tolerance

    # every control volume, with capacities from the definition
    capacity = np.where(
        DEPTHS[1:] <= LAYER_BOTTOM + 1e-12,
        float(params["volumetric_heat_capacity_1"]),
        float(params["volumetric_heat_capacity_2"]),
    )
    half_cells = 0.5 * capacity * np.diff(DEPTHS)
    rise = np.asarray(new - old) / 1800.0
    storage = (np.append(half_cells, 0.0) + np.append(0.0, half_cells)) * rise
    # Newton's method ends with a step below LAST_STEP: what its tangent left out of the flux.
    unsolved = tolerance + float(curvature(model, params, new[0], forcing)) * LAST_STEP**2
    np.testing.assert_allclose(storage[1:], -np.diff(soil)[1:], rtol=0, atol=tolerance)
    assert abs(storage[0] + np.diff(soil)[0]) < unsolved

    # the whole column, and the model's own account of it
    assert abs(soil[0] - soil[-1] - storage.sum()) < unsolved
    assert abs(now["energy_imbalance"]) < unsolved
    if bottom == "zero-flux":
        assert abs(soil[-1]) < tolerance


@pytest.mark.parametrize("scheme", ["backward-euler", "crank-nicolson"])
@pytest.mark.parametrize("closure", CLOSURES.values(), ids=CLOSURES)
def test_fluxes_are_those_of_the_temperature_reported(closure, scheme):
    """Newton's method has converged: the balance holds at the surface temperature itself."""
    # Steps so short that the explicit half of Crank-Nicolson never has to give way.
    model = SoilHeat(
        DEPTHS,
        1.0 if scheme == "crank-nicolson" else 1800.0,
        scheme,
        closure,
        layer_bottoms=[LAYER_BOTTOM],
    )
    weight = {"backward-euler": 1.0, "crank-nicolson": 0.5}[scheme]  # of the end of the step

    @jax.jit
    @jax.vmap
    def imbalance(unit):
        params, forcing, old = draw(model, unit)
        new, now = step(model, params, old, forcing)
        before, after = (
            model.surface_fluxes(params, temperature[0], forcing).ground_heat_flux
            for temperature in (old, new)
        )
        expected = (1.0 - weight) * before + weight * after
        return jnp.abs(expected - now["ground_heat_flux"][0]) / (1.0 + jnp.abs(expected))

    units = np.vstack([np.random.default_rng(0).random((4000, 30)), np.ones(30)])
    assert float(imbalance(units).max()) < 1e-8


def test_measured_bottom_flux_in_a_steady_state_is_the_flux_through_the_column():
    model = SoilHeat([0.0, 0.1, 0.3, 0.6], 1e9, "backward-euler", bottom="measured-temperature")
    params = {d.name: jnp.asarray(d.default) for d in model.declarations}
    middle = {name: jnp.asarray(0.5 * sum(RANGES[name])) for name in model.forcing_variables}
    temperature = jnp.full(4, middle["bottom_temperature"])
    for _ in range(3):
        temperature, now = step(model, params, temperature, middle)
    through = 0.8 * (temperature[0] - temperature[-1]) / 0.6
    np.testing.assert_allclose(now["ground_heat_flux"], through, rtol=1e-6)
    assert abs(through) > 10.0
