"""The sun against the clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.data import Column, Fluxnet, Source, TimeAxis, open_source
from caliche.data.clock import check_clock, clock_sentence, equation_of_time, solar_time

LONGITUDE = -110.0


def sunshine(shift=0.0, interval=1800.0, days=40, longitude=LONGITUDE, seed=None):
    """Stamps that are `shift` hours late, and clear-sky radiation at 32 degrees north."""
    steps = round(days * 86400 / interval)
    truth = np.datetime64("2014-03-01", "ns") + np.arange(1, steps + 1) * np.timedelta64(
        round(interval * 1e9), "ns"
    )
    middle = truth - np.timedelta64(round(interval * 500), "ms")
    hour_angle = (solar_time(middle, longitude) - 12.0) * np.pi / 12.0
    latitude = np.deg2rad(32.0)
    sun = 1100.0 * np.maximum(np.cos(latitude) * np.cos(hour_angle), 0.0)
    if seed is not None:  # clouds on most days, thick ones in the afternoon
        generator = np.random.default_rng(seed)
        cloudy = np.repeat(generator.random(days) < 0.6, steps // days)
        cloudy = np.roll(cloudy, 15)  # solar days begin 7.3 h after those of UTC
        sun = sun * np.where(cloudy, np.where(hour_angle > 0.0, 0.3, 0.8), 1.0)
    return truth + np.timedelta64(round(shift * 3600), "s"), sun


@given(st.floats(-11.4, 11.4), st.floats(-180.0, 180.0), st.sampled_from([600.0, 1800.0, 3600.0]))
def test_the_shift_comes_back_whatever_the_place(shift, longitude, interval):
    times, sun = sunshine(shift, interval, 20, longitude)
    found = check_clock(times, interval, sun, longitude)
    assert (found.shift - shift + 12.0) % 24.0 - 12.0 == pytest.approx(0.0, abs=0.03)
    assert found.suspicious == (abs(found.shift) > 0.25)


def test_half_a_day_is_not_averaged_away():
    times, sun = sunshine(12.0)
    found = check_clock(times, 1800.0, sun, LONGITUDE)
    assert abs(found.shift) == pytest.approx(12.0, abs=0.03)
    assert found.spread < 0.1


def test_clouds_in_the_afternoon_do_not_shift_noon():
    times, sun = sunshine(seed=5)
    everyday = (sun * solar_time(times - np.timedelta64(900, "s"), LONGITUDE)).sum() / sun.sum()
    assert everyday < 11.8
    assert check_clock(times, 1800.0, sun, LONGITUDE).shift == pytest.approx(0.0, abs=0.05)


def test_samples_of_a_finer_record():
    times, sun = sunshine()
    found = check_clock(times[1::2], 1800.0, sun[1::2], LONGITUDE)
    assert found.shift == pytest.approx(0.0, abs=0.03)


def test_days_with_gaps_do_not_count():
    times, sun = sunshine(days=10)
    all_days = check_clock(times, 1800.0, sun, LONGITUDE).days
    sun[100] = np.nan
    assert check_clock(times, 1800.0, sun, LONGITUDE).days == all_days - 1
    none = check_clock(times, 1800.0, np.zeros_like(sun), LONGITUDE)
    assert (none.days, none.suspicious, clock_sentence(none, 1800.0)) == (0, False, "")
    assert check_clock(times[:10], 1800.0, sun[:10], LONGITUDE).days == 0
    assert check_clock(times[:1], 1800.0, sun[:1], LONGITUDE).days == 0


def test_equation_of_time_at_its_extremes():
    # Almanac: -14.2 min on 11 February, +16.4 min on 3 November, zero on 15 April and 13 June.
    days = np.array(["2015-02-11", "2015-11-03", "2015-04-15", "2015-06-13"], "datetime64[ns]")
    minutes = 60.0 * equation_of_time(days + np.timedelta64(12, "h"))
    np.testing.assert_allclose(minutes, [-14.2, 16.4, 0.0, 0.0], atol=0.6)


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (0.0, "agrees with the sun"),
        (0.5, "the other end of the interval"),
        (-1.0, "utc_offset may be 1 h too large"),
        (7.0, "utc_offset may be 7 h too small"),
        (2.45, "check stamp, utc_offset and longitude"),
    ],
)
def test_what_a_shift_may_mean(shift, words):
    times, sun = sunshine(shift)
    assert words in clock_sentence(check_clock(times, 1800.0, sun, LONGITUDE), 1800.0)


def test_stamps_in_the_middle_of_the_hour():
    times, sun = sunshine(-0.5, 3600.0)
    sentence = clock_sentence(check_clock(times, 3600.0, sun, LONGITUDE), 3600.0)
    assert "0.50 h early" in sentence
    assert "the middle of the interval" in sentence


def test_real_towers_keep_time(data_root):
    phoenix = data_root / "us-westphoenix-2012" / "US-WestPhoenix_clean_observations_v1.nc"
    bondville = data_root / "us-bo1-1998" / "US-Bo1_1998_tidy.csv"
    puechabon = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    sun = {"incoming_shortwave": Column("SWdown_Wm2", "W m-2")}
    sources = {
        -112.1426: Source(phoenix, "urban-plumber"),
        -88.37: Source(bondville, "table", TimeAxis("time_end_LST", "end", -6.0), sun),
        3.5957: Source(puechabon, "fluxnet", fluxnet=Fluxnet(1.0)),
    }
    for longitude, source in sources.items():
        got = open_source(source)
        found = check_clock(got["time"].values, 1800.0, got["incoming_shortwave"].values, longitude)
        assert abs(found.shift) < 0.1
        assert found.days > 100
