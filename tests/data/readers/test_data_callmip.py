"""Daily fluxes of CalLMIP: small files with every trap of the published ones, and those."""

import h5netcdf
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import netcdf_file

from caliche.data import Fluxnet, Source, open_source
from caliche.data.assemble import open_netcdf
from caliche.data.callmip_flux import LATENT, NEE, SENSIBLE, find_fluxes, read_daily_fluxes
from caliche.data.callmip_sites import callmip_site, callmip_sites
from caliche.data.raw_netcdf import RawVariable, dates, read_raw
from caliche.errors import InputError
from caliche.models import LaD
from caliche.observations import Stream, make_operator

DAYS = 3


@pytest.fixture
def daily(tmp_path):
    """Writes a file as they are published: three days, filled with 1e20 in single precision."""

    def write(
        units="seconds since 2012-02-28 00:00:00", step=86400.0, site="US-Whs", axes=(), **changed
    ):
        path = tmp_path / f"{site}_daily_aggregated_2012-2012_FLUXNET2015_Flux.nc"
        with netcdf_file(str(path), "w") as file:
            for name, size in (("time", DAYS), ("y", 1), ("x", 1)):
                file.createDimension(name, size)
            time = file.createVariable("time", "d", ("time",))
            time[:], time.units, time.calendar = np.arange(DAYS) * step, units, "standard"
            for name, dim, value in (("latitude", "y", 31.74), ("longitude", "x", -110.05)):
                file.createVariable(name, "d", (dim,))[:] = value
            columns = {
                "NEE_daily": [1.0, -2.0, 1e20],
                "NEE_uc_daily": [0.1, 0.2, 1e20],
                "Qle_daily": [10.0, 20.0, 30.0],
                "Qle_uc_daily": [1.0, 1e20, 3.0],
                "Qh_daily": [40.0, 1e20, 60.0],
                "Qh_uc_daily": [4.0, 1e20, 6.0],
            }
            for name, values in (columns | changed).items():
                variable = file.createVariable(name, "f", ("time", *axes))
                variable[:] = np.array(values, "f4").reshape((DAYS, *(1 for _ in axes)))
                variable.units = "gC/m2/d" if name.startswith("NEE") else "W/m2"
                variable._FillValue = np.float32(1e20)
                if name == "Qle_uc_daily":
                    variable.Fluxnet_name = "LE_CORR_JOINTUNC"
            file.site_code = site
            file.processing_description = "Uncertainties: root sum of squares."
        return path

    return write


@pytest.mark.parametrize("axes", [(), ("y", "x"), ("x",)])
def test_values_fills_and_what_has_no_uncertainty(daily, axes):
    fluxes = read_daily_fluxes(daily(axes=axes))
    assert (fluxes.site, fluxes.latitude, fluxes.longitude) == ("US-Whs", 31.74, -110.05)
    np.testing.assert_array_equal(
        fluxes.days, np.array(["2012-02-28", "2012-02-29", "2012-03-01"], "datetime64[D]")
    )
    np.testing.assert_allclose(fluxes.values[NEE], [1.0, -2.0, np.nan])
    np.testing.assert_allclose(fluxes.values[LATENT], [10.0, np.nan, 30.0])
    np.testing.assert_allclose(fluxes.sigma[LATENT], [1.0, np.nan, 3.0])
    assert [fluxes.valid(flux) for flux in (NEE, LATENT, SENSIBLE)] == [2, 2, 2]


def test_what_the_file_does_not_say_is_said(daily):
    notes = read_daily_fluxes(daily()).notes
    assert any("corrected for energy closure (LE_CORR_JOINTUNC)" in n for n in notes[LATENT])
    assert any("and without an uncertainty" in n for n in notes[LATENT])
    assert not any("corrected" in n for n in notes[SENSIBLE])
    assert any("independent" in n for n in notes[SENSIBLE])
    assert any("positive upwards" in n for n in notes[NEE])


def test_as_observations_a_day_stands_at_its_end_in_utc(daily):
    data = open_source(Source(daily(), "callmip"))
    assert data["time"].values[0] == np.datetime64("2012-02-29T07:00")  # midnight at UTC-7
    assert data.attrs["time_step"] == 86400.0
    np.testing.assert_allclose(data["latent_heat_flux_sigma"], [1.0, np.nan, 3.0])
    alone = open_source(Source(daily(), "callmip", variables=("latent_heat_flux",)))
    assert "sensible_heat_flux" not in alone
    assert "latent_heat_flux_sigma" in alone


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"units": "seconds since 2012-02-28 12:00:00"}, "start of every local day"),
        ({"step": 1800.0}, "start of every local day"),
        ({"units": "fortnights since 2012-02-28"}, "time units"),
        ({"site": "US-Xxx"}, "tower of CalLMIP"),
    ],
)
def test_what_cannot_be_is_refused(daily, changed, word):
    with pytest.raises(InputError, match=word):
        open_source(Source(daily(**changed), "callmip"))


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"DK-Sor_daily_aggregated_\*_Flux.nc.*callmip-org"):
        find_fluxes("DK-Sor", tmp_path)


