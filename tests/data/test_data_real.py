"""The real files that CALICHE_DATA names, against what their READMEs say."""

import numpy as np
import pytest

from caliche.data import (
    Column,
    Source,
    TimeAxis,
    derive_surface_temperature,
    list_data,
    merge_sources,
    open_source,
    select_window,
)
from caliche.errors import InputError
from caliche.variables import FORCING

START = np.datetime64("2012-05-01T07:00")
END = START + np.timedelta64(200, "h")
PHOENIX = "us-westphoenix-2012"


@pytest.fixture
def phoenix(data_root):
    path = data_root / PHOENIX / "US-WestPhoenix_clean_observations_v1.nc"
    return open_source(Source(path, "urban-plumber"))


def digitised(data_root, accept):
    columns = {
        f"soil_temperature_0.{cm}m": Column(
            f"soil_temperature_0{cm}cm_K", "K", f"qc_0{cm}cm", accept
        )
        for cm in ("05", "15")
    }
    path = data_root / PHOENIX / "soil_temperature_5cm_15cm_digitised.csv"
    return open_source(Source(path, "table", TimeAxis("time_utc", "end", 0.0), columns))


def test_phoenix_record(phoenix):
    assert phoenix.attrs == {"site": "US-WestPhoenix", "utc_offset": -7.0, "time_step": 1800.0}
    assert phoenix["time"].values[0] == np.datetime64("2011-12-16T18:30")
    assert phoenix.sizes["time"] == 18313
    missing = {
        "incoming_shortwave": 1.6,
        "incoming_longwave": 1.3,
        "air_temperature": 3,
        "specific_humidity": 22,
        "outgoing_shortwave": 47,
        "sensible_heat_flux": 22,
        "latent_heat_flux": 23,
        "soil_temperature_0.02m": 26,
    }
    for name, percent in missing.items():
        assert 100 * float(phoenix[name].isnull().mean()) == pytest.approx(percent, abs=0.6)
    # Snowf is all missing and must not take the rain with it.
    assert float(phoenix["precipitation"].isnull().mean()) < 0.02


