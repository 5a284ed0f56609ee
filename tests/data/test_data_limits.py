"""What a source declares: its place, the streams to read, ranges to believe."""

import numpy as np
import pytest
import xarray as xr

from caliche.data import (
    Column,
    Source,
    TimeAxis,
    merge_sources,
    open_source,
    select_window,
    stream_notes,
)
from caliche.errors import InputError

NAN = np.nan
FLUXES = {"sensible_heat_flux": ("H", "W m-2"), "latent_heat_flux": ("LE", "W m-2")}
MIDNIGHT = np.datetime64("2012-05-01T00:00")


def test_a_text_table_has_a_place(write_csv, half_hours, table):
    path = write_csv(half_hours(2), TA=[290, 291])
    columns = {"air_temperature": ("TA", "K")}
    got = open_source(table(path, columns, latitude=38.0, longitude=-110.0))
    assert (got.attrs["latitude"], got.attrs["longitude"]) == (38.0, -110.0)
    with pytest.raises(InputError, match="a latitude in degrees north"):
        table(path, columns, latitude=380.0)


def test_a_place_that_contradicts_the_file(tmp_path):
    times = MIDNIGHT.astype("datetime64[ns]") + np.arange(2) * np.timedelta64(30, "m")
    data = xr.Dataset(
        {"Tair": ("time", [290.0, 291.0], {"units": "K"}), "lat": 33.5, "lon": 248.0},
        coords={"time": times},
    )
    data.to_netcdf(tmp_path / "a.nc")
    near = open_source(Source(tmp_path / "a.nc", "urban-plumber", latitude=33.6, longitude=-112.1))
    assert near.attrs["longitude"] == 248.0
    with pytest.raises(InputError, match=r"longitude 112 of a\.nc, as declared.*248 in the file"):
        open_source(Source(tmp_path / "a.nc", "urban-plumber", longitude=112.0))


def test_streams_can_be_chosen_or_left_out(write_csv, half_hours, table):
    path = write_csv(half_hours(2), H=[1, 2], LE=[3, 4], TA=[290, 291], S=[1, 1])
    columns = {**FLUXES, "air_temperature": ("TA", "K"), "latent_heat_flux_sigma": ("S", "W m-2")}

    def streams(**options):
        return set(open_source(table(path, columns, **options)).data_vars)

    everything = {*columns, "turbulent_heat_flux"}
    assert streams() == everything
    assert streams(leave_out=["air_temperature"]) == everything - {"air_temperature"}
    assert streams(leave_out=["latent_heat_flux"]) == {"air_temperature", "sensible_heat_flux"}
    assert streams(variables=["latent_heat_flux"]) == {"latent_heat_flux", "latent_heat_flux_sigma"}
    assert streams(variables=list(FLUXES)) == everything - {"air_temperature"}
    assert streams(leave_out=["turbulent_heat_flux"]) == set(columns)
    with pytest.raises(InputError, match=r"streams of variables in tower\.csv.*no wind_speed"):
        streams(variables=["wind_speed"])
    with pytest.raises(InputError, match="'air_temp'"):
        streams(leave_out=["air_temp"])
    with pytest.raises(InputError, match=r"variables or leave_out of a source.*both"):
        streams(variables=["air_temperature"], leave_out=["air_temperature"])


def test_a_stream_twice_says_which_key_helps(write_csv, half_hours, table):
    columns = {"air_temperature": ("TA", "K")}
    one, two = (write_csv(half_hours(2), n, TA=[290, 291]) for n in ("a.csv", "b.csv"))
    with pytest.raises(InputError, match=r"leave_out = \['air_temperature'\] in one of"):
        merge_sources([open_source(table(path, columns)) for path in (one, two)])


def urban(tmp_path, name, flags=None, **columns):
    times = MIDNIGHT.astype("datetime64[ns]") + (1 + np.arange(4)) * np.timedelta64(30, "m")
    data = xr.Dataset(coords={"time": times}, attrs={"sitename": "XX-Town"})
    for key, values in columns.items():
        data[key] = (
            "time",
            np.array(values, "float32"),
            {"units": "K" if key == "Tair" else "W/m2"},
        )
    for key, values in (flags or {}).items():
        data[f"{key}_qc"] = ("time", np.array(values, "int8"))
    data.to_netcdf(tmp_path / name)
    return tmp_path / name


