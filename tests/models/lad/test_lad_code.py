"""The original's order of operations: numbers of another implementation, a replica in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.models import LaD
from lad_cases import (
    FORCING,
    at,
    one_step,
    parameters,
    replica,
    run,
    simulated,
    state_of,
    weather,
    with_capacity,
)

CODE = LaD(1800.0, scheme="code", drag="neutral", gustiness=0.0)


def test_one_warm_step():
    """Numbers of an independent implementation, to their last digit."""
    params = with_capacity(CODE, parameters(CODE))
    state = state_of(CODE, CODE.prepare(params), (290.0, 287.0, 286.0, 285.0, 284.0))
    forcing = at(
        incoming_shortwave=600.0,
        incoming_longwave=330.0,
        air_temperature=292.0,
        specific_humidity=0.008,
        wind_speed=4.0,
        precipitation=1e-4,
    )
    _, now = one_step(CODE, params, state, forcing)
    expected = [294.945660, 289.649037, 286.292284, 285.008665, 284.001075]
    np.testing.assert_allclose(now["soil_temperature"], expected, rtol=0, atol=6e-7)
    for name, value, digit in (
        ("root_zone_water", 60.0863341, 1e-7),
        ("groundwater", 19.9930568, 1e-7),
        ("sensible_heat_flux", 65.098893, 1e-6),
        ("latent_heat_flux", 130.091560, 1e-6),
        ("net_radiation", 392.158247, 1e-6),
    ):
        np.testing.assert_allclose(now[name], value, rtol=0, atol=0.6 * digit)


@pytest.mark.parametrize(("mean", "snow"), [(290.0, 0.0), (272.0, 30.0)], ids=["warm", "snow"])
def test_ten_days_against_the_replica(mean, snow):
    model = LaD(1800.0, scheme="code", drag="neutral", gustiness=0.0, initial_snow=snow)
    params = with_capacity(model, parameters(model, initial_temperature=min(mean, 273.16)))
    forcing = weather(10, 1800.0, mean)
    ours = run(model, params, forcing)
    state = (np.full(5, min(mean, 273.16)), snow, 0.5 * 129.1, 20.0)
    table = np.stack([np.asarray(forcing[name])[1:] for name in FORCING], axis=1)
    for k, row in enumerate(table):
        state, (net, sensible, latent, evaporation, melt) = replica(*state, row, 1800.0)
        np.testing.assert_allclose(ours["soil_temperature"][k], state[0], rtol=0, atol=1e-9)
        theirs = (state[1], state[2], state[3], net, sensible, latent, evaporation, melt / 1800.0)
        names = (
            "snow_water_equivalent",
            "root_zone_water",
            "groundwater",
            "net_radiation",
            "sensible_heat_flux",
            "latent_heat_flux",
            "evaporation",
            "snowmelt",
        )
        for name, value in zip(names, theirs, strict=True):
            np.testing.assert_allclose(ours[name][k], value, rtol=1e-9, atol=1e-9)
    if snow:
        assert ours["snowmelt"].max() > 0.0
        assert ours["snow_water_equivalent"].max() > 0.0


@pytest.mark.parametrize(("mean", "snow"), [(290.0, 0.0), (274.0, 20.0)], ids=["warm", "snow"])
def test_smooth_and_code_tell_the_same_story(mean, snow):
    """Ten days with half-hour steps; what differs is the second Newton pass and thin snow."""
    sums = {}
    for scheme in ("smooth", "code"):
        model = LaD(1800.0, scheme=scheme, drag="neutral", initial_snow=snow)
        params = parameters(model, initial_temperature=min(mean, 273.16))
        series = run(model, params, weather(10, 1800.0, mean))
        sums[scheme] = {
            "evaporation": 1800.0 * series["evaporation"].sum(),
            "melt": 1800.0 * series["snowmelt"].sum(),
            "temperature": series["surface_temperature"].mean(),
        }
    smooth, code = sums["smooth"], sums["code"]
    np.testing.assert_allclose(smooth["evaporation"], code["evaporation"], rtol=0.05)
    np.testing.assert_allclose(smooth["temperature"], code["temperature"], rtol=0, atol=0.1)
    np.testing.assert_allclose(smooth["melt"], code["melt"], rtol=0.02)
    assert (code["melt"] > 19.0) == bool(snow)


def test_the_original_leaks_energy_when_snow_goes():
    """The leak of the original is there, and is what its account says: L_f E dt."""
    model = LaD(1800.0, scheme="code", drag="neutral")
    params = parameters(model)
    prepared = model.prepare(params)
    state = state_of(model, prepared, (273.16, 273.0, 273.0, 274.0, 275.0), snow=0.01)
    forcing = at(incoming_shortwave=700.0, air_temperature=280.0, specific_humidity=0.003)
    _, now = one_step(model, params, state, forcing)
    assert now["snow_water_equivalent"] == 0.0
    leak = 3.34e5 * now["evaporation"]
    np.testing.assert_allclose(now["energy_imbalance"], leak, rtol=1e-9)
    assert abs(leak) > 1.0  # W m-2
    assert abs(now["water_imbalance"]) < 1e-15


def test_bone_dry_and_frozen_soil():
    """Evaporation stops at the water there is, and frozen soil takes heat without warming."""
    model = LaD(1800.0, scheme="code", drag="neutral", soil_freezing=True)
    params = parameters(model, initial_temperature=270.0, initial_root_zone_saturation=0.0)
    forcing = weather(3, 1800.0, 280.0, rain=0.0, longwave=340.0)
    final, start, series = simulated(model, params, forcing)
    assert np.abs(series["root_zone_water"]).max() < 0.1
    assert np.abs(series["energy_imbalance"]).max() < 1e-9
    # Below, melting goes on at the freezing point.
    assert np.isclose(series["soil_temperature"][-1, 3], 273.16, atol=1e-9)
    assert 0.0 < float(final.frozen[3]) < 100.0 * 3.34e5
    assert start["soil_temperature"][3] == 270.0
