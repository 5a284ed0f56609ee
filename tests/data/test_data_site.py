"""Merging, the derived surface temperature, and the window of one study."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from caliche.constants import STEFAN_BOLTZMANN
from caliche.data import (
    check_range,
    derive_surface_temperature,
    merge_sources,
    select_window,
    utc_text,
)
from caliche.data.assemble import Series, assemble, screen
from caliche.errors import InputError

NAN = np.nan
MIDNIGHT = np.datetime64("2012-05-01T00:00", "ns")
SWDOWN, TSOIL = "incoming_shortwave", "soil_temperature_0.05m"


def minutes(number):
    return MIDNIGHT + np.timedelta64(number, "m")


def dataset(step=30, first=30, name="a.csv", attrs=None, **columns):
    """A dataset as a reader returns it, with stamps every `step` minutes."""
    series = {
        key: v if isinstance(v, Series) else screen(np.array(v, dtype=float), None, (0,))
        for key, v in columns.items()
    }
    number = len(next(iter(series.values())).values)
    times = minutes(first) + np.arange(number) * np.timedelta64(step, "m")
    return assemble(times, series, name, step * 60.0, attrs or {})


def soil(values, **options):
    return dataset(**{TSOIL: values}, **options)


def window(data, start, end, step, streams=(), forcing=(SWDOWN,), **options):
    return select_window(
        data, minutes(start), minutes(end), step * 60.0, forcing, streams, **options
    )


def test_utc_text():
    assert utc_text(np.datetime64("2012-05-01T07:00:00")) == "2012-05-01T07:00Z"
    assert utc_text(np.datetime64("2012-05-01T07:00:30", "ns")) == "2012-05-01T07:00:30Z"


def test_spikes_are_counted_and_named():
    times = MIDNIGHT + np.arange(1000) * np.timedelta64(30, "m")
    values = np.full(1000, 300.0)
    values[[7, 9]] = -40.0
    with pytest.raises(InputError, match=r"2 of 1000 values outside, the first -40 K at") as error:
        check_range(values, "air_temperature", times, "TA of a.csv")
    assert "2012-05-01T03:30Z" in str(error.value)
    assert "spikes" in str(error.value)
    check_range(np.array([NAN, 300.0]), "air_temperature", times[:2])


def test_values_out_of_range_without_a_guess():
    times = MIDNIGHT + np.arange(3) * np.timedelta64(30, "m")
    with pytest.raises(InputError, match="check the unit and the column"):
        check_range(np.full(3, 5e5), "air_pressure", times)


def test_merge_keeps_intervals_and_joins_times():
    fine = dataset(incoming_shortwave=[1, 2, 3, 4], attrs={"site": "A", "latitude": None})
    coarse = soil([290, 291], step=60, first=60, name="b.csv", attrs={"site": "B", "latitude": 3.0})
    merged = merge_sources([fine, coarse])
    np.testing.assert_array_equal(merged[TSOIL], [NAN, 290, NAN, 291])
    assert merged[TSOIL].attrs["interval"] == 3600.0
    assert merged[SWDOWN].attrs["interval"] == 1800.0
    assert merged.attrs == {"site": "A", "latitude": 3.0, "time_step": 1800.0}
    assert set(merged.data_vars) == {SWDOWN, TSOIL}


def test_merge_of_records_that_do_not_overlap():
    merged = merge_sources([soil([290, 291], first=1440), dataset(incoming_shortwave=[1, 2])])
    assert merged["time"].values.tolist() == sorted(merged["time"].values.tolist())
    np.testing.assert_array_equal(merged[SWDOWN], [1, 2, NAN, NAN])


def test_merge_refuses_a_stream_twice_and_nothing():
    one = dataset(incoming_shortwave=[1, 2])
    other = dataset(incoming_shortwave=[3, 4], name="b.csv")
    with pytest.raises(InputError, match=r"incoming_shortwave from a\.csv and from b\.csv"):
        merge_sources([one, other])
    with pytest.raises(InputError, match="at least one source"):
        merge_sources([])


@pytest.mark.parametrize("reflected", [True, False])
def test_surface_temperature_inverts_its_own_emission(reflected):
    truth, eps, down = np.array([270.0, 300.0, 330.0]), 0.95, np.array([250.0, 300.0, 400.0])
    up = eps * STEFAN_BOLTZMANN * truth**4 + (1 - eps) * down * reflected
    data = dataset(incoming_longwave=down, outgoing_longwave=screen(up, np.array([0, 0, 1]), (0,)))
    got = derive_surface_temperature(data, eps, reflected)["surface_temperature"]
    np.testing.assert_allclose(got, [270.0, 300.0, NAN], rtol=1e-13)
    assert got.attrs["units"] == "K"
    assert got.attrs["n_rejected_by_qc"] == 1
    assert "emissivity 0.95" in got.attrs["derived_from"]
    assert "surface_temperature" not in data


def test_surface_temperature_without_reflection_needs_no_incoming_longwave():
    data = dataset(outgoing_longwave=[400.0, 500.0])
    derive_surface_temperature(data, 1.0, False)
    with pytest.raises(InputError, match="the stream incoming_longwave"):
        derive_surface_temperature(data, 0.95, True)


def test_surface_temperature_on_a_merged_axis():
    data = merge_sources(
        [
            dataset(outgoing_longwave=[400.0, 500.0], step=60, first=60),
            dataset(incoming_shortwave=[1, 2, 3, 4]),
        ]
    )
    got = derive_surface_temperature(data, 1.0, False)["surface_temperature"]
    np.testing.assert_array_equal(np.isfinite(got), [False, True, False, True])
    assert got.attrs["interval"] == 3600.0


def test_surface_temperature_refusals():
    data = dataset(outgoing_longwave=[400.0, 500.0])
    with pytest.raises(InputError, match="emissivity above 0"):
        derive_surface_temperature(data, 1.1, False)
    with pytest.raises(InputError, match="no surface temperature beside"):
        derive_surface_temperature(derive_surface_temperature(data, 1.0, False), 1.0, False)
    other = dataset(incoming_longwave=[300.0, 300.0], step=60, first=60)
    merged = merge_sources([data, other])
    with pytest.raises(InputError, match="at the same times"):
        derive_surface_temperature(merged, 0.95, True)


def test_impossible_emission_is_refused_in_the_window_not_hidden():
    data = dataset(outgoing_longwave=[400.0, 10.0, 400.0], incoming_longwave=[300.0] * 3)
    derived = derive_surface_temperature(data, 0.9, True)
    with pytest.raises(InputError, match=r"surface_temperature.*the first 0 K"):
        window(derived, 0, 90, 30, ["surface_temperature"], forcing=())


def test_window_at_the_step_of_the_file():
    got = window(dataset(incoming_shortwave=[10, 20, 30, 40]), 30, 90, 30)
    np.testing.assert_array_equal(got["time"], [minutes(30), minutes(60), minutes(90)])
    np.testing.assert_array_equal(got[SWDOWN], [10, 20, 30])
    assert got.attrs["time_step"] == 1800.0


def test_window_from_the_start_of_the_record_has_an_empty_row_0():
    got = window(dataset(incoming_shortwave=[10, 20]), 0, 60, 30)
    np.testing.assert_array_equal(got[SWDOWN], [NAN, 10, 20])


def test_longer_step_takes_means_at_interval_ends():
    data = dataset(incoming_shortwave=[10, 20, 30, 50], **{TSOIL: [290, 292, NAN, 294]})
    got = window(data, 0, 120, 60, [TSOIL])
    np.testing.assert_array_equal(got[SWDOWN], [NAN, 15, 40])
    np.testing.assert_array_equal(got[TSOIL], [NAN, 291, NAN])
    assert got[TSOIL].attrs["interval"] == 3600.0
    assert (got[TSOIL].attrs["n_missing"], got[TSOIL].attrs["n_valid"]) == (1, 1)


def test_longer_step_can_sample():
    data = dataset(incoming_shortwave=[NAN, 20, 30, 50], **{TSOIL: [290, 292, NAN, 294]})
    got = window(data, 0, 120, 60, [TSOIL], resample="sample")
    np.testing.assert_array_equal(got[SWDOWN], [NAN, 20, 50])
    np.testing.assert_array_equal(got[TSOIL], [NAN, 292, 294])
    assert got[TSOIL].attrs["interval"] == 1800.0
    with pytest.raises(InputError, match=r"Got 'median'"):
        window(data, 0, 120, 60, [TSOIL], resample="median")


def test_shorter_step_repeats_forcing_and_places_observations():
    data = dataset(incoming_shortwave=[10, 20], **{TSOIL: [290, 291]})
    got = window(data, 0, 60, 10, [TSOIL])
    np.testing.assert_array_equal(got[SWDOWN], [NAN, 10, 10, 10, 20, 20, 20])
    np.testing.assert_array_equal(got[TSOIL], [NAN, NAN, NAN, 290, NAN, NAN, 291])
    assert got[TSOIL].attrs["n_missing"] == 0
    assert got[TSOIL].attrs["interval"] == 1800.0


def test_coarse_observations_beside_fine_forcing():
    data = merge_sources(
        [dataset(incoming_shortwave=[1, 2, 3, 4]), soil([290, 291, 292], step=60, first=0)]
    )
    got = window(data, 0, 120, 30, [TSOIL])
    np.testing.assert_array_equal(got[TSOIL], [290, NAN, 291, NAN, 292])
    np.testing.assert_array_equal(window(data, 0, 120, 60, [TSOIL])[TSOIL], [290, 291, 292])


@given(st.lists(st.floats(0, 1400), min_size=4, max_size=12), st.sampled_from([5, 10, 15, 30]))
def test_repeated_forcing_keeps_the_mean(values, step):
    data = dataset(incoming_shortwave=values)
    got = window(data, 0, 30 * len(values), step)[SWDOWN].values[1:]
    np.testing.assert_allclose(got.reshape(len(values), -1).mean(axis=1), values, rtol=1e-12)


@pytest.mark.parametrize("step", [45, 20])
def test_steps_that_do_not_fit(step):
    data = dataset(incoming_shortwave=[1] * 12)
    with pytest.raises(InputError, match=rf"the 1800 s of incoming_shortwave.*Got {step * 60} s"):
        window(data, 0, 180, step)


def test_times_that_do_not_meet_the_stamps():
    data = dataset(incoming_shortwave=[1] * 12)
    with pytest.raises(InputError, match=r"meet the stamps of incoming_shortwave.*00:40Z"):
        window(data, 40, 100, 30)
    odd = merge_sources([data, soil([290, 291], step=60, first=75)])
    with pytest.raises(InputError, match=r"meet the stamps of soil_temperature_0.05m, every 3600"):
        window(odd, 0, 180, 30, [TSOIL])


def test_window_that_is_not_whole_steps():
    data = dataset(incoming_shortwave=[1] * 12)
    for start, end in ((0, 40), (60, 30), (30, 30)):
        with pytest.raises(InputError, match="whole steps of 1800 s"):
            window(data, start, end, 30)
    with pytest.raises(InputError, match="positive time step"):
        window(data, 0, 60, 0)


@pytest.mark.parametrize(("start", "end"), [(-30, 60), (0, 150)])
def test_forcing_shorter_than_the_window(start, end):
    data = dataset(incoming_shortwave=[1, 2, 3, 4])
    with pytest.raises(
        InputError,
        match=r"record of incoming_shortwave, 2012-05-01T00:00Z to "
        r"2012-05-01T02:00Z.*does not cover",
    ):
        window(data, start, end, 30)


def test_gap_in_the_forcing():
    values = screen(np.array([1.0, NAN, 3.0, 4.0]), np.array([0, 0, 1, 0]), (0,))
    with pytest.raises(
        InputError, match=r"incoming_shortwave at every step.*2 of 4 steps"
    ) as error:
        window(dataset(incoming_shortwave=values), 0, 120, 30)
    assert "first 2012-05-01T01:00Z" in str(error.value)
    assert "1 rejected by quality control, 1 missing" in str(error.value)
    with pytest.raises(InputError, match="2 of 2 steps"):
        window(dataset(incoming_shortwave=values), 0, 120, 60)
    window(dataset(incoming_shortwave=values), 90, 120, 30)


def test_stream_without_a_value_left():
    values = screen(np.full(4, 290.0), np.array([1, 1, 1, 0]), (0,))
    data = dataset(incoming_shortwave=[1, 2, 3, 4], **{TSOIL: values})
    with pytest.raises(
        InputError,
        match=r"at least one value of soil_temperature_0\.05m.*"
        r"3 rejected by quality control, 0 missing",
    ):
        window(data, 0, 90, 30, [TSOIL])
    got = window(data, 0, 120, 30, [TSOIL])[TSOIL]
    assert (got.attrs["n_rejected_by_qc"], got.attrs["n_valid"]) == (3, 1)


def test_stream_that_no_file_has():
    data = dataset(incoming_shortwave=[1, 2])
    rebuild = r"no incoming_longwave.*map it, or rebuild it with .*method = \"sky\" or \"balance\""
    with pytest.raises(InputError, match=rebuild):
        window(data, 0, 60, 30, ["incoming_longwave"])
    with pytest.raises(InputError, match=r"no soil_temperature_0\.05m.*map a column"):
        window(data, 0, 60, 30, [TSOIL])
    with pytest.raises(InputError, match=r"did you mean 'soil_temperature_0\.05m'"):
        window(soil([290, 291]), 0, 60, 30, ["soil_temperature_0.50m"], forcing=())


def test_spike_is_refused_only_where_it_is_used():
    data = dataset(incoming_shortwave=[1, 2, 3, 9999, 5, 6])
    np.testing.assert_array_equal(window(data, 30, 90, 30)[SWDOWN], [1, 2, 3])
    with pytest.raises(
        InputError, match=r"1 of 6 values outside, the first 9999 W m-2 at .*02:00Z"
    ):
        window(data, 0, 180, 30)


def test_what_is_returned_can_be_written_and_read(tmp_path):
    data = dataset(incoming_shortwave=[1, 2], sensible_heat_flux=[1, 2], latent_heat_flux=[3, 4])
    got = window(data, 0, 60, 30, ["turbulent_heat_flux"])
    got.to_netcdf(tmp_path / "w.nc")
    with xr.open_dataset(tmp_path / "w.nc") as back:
        np.testing.assert_array_equal(back["turbulent_heat_flux"], [NAN, 4, 6])


def test_a_slice_of_the_record_is_still_a_record():
    data = dataset(incoming_shortwave=[1, 2, 3, 4])
    part = data.isel(time=slice(1, None))
    np.testing.assert_array_equal(window(part, 30, 120, 30)[SWDOWN], [NAN, 2, 3, 4])
    with pytest.raises(InputError, match="empty slice"):
        window(data.isel(time=slice(0, 0)), 30, 120, 30)


@pytest.mark.parametrize(
    ("days", "step"), [(10, 1800.0), (366, 1800.0), (365, 3600.0), (7305, 86400.0)]
)
def test_a_window_has_its_last_time_however_long_it_is(days, step):
    count = round(days * 86400 / step)
    end = np.datetime64("2014-01-01T00:00", "ns") + np.timedelta64(days, "D")
    stamps = end - np.arange(count, -1, -1) * np.timedelta64(round(step), "s")
    data = xr.Dataset({"air_temperature": ("time", np.full(count + 1, 290.0))}, {"time": stamps})
    data.attrs["time_step"] = step
    got = select_window(data, stamps[0], end, step, ["air_temperature"], [])
    assert len(got["time"]) == count + 1
    assert got["time"].values[-1] == end
