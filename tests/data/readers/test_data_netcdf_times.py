"""NetCDF: the zone in units of time is applied once, and -9999 is missing in every format."""

import numpy as np
import pytest
import xarray as xr

from caliche.data import Column, Fluxnet, Source, TimeAxis, open_source
from caliche.data.assemble import time_zone
from caliche.errors import InputError
from caliche.sites.collection import open_collection

NAN = np.nan
FIRST = np.datetime64("2024-05-31T18:00")


@pytest.fixture
def write(tmp_path):
    """Writes half hours from 2024-06-01 00:00 of the clock, with units that end in `zone`."""

    def make(zone, dims=("time",), attrs=None, **columns):
        columns = columns or {"Tair": [290.0, 291.0, 292.0]}
        data = xr.Dataset(coords={"time": [0.0, 0.5, 1.0]}, attrs=attrs or {})
        data["time"].attrs["units"] = "hours since 2024-06-01 00:00:00" + zone
        for name, values in columns.items():
            shaped = np.array(values).reshape([3, *[1] * (len(dims) - 1)])
            data[name] = (dims, shaped, {} if name.endswith("_qc") else {"units": "K"})
        path = tmp_path / "tower.nc"
        data.to_netcdf(path)
        return path

    return make


def table(path, offset):
    columns = {"air_temperature": Column("Tair")}
    return Source(path, "table", TimeAxis("time", "end", offset), columns)


def plumber2(path, offset):
    return Source(path, "plumber2", fluxnet=Fluxnet(offset, stamp="end"))


@pytest.mark.parametrize("make", [table, plumber2])
@pytest.mark.parametrize("zone", [" +06:00", "+06:00", " +0600", " +6:00", " +6"])
def test_a_zone_is_applied_once(write, make, zone):
    path = write(zone)
    assert open_source(make(path, 6.0))["time"].values[0] == FIRST
    assert open_source(make(path, 0.0))["time"].values[0] == FIRST  # UTC, which it has become
    with pytest.raises(InputError, match=r"utc_offset = -7, as declared.*give utc_offset = 6"):
        open_source(make(path, -7.0))


@pytest.mark.parametrize("make", [table, plumber2])
@pytest.mark.parametrize("zone", ["Z", " UTC", " GMT", " +00:00", " 0:00"])
def test_utc_in_the_units_contradicts_another_offset(write, make, zone):
    path = write(zone)
    assert open_source(make(path, 0.0))["time"].values[0] == np.datetime64("2024-06-01T00:00")
    with pytest.raises(InputError, match="give utc_offset = 0"):
        open_source(make(path, -7.0))


@pytest.mark.parametrize("make", [table, plumber2])
def test_without_a_zone_the_declared_one_holds(write, make):
    assert open_source(make(write(""), 6.0))["time"].values[0] == FIRST


@pytest.mark.parametrize(
    ("units", "hours"),
    [
        ("seconds since 2008-01-01 00:00:00", None),
        ("days since 2000-1-1", None),
        ("days since 2000-01-01 00:00", None),
        ("hours since 1-1-1 00:00:0.0", None),
        ("hours since 2000-01-01T00:00:00-03:30", -3.5),
        ("hours since 1992-10-8 15:15:42.5 -6:00", -6.0),  # the example of the CF conventions
        ("minutes since 2000-01-01 00:00 +0545", 5.75),
    ],
)
def test_zones_in_units(units, hours):
    assert time_zone(xr.DataArray([0.0], dims="time", attrs={"units": units})) == hours


def test_urban_plumber_is_utc(write):
    assert open_source(Source(write("Z"), "urban-plumber")).sizes["time"] == 3
    with pytest.raises(InputError, match=r"times in UTC.*\+10:00"):
        open_source(Source(write(" +10:00"), "urban-plumber"))


def test_many_sites_are_at_the_instants_that_the_units_tell(tmp_path):
    data = xr.Dataset(
        {"Tair": (("site", "time"), [[290.0, -9999.0]], {"units": "K"})},
        coords={"time": ("time", [0.0, 0.5], {"units": "hours since 2024-06-01 00:00:00 +06:00"})},
    )
    data.to_netcdf(tmp_path / "sites.nc", engine="h5netcdf")
    got = open_collection(tmp_path / "sites.nc", ["air_temperature"], 1800.0)
    assert got.times[0] == FIRST
    np.testing.assert_array_equal(got.read("air_temperature", 0, 1)[:, 0], [290, NAN])


@pytest.mark.parametrize("missing", [-9999.0, -6999.0, -999.0, 9.969209968386869e36, np.inf])
def test_numbers_that_are_missing_in_every_format(write, missing):
    path = write("", Tair=[290.0, missing, 292.0])
    for source in (table(path, 0.0), plumber2(path, 0.0), Source(path, "urban-plumber")):
        np.testing.assert_array_equal(open_source(source)["air_temperature"], [290, NAN, 292])


def test_missing_wind_components_make_no_storm(write):
    path = write("", Tair=[290.0] * 3, Wind_N=[3.0, -9999.0, 3.0], Wind_E=[4.0, -9999.0, 4.0])
    data = xr.load_dataset(path)
    for name in ("Wind_N", "Wind_E"):
        data[name].attrs["units"] = "m/s"
    data.to_netcdf(path)
    np.testing.assert_array_equal(
        open_source(Source(path, "urban-plumber"))["wind_speed"], [5, NAN, 5]
    )


def test_what_is_no_number_is_refused(write):
    text = write("", Tair=["a", "b", "c"])
    for source in (table(text, 0.0), plumber2(text, 0.0), Source(text, "urban-plumber")):
        with pytest.raises(InputError, match="numbers in Tair"):
            open_source(source)


def test_attributes_of_another_kind(write):
    path = write("", attrs={"local_utc_offset_hours": [1.0, 2.0], "lat": "north"})
    data = xr.load_dataset(path).assign(lat="north")
    data.to_netcdf(path)
    assert "latitude" not in open_source(Source(path, "urban-plumber")).attrs
    data["Tair"].attrs["units"] = [1, 2]
    data.to_netcdf(path)
    for source in (table(path, 0.0), plumber2(path, 0.0), Source(path, "urban-plumber")):
        with pytest.raises(InputError, match="text in the attribute units"):
            open_source(source)
