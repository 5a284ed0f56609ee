"""Short gaps: lines for the weather, dry for rain, marked; amounts stay when the step changes."""

import numpy as np
import pytest

from caliche.data import measured_rows, merge_sources, select_window, stream_origins
from caliche.data.assemble import Series, assemble, screen
from caliche.data.gaps import fill_short_gaps, filled_lines
from caliche.data.longwave import LongwaveBalance, derive_incoming_longwave
from caliche.errors import InputError
from caliche.variables import AMOUNTS

NAN = np.nan
MIDNIGHT = np.datetime64("2012-05-01T00:00", "ns")
RAIN, TAIR = "precipitation", "air_temperature"


def dataset(step=30, name="a.csv", **columns):
    series = {
        key: v if isinstance(v, Series) else screen(np.array(v, dtype=float), None, (0,))
        for key, v in columns.items()
    }
    number = len(next(iter(series.values())).values)
    times = MIDNIGHT + (1 + np.arange(number)) * np.timedelta64(step, "m")
    return assemble(times, series, name, step * 60.0, {})


def window(data, hours, step=30, forcing=(RAIN,), streams=(), **options):
    end = MIDNIGHT + np.timedelta64(hours * 60, "m")
    return select_window(data, MIDNIGHT, end, step * 60.0, forcing, list(streams), **options)


def shower():
    """12 mm in half an hour, the gauge silent in 3 half hours before and 4 after it."""
    rain = np.zeros(20) / 1800.0
    rain[[5, 6, 7, 9, 10, 11, 12]] = NAN
    rain[8] = 12.0 / 1800.0
    return rain


def test_rain_is_never_interpolated():
    air = np.linspace(280.0, 299.0, 20)
    air[3:5] = NAN
    filled = fill_short_gaps(dataset(precipitation=shower(), air_temperature=air), [RAIN, TAIR], 3)
    np.testing.assert_allclose(filled[TAIR], np.linspace(280.0, 299.0, 20))
    assert float(filled[RAIN].sum()) * 1800.0 == pytest.approx(12.0)
    lines = list(filled_lines(window(filled, 10, forcing=(RAIN, TAIR)), [RAIN, TAIR]))
    assert lines == [
        "7 steps of precipitation missing and taken as dry, 7 of them in gaps beside rain, which "
        "may hide some; 12 mm fall in the rest of the window",
        "2 values of air_temperature interpolated over short gaps (10 %)",
    ]
    assert AMOUNTS == (RAIN,)


def test_a_dry_gap_beside_none_and_one_too_long():
    rain = np.zeros(20)
    rain[[3, 9, 10, 11]] = NAN
    filled = fill_short_gaps(dataset(precipitation=rain), [RAIN], 1)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(filled[RAIN])), [9, 10, 11])
    assert list(filled_lines(window(filled, 4), [RAIN])) == [
        "1 step of precipitation missing and taken as dry; 0 mm fall in the rest of the window"
    ]


def test_filled_values_are_neither_missing_nor_rejected():
    """Counts below zero came of values that quality control had struck and a line had filled."""
    flagged = screen(np.array([280.0, 281, 282, 283]), np.array([0, 1, 1, 0]), (0,))
    filled = fill_short_gaps(dataset(air_temperature=flagged), [TAIR], 3)
    got = window(filled, 2, forcing=(TAIR,))[TAIR].attrs
    assert (got["n_missing"], got["n_rejected_by_qc"], got["n_valid"]) == (0, 0, 4)


@pytest.mark.parametrize("resample", ["mean", "sample"])
@pytest.mark.parametrize("step", [10, 15, 30, 60, 120])
def test_amounts_stay_when_the_step_changes(step, resample):
    rain = np.array([0.0, 3, 0, 0, 1, 2, 0, 6]) / 1800.0
    got = window(dataset(precipitation=rain), 4, step, resample=resample)[RAIN]
    assert float(got[1:].sum()) * step * 60.0 == pytest.approx(12.0)


def test_advice_about_gaps_is_of_use():
    some = dataset(air_temperature=[280.0, NAN, 282, 283])
    with pytest.raises(InputError, match="fill_gaps_hours in") as error:
        window(some, 2, forcing=(TAIR,))
    assert "accept" not in str(error.value)
    nothing = dataset(air_temperature=[NAN] * 4)
    with pytest.raises(InputError, match="from another column or file") as error:
        window(nothing, 2, forcing=(TAIR,))
    assert "fill" not in str(error.value)
    flagged = screen(np.array([280.0, 281, 282, 283]), np.array([0, 1, 1, 0]), (0,))
    with pytest.raises(InputError, match=r"accept more quality flags \(accept_qc"):
        window(dataset(air_temperature=flagged), 2, forcing=(TAIR,))
    with pytest.raises(InputError, match=r"Try: choose another window or stream\."):
        window(nothing, 2, forcing=(), streams=(TAIR,))


def test_where_the_values_come_from():
    """Measured, filled by the file's flags, interpolated, rebuilt: by stream and step."""
    flagged = screen(
        np.array([280.0, 281, 282, NAN, 284, 285]), np.array([0, 1, 1, 0, 0, 2]), (0, 1)
    )
    data = dataset(
        air_temperature=flagged,
        net_radiation=[10.0] * 6,
        outgoing_shortwave=[0.0] * 6,
        incoming_shortwave=[0.0] * 6,
        outgoing_longwave=[400.0] * 6,
        incoming_longwave=[NAN, NAN, 300, 301, 302, 303],
    )
    data = derive_incoming_longwave(data, LongwaveBalance())
    data = fill_short_gaps(data, [TAIR], 1)
    got = window(data, 2, forcing=(TAIR, "incoming_longwave"), streams=["net_radiation"])
    origins = stream_origins(got)
    assert got["air_temperature_origin"].values.tolist() == [0, 0, 1, 1, 2]
    air = origins[TAIR]
    assert (air.measured, air.filled, air.interpolated, air.rebuilt) == (0.25, 0.5, 0.25, 0.0)
    assert air.flags == "flags"
    assert air.known
    assert origins["incoming_longwave"].rebuilt == 0.5
    assert origins["net_radiation"].measured == 1.0
    assert measured_rows(got, TAIR).tolist() == [False, True, False, False, False]
    assert measured_rows(got, "net_radiation") is None
    assert not origins["net_radiation"].known  # nothing says which values were filled
    assert list(filled_lines(got, ["incoming_longwave"])) == [
        "2 of 4 values of incoming_longwave rebuilt from net radiation, measured outgoing "
        "shortwave radiation and measured outgoing longwave radiation"
    ]
    hours = window(data, 2, 60, forcing=(TAIR,))
    assert hours["air_temperature_origin"].values.tolist() == [0, 1, 2]  # the farthest of two


def test_origins_outlive_a_merge_and_count_what_quality_flags_tell():
    flux = screen(np.array([50.0, 60, 70]), np.array([1, 2, 3]), (1, 2))  # 1 is the best here
    merged = merge_sources(
        [
            dataset(sensible_heat_flux=flux, latent_heat_flux=[1.0, 2, 3]),
            dataset(step=60, name="b.csv", air_temperature=[280.0, 281, 282]),
        ]
    )
    origins = stream_origins(merged)
    assert origins["sensible_heat_flux"].filled == 0.5
    assert origins["turbulent_heat_flux"].filled == 0.0
    assert not origins["turbulent_heat_flux"].known  # one of its parts has no flags
    assert origins[TAIR].measured == 1.0
