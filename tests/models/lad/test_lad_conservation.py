"""Water and energy of LaD: nothing is lost in a step, whatever the weather and the flux law."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.constants import (
    FREEZING_POINT,
    LATENT_HEAT_FUSION,
    LATENT_HEAT_VAPORISATION,
    STEFAN_BOLTZMANN,
)
from caliche.models import LaD
from caliche.models.lad.fluxes import FluxLaw
from caliche.models.lad.state import LaDState
from lad_cases import FORCING, at, number, one_step, parameters, run, state_of, weather

STEP = 1800.0
RANGES = {
    "incoming_shortwave": (0.0, 1100.0),
    "incoming_longwave": (150.0, 450.0),
    "air_temperature": (250.0, 312.0),
    "precipitation": (0.0, 3e-3),
    "specific_humidity": (1e-4, 0.025),
    "air_pressure": (6e4, 1.05e5),
    "wind_speed": (0.0, 15.0),
}
LAYERS = 5
UNIT = arrays(float, 60, elements=st.floats(0.0, 1.0))


class Network(FluxLaw):
    """Fluxes of a small network with random weights: rising or falling with temperature."""

    weights: jax.Array

    def declare(self, cover):
        return ()

    @property
    def forcing_variables(self):
        return ("air_temperature", "specific_humidity", "wind_speed", "air_pressure")

    def __call__(self, params, surface_temperature, conditions, forcing):
        features = jnp.stack(
            [
                (surface_temperature - forcing["air_temperature"]) / 5.0,
                100.0 * forcing["specific_humidity"],
                0.2 * forcing["wind_speed"],
                conditions.saturation,
            ]
        )
        hidden = jnp.tanh(self.weights[:, :4] @ features)
        sensible, evaporation = jnp.sum(self.weights[:, 4:].T * hidden[None], axis=1)
        return 100.0 * sensible, 5e-5 * conditions.wetness * evaporation


MODELS = {
    "neutral": LaD(STEP, drag="neutral", soil_freezing=True),
    "monin-obukhov": LaD(STEP, soil_freezing=True),
    "network": LaD(
        STEP,
        soil_freezing=True,
        fluxes=Network(jnp.asarray(np.random.default_rng(3).standard_normal((6, 6)))),
    ),
}


def draw(model: LaD, unit: np.ndarray):
    """Parameters within their bounds, weather within what occurs, and any state."""
    unit = iter(unit)
    params = parameters(model)
    for d in model.declarations:
        if d.name.startswith(("albedo", "snow_albedo")) or d.name == "roughness_length":
            continue  # bounds that are physical one by one only
        params[d.name] = jnp.asarray(d.lower + next(unit) * (d.upper - d.lower))
    forcing = {
        name: jnp.asarray(RANGES[name][0] + next(unit) * np.ptp(RANGES[name])) for name in FORCING
    }
    # Around the air or around freezing, whichever is warmer: then snow melts, or soil freezes.
    middle = max(float(forcing["air_temperature"]), 274.0) if next(unit) > 0.5 else 272.0
    temperatures = [
        number(middle - FREEZING_POINT + 12.0 * next(unit) - 6.0) for _ in range(LAYERS)
    ]
    most = float(params["freezable_water"]) * LATENT_HEAT_FUSION
    frozen = tuple(jnp.asarray(most * next(unit)) for _ in range(LAYERS))
    scale = 10.0 ** (4.0 * next(unit) - 3.0)  # 0.001 to 10 kg m-2 of snow
    snow = scale * next(unit) if next(unit) > 0.2 else 0.0
    capacity = float(model.derived(params)["root_zone_capacity"])
    stores = (snow, 1.2 * capacity * next(unit), 100.0 * next(unit))
    state = LaDState(tuple(temperatures), frozen, *(number(s) for s in stores))
    return params, state, forcing


def budgets(model, params, before, after, now, forcing):
    """Imbalance of water (kg m-2) and energy (J m-2) of a step, and the energy that moved."""
    water = sum(
        getattr(after, s) - getattr(before, s) for s in ("snow", "root_zone", "groundwater")
    )
    gained = forcing["precipitation"] - now["evaporation"] - now["runoff"]
    capacity = params["volumetric_heat_capacity"] * np.asarray(model.thicknesses)
    rise = jnp.stack(after.temperatures) - jnp.stack(before.temperatures)
    stored = jnp.sum(capacity * rise) - LATENT_HEAT_FUSION * (after.snow - before.snow)
    if model.soil_freezing:
        ice = jnp.stack(after.frozen) - jnp.stack(before.frozen)
        stored = stored - jnp.sum(np.asarray(model.thicknesses) * ice)
    fraction = jnp.clip(
        0.5
        * (
            (params["rain_snow_temperature"] - forcing["air_temperature"])
            / params["rain_snow_half_range"]
            + 1.0
        ),
        0.0,
        1.0,
    )
    snowfall = forcing["precipitation"] * fraction**2 * (3.0 - 2.0 * fraction)
    coming = (
        now["net_radiation"]
        - now["sensible_heat_flux"]
        - LATENT_HEAT_VAPORISATION * now["evaporation"]
        - LATENT_HEAT_FUSION * snowfall
    )
    moved = float(jnp.abs(capacity * rise).sum() + jnp.abs(STEP * coming))
    return float(water - STEP * gained), float(stored - STEP * coming), moved


@pytest.mark.parametrize("name", MODELS)
@example(unit=np.zeros(60))
@example(unit=np.ones(60))
@given(unit=UNIT)
def test_every_step_closes(name, unit):
    model = MODELS[name]
    params, state, forcing = draw(model, unit)
    after, now = one_step(model, params, state, forcing)
    water, energy, moved = budgets(model, params, state, after, now, forcing)
    assert abs(water) < 1e-10
    assert abs(energy) < 1e-6 + 1e-9 * moved
    # the model's own account says the same
    assert abs(float(now["water_imbalance"])) * STEP < 1e-10
    assert abs(float(now["energy_imbalance"])) * STEP < 1e-6 + 1e-9 * moved
    # and the profile of the heat flux ends in the insulated bottom
    through = np.asarray(now["ground_heat_flux"])
    below = through[-2] * STEP
    capacity = float(params["volumetric_heat_capacity"]) * model.thicknesses[-1]
    last = capacity * float(after.temperatures[-1] - state.temperatures[-1])
    last -= model.thicknesses[-1] * float(after.frozen[-1] - state.frozen[-1])
    assert through[-1] == 0.0
    assert abs(below - last) < 1e-6 + 1e-9 * moved


@pytest.mark.parametrize("name", ["neutral", "monin-obukhov"])
@example(unit=np.ones(60))
@given(unit=UNIT)
def test_stores_stay_within_their_bounds(name, unit):
    """No snow below zero, and no root zone that evaporation drove there."""
    model = MODELS[name]
    params, state, forcing = draw(model, unit)
    # Potential evaporation is then below 3e-4 kg m-2 s-1, which no step of the stores forgives.
    params["stomatal_resistance"], params["factor_stomata"] = jnp.asarray(250.0), jnp.asarray(1.0)
    after, _ = one_step(model, params, state, forcing)
    assert float(after.snow) >= -1e-12
    assert float(after.root_zone) >= -1e-9
    assert float(after.groundwater) >= 0.0
    most = float(params["freezable_water"]) * LATENT_HEAT_FUSION
    assert all(-1e-6 <= float(f) <= most + 1e-6 for f in after.frozen)


def drought(days):
    return weather(days, STEP, 298.0, rain=0.0, shortwave=900.0, longwave=350.0)


SEASONS = {
    "rain on snow": (weather(6, STEP, 276.0, rain=2e-3), {"initial_temperature": 273.0}, 15.0),
    "snow goes": (weather(6, STEP, 281.0), {"initial_temperature": 273.0}, 4.0),
    "dew": (
        {k: v * (0.0 if "short" in k else 1.0) for k, v in weather(6, STEP, 288.0).items()},
        {"initial_temperature": 280.0, "initial_root_zone_saturation": 1.0},
        0.0,
    ),
    "drought": (drought(20), {"initial_root_zone_saturation": 0.05}, 0.0),
    "frost": (
        weather(6, STEP, 266.0, shortwave=200.0, longwave=230.0),
        {"initial_temperature": 274.0},
        0.0,
    ),
    "deep snow slides": (weather(3, STEP, 268.0, rain=3e-3), {}, 999.0),
}


@pytest.mark.parametrize("season", SEASONS)
def test_season(season):
    """Days of each regime: the regime is there, and every step of it closes."""
    forcing, changed, snow = SEASONS[season]
    model = LaD(STEP, soil_freezing=True, initial_snow=snow)
    series = run(model, parameters(model, **changed), forcing)
    assert np.abs(series["water_imbalance"]).max() * STEP < 1e-10
    assert np.abs(series["energy_imbalance"]).max() * STEP < 1e-6
    occurs = {
        "rain on snow": (
            (series["snow_water_equivalent"] > 1.0)
            & (np.asarray(forcing["precipitation"])[1:] > 0.0)
        ).sum()
        > 4,
        "snow goes": series["snow_water_equivalent"][-1] == 0.0,
        "dew": (series["evaporation"] < 0.0).sum() > 4,
        "drought": 0.0 < series["root_zone_water"].min() < 1.0,
        "frost": (series["soil_temperature"][:, 1] < FREEZING_POINT - 1.0).any(),
        "deep snow slides": series["runoff"].max() > 1e-6,
    }
    assert occurs[season]


def test_no_store_gives_more_than_it_holds():
    """Evaporation far beyond what occurs takes most of thin snow in a step, and no more than that.

    Ten times what the limit of thin snow foresees once left a debt of -10 kg m-2.
    """
    forcing = weather(4, STEP, 290.0, rain=0.0)
    forcing = {**forcing, "wind_speed": 30.0 + 0.0 * forcing["wind_speed"]}
    forcing["specific_humidity"] = 0.01 * forcing["specific_humidity"]
    model = LaD(STEP, drag="neutral", initial_snow=0.6)
    params = parameters(
        model,
        stomatal_resistance=0.01,
        roughness_length=2.0,
        log_roughness_ratio=-0.5,
        initial_temperature=290.0,
        initial_root_zone_saturation=0.0,
        available_water_capacity=10.0,
    )
    series = run(model, params, forcing)
    snow, root = series["snow_water_equivalent"], series["root_zone_water"]
    assert STEP * series["evaporation"][0] > 0.5  # of 0.6: the limit is met
    assert snow.min() >= 0.0
    assert root.min() >= 0.0
    assert snow[-1] < 1e-3
    assert np.abs(series["water_imbalance"]).max() * STEP < 1e-10
    assert np.abs(series["energy_imbalance"]).max() * STEP < 1e-6
    assert series["surface_temperature"].min() > 240.0


def test_a_flux_that_falls_with_temperature_does_not_run_away():
    """A law of negative slope, steeper than emission: each step has a solution all the same."""

    class Falling(Network):
        def __call__(self, params, surface_temperature, conditions, forcing):
            warmer = surface_temperature - forcing["air_temperature"]
            return -200.0 * jnp.tanh(warmer / 2.0), 0.0 * warmer

    model = LaD(STEP, fluxes=Falling(jnp.zeros((1, 6))))
    series = run(model, parameters(model), weather(10, STEP, 285.0))
    assert np.ptp(series["surface_temperature"]) < 60.0
    assert np.abs(series["energy_imbalance"]).max() * STEP < 1e-6


def test_emission_is_that_of_the_temperature():
    """Of the temperature that the step ends with, not of one on the way to it."""
    model = LaD(STEP, drag="neutral")
    params = parameters(model)
    state = state_of(model, model.prepare(params), (290.0, 287.0, 286.0, 285.0, 284.0))
    _, now = eqx.filter_jit(one_step)(model, params, state, at(incoming_shortwave=800.0))
    exact = STEFAN_BOLTZMANN * float(now["surface_temperature"]) ** 4
    np.testing.assert_allclose(now["outgoing_longwave"], exact, rtol=0, atol=1e-9)
