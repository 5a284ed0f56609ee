"""The Urban-PLUMBER reader on small files of its format."""

import numpy as np
import pytest
import xarray as xr

from caliche.data import Source, open_source
from caliche.errors import InputError

UNITS = {
    "SWdown": "W/m2",
    "Tair": "K",
    "Rainf": "kg/m2/s",
    "Snowf": "kg/m2/s",
    "Wind_N": "m/s",
    "Wind_E": "m/s",
    "Qh": "W/m2",
    "Qle": "W/m2",
    "SoilTemp": "K",
    "PSurf": "hPa",
}
NAN = np.nan


@pytest.fixture
def open_small(tmp_path):
    """Writes three half hours of the given variables and reads them back."""

    def make(flags=None, depth="0.02 m", attrs=None, accept=(0,), options=None, **columns):
        time = np.datetime64("2012-05-01T00:30", "ns") + np.arange(3) * np.timedelta64(30, "m")
        data = xr.Dataset(coords={"time": time}, attrs=attrs or {})
        for name, values in columns.items():
            about = {"units": UNITS[name]} if name in UNITS else {}
            if name == "SoilTemp" and depth is not None:
                about["depth"] = depth
            shaped = np.array(values, dtype="float32")[:, None, None]
            data[name] = (("time", "y", "x"), shaped, about)
        for name, values in (flags or {}).items():
            data[f"{name}_qc"] = ("time", np.array(values, dtype="int8"))
        path = tmp_path / "tower.nc"
        data.to_netcdf(path)
        return open_source(Source(path, "urban-plumber", accept_qc=accept, **(options or {})))

    return make


def test_names_units_and_times(open_small):
    attrs = {"sitename": "XX-Town", "local_utc_offset_hours": 9.5, "time_shown_in": "UTC"}
    data = open_small(SWdown=[0, 1, 2], PSurf=[967, 968, 969], attrs=attrs)
    assert set(data.data_vars) == {"incoming_shortwave", "air_pressure"}
    assert data["incoming_shortwave"].dtype == np.float64
    np.testing.assert_array_equal(data["air_pressure"], [96700, 96800, 96900])
    assert data["time"].values[0] == np.datetime64("2012-05-01T00:30")
    assert data.attrs == {"site": "XX-Town", "utc_offset": 9.5, "time_step": 1800.0}
    assert open_small(SWdown=[0, 1, 2], options={"site": "Mine"}).attrs["site"] == "Mine"


def test_wind_speed_is_the_length_of_the_vector(open_small):
    flags = {"Wind_N": [0, 0, 1]}
    data = open_small(Wind_N=[-3, 0, 1], Wind_E=[4, NAN, 1], flags=flags)
    np.testing.assert_array_equal(data["wind_speed"], [5.0, NAN, NAN])
    assert data["wind_speed"].attrs["n_rejected_by_qc"] == 1
    np.testing.assert_array_equal(open_small(Wind=[1, 2, 3])["wind_speed"], [1, 2, 3])
    empty = {"Wind_N": [NAN] * 3, "Wind_E": [-9999.0] * 3}
    np.testing.assert_array_equal(open_small(**empty, Wind=[1, 2, 3])["wind_speed"], [1, 2, 3])


def test_precipitation_with_and_without_snow(open_small):
    rain = [0.0, 1e-3, 2e-3]
    none = open_small(Rainf=rain, Snowf=[NAN] * 3)["precipitation"]
    some = open_small(Rainf=rain, Snowf=[1e-3, 0, NAN])["precipitation"]
    np.testing.assert_allclose(none, rain, rtol=1e-6)
    np.testing.assert_allclose(some, [1e-3, 1e-3, NAN], rtol=1e-6)
    np.testing.assert_array_equal(open_small(Rainf=rain)["precipitation"], none)
    empty = open_small(Rainf=rain, Snowf=[-9999.0] * 3)["precipitation"]
    np.testing.assert_array_equal(empty, none)


def test_only_observed_values_are_accepted_by_default(open_small):
    columns = {"Tair": [290, 291, NAN], "flags": {"Tair": [0, 2, 3]}}
    strict = open_small(**columns)["air_temperature"]
    np.testing.assert_array_equal(strict, [290, NAN, NAN])
    assert (strict.attrs["n_rejected_by_qc"], strict.attrs["n_missing"]) == (1, 1)
    filled = open_small(**columns, accept=(0, 1, 2))["air_temperature"]
    np.testing.assert_array_equal(filled, [290, 291, NAN])


def test_turbulent_heat_flux(open_small):
    data = open_small(Qh=[1, 2, 3], Qle=[10, NAN, 30])
    np.testing.assert_array_equal(data["turbulent_heat_flux"], [11, NAN, 33])
    assert "turbulent_heat_flux" not in open_small(Qh=[1, 2, 3])


@pytest.mark.parametrize(
    ("depth", "name"), [("0.02 m", "0.02m"), ("5 cm", "0.05m"), ("0.1", "0.10m")]
)
def test_soil_temperature_is_named_by_its_depth(open_small, depth, name):
    data = open_small(SoilTemp=[290, 291, 292], depth=depth)
    assert list(data.data_vars) == [f"soil_temperature_{name}"]


@pytest.mark.parametrize("depth", [None, "shallow"])
def test_soil_temperature_without_depth(open_small, depth):
    with pytest.raises(InputError, match=r"depth of SoilTemp of tower\.nc.*as a table"):
        open_small(SoilTemp=[290, 291, 292], depth=depth)


def test_other_clock_other_format_and_no_time(open_small, tmp_path):
    with pytest.raises(InputError, match=r"times in UTC.*time_shown_in = 'local'"):
        open_small(SWdown=[0, 1, 2], attrs={"time_shown_in": "local"})
    with pytest.raises(InputError, match=r"Urban-PLUMBER variables such as SWdown.*Got variables"):
        open_small(Other=[0, 1, 2])
    xr.Dataset({"SWdown": ("t", [1.0])}).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match=r"a variable time in b\.nc"):
        open_source(Source(tmp_path / "b.nc", "urban-plumber"))
    with pytest.raises(InputError, match=r"a data file c\.nc"):
        open_source(Source(tmp_path / "c.nc", "urban-plumber"))


def test_celsius_in_a_kelvin_variable(open_small):
    with pytest.raises(InputError, match=r"Tair of tower\.nc.*look like degrees Celsius"):
        open_small(Tair=[20, 21, 22])
