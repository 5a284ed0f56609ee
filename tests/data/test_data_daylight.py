"""Sunrise and sunset against the offset of a clock, and what PLUMBER2 files say of their tower."""

import numpy as np
import pytest
from scipy.io import netcdf_file

from caliche.data import Fluxnet, Source, open_source
from caliche.data.daylight import CLOSE, middle_of_day, offset_sentence
from caliche.data.origin import stream_notes
from caliche.data.readers.plumber2_facts import plumber2_facts
from caliche.data.sun import sun_over_intervals

LATITUDE, LONGITUDE = 32.0, -110.0


def afternoon_clouds(interval=1800.0, days=60, late=0.0):
    """Ends (UTC) of intervals, and a sky that is less bright after noon."""
    steps = round(days * 86400 / interval)
    ends = np.datetime64("2014-06-01", "ns") + np.arange(1, steps + 1) * np.timedelta64(
        round(interval), "s"
    )
    light = 0.75 * sun_over_intervals(ends, interval, LATITUDE, LONGITUDE)[0]
    hour = (ends - ends.astype("datetime64[D]")) / np.timedelta64(1, "h") + LONGITUDE / 15.0
    light = np.where(hour % 24.0 > 12.0, 0.6, 1.0) * light
    return ends + np.timedelta64(round(3600 * late), "s"), light


@pytest.mark.parametrize("interval", [1800.0, 3600.0])
def test_clouds_do_not_move_the_middle_of_the_day(interval):
    ends, light = afternoon_clouds(interval)
    late, days = middle_of_day(ends, interval, light, LATITUDE, LONGITUDE)
    assert days > 50
    assert abs(late) < CLOSE * interval / 1800.0
    assert offset_sentence(ends, interval, light, LATITUDE, LONGITUDE, -7.0) == ""


@pytest.mark.parametrize("late", [-1.0, -0.5, 0.5, 1.0])
def test_a_wrong_offset_is_one_sentence(late):
    ends, light = afternoon_clouds(late=late)
    said = offset_sentence(ends, 1800.0, light, LATITUDE, LONGITUDE, -7.0)
    assert ("late" if late > 0.0 else "early") in said
    found, _ = middle_of_day(ends, 1800.0, light, LATITUDE, LONGITUDE)
    assert found == pytest.approx(late, abs=0.1)


def test_too_little_to_tell_is_no_sentence():
    ends, light = afternoon_clouds(days=10, late=1.0)
    assert offset_sentence(ends, 1800.0, light, LATITUDE, LONGITUDE, -7.0) == ""
    assert offset_sentence(ends[::8], 4 * 3600.0, light[::8], LATITUDE, LONGITUDE, -7.0) == ""
    assert np.isnan(middle_of_day(ends, 1800.0, np.full(len(ends), np.nan), LATITUDE, LONGITUDE)[0])


def test_towers_agree_with_their_offsets(data_root):
    for path, offset, place in (
        ("fr-pue-2014/FR-Pue_2014_FLUXNET2015_subset.csv", 1.0, (43.7413, 3.5957)),
        ("us-whs-2012/US-Whs-forcings-test.csv", -7.0, (31.7438, -110.0522)),
    ):
        source = Source(
            data_root / path,
            "fluxnet",
            fluxnet=Fluxnet(offset),
            accept_qc=(0, 1, 2),
            variables=("incoming_shortwave",),
        )
        data = open_source(source)
        late, days = middle_of_day(
            data["time"].values, 1800.0, data["incoming_shortwave"].values, *place
        )
        assert days > 300
        assert abs(late) < CLOSE, path


@pytest.fixture
def met(tmp_path):
    """A PLUMBER2 weather file of a tower at UTC-7."""

    def write(site="US-Whs", late=0.0, interval=1800.0, height=3.25, leaf=("MODIS", "Copernicus")):
        ends, light = afternoon_clouds(interval, 30, late)
        path = tmp_path / f"{site}_2014-2014_FLUXNET2015_Met.nc"
        with netcdf_file(str(path), "w", version=2) as file:
            for name, size in (("time", len(ends)), ("y", 1), ("x", 1)):
                file.createDimension(name, size)
            start = ends - np.timedelta64(round(interval), "s") - np.timedelta64(7, "h")
            seconds = (start - np.datetime64("2014-01-01")) / np.timedelta64(1, "s")
            time = file.createVariable("time", "d", ("time",))
            time[:], time.units = seconds, "seconds since 2014-01-01 00:00:00"
            columns = {"SWdown": (light, "W/m2"), "Psurf": (8.6e4, "Pa"), "Tair": (295.0, "K")}
            for name, (values, unit) in columns.items():
                variable = file.createVariable(name, "f", ("time", "y", "x"))
                variable[:, 0, 0] = np.broadcast_to(values, len(ends))
                variable.units = unit
            for name, source in zip(("LAI", "LAI_alternative"), leaf, strict=True):
                variable = file.createVariable(name, "f", ("time", "y", "x"))
                variable[:] = 0.3
                variable.source = source
            for name, value in (("latitude", LATITUDE), ("longitude", LONGITUDE)):
                file.createVariable(name, "f", ("y", "x"))[:] = value
            file.createVariable("reference_height", "f", ("y", "x"))[:] = height
            file.site_code = site
        return path

    return write


def test_what_a_weather_file_says_of_its_tower(met):
    facts = plumber2_facts(met(height=6.4, leaf=("Copernicus", "MODIS MCD15A2H")))
    assert (facts.site, facts.step, facts.reference_height) == ("US-Whs", 1800.0, 6.4)
    assert facts.modis == "LAI_alternative"
    assert facts.canopy_height is None
    assert plumber2_facts(met(interval=3600.0)).step == 3600.0
    assert plumber2_facts(met()).modis == "LAI"


@pytest.mark.parametrize("interval", [1800.0, 3600.0])
def test_half_hourly_and_hourly_files_and_their_sun(met, interval):
    def read(**said):
        about = Fluxnet(-7.0, stamp="start")
        return open_source(Source(met(interval=interval, **said), "plumber2", fluxnet=about))

    right = read()
    assert right.attrs["time_step"] == interval
    np.testing.assert_allclose(right["air_pressure"], 8.6e4)
    assert "incoming_shortwave" not in stream_notes(right)
    (said,) = stream_notes(read(late=1.0))["incoming_shortwave"]
    assert "late with utc_offset = -7 as declared" in said