@pytest.mark.parametrize("step", [600, 1800, 3600])
def test_phoenix_window(phoenix, step):
    data = derive_surface_temperature(phoenix, 0.95, True)
    complete = [
        "outgoing_longwave",
        "sensible_heat_flux",
        "soil_temperature_0.02m",
        "surface_temperature",
    ]
    got = select_window(data, START, END, step, FORCING, [*complete, "latent_heat_flux"])
    assert got.sizes["time"] == 200 * 3600 // step + 1
    assert got["time"].values[-1] == END
    for name in FORCING:
        assert np.isfinite(got[name].values[1:]).all()
    for name in complete:
        assert got[name].attrs["n_valid"] == min(400, 200 * 3600 // step)
    assert got["latent_heat_flux"].attrs["n_missing"] == 1
    assert got["latent_heat_flux"].attrs["n_valid"] == min(400, 200 * 3600 // step) - 1
    # Solar noon at 112 W is near 19:30 UTC: stamps are UTC.
    sun = got["incoming_shortwave"].groupby("time.hour").mean()
    assert int(sun.idxmax()) in (19, 20)


def test_phoenix_masks_outgoing_shortwave_at_night(phoenix):
    got = select_window(phoenix, START, END, 1800, FORCING, ["outgoing_shortwave"])
    masked = got["outgoing_shortwave"].isnull()
    assert int(masked.sum()) > 100
    assert (got["incoming_shortwave"].where(masked, drop=True) == 0).all()


def test_phoenix_forcing_has_gaps_elsewhere(phoenix):
    with pytest.raises(InputError, match="at every step of the window"):
        select_window(phoenix, np.datetime64("2012-01-01"), END, 1800, FORCING, [])
    with pytest.raises(InputError, match="2011-12-16T18:00Z to 2013-01-01T06:30Z"):
        select_window(phoenix, START, np.datetime64("2014-01-01"), 1800, FORCING, [])


@pytest.mark.parametrize(("accept", "rejected"), [((0,), True), ((0, 1), False)])
def test_digitised_soil_temperature_beside_the_tower(phoenix, data_root, accept, rejected):
    data = merge_sources([phoenix, digitised(data_root, accept)])
    streams = ["soil_temperature_0.02m", "soil_temperature_0.05m", "soil_temperature_0.15m"]
    got = select_window(data, START, END, 1800, FORCING, streams)
    assert got["soil_temperature_0.02m"].attrs["n_valid"] == 400
    for name in streams[1:]:
        # 151 hourly samples from the first time of the window, which is row 0
        about = got[name].attrs
        assert about["n_valid"] + about["n_rejected_by_qc"] == 150
        assert (about["n_rejected_by_qc"] > 0) is rejected
        assert np.isnan(got[name].values[1::2]).all()
    last = got["soil_temperature_0.05m"].sel(time="2012-05-07T13:00")
    assert float(last) == 299.64


def test_bondville(data_root):
    depths = (2, 4, 8, 16, 32, 64)
    columns = {
        f"soil_temperature_{d / 100:.2f}m": Column(f"Tsoil_{d:03d}cm_K", "K") for d in depths
    }
    soil = list(columns)
    columns |= {
        "incoming_shortwave": Column("SWdown_Wm2", "W m-2"),
        "incoming_longwave": Column("LWdown_Wm2", "W m-2"),
        "air_temperature": Column("Tair_K", "K"),
        "specific_humidity": Column("Qair_kgkg", "kg kg-1"),
        "air_pressure": Column("PSurf_Pa", "Pa"),
        "wind_speed": Column("Wind10m_ms", "m s-1"),
        "precipitation": Column("Rainf_kgm2s", "kg m-2 s-1"),
        "sensible_heat_flux": Column("Qh_Wm2", "W m-2"),
    }
    path = data_root / "us-bo1-1998" / "US-Bo1_1998_tidy.csv"
    source = Source(path, "table", TimeAxis("time_end_LST", "end", -6.0), columns, site="US-Bo1")
    data = open_source(source)
    assert data["time"].values[0] == np.datetime64("1998-01-01T06:30")
    assert data["time"].values[-1] == np.datetime64("1999-01-01T06:00")
    start, end = np.datetime64("1998-08-05T06:00"), np.datetime64("1998-10-31T06:00")
    got = select_window(data, start, end, 1800, FORCING, [*soil, "sensible_heat_flux"])
    assert got.sizes["time"] == 87 * 48 + 1
    for name in soil:
        assert got[name].attrs["n_valid"] == 87 * 48
    # The daily wave weakens with depth in this window: the columns are in order.
    spread = [float(got[name].std()) for name in soil]
    assert spread == sorted(spread, reverse=True)
    assert 0 < got["sensible_heat_flux"].attrs["n_missing"] < 100


def test_fluxnet_subset(data_root):
    columns = {
        "air_temperature": Column("TA_F", "degC"),
        "air_pressure": Column("PA_F", "kPa"),
        "precipitation": Column("P_F", "mm"),
        "sensible_heat_flux": Column("H_F_MDS", "W m-2", "H_F_MDS_QC"),
    }
    path = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    starts = open_source(Source(path, "table", TimeAxis("TIMESTAMP_START", "start", 1.0), columns))
    ends = open_source(Source(path, "table", TimeAxis("TIMESTAMP_END", "end", 1.0), columns))
    np.testing.assert_array_equal(starts["time"], ends["time"])
    assert starts["time"].values[0] == np.datetime64("2014-01-01T00:00")
    assert 280 < float(starts["air_temperature"].mean()) < 293
    assert starts["sensible_heat_flux"].attrs["n_rejected_by_qc"] > 0
    yearly = float(starts["precipitation"].sum()) * 1800  # kg m-2
    assert 500 < yearly < 2000


def test_list_of_real_data(data_root, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(data_root))
    rows = {row.name: row for row in list_data()}
    assert rows[PHOENIX].title.startswith("US-WestPhoenix")
    assert "US-Bo1_1998_tidy.csv" in rows["us-bo1-1998"].files
