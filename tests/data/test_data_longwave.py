"""Longwave radiation rebuilt from the net: exact where the balance is, close at a real tower."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from caliche.constants import STEFAN_BOLTZMANN
from caliche.data import Fluxnet, Source, open_source, select_window
from caliche.data.longwave import LongwaveBalance, derive_incoming_longwave
from caliche.data.sky import cloudiness, sky_longwave
from caliche.data.sun import potential_shortwave
from caliche.errors import InputError

EMISSIVITY, ALBEDO = 0.95, 0.2
DOWN = np.array([300.0, 350.0, 410.0])
SURFACE = np.array([285.0, 300.0, 320.0])
SUN = np.array([0.0, 400.0, 900.0])


def site(*names, **change):
    up = EMISSIVITY * STEFAN_BOLTZMANN * SURFACE**4 + (1.0 - EMISSIVITY) * DOWN
    values = {
        "incoming_longwave": DOWN,
        "outgoing_longwave": up,
        "incoming_shortwave": SUN,
        "outgoing_shortwave": ALBEDO * SUN,
        "surface_temperature": SURFACE,
        "net_radiation": (1.0 - ALBEDO) * SUN + DOWN - up,
    }
    times = np.datetime64("2014-06-01", "ns") + np.arange(3) * np.timedelta64(1800, "s")
    attrs = {
        "interval": 1800.0,
        "source": "tower.csv",
        "first_stamp": str(times[0]),
        "last_stamp": str(times[-1]),
    }
    return xr.Dataset(
        {n: ("time", np.array(change.get(n, values[n])), dict(attrs)) for n in names},
        coords={"time": times},
        attrs={"time_step": 1800.0},
    )


NET = ("net_radiation", "incoming_shortwave")


def test_measured_terms_need_no_emissivity_and_no_albedo():
    got = derive_incoming_longwave(
        site(*NET, "outgoing_shortwave", "outgoing_longwave"), LongwaveBalance()
    )
    np.testing.assert_allclose(got["incoming_longwave"], DOWN, rtol=1e-13)
    assert got["incoming_longwave"].attrs["derived_from"] == (
        "3 of 3 values from net radiation, measured outgoing shortwave radiation and measured "
        "outgoing longwave radiation"
    )
    window = select_window(
        got, got.time.values[0], got.time.values[2], 1800.0, ["incoming_longwave"], []
    )
    np.testing.assert_allclose(window["incoming_longwave"], DOWN, rtol=1e-13)


def test_a_surface_temperature_stands_in_for_the_outgoing_radiation():
    balance = LongwaveBalance(EMISSIVITY, "surface_temperature", ALBEDO)
    got = derive_incoming_longwave(site(*NET, "surface_temperature"), balance)
    np.testing.assert_allclose(got["incoming_longwave"], DOWN, rtol=1e-13)


def test_only_what_is_missing_is_filled():
    known = [310.0, np.nan, np.nan]
    dataset = site(
        *NET,
        "outgoing_shortwave",
        "outgoing_longwave",
        "incoming_longwave",
        incoming_longwave=known,
    )
    dataset = dataset.assign_coords(
        incoming_longwave_rejected=("time", np.array([False, True, False]))
    )
    got = derive_incoming_longwave(dataset, LongwaveBalance())
    np.testing.assert_allclose(got["incoming_longwave"], [310.0, *DOWN[1:]])
    assert not got["incoming_longwave_rejected"].values.any()


def test_spikes_of_the_net_radiation_stay_missing():
    net = (1.0 - ALBEDO) * SUN - np.array([50.0, 2000.0, 60.0])
    dataset = site(*NET, "outgoing_shortwave", "outgoing_longwave", net_radiation=net)
    got = derive_incoming_longwave(dataset, LongwaveBalance())
    assert np.isnan(got["incoming_longwave"].values).tolist() == [False, True, False]
    assert "1 left missing" in got["incoming_longwave"].attrs["derived_from"]


@pytest.mark.parametrize(
    ("names", "balance", "word"),
    [
        (("incoming_shortwave",), {}, "net_radiation missing"),
        (("net_radiation",), {}, "incoming_shortwave missing"),
        (NET, {}, "an albedo"),
        (NET, {"albedo": 0.2}, "emissivity and surface"),
        (NET, {"albedo": 0.2, "emissivity": 0.9, "surface": "surface_temperature"}, "temperature"),
        (NET, {"albedo": 1.2}, "albedo from 0"),
        (NET, {"emissivity": 0.0}, "emissivity above 0"),
        (NET, {"surface": "net_radiation"}, "a temperature as the surface"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(names, balance, word):
    with pytest.raises(InputError, match=word):
        derive_incoming_longwave(site(*names), LongwaveBalance(**balance))


def test_terms_of_different_intervals_are_refused():
    dataset = site(*NET, "outgoing_shortwave", "outgoing_longwave")
    dataset["outgoing_shortwave"].attrs["interval"] = 3600.0
    with pytest.raises(InputError, match="every 3600 s"):
        derive_incoming_longwave(dataset, LongwaveBalance())


@pytest.mark.parametrize(
    ("dropped", "balance", "bias", "sd"),
    [
        ((), {}, -1.57, 2.06),
        (
            ("outgoing_longwave", "outgoing_shortwave"),
            {"emissivity": 0.97, "surface": "air_temperature", "albedo": 0.12},
            -0.69,
            4.97,
        ),
    ],
)
def test_puechabon_where_it_was_measured(data_root, dropped, balance, bias, sd):
    path = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    tower = open_source(Source(path, "fluxnet", fluxnet=Fluxnet(1.0)))
    without = tower.drop_vars(["incoming_longwave", "incoming_longwave_rejected", *dropped])
    error = derive_incoming_longwave(without, LongwaveBalance(**balance))["incoming_longwave"]
    error = (error - tower["incoming_longwave"]).values
    assert np.nanmean(error) == pytest.approx(bias, abs=0.01)
    assert np.nanstd(error) == pytest.approx(sd, abs=0.01)


SKY = LongwaveBalance(method="sky")


def test_the_sun_above_the_atmosphere():
    """At the equator at an equinox: the daily mean is S / pi, noon S; no sun at night."""
    times = np.datetime64("2014-03-20T17:00") + 600 * np.arange(144) * np.timedelta64(1, "s")
    sun = potential_shortwave(times, 0.0, 0.0)
    assert sun.mean() == pytest.approx(1361.0 * 1.008 / np.pi, rel=2e-3)
    assert sun.max() == pytest.approx(1361.0 * 1.008, rel=2e-3)
    assert str(times[sun.argmax()])[11:13] == "12"
    assert (sun == 0.0).mean() == pytest.approx(0.5, abs=0.02)
    december = np.array(["2014-12-21T12:00"], "datetime64[s]")
    assert potential_shortwave(december, 68.0, 0.0)[0] == 0.0  # polar night


def test_clouds_take_the_sun_of_a_whole_day():
    potential = np.tile(np.maximum(np.sin(2.0 * np.pi * np.arange(48) / 48.0), 0.0), 9)
    share = np.repeat([1.0, 1.0, 1.0, 0.4, 0.4, 0.4, 1.0, 1.0, 1.0], 48)
    clouds = cloudiness(0.7 * share * potential, potential, 48)  # a clear sky lets 0.7 through
    np.testing.assert_allclose(clouds[48:96], 0.0, atol=1e-12)
    np.testing.assert_allclose(clouds[192:216], 0.6, atol=1e-12)  # the night as well
    seen = np.where(np.arange(432) < 200, np.nan, potential)
    assert np.isnan(cloudiness(seen, potential, 48)[:170]).all()


def test_clouds_are_black_and_a_clear_sky_is_not():
    air, vapour = np.array([288.0]), np.array([1000.0])
    black = STEFAN_BOLTZMANN * 288.0**4
    assert sky_longwave(air, vapour, np.array([1.0]))[0] == pytest.approx(black)
    # Brutsaert's own number for 10 hPa at 288 K
    assert sky_longwave(air, vapour, np.array([0.0]))[0] / black == pytest.approx(0.767, abs=1e-3)


def test_the_sky_needs_a_place():
    with pytest.raises(InputError, match="air_temperature, no specific_humidity"):
        derive_incoming_longwave(site("incoming_shortwave"), SKY)
    with pytest.raises(InputError, match="'balance' or 'sky'"):
        LongwaveBalance(method="skye")


def test_the_sky_over_puechabon(data_root):
    path = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    place = Fluxnet(1.0, accept_forcing=[0, 1, 2], latitude=43.7413, longitude=3.5957)
    tower = open_source(Source(path, "fluxnet", fluxnet=place))
    without = tower.drop_vars(["incoming_longwave", "incoming_longwave_rejected"])
    got = derive_incoming_longwave(without, SKY)["incoming_longwave"]
    assert "17519 of 17519 values from air temperature, humidity" in got.attrs["derived_from"]
    error = (got - tower["incoming_longwave"]).values
    assert np.nanmean(error) == pytest.approx(-2.0, abs=0.3)
    assert np.nanstd(error) == pytest.approx(19.7, abs=0.3)


def test_the_sky_over_walnut_gulch_beside_its_neighbour_by_weeks(data_root):
    """US-Wkg measures what US-Whs, 10 km off and 160 m lower, does not."""
    path = data_root / "us-whs-2012" / "US-Whs-forcings-test.csv"
    about = Fluxnet(-7.0, latitude=31.7438, longitude=-110.0522)
    sky = derive_incoming_longwave(open_source(Source(path, "fluxnet", fluxnet=about)), SKY)
    path = data_root / "us-wkg-2004" / "AMF_US-Wkg_FLUXNET_FULLSET_WW_2004-2021_3-5.csv"
    weeks = open_source(Source(path, "fluxnet", fluxnet=Fluxnet(-7.0)))["incoming_longwave"]
    start = np.datetime64("2014-07-02T07:00")  # local midnight, first day of a week
    days = weeks.sel(time=slice(start + np.timedelta64(1, "D"), "2014-12-24T07:00"))
    assert np.unique(days.values[:7]).size == 1
    measured = days.values[: 25 * 7 : 7]
    first = int(np.searchsorted(sky.time.values, start)) + 1
    rebuilt = sky["incoming_longwave"].values[first : first + 25 * 336].reshape(25, 336)
    error = rebuilt.mean(axis=1) - measured
    assert error.mean() == pytest.approx(12.0, abs=4.0)
    assert error.std() < 9.0
