"""SoilHeat with Monin-Obukhov transfer and with a bucket: water and energy, and what they do."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.constants import DRY_ADIABATIC_LAPSE_RATE, LATENT_HEAT_VAPORISATION
from caliche.errors import InputError
from caliche.models import SoilHeat
from caliche.models.loop.time_loop import everything
from caliche.models.soil_heat.closures import (
    BOWEN_RATIO,
    BULK_TRANSFER,
    MONIN_OBUKHOV,
    monin_obukhov,
)
from caliche.models.soil_heat.model import MoistState
from caliche.physics.heat_transfer import POLYNOMIAL_ERROR
from soil_heat_cases import LIKELY, parameters, run, simulated, steady_forcing

DEPTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
FIRST = {name: jnp.asarray(value) for name, value in LIKELY.items()}
RANGES = {
    "incoming_shortwave": (0.0, 1200.0),
    "incoming_longwave": (150.0, 500.0),
    "air_temperature": (255.0, 320.0),
    "wind_speed": (0.0, 20.0),
    "specific_humidity": (0.0, 0.03),
    "air_pressure": (6e4, 1.05e5),
    "precipitation": (0.0, 0.01),
}


def bucket(closure, scheme="sdirk2", **options) -> SoilHeat:
    return SoilHeat(DEPTHS, 1800.0, scheme, closure, moisture="bucket", **options)


# -- water --------------------------------------------------------------------------------------


@eqx.filter_jit
def step(model, params, temperature, water, forcing):
    prepared = model.prepare(params)
    anomaly = temperature - prepared.reference
    state = MoistState(prepared.implicit.encode(anomaly), anomaly[0], anomaly[-1], water)
    after, now = model.step(prepared, state, forcing)
    return after.water, everything(now)


@pytest.mark.parametrize("scheme", ["backward-euler", "crank-nicolson", "sdirk2"])
@pytest.mark.parametrize("closure", [BULK_TRANSFER, MONIN_OBUKHOV], ids=lambda c: c.name)
@example(unit=np.zeros(25))
@example(unit=np.ones(25))
@given(unit=arrays(float, 25, elements=st.floats(0.0, 1.0)))
def test_water_and_energy_close(scheme, closure, unit):
    """Under any weather, from an empty store to a full one."""
    model = bucket(closure, scheme, bottom="zero-flux", initial="uniform")
    unit = iter(unit)
    params = {
        d.name: jnp.asarray(d.lower + next(unit) * (d.upper - d.lower)) for d in model.declarations
    }
    forcing = {
        name: jnp.asarray(RANGES[name][0] + next(unit) * np.ptp(RANGES[name]))
        for name in model.forcing_variables
    }
    temperature = forcing["air_temperature"] + jnp.linspace(20.0 * next(unit) - 10.0, 0.0, 5)
    before = params["initial_wetness"] * params["water_capacity"]
    water, now = step(model, params, temperature, before, forcing)
    rates = forcing["precipitation"] - now["evaporation"] - now["runoff"]
    assert abs(float(water - before - 1800.0 * rates)) < 1e-10
    assert float(water) >= 0.0
    assert float(now["runoff"]) >= -1e-12
    assert float(now["root_zone_water"]) == float(water)
    np.testing.assert_allclose(
        now["latent_heat_flux"], LATENT_HEAT_VAPORISATION * now["evaporation"], rtol=1e-14
    )
    turbulent = now["sensible_heat_flux"] + now["latent_heat_flux"]
    scale = 1.0 + float(jnp.abs(turbulent) + jnp.abs(now["net_radiation"]))
    assert abs(float(now["net_radiation"] - turbulent - now["ground_heat_flux"][0])) < 1e-12 * scale
    assert abs(float(now["energy_imbalance"])) < 1e-6 * scale  # what Newton's method leaves


@pytest.mark.parametrize("closure", [BULK_TRANSFER, MONIN_OBUKHOV], ids=lambda c: c.name)
def test_a_store_dries_out_fills_and_overflows(closure):
    """The water budget of weeks, through both corners of the bucket."""
    steps = 48 * 20
    rain = np.where((np.arange(steps + 1) // 48) % 10 == 8, 4e-3, 0.0)  # two days of heavy rain
    model = bucket(closure)
    params = parameters(model, water_capacity=40.0, initial_wetness=1.0)
    forcing = steady_forcing(model, steps, precipitation=rain, incoming_shortwave=350.0)
    final, start, now = simulated(model, params, forcing)
    store = np.append(start["root_zone_water"], now["root_zone_water"])
    rates = rain[1:] - now["evaporation"] - now["runoff"]
    assert np.abs(np.diff(store) - 1800.0 * rates).max() < 1e-10
    assert abs(store[-1] - store[0] - 1800.0 * np.sum(rates)) < 1e-8
    assert store[0] == 40.0
    assert 0.0 < store.min() < 10.0
    assert store.max() <= 40.0 + 1e-4
    assert float(np.max(now["runoff"])) > 3.9e-3
    assert final.water == now["root_zone_water"][-1]
    # dry soil evaporates as beta has it, and is warmer
    dry, wet = (now["surface_temperature"][k] for k in (48 * 8 - 1, 47))
    assert float(dry) > float(wet)


def test_a_full_bucket_is_a_wet_surface_and_an_empty_one_a_dry_one():
    forcing = {"precipitation": 0.0}
    model, plain = (
        SoilHeat(DEPTHS, 1800.0, turbulence=MONIN_OBUKHOV, moisture=m)
        for m in ("bucket", "parameter")
    )
    for wetness, availability in [(0.0, 0.0), (1.0, 0.98804)]:  # 1.3333 / (1 + 1.3333^8)^(1/8)
        params = parameters(model, initial_wetness=wetness, water_capacity=1000.0)
        same = parameters(plain, moisture_availability=availability)
        one = run(model, params, steady_forcing(model, 4, **forcing))
        other = run(plain, same, steady_forcing(plain, 4))
        np.testing.assert_allclose(
            one["latent_heat_flux"], other["latent_heat_flux"], rtol=1e-4, atol=1e-12
        )
    assert bool(jnp.all(one["latent_heat_flux"] > 50.0))


def test_water_needs_a_closure_that_takes_it():
    with pytest.raises(InputError, match="bulk-transfer"):
        bucket(BOWEN_RATIO)


# -- stability ----------------------------------------------------------------------------------


def fluxes(model: SoilHeat, surface: float, params=None, **forcing):
    weather = {**FIRST, **{name: jnp.asarray(float(v)) for name, v in forcing.items()}}
    return fluxes_at(model, parameters(model, **(params or {})), jnp.asarray(surface), weather)


MODEL = SoilHeat(DEPTHS, 1800.0, turbulence=MONIN_OBUKHOV)
fluxes_at = eqx.filter_jit(lambda model, *given: model.surface_fluxes(*given))


def total(params, surface, weather):
    now = MODEL.surface_fluxes(params, surface, weather)
    return now.sensible_heat_flux + 0.5 * now.latent_heat_flux


slopes_of = jax.jit(jax.grad(total, (0, 1, 2)))


def test_neutral_transfer_is_that_of_the_roughness_lengths():
    """Dry air, at the adiabatic lapse rate: k^2 / [ln(z / z0m) ln(z / z0h)]."""
    air, wind = 290.0, 8.0
    log = np.log(10.0 / 0.02)
    coefficient = 0.16 / (log * (log + 2.0))
    surface = air + 10.0 * DRY_ADIABATIC_LAPSE_RATE + 1e-6
    now = fluxes(
        MODEL,
        surface,
        {"moisture_availability": 0.0},
        air_temperature=air,
        wind_speed=wind,
        specific_humidity=0.0,
    )
    density = 1e5 / (287.05 * air)
    expected = density * 1004.7 * coefficient * np.hypot(wind, 0.3) * 1e-6
    assert float(now.sensible_heat_flux) == pytest.approx(expected, rel=POLYNOMIAL_ERROR)
    assert float(now.latent_heat_flux) == 0.0


def test_transfer_is_better_by_day_than_by_night():
    """The same difference of temperature, either way: more heat goes up than comes down."""
    up, down = (fluxes(MODEL, t, wind_speed=2.0).sensible_heat_flux for t in (296.0, 286.0))
    assert float(up) > -3.0 * float(down) > 0.0
    # which a strong wind undoes
    up, down = (fluxes(MODEL, t, wind_speed=20.0).sensible_heat_flux for t in (296.0, 286.0))
    assert float(up) == pytest.approx(-float(down), rel=0.15)


def test_a_surface_resistance_takes_its_share():
    """E (r_a + r_s) is the same whatever r_s: of the flux alone, buoyancy by vapour set aside."""
    options = {"wind_speed": 20.0}
    without = fluxes(MODEL, 291.0, {"surface_resistance": 0.0}, **options)
    with_ = fluxes(MODEL, 291.0, {"surface_resistance": 100.0}, **options)
    log = np.log(10.0 / 0.02)
    resistance = log * (log + 2.0) / (0.16 * np.hypot(20.0, 0.3))
    ratio = float(without.latent_heat_flux / with_.latent_heat_flux)
    assert ratio == pytest.approx((resistance + 100.0) / resistance, rel=0.01)


def test_wetter_surfaces_have_lighter_air():
    """Vapour alone makes a neutral surface unstable: more sensible heat for the same difference."""
    dry, wet = (
        fluxes(
            MODEL, 292.0, {"moisture_availability": b, "surface_resistance": 0.0}, wind_speed=1.0
        )
        for b in (0.0, 1.0)
    )
    assert float(wet.sensible_heat_flux) > 1.02 * float(dry.sensible_heat_flux)


@pytest.mark.parametrize("wind", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("excess", [-30.0, -5.0, 0.0, 5.0, 30.0])
def test_derivatives_of_the_fluxes_are_finite(wind, excess):
    """Strong stability, calm, no difference between surface and air."""
    params = parameters(MODEL)
    surface = LIKELY["air_temperature"] + 10.0 * DRY_ADIABATIC_LAPSE_RATE + excess
    weather = {**FIRST, "wind_speed": jnp.asarray(wind)}
    slopes = slopes_of(params, jnp.asarray(surface), weather)
    assert all(bool(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(slopes))


def test_closures_of_one_height_are_one():
    """So that compiled programs are found again."""
    assert monin_obukhov(10.0) == MONIN_OBUKHOV
    assert hash(monin_obukhov(10.0)) == hash(MONIN_OBUKHOV)
    assert monin_obukhov(30.0) != MONIN_OBUKHOV
    (roughness,) = (d for d in monin_obukhov(30.0).declarations if d.name == "roughness_length")
    assert roughness.upper == 1.5
    with pytest.raises(InputError, match="measurement_height"):
        monin_obukhov(0.1)
