"""The sun against the clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.data import Column, Fluxnet, Source, TimeAxis, open_source
from caliche.data.clock import check_clock
from caliche.data.clock_words import clock_sentence
from caliche.data.sun import equation_of_time, solar_time, sun_over_intervals

LATITUDE, LONGITUDE = 32.0, -110.0
HOUR = np.timedelta64(3600, "s")


def sunshine(
    shift=0.0,
    interval=1800.0,
    days=40,
    longitude=LONGITUDE,
    latitude=LATITUDE,
    start="2014-03-01",
    moved=0,
    clear=0.75,
):
    """Stamps that are `shift` hours late and `moved` days late, and the light of a clear sky."""
    steps = round(days * 86400 / interval)
    step = np.timedelta64(round(interval * 1e9), "ns")
    truth = np.datetime64(start, "ns") + np.arange(1, steps + 1) * step
    sun = clear * sun_over_intervals(truth, interval, latitude, longitude)[0]
    stamps = truth + np.timedelta64(round(shift * 3600), "s") + np.timedelta64(moved, "D")
    return stamps, sun


def said(times, sun, latitude=LATITUDE, longitude=LONGITUDE, utc_offset=None, interval=1800.0):
    found = check_clock(times, interval, sun, latitude, longitude)
    sentence = clock_sentence(found, longitude, utc_offset)
    assert found.suspicious == sentence.startswith("DOES NOT AGREE")
    return found, sentence


# -- the hour --------------------------------------------------------------------------------


@given(st.floats(-11.4, 11.4), st.floats(-180.0, 180.0), st.sampled_from([600.0, 1800.0, 3600.0]))
def test_the_shift_comes_back_whatever_the_place(shift, longitude, interval):
    times, sun = sunshine(shift, interval, 20, longitude)
    found = check_clock(times, interval, sun, LATITUDE, longitude)
    assert (found.shift - shift + 12.0) % 24.0 - 12.0 == pytest.approx(0.0, abs=0.05)
    assert found.suspicious == (abs(found.shift) > 0.25)


def test_half_a_day_is_not_averaged_away():
    times, sun = sunshine(12.0)
    found, sentence = said(times, sun)
    assert abs(found.shift) == pytest.approx(12.0, abs=0.03)
    assert found.spread < 0.1
    assert "is dark" in sentence


def test_noon_comes_from_clear_days_alone():
    """Clouds in the afternoon of 24 days in 40 move the centre of their sunshine by half an hour
    and more, not that of the clear ones."""
    times, sun = sunshine()
    hour = solar_time(times - np.timedelta64(900, "s"), LONGITUDE)
    cloudy = np.roll(np.repeat(np.random.default_rng(5).random(40) < 0.6, 48), 15)
    sun = sun * np.where(cloudy, np.where(hour > 12.0, 0.3, 0.8), 1.0)
    assert (sun * hour).sum() / sun.sum() < 11.8
    found, sentence = said(times, sun)
    assert found.shift == pytest.approx(0.0, abs=0.05)
    assert found.days == pytest.approx(40 - cloudy.sum() / 48, abs=2)
    assert sentence.startswith("agrees")


def overcast(shift):
    times, sun = sunshine(shift, clear=0.2)
    hour = solar_time(times - np.timedelta64(round(shift * 3600) + 900, "s"), LONGITUDE)
    return times, sun * np.where(hour < 12.0, 0.6, 1.0)  # and fog in the mornings


def test_overcast_days_tell_nothing_of_noon():
    found, sentence = said(*overcast(0.0))
    assert found.days == 0
    assert sentence.startswith("cannot be told: no clear day")
    # Fog in every morning under a sky that is clear otherwise: no clear day either.
    times, sun = sunshine()
    fog = solar_time(times - np.timedelta64(900, "s"), LONGITUDE) < 10.5
    found, sentence = said(times, np.where(fog, 0.15 * sun, sun))
    assert found.days == 0
    assert "agrees" not in sentence


@pytest.mark.parametrize("shift", [5.0, -5.0])
def test_overcast_days_cannot_hide_five_hours(shift):
    """They tell the hours within a range, which holds the truth."""
    found, sentence = said(*overcast(shift), utc_offset=-2.0)
    assert found.days == 0
    assert "has light" in sentence
    assert "no clear day tells it better" in sentence
    assert found.cure is not None
    assert found.cure.least <= shift <= found.cure.most
    assert found.cure.most - found.cure.least < 4.0


def test_samples_of_a_finer_record():
    times, sun = sunshine()
    found = check_clock(times[1::2], 1800.0, sun[1::2], LATITUDE, LONGITUDE)
    assert found.shift == pytest.approx(0.0, abs=0.03)


def test_days_with_gaps_do_not_count():
    times, sun = sunshine(days=10)
    all_days = check_clock(times, 1800.0, sun, LATITUDE, LONGITUDE).days
    sun[100] = np.nan
    assert check_clock(times, 1800.0, sun, LATITUDE, LONGITUDE).days == all_days - 1
    found, sentence = said(times, np.zeros_like(sun))
    assert found.days == 0
    assert sentence == "cannot be told: the record has no sunshine"
    assert check_clock(times[:10], 1800.0, sun[:10], LATITUDE, LONGITUDE).days == 0
    assert check_clock(times[:1], 1800.0, sun[:1], LATITUDE, LONGITUDE).days == 0
    assert "no sunshine" in said(times, np.full_like(sun, np.nan))[1]


@pytest.mark.parametrize("start", ["2014-03-01T00:00", "2014-03-01T07:00", "2014-03-01T12:30"])
def test_a_record_of_one_day(start):
    found, sentence = said(*sunshine(days=1, start=start))
    assert found.days == 1
    assert "0.00 h" in sentence
    assert "(1 clear day)" in sentence
    found, sentence = said(*sunshine(3.0, days=1, start=start), utc_offset=-10.0)
    assert found.shift == pytest.approx(3.0, abs=0.05)
    assert "utc_offset may be -7 instead of -10" in sentence


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
        (1.0, "the clock may follow daylight saving"),
        (7.0, "utc_offset may be 7 h too small"),
        (2.25, "check stamp, utc_offset and longitude"),
    ],
)
def test_what_a_shift_may_mean(shift, words):
    assert words in said(*sunshine(shift))[1]


def test_stamps_in_the_middle_of_the_hour():
    _, sentence = said(*sunshine(-0.5, 3600.0), interval=3600.0)
    assert "0.50 h early" in sentence
    assert "the middle of the interval" in sentence


def test_a_clock_that_follows_daylight_saving():
    """An hour late for half of the record: the median alone would hide one half or the other."""
    times, sun = sunshine(days=60)
    moved = np.where(np.arange(times.size) < 30 * 48, sun, np.roll(sun, 2))
    found, sentence = said(times, moved)
    assert found.jump is not None
    assert "may follow daylight saving" in sentence


@pytest.mark.parametrize("longitude", [-110.0, 110.0, 20.0])
def test_a_longitude_of_the_other_sign(longitude):
    """The advice, followed, leads to a right clock."""
    times, sun = sunshine(longitude=longitude)
    found, sentence = said(times, sun, longitude=-longitude)
    assert found.suspicious
    words = f"longitude may have the wrong sign ({longitude:g} instead of {-longitude:g})"
    assert words in sentence
    assert said(times, sun, longitude=longitude)[1].startswith("agrees")


@pytest.mark.parametrize(("offset", "longitude"), [(-7.0, -110.0), (5.5, 78.0), (9.0, 135.0)])
def test_an_offset_of_the_other_sign(offset, longitude):
    """Local stamps read as UTC - (-offset)."""
    truth, sun = sunshine(longitude=longitude)
    stamps = truth + np.timedelta64(round(2.0 * offset * 3600), "s")
    sentence = said(stamps, sun, longitude=longitude, utc_offset=-offset)[1]
    assert f"utc_offset may be {offset:g} instead of {-offset:g} (its sign)" in sentence


def test_stamps_in_utc():
    """Declared local, they are in UTC."""
    truth, sun = sunshine()
    sentence = said(truth + 7 * HOUR, sun, utc_offset=-7.0)[1]
    assert "utc_offset may be 0 instead of -7 (UTC)" in sentence


# -- the date --------------------------------------------------------------------------------


@pytest.mark.parametrize("latitude", [45.0, -35.0])
@pytest.mark.parametrize("start", ["2014-06-10", "2014-12-10"])
@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_a_date_half_a_year_off(latitude, start, shift):
    """On both hemispheres, in summer and in winter, with the hours right and wrong."""
    times, sun = sunshine(shift, days=15, latitude=latitude, start=start, moved=-182)
    found, sentence = said(times, sun, latitude=latitude, utc_offset=-7.0)
    assert "the DATE is wrong, whatever the UTC offset" in sentence
    assert found.cure is not None
    assert (found.cure.range[0] - 182) * (found.cure.range[1] - 182) <= 0 or (
        found.cure.range[0] + 183
    ) * (found.cure.range[1] + 183) <= 0
    assert ("then the hours" in sentence) == (shift != 0.0)
    assert ("latitude has the wrong sign" in sentence) == (shift == 0.0)
    # No UTC offset makes it agree.
    for hours in range(-12, 12, 6):
        assert said(times + hours * HOUR, sun, latitude=latitude)[0].suspicious
    # With the right date, what is left is the hour.
    right = said(times + np.timedelta64(182, "D"), sun, latitude=latitude, utc_offset=-12.0)[1]
    assert right.startswith("agrees") == (shift == 0.0)
    assert "DATE" not in right


def test_summer_stamped_as_late_winter():
    """July in the stamps of February, five hours early as well: 138 days."""
    times, sun = sunshine(-5.0, days=15, latitude=37.3, start="2014-06-17", moved=-138)
    found, sentence = said(times, sun, latitude=37.3, utc_offset=-7.0)
    assert found.cure is not None
    assert found.cure.range[0] <= 138 <= found.cure.range[1]
    assert found.impossible.above > 0.3
    assert "between" in sentence


def test_a_year_says_the_date_of_itself():
    times, sun = sunshine(days=365, interval=3600.0, moved=60)
    found = check_clock(times, 3600.0, sun, LATITUDE, LONGITUDE)
    assert found.cure is not None
    assert found.cure.days == pytest.approx(-60, abs=4)
    assert found.cure.range[0] < -60 < found.cure.range[1]


def test_a_sensor_that_reads_too_much_is_no_date():
    found, sentence = said(*sunshine(clear=1.4))
    assert found.cure is None
    assert found.too_bright == pytest.approx(1.4, abs=0.05)
    assert "check the unit and the calibration" in sentence


def test_what_no_clock_can_cure():
    times, sun = sunshine()
    noise = 900.0 * np.random.default_rng(1).random(sun.size)
    assert "no date of the year makes it possible" in said(times, noise)[1]


# -- records that do not tell -----------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 7])
def test_daily_and_weekly_means_tell_nothing_of_noon(days):
    times, sun = sunshine(days=56)
    interval = days * 86400.0
    means = sun.reshape(-1, 48 * days).mean(axis=1)
    ends = times[48 * days - 1 :: 48 * days]
    found, sentence = said(ends, means, interval=interval)
    assert found.days == 0
    assert sentence.startswith(f"cannot be told from means over {24 * days} h")
    # A model with shorter steps sees each of them many times.
    _, sentence = said(times, np.repeat(means, 48 * days), interval=interval)
    assert sentence.startswith("cannot be told from means over")


def test_daily_means_tell_the_wrong_half_of_the_year():
    times, sun = sunshine(days=30, start="2014-06-01", latitude=50.0, moved=-182)
    means = sun.reshape(-1, 48).mean(axis=1)
    _, sentence = said(times[47::48], means, latitude=50.0, interval=86400.0)
    assert "the DATE is wrong" in sentence
    assert "noon" not in sentence


def test_three_hours_repeated_half_hour_by_half_hour():
    times, sun = sunshine()
    repeated = np.repeat(sun[: 6 * (sun.size // 6)].reshape(-1, 6).mean(axis=1), 6)
    for cut in (0, 2, 5):
        found = check_clock(times[cut:], 10800.0, repeated[cut:], LATITUDE, LONGITUDE)
        assert found.shift == pytest.approx(0.0, abs=0.1)
        assert not found.suspicious


def test_polar_night_and_day():
    dark = sunshine(latitude=75.0, start="2014-12-01", days=30)
    assert "no sunshine" in said(*dark, latitude=75.0)[1]
    faint = np.full(dark[1].size, 3.0)
    assert "no sunshine" in said(dark[0], faint, latitude=75.0)[1]
    lamp = np.full(dark[1].size, 60.0)
    assert "DOES NOT AGREE" in said(dark[0], lamp, latitude=75.0)[1]
    day = sunshine(latitude=75.0, start="2014-06-01", days=30)
    assert said(*day, latitude=75.0)[1].startswith("agrees")
    assert "utc_offset may be" in said(day[0] + 3 * HOUR, day[1], latitude=75.0)[1]
    pole = sunshine(latitude=90.0, start="2014-06-01", days=30)
    assert said(*pole, latitude=90.0)[1].startswith("cannot be told: no clear day")
    stamped_as_night = sunshine(latitude=75.0, start="2014-06-01", days=30, moved=183)
    assert "the DATE is wrong" in said(*stamped_as_night, latitude=75.0)[1]


def test_real_towers_keep_time(data_root):
    phoenix = data_root / "us-westphoenix-2012" / "US-WestPhoenix_clean_observations_v1.nc"
    bondville = data_root / "us-bo1-1998" / "US-Bo1_1998_tidy.csv"
    puechabon = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    sun = {"incoming_shortwave": Column("SWdown_Wm2", "W m-2")}
    sources = {
        (33.48, -112.1426): Source(phoenix, "urban-plumber"),
        (40.006, -88.37): Source(bondville, "table", TimeAxis("time_end_LST", "end", -6.0), sun),
        (43.7413, 3.5957): Source(puechabon, "fluxnet", fluxnet=Fluxnet(1.0)),
    }
    for place, source in sources.items():
        got = open_source(source)
        found = check_clock(got["time"].values, 1800.0, got["incoming_shortwave"].values, *place)
        assert abs(found.shift) < 0.1
        assert found.days > 80
        assert not found.suspicious
        assert found.spread < 0.1