def test_a_calendar_without_leap_days_is_refused():
    variable = RawVariable(
        ("time",), np.arange(3.0), {"units": "days since 2000-01-01", "calendar": "noleap"}
    )
    with pytest.raises(InputError, match="leap years"):
        dates(variable, "a.nc")


def test_the_table_of_towers():
    sites = callmip_sites()
    roles = [site.role for site in sites.values()]
    assert (roles.count("calibration"), roles.count("validation")) == (21, 10)
    assert callmip_site("AU-How").role == "validation"
    assert callmip_site("US-Var").role == "calibration"
    assert [c for c, s in sites.items() if s.hourly] == ["US-MMS", "AU-Tum", "US-Ha1", "US-UMB"]
    assert len(callmip_site("DK-Sor").days) == 6574
    for site in sites.values():  # a zone keeps its clock within two hours of the sun
        assert abs(site.utc_offset - site.longitude / 15.0) < 1.5, site.code
    other = {c for c, s in sites.items() if s.utc_offset != round(s.longitude / 15.0)}
    assert {"FR-Pue", "NL-Loo", "RU-Fyo", "US-MMS"} <= other
    with pytest.raises(InputError, match="DK-Sor"):
        callmip_site("DK-Sorr")


@pytest.mark.parametrize("layout", ["classic", "netCDF-4"])
def test_a_scalar_named_like_a_dimension_does_not_stop_a_reader(tmp_path, layout):
    path = tmp_path / "a.nc"
    units, latent = "days since 1996-12-31 00:00", np.array([[1.0], [2.0]])
    if layout == "classic":
        with netcdf_file(str(path), "w") as file:
            for name, size in (("time", 2), ("lat", 1)):
                file.createDimension(name, size)
            time = file.createVariable("time", "d", ("time",))
            time[:], time.units = [1.0, 2.0], units
            file.createVariable("lat", "d", ()).data[()] = 55.5
            file.createVariable("hfls", "d", ("time", "lat"))[:] = latent
    else:
        with h5netcdf.File(path, "w") as file:
            file.dimensions = {"time": 2, "lat": 1}
            time = file.create_variable("time", ("time",), data=np.array([1.0, 2.0]))
            time.attrs["units"] = units
            file.create_variable("lat", (), data=np.array(55.5))
            file.create_variable("hfls", ("time", "lat"), data=latent)
    data = open_netcdf(path)
    assert data.attrs["lat"] == 55.5
    np.testing.assert_allclose(data["hfls"].values[:, 0], [1.0, 2.0])
    raw = read_raw(path)
    assert raw.sizes == {"time": 2, "lat": 1}
    assert raw.variables["lat"].dims == ()
    assert dates(raw.variables["time"], "a")[0] == np.datetime64("1997-01-01")


def test_published_files_and_the_template(data_root):
    folder = data_root / "callmip"
    fluxes = read_daily_fluxes(find_fluxes("DK-Sor", folder))
    np.testing.assert_array_equal(fluxes.days, callmip_site("DK-Sor").days)
    assert [fluxes.valid(flux) for flux in (NEE, LATENT, SENSIBLE)] == [3051, 3126, 3267]
    assert np.nanmin(fluxes.values[NEE]) == pytest.approx(-11.5, abs=0.05)
    assert np.nanmax(fluxes.values[NEE]) == pytest.approx(5.8, abs=0.05)
    template = open_netcdf(folder / "CLASSIC.v2_Phase1b_Scen1_DK-Sor_Cal_Prior.nc")
    assert template.attrs["lat"] == 55.4849
    assert template.sizes["time"] == 6574


def test_daily_means_of_half_hours_are_those_of_the_protocol(data_root):
    """Puechabon's half hours through the operator: to the digit with the right stamp alone."""
    path = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    tower = open_source(Source(path, "fluxnet", fluxnet=Fluxnet(1.0), accept_qc=(0, 1, 2, 3)))
    given = open_source(Source(find_fluxes("FR-Pue", data_root / "callmip"), "callmip"))
    given = given["latent_heat_flux"].sel(time=slice("2014", None)).dropna("time")
    operator = make_operator(LaD(1800.0), [Stream("latent_heat_flux", 48)])
    flux = tower["latent_heat_flux"]
    # The file lacks the first half hour of the year.
    series = jnp.asarray(np.append(flux.values[:47].mean(), flux.values))
    mean = np.asarray(operator.finish((jnp.zeros(()),), (series,), {}))[2:, 0]
    right = flux.copy(data=mean).sel(time=given["time"])
    wrong = flux.copy(data=np.append(mean[1:], np.nan)).sel(time=given["time"])  # stamped at ends
    assert given.size == 13
    off = np.abs(right - given).values
    assert np.median(off) < 1e-6
    assert off.max() < 0.02
    assert np.median(np.abs(wrong - given)) > 0.02
