"""What the options of SoilHeat do: closures, initial profiles, bottoms, layers, derived values."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from caliche.models import Model, SoilHeat
from caliche.models.soil_heat.closures import BOWEN_RATIO, BULK_TRANSFER, CLOSURES, COMBINED
from caliche.models.soil_heat.initial import interpolate
from soil_heat_cases import LIKELY, parameters, run, steady_forcing, temperatures

DEPTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
FIRST = {name: jnp.asarray(value) for name, value in LIKELY.items()}


def initial_profile(bottom: str, initial: str, params=None, **options):
    model = SoilHeat(DEPTHS, 1800.0, bottom=bottom, initial=initial, **options)
    prepared = model.prepare(parameters(model, **(params or {})))
    state = model.init_state(prepared, FIRST)
    return model.diagnose(prepared, state)["soil_temperature"].stack()


# -- initial profiles ---------------------------------------------------------------------------

TWO_DEPTHS = {"initial_depths": [0.05, 0.2]}
ESTIMATES = {"initial_temperature_0.05m": 280.0, "initial_temperature_0.20m": 286.0}


@pytest.mark.parametrize(
    ("expected", "bottom", "initial", "params", "options"),
    [
        ([293.0] * 5, "measured-temperature", "bottom-temperature", {}, {}),
        ([295.0] * 5, "fixed-temperature", "bottom-temperature", {"bottom_temperature": 295.0}, {}),
        ([281.0] * 5, "zero-flux", "uniform", {"initial_temperature": 281.0}, {}),
        ([281.0] * 4 + [293.0], "fixed-temperature", "uniform", {"initial_temperature": 281.0}, {}),
        # linear between the knots, constant beyond them ...
        ([280.0, 280.0, 282.0, 286.0, 286.0], "zero-flux", "estimated", ESTIMATES, TWO_DEPTHS),
        (
            [280.0, 280.0, 282.0, 286.0, 286.0],
            "zero-flux",
            "observed",
            {},
            {**TWO_DEPTHS, "initial_values": jnp.array([280.0, 286.0])},
        ),
        # ... or on to the bottom temperature, where that is known
        (
            [280.0, 280.0, 282.0, 286.0, 293.0],
            "measured-temperature",
            "estimated",
            ESTIMATES,
            TWO_DEPTHS,
        ),
        (
            [280.0, 280.25, 280.5, 281.0, 293.0],
            "fixed-temperature",
            "observed",
            {},
            {"initial_depths": [0.0, 0.2, 0.4], "initial_values": jnp.array([280.0, 281.0, 299.0])},
        ),
    ],
)
def test_initial_profile(expected, bottom, initial, params, options):
    profile = initial_profile(bottom, initial, params, **options)
    np.testing.assert_allclose(profile, expected, rtol=1e-13)


def test_profile_between_the_deepest_knot_and_the_bottom_is_linear():
    profile = initial_profile(
        "fixed-temperature",
        "estimated",
        {"initial_temperature_0.00m": 285.0},
        initial_depths=[0.0],
    )
    np.testing.assert_allclose(profile, 285.0 + 20.0 * np.asarray(DEPTHS), rtol=1e-13)


# -- bottoms ------------------------------------------------------------------------------------


def test_measured_bottom_follows_the_forcing():
    model = SoilHeat(DEPTHS, 1800.0, bottom="measured-temperature")
    measured = 290.0 + np.sin(np.arange(9.0))
    forcing = steady_forcing(model, 8, bottom_temperature=measured)
    bottom = temperatures(model, parameters(model), forcing)[:, -1]
    np.testing.assert_allclose(bottom, measured, rtol=1e-14)


def test_fixed_bottom_stays():
    model = SoilHeat(DEPTHS, 1800.0)
    bottom = temperatures(model, parameters(model), steady_forcing(model, 8))[:, -1]
    np.testing.assert_allclose(bottom, 293.0, rtol=1e-15)


# -- closures -----------------------------------------------------------------------------------


def test_bowen_closure_is_the_combined_one_to_temperature():
    """Only h (1 + 1/B) is felt: what no temperature record can separate."""
    bowen, combined = (SoilHeat(DEPTHS, 1800.0, turbulence=c) for c in (BOWEN_RATIO, COMBINED))
    pair = parameters(bowen, heat_transfer_coefficient=12.0, bowen_ratio=0.8)
    total = bowen.derived(pair)["combined_heat_transfer_coefficient"]
    assert float(total) == pytest.approx(27.0)
    lumped = parameters(combined, combined_heat_transfer_coefficient=27.0)
    forcing = steady_forcing(bowen, 48)
    a, b = run(bowen, pair, forcing), run(combined, lumped, forcing)
    np.testing.assert_allclose(a["soil_temperature"], b["soil_temperature"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(a["sensible_heat_flux"], 0.8 * a["latent_heat_flux"], rtol=1e-12)
    assert "sensible_heat_flux" not in b


def test_wet_surfaces_are_cooler_and_dry_ones_give_no_latent_heat():
    model = SoilHeat(DEPTHS, 1800.0, turbulence=BULK_TRANSFER)
    dry, wet = (
        run(model, parameters(model, moisture_availability=b), steady_forcing(model, 24))
        for b in (0.0, 0.6)
    )
    assert bool(jnp.all(wet["surface_temperature"] < dry["surface_temperature"]))
    assert bool(jnp.all(dry["latent_heat_flux"] == 0.0))
    assert bool(jnp.all(wet["latent_heat_flux"] > 0.0))


@pytest.mark.parametrize("closure", CLOSURES.values(), ids=CLOSURES)
def test_declarations_are_usable(closure):
    model = SoilHeat(DEPTHS, 1800.0, turbulence=closure)
    assert isinstance(model, Model)
    names = [d.name for d in model.declarations]
    assert len(set(names)) == len(names)
    for d in model.declarations:
        assert d.lower < d.default < d.upper
        assert all([d.long_name, d.unit, d.source])


# -- radiation, layers, derived values ----------------------------------------------------------


def test_longwave_is_absorbed_by_emissivity_or_whole():
    forcing = {**FIRST, "incoming_shortwave": jnp.asarray(0.0)}
    net = {}
    for longwave in ("kirchhoff", "unweighted"):
        model = SoilHeat(DEPTHS, 1800.0, longwave=longwave)
        params = parameters(model, emissivity=0.9)
        net[longwave] = model.surface_fluxes(params, jnp.asarray(290.0), forcing).net_radiation
    difference = float(net["unweighted"] - net["kirchhoff"])
    assert difference == pytest.approx(0.1 * LIKELY["incoming_longwave"], rel=1e-12)


def test_equal_layers_are_a_homogeneous_soil():
    plain = SoilHeat(DEPTHS, 1800.0)
    layered = SoilHeat(DEPTHS, 1800.0, layer_bottoms=[0.1])
    params = parameters(layered, thermal_conductivity_1=1.2, thermal_conductivity_2=1.2)
    same = parameters(plain, thermal_conductivity=1.2)
    forcing = steady_forcing(plain, 6)
    np.testing.assert_allclose(
        temperatures(layered, params, forcing), temperatures(plain, same, forcing), rtol=1e-14
    )


def test_layers_begin_and_end_at_their_depths():
    model = SoilHeat(DEPTHS, 1800.0, layer_bottoms=[0.05, 0.2])
    conductivity = {f"thermal_conductivity_{k}": float(k) for k in (1, 2, 3)}
    column = model.prepare(parameters(model, **conductivity)).column
    np.testing.assert_allclose(column.conductance * np.diff(DEPTHS), [1.0, 2.0, 2.0, 3.0])


def test_derived_quantities():
    model = SoilHeat(DEPTHS, 1800.0)
    derived = model.derived(
        parameters(model, thermal_conductivity=1.0, volumetric_heat_capacity=2e6)
    )
    assert derived.keys() == model.derived_labels.keys()
    assert {name: float(value) for name, value in derived.items()} == {
        "thermal_diffusivity": pytest.approx(5e-7),
        "thermal_inertia": pytest.approx(np.sqrt(2e6)),
        "daily_damping_depth": pytest.approx(0.11726, rel=1e-4),
    }


# -- curved initial profiles --------------------------------------------------------------------


def test_cubic_profile_is_the_natural_spline():
    knots, values = [0.0, 0.1, 0.2, 0.4], np.array([290.0, 284.0, 287.0, 288.0])
    nodes = np.linspace(0.0, 0.4, 21)
    profile = interpolate(nodes.tolist(), knots, jnp.asarray(values), "cubic")
    expected = CubicSpline(knots, values, bc_type="natural")(nodes)
    np.testing.assert_allclose(profile, expected, rtol=1e-13)


@pytest.mark.parametrize("how", ["linear", "cubic"])
@pytest.mark.parametrize("knots", [[0.1], [0.05, 0.2], [0.05, 0.1, 0.2]])
def test_profiles_pass_through_their_knots_and_end_there(how, knots):
    values = 285.0 + jnp.sin(7.0 * jnp.asarray(knots))
    profile = interpolate([0.0, *knots, 0.4], knots, values, how)
    expected = [values[0], *values, values[-1]]  # constant beyond the first and the last
    np.testing.assert_allclose(profile, expected, rtol=1e-14)


def test_a_cubic_profile_bends_towards_the_bottom():
    linear, cubic = (
        initial_profile(
            "fixed-temperature", "estimated", ESTIMATES, **TWO_DEPTHS, initial_interpolation=how
        )
        for how in ("linear", "cubic")
    )
    np.testing.assert_allclose(cubic[jnp.array([0, 1, 3, 4])], linear[jnp.array([0, 1, 3, 4])])
    assert abs(float(cubic[2] - linear[2])) > 0.01
