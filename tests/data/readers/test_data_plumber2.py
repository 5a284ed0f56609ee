"""The PLUMBER2 reader on small files of its format, and daily fluxes made of such files."""

import numpy as np
import pytest
import xarray as xr

from caliche.data import Column, Fluxnet, Source, TimeAxis, open_source, select_window
from caliche.errors import InputError

UNITS = {
    "SWdown": "W/m2",
    "LWdown": "W/m2",
    "Tair": "K",
    "Qair": "kg/kg",
    "Psurf": "Pa",
    "Precip": "mm/s",
    "Wind": "m/s",
    "Qle": "W/m2",
    "Qle_cor": "W/m2",
    "Qle_cor_uc": "W/m2",
    "Qh": "W/m2",
    "Qg": "W/m2",
}


@pytest.fixture
def open_small(tmp_path):
    """Writes three half hours of the given variables and reads them back."""

    def make(flags=None, accept=(0,), stamp="start", utc_offset=1.0, options=None, **columns):
        time = np.datetime64("2014-01-01T00:00", "ns") + np.arange(3) * np.timedelta64(30, "m")
        data = xr.Dataset(
            coords={"time": time, "latitude": ("y", [43.7]), "longitude": ("x", [3.6])},
            attrs={"site_code": "FR-Pue"},
        )
        for name, values in columns.items():
            shaped = np.array(values, dtype="float32")[:, None, None]
            data[name] = (("time", "y", "x"), shaped, {"units": UNITS.get(name, "W/m2")})
        for name, values in (flags or {}).items():
            data[f"{name}_qc"] = (("time", "y", "x"), np.array(values, "int8")[:, None, None])
        path = tmp_path / "FR-Pue_2014-2014_FLUXNET2015_Flux.nc"
        data.to_netcdf(path)
        about = Fluxnet(utc_offset, stamp=stamp, **(options or {}))
        return open_source(Source(path, "plumber2", accept_qc=accept, fluxnet=about))

    return make


def test_names_units_and_times(open_small):
    data = open_small(
        SWdown=[0, 1, 2],
        LWdown=[300, 301, 302],
        Tair=[280, 281, 282],
        Qair=[0.004] * 3,
        Psurf=[9.8e4] * 3,
        Precip=[1e-4, 0, 0],
        Wind=[1, 2, 3],
    )
    assert data.attrs == {
        "site": "FR-Pue",
        "utc_offset": 1.0,
        "time_step": 1800.0,
        "latitude": 43.7,
        "longitude": 3.6,
    }
    assert data["time"].values[0] == np.datetime64("2013-12-31T23:30")  # end, UTC
    np.testing.assert_allclose(data["precipitation"], [1e-4, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(data["air_pressure"], 9.8e4)
    assert len(data.data_vars) == 7
    later = open_small(SWdown=[0, 1, 2], stamp="end")
    assert later["time"].values[0] == np.datetime64("2013-12-31T23:00")


def test_measured_or_corrected_fluxes(open_small):
    columns = {
        "Qle": [20, 30, 40],
        "Qle_cor": [25, 35, 45],
        "Qle_cor_uc": [5, 6, 7],
        "Qh": [50, 60, 70],
        "Qg": [1, 2, 3],
    }
    flags = {"Qle": [0, 1, 0]}
    measured = open_small(flags, options={"plate_depth": 0.05}, **columns)
    np.testing.assert_allclose(measured["latent_heat_flux"], [20, np.nan, 40])
    np.testing.assert_allclose(measured["ground_heat_flux_0.05m"], [1, 2, 3])
    assert "latent_heat_flux_sigma" not in measured
    with pytest.raises(InputError, match="Qh_cor"):
        open_small(flags, options={"fluxes": "corrected"}, **columns)
    del columns["Qh"]
    corrected = open_small(flags, options={"fluxes": "corrected"}, **columns)
    np.testing.assert_allclose(corrected["latent_heat_flux"], [25, np.nan, 45])
    np.testing.assert_allclose(corrected["latent_heat_flux_sigma"], [5, np.nan, 7])


def test_filled_weather_may_drive(open_small):
    columns = {"Tair": [280, 281, 282], "Qle": [20, 30, 40]}
    flags = {"Tair": [0, 4, 5], "Qle": [0, 1, 0]}
    data = open_small(flags, options={"accept_forcing": [0, 1, 2, 3, 4, 5]}, **columns)
    np.testing.assert_allclose(data["air_temperature"], [280, 281, 282])
    assert np.isnan(float(data["latent_heat_flux"][1]))


@pytest.mark.parametrize(
    ("options", "word"),
    [({"stamp": None}, "stamp"), ({"utc_offset": None}, "utc_offset"), ({"stamp": "noon"}, "end")],
)
def test_the_clock_is_declared(open_small, options, word):
    with pytest.raises(InputError, match=word):
        open_small(SWdown=[0, 1, 2], **options)


def test_what_cannot_be_is_refused(open_small, tmp_path):
    with pytest.raises(InputError, match=r"PLUMBER2 variables such as SWdown"):
        open_small(GPP=[0, 1, 2])
    with pytest.raises(InputError, match="no stamp with format = 'fluxnet'"):
        Source(tmp_path / "a.csv", "fluxnet", fluxnet=Fluxnet(1.0, stamp="end"))
    with pytest.raises(InputError, match="'plumber2' without them"):
        Source(tmp_path / "a.nc", "plumber2")


def test_callmip_daily_fluxes_with_their_uncertainty(data_root):
    """As a table: one column of values and one of their errors."""
    path = data_root / "callmip" / "US-Whs_daily_aggregated_2008-2014_FLUXNET2015_Flux.nc"
    columns = {
        "latent_heat_flux": Column("Qle_daily"),
        "latent_heat_flux_sigma": Column("Qle_uc_daily"),
    }
    data = open_source(Source(path, "table", TimeAxis("time", "start", -7.0), columns))
    start = np.datetime64("2014-01-01T07:00")
    names = list(columns)
    got = select_window(data, start, start + np.timedelta64(365, "D"), 86400.0, [], names)
    assert 150 < got["latent_heat_flux"].attrs["n_valid"] < 365
    both = np.isfinite(got["latent_heat_flux"]) & np.isfinite(got[names[1]])
    assert int(both.sum()) > 150
    assert 0.1 < float(got[names[1]].median()) < 20.0