def test_the_two_files_of_urban_plumber(tmp_path):
    """Weather from the complete forcing, fluxes from the clean observations, in either order."""
    forcing = urban(
        tmp_path,
        "metforcing.nc",
        {"Tair": [0, 1, 0, 0]},
        Tair=[290, 291, 292, 293],
        SWdown=[0, 1, 2, 3],
    )
    clean = urban(
        tmp_path, "clean.nc", Tair=[290, NAN, 292, 293], Qh=[1, 2, 3, 4], Qle=[1, 1, 1, 1]
    )
    opened = [
        open_source(Source(forcing, "urban-plumber", accept_qc=[0, 1])),
        open_source(Source(clean, "urban-plumber")),
    ]
    for order in (opened, opened[::-1]):
        got = merge_sources(order)
        np.testing.assert_array_equal(got["air_temperature"], [290, 291, 292, 293])
        np.testing.assert_array_equal(got["turbulent_heat_flux"], [2, 3, 4, 5])
        assert stream_notes(got)["air_temperature"] == [
            "taken from metforcing.nc, not from clean.nc, which has it too"
        ]
        assert got["air_temperature_origin"].values.tolist() == [0, 1, 0, 0]
    chosen = open_source(Source(clean, "urban-plumber", leave_out=["air_temperature"]))
    assert "air_temperature" in merge_sources([chosen, opened[0]])
    with pytest.raises(InputError, match="each stream from one source"):
        merge_sources([opened[1], open_source(Source(clean, "urban-plumber"))])


def fluxes(write_csv, half_hours, values):
    return write_csv(half_hours(4), H=values, LE=[100, 100, 100, 100])


def window(data, *streams):
    return select_window(data, MIDNIGHT, MIDNIGHT + np.timedelta64(2, "h"), 1800.0, [], streams)


def test_a_large_flux_is_read_and_told(write_csv, half_hours, table):
    data = open_source(table(fluxes(write_csv, half_hours, [100, 1058, 200, 100]), FLUXES))
    got = window(data, *FLUXES, "turbulent_heat_flux")
    assert float(got["sensible_heat_flux"][2]) == 1058.0
    assert stream_notes(got)["sensible_heat_flux"] == [
        "1 value outside the usual -700 to 1000 W m-2, the farthest 1058; ranges in the source "
        "would make them missing"
    ]


def test_a_declared_range_accepts_or_strikes(write_csv, half_hours, table):
    path = fluxes(write_csv, half_hours, [100, 1650, 200, 100])
    with pytest.raises(InputError, match=r"ranges = \{ sensible_heat_flux = \[-1000, 1500\] \}"):
        window(open_source(table(path, FLUXES)), "sensible_heat_flux")
    wide = open_source(table(path, FLUXES, ranges={"sensible_heat_flux": (-700, 1700)}))
    assert float(window(wide, "sensible_heat_flux")["sensible_heat_flux"][2]) == 1650.0
    narrow = open_source(table(path, FLUXES, ranges={"sensible_heat_flux": (-700, 1000)}))
    got = window(narrow, *FLUXES, "turbulent_heat_flux")
    np.testing.assert_array_equal(got["sensible_heat_flux"], [NAN, 100, NAN, 200, 100])
    np.testing.assert_array_equal(got["turbulent_heat_flux"], [NAN, 200, NAN, 300, 200])
    assert "1 value outside -700 to 1000 W m-2" in stream_notes(got)["sensible_heat_flux"][0]
    assert got["sensible_heat_flux"].attrs["n_missing"] == 1


def test_a_range_for_a_whole_column(write_csv, half_hours, table):
    path = write_csv(half_hours(3), G=[800, 900, 850])
    columns = {"ground_heat_flux_0.05m": Column("G", "W m-2")}
    with pytest.raises(
        InputError, match=r'ranges = \{ "ground_heat_flux_0.05m" = \[-500, 700\] \}'
    ):
        open_source(table(path, columns))
    ranges = {"ground_heat_flux_0.05m": [-500, 1000]}
    assert open_source(table(path, columns, ranges=ranges)).sizes["time"] == 3


@pytest.mark.parametrize("ends", [(1.0,), (2.0, 1.0), (1.0, 1.0, 2.0)])
def test_ranges_that_cannot_be(ends):
    with pytest.raises(InputError, match="smallest and the largest value"):
        Source(
            "a.csv",
            "table",
            TimeAxis("t", "end", 0),
            {"wind_speed": Column("U", "m s-1")},
            ranges={"wind_speed": ends},
        )
