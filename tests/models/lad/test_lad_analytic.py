"""LaD against closed forms, and one limit of both schemes as the time step shrinks."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.constants import (
    FREEZING_POINT,
    GAS_CONSTANT_DRY_AIR,
    LATENT_HEAT_FUSION,
    LATENT_HEAT_VAPORISATION,
    SPECIFIC_HEAT_DRY_AIR,
    VIRTUAL_TEMPERATURE_FACTOR,
)
from caliche.errors import InputError
from caliche.models import LaD
from caliche.models.lad.fluxes import FluxLaw
from caliche.models.lad.tables import COVERS, SOILS
from caliche.physics.humidity import saturation_specific_humidity
from lad_cases import at, one_step, parameters, run, state_of, weather, with_capacity

STEP = 1800.0


class NoFluxes(FluxLaw):
    """Neither sensible heat nor evaporation."""

    def declare(self, cover):
        return ()

    @property
    def forcing_variables(self):
        return ("air_temperature",)

    def __call__(self, params, surface_temperature, conditions, forcing):
        return 0.0 * surface_temperature, 0.0 * surface_temperature


def steady(steps: int, **values: float):
    return {name: jnp.full(steps + 1, value) for name, value in at(**values).items()}


# -- soil ----------------------------------------------------------------------------------------


def test_the_daily_wave_fades_and_lags_with_depth():
    """Thin layers under periodic heat: amplitude e^(-z/d), lag z/d, d = sqrt(2 kappa/omega)."""
    thin = [0.01] * 30 + list(np.geomspace(0.011, 0.12, 10))  # below what is looked at, coarser
    model = LaD(300.0, thicknesses=thin, fluxes=NoFluxes())
    params = parameters(model, initial_temperature=290.0, albedo=0.2)
    omega = 2.0 * np.pi / 86400.0
    times = np.arange(12 * 288 + 1) * 300.0
    # Longwave that balances the emission of 290 K on average, and a wave on it.
    mean = 5.670374419e-8 * 290.0**4
    forcing = steady(len(times) - 1, incoming_shortwave=0.0)
    forcing["incoming_longwave"] = jnp.asarray(mean + 40.0 * np.sin(omega * times))
    series = run(model, params, forcing)
    last = np.exp(-1j * omega * times[-288:])
    waves = series["soil_temperature"][-288:].T @ last / 144.0
    ratio = waves / waves[0]
    depth = model.depths["soil_temperature"] - model.depths["soil_temperature"][0]
    damping = float(model.derived(params)["daily_damping_depth"])
    np.testing.assert_allclose(damping, 0.105, atol=5e-4)
    expected = np.exp(-depth / damping * (1.0 + 1j))
    np.testing.assert_allclose(ratio[:30], expected[:30], rtol=0, atol=0.01)


def test_a_surface_in_balance_stays():
    """In the end the ground takes no heat; without water, sensible heat balances radiation."""
    model = LaD(STEP)
    dry = parameters(model, initial_root_zone_saturation=0.0, initial_temperature=295.0)
    series = run(model, dry, steady(12000, incoming_shortwave=350.0))
    assert abs(series["ground_heat_flux"][-1, 0]) < 0.01
    np.testing.assert_allclose(
        series["sensible_heat_flux"][-1], series["net_radiation"][-1], rtol=1e-4
    )
    np.testing.assert_allclose(np.ptp(series["soil_temperature"][-1]), 0.0, atol=0.05)
    assert abs(series["evaporation"][-1]) < 1e-12
    closed = {
        **dry,
        "initial_root_zone_saturation": 1.0,
        "stomatal_resistance": 2000.0,
        "factor_stomata": 50.0,
    }
    closed = {name: jnp.asarray(value) for name, value in closed.items()}
    assert abs(run(model, closed, steady(48))["latent_heat_flux"]).max() < 2.0


def test_evaporation_is_that_of_two_resistances():
    """beta rho (q* - q) / (ra + rs), at the temperature that the step ends with."""
    model = LaD(STEP, drag="neutral", gustiness=0.0)
    params = with_capacity(model, parameters(model))
    state = state_of(model, model.prepare(params), (290.0, 287.0, 286.0, 285.0, 284.0))
    forcing = at(incoming_shortwave=600.0, air_temperature=292.0, specific_humidity=0.008)
    _, now = one_step(model, params, state, forcing)
    virtual = 292.0 * (1.0 + VIRTUAL_TEMPERATURE_FACTOR * 0.008)
    density = 1e5 / (GAS_CONSTANT_DRY_AIR * virtual)
    aerodynamic = 71.96583  # s m-1; z = 10 m, z0 = 0.07 m, kB = 2, 3 m s-1
    surface = now["surface_temperature"]
    saturated = saturation_specific_humidity(surface, jnp.asarray(1e5))
    beta = 60.0 / (0.75 * 129.1)
    expected = beta * density * (saturated - 0.008) / (aerodynamic + 56.6)
    np.testing.assert_allclose(now["evaporation"], expected, rtol=2e-4)
    np.testing.assert_allclose(
        now["latent_heat_flux"], LATENT_HEAT_VAPORISATION * now["evaporation"], rtol=1e-14
    )
    sensible = density * SPECIFIC_HEAT_DRY_AIR * (surface - 292.0) / aerodynamic
    np.testing.assert_allclose(now["sensible_heat_flux"], sensible, rtol=1e-6)


# -- snow and water --------------------------------------------------------------------------------


def test_snow_at_freezing_melts_what_heat_there_is():
    """Isothermal at freezing: all of the surplus melts, and the surface stays where it is."""
    model = LaD(STEP)
    params = parameters(model)
    state = state_of(model, model.prepare(params), [FREEZING_POINT] * 5, snow=50.0)
    _, now = one_step(
        model, params, state, at(incoming_shortwave=700.0, air_temperature=FREEZING_POINT + 3.0)
    )
    surplus = (
        now["net_radiation"] - now["sensible_heat_flux"] - now["latent_heat_flux"]
    )  # all of it, as the soil is as warm as the surface
    np.testing.assert_allclose(now["soil_temperature"], FREEZING_POINT, rtol=0, atol=1e-10)
    np.testing.assert_allclose(now["snowmelt"], surplus / LATENT_HEAT_FUSION, rtol=1e-10)
    assert surplus > 100.0
    melted = STEP * now["snowmelt"]
    left = 50.0 - melted - STEP * now["evaporation"]
    np.testing.assert_allclose(now["snow_water_equivalent"], left, rtol=1e-12)
    np.testing.assert_allclose(now["root_zone_water"], 60.0 + melted, rtol=1e-12)


def test_long_rain_runs_out_of_the_groundwater():
    """Where nothing evaporates, rain, drainage and outflow agree in the end."""
    model = LaD(STEP, fluxes=NoFluxes())
    params = parameters(model, groundwater_residence_time=86400.0, initial_root_zone_saturation=1.0)
    rain = 2e-5
    series = run(model, params, steady(1200, precipitation=rain, incoming_longwave=390.0))
    for name in ("drainage", "groundwater_outflow", "runoff"):
        np.testing.assert_allclose(series[name][-1], rain, rtol=1e-6)
    np.testing.assert_allclose(series["groundwater"][-1], rain * 86400.0, rtol=1e-6)
    assert (series["groundwater_outflow"] > 0.0).all()


# -- both schemes, one limit -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "snow"),
    [
        pytest.param(290.0, 0.0, id="warm", marks=pytest.mark.slow),
        pytest.param(273.0, 12.0, id="snow"),
    ],
)
def test_schemes_share_a_limit(mean, snow):
    """Shorter steps bring each scheme closer to its limit, at first order, and both together."""
    totals = {}
    for scheme in ("smooth", "code"):
        for step in (3600.0, 900.0, 60.0):
            # The same constants and saturation for both; no precipitation near the threshold.
            model = LaD(step, scheme=scheme, drag="neutral", initial_snow=snow)
            params = parameters(model, initial_temperature=min(mean, FREEZING_POINT))
            series = run(model, params, weather(4, step, mean, rain=0.0))
            totals[scheme, step] = np.array(
                [
                    step * series["evaporation"].sum(),
                    step * series["snowmelt"].sum(),
                    series["soil_temperature"][-1, 2] - FREEZING_POINT,
                ]
            )
    for scheme in ("smooth", "code"):
        errors = [np.abs(totals[scheme, s] - totals[scheme, 60.0]) for s in (3600.0, 900.0)]
        assert errors[1][0] < 0.7 * errors[0][0]
        assert errors[1][0] < 0.05 * abs(totals[scheme, 60.0][0]) + 0.01
    difference = np.abs(totals["smooth", 60.0] - totals["code", 60.0])
    # kg m-2, kg m-2 and K: constants, saturation and thin snow are not the same.
    assert (difference < [0.05, 0.2, 0.03]).all()


# -- what can be chosen ----------------------------------------------------------------------------


@pytest.mark.parametrize("vegetation", COVERS)
def test_every_cover_runs_on_every_soil(vegetation):
    for soil in SOILS:
        model = LaD(STEP, vegetation=vegetation, soil=soil, drag="neutral")
        for d in model.declarations:
            assert d.lower < d.default < d.upper, d.name
            assert d.source
        derived = model.derived(parameters(model))
        assert float(derived["root_zone_capacity"]) > 5.0
    series = run(model, parameters(model), weather(1, STEP, 288.0))
    assert all(np.isfinite(v).all() for v in series.values())


@pytest.mark.parametrize(
    ("vegetation", "soil", "capacity"),
    [
        ("needleleaf_evergreen", "coarse", 52.7),
        ("needleleaf_evergreen", "medium", 110.3),
        ("grass", "coarse", 61.6),
        ("grass", "coarse_medium", 95.9),
        ("grass", "medium", 129.1),
        ("broadleaf_evergreen", "medium", 172.1),
        ("broadleaf_deciduous", "medium", 181.9),
        ("mixed_forest", "medium", 212.0),
        ("tundra", "medium", 64.9),
        ("agriculture", "medium", 51.8),
    ],
)
def test_capacity_of_the_root_zone(vegetation, soil, capacity):
    model = LaD(STEP, vegetation=vegetation, soil=soil)
    derived = model.derived(parameters(model))["root_zone_capacity"]
    np.testing.assert_allclose(derived, capacity, rtol=0, atol=0.06)


@pytest.mark.parametrize("layers", [1, 2, 12])
def test_any_number_of_layers(layers):
    model = LaD(STEP, thicknesses=np.geomspace(0.01, 0.4, layers))
    series = run(model, parameters(model), weather(1, STEP, 288.0))
    assert series["soil_temperature"].shape == (48, layers)
    assert np.abs(series["energy_imbalance"]).max() * STEP < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"vegetation": "gras"},
        {"soil": "sand"},
        {"thicknesses": ()},
        {"thicknesses": (0.1, -0.1)},
        {"vegetation": "broadleaf_evergreen", "measurement_height": 3.0},
    ],
)
def test_what_cannot_be_is_refused(options):
    with pytest.raises(InputError, match="Expected"):
        LaD(STEP, **options)
