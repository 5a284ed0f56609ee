"""The FLUXNET reader: names, units, flags and times, on small files and the real ones."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.data import Fluxnet, Source, merge_sources, open_source, select_window
from caliche.data.humidity import saturation_vapour_pressure, vapour_pressure
from caliche.data.readers.fluxnet import soil_columns
from caliche.errors import InputError
from caliche.variables import FORCING

ROWS = 4
COLUMNS = {
    "TA_F": [10.0, 11.0, -9999, 13.0],
    "TA_F_QC": [0, 0, 0, 2],
    "SW_IN_F": [0.0, 100.0, 200.0, 300.0],
    "SW_IN_F_QC": [0, 0, 0, 0],
    "VPD_F": [5.0, 5.0, 5.0, 5.0],
    "VPD_F_QC": [0, 0, 0, 0],
    "PA_F": [98.0, 98.0, 98.0, 98.0],
    "PA_F_QC": [0, 0, 0, 0],
    "P_F": [0.9, 0.0, 0.0, 0.0],
    "P_F_QC": [0, 0, 0, 0],
    "H_F_MDS": [50.0, 60.0, 70.0, 80.0],
    "H_F_MDS_QC": [0, 1, 0, 3],
    "LE_F_MDS": [20.0, 30.0, 40.0, 50.0],
    "LE_F_MDS_QC": [0, 0, 0, 0],
    "H_CORR": [55.0, 66.0, -9999, 88.0],
    "LE_CORR": [22.0, 33.0, 44.0, 55.0],
    "H_RANDUNC": [7.0, 8.0, 9.0, 10.0],
    "LE_RANDUNC": [-9999, 3.0, 0.0, 4.0],
    "TS_F_MDS_1": [12.0, 12.1, 12.2, 12.3],
    "TS_F_MDS_1_QC": [0, 0, 0, 0],
    "TS_F_MDS_2": [14.0, 14.0, 14.0, 14.0],
    "TS_F_MDS_2_QC": [0, 0, 0, 0],
    "G_F_MDS": [1.0, 2.0, 3.0, 4.0],
    "G_F_MDS_QC": [0, 0, 0, 0],
    "NETRAD": [-20.0, 80.0, 180.0, 280.0],
    "GPP_NT_VUT_REF": ["nonsense"] * 4,  # a column of no use here is not even parsed
}
START = [f"2014010100{m:02d}" for m in (0, 30)] + ["201401010100", "201401010130"]
END = [*START[1:], "201401010200"]


@pytest.fixture
def write(tmp_path):
    def write(columns=None, name="FLX_XX-Tow_FLUXNET2015_FULLSET_HH_2014.csv", **times):
        columns = {
            **(times or {"TIMESTAMP_START": START, "TIMESTAMP_END": END}),
            **(COLUMNS if columns is None else columns),
        }
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def read(path, accept_qc=(0,), **options):
    options.setdefault("utc_offset", 1.0)
    return open_source(Source(path, "fluxnet", accept_qc=accept_qc, fluxnet=Fluxnet(**options)))


def test_names_units_and_times(write):
    got = read(write(), soil_depths=[0.02, 0.1], plate_depth=0.05, longitude=3.6)
    assert got.attrs == {"site": "XX-Tow", "utc_offset": 1.0, "longitude": 3.6, "time_step": 1800.0}
    assert got["time"].values[0] == np.datetime64("2013-12-31T23:30")  # end, UTC
    np.testing.assert_allclose(got["air_temperature"], [283.15, 284.15, np.nan, np.nan])
    np.testing.assert_allclose(got["air_pressure"], 9.8e4)
    assert float(got["precipitation"][0]) == pytest.approx(0.9 / 1800.0)
    np.testing.assert_allclose(
        got["soil_temperature_0.02m"], np.array([12, 12.1, 12.2, 12.3]) + 273.15
    )
    assert float(got["soil_temperature_0.10m"][0]) == pytest.approx(287.15)
    np.testing.assert_allclose(got["ground_heat_flux_0.05m"], [1, 2, 3, 4])
    assert "incoming_longwave" not in got


def test_only_measured_fluxes_by_default_and_their_own_uncertainty(write):
    got = read(write())
    np.testing.assert_allclose(got["sensible_heat_flux"], [50, np.nan, 70, np.nan])
    assert got["sensible_heat_flux"].attrs["n_rejected_by_qc"] == 2
    np.testing.assert_allclose(got["sensible_heat_flux_sigma"], [7, np.nan, 9, np.nan])
    np.testing.assert_allclose(got["latent_heat_flux_sigma"], [np.nan, 3, np.nan, 4])
    np.testing.assert_allclose(got["turbulent_heat_flux"], [70, np.nan, 110, np.nan])


def test_filled_weather_can_drive_while_fluxes_stay_measured(write):
    got = read(write(), accept_forcing=[0, 1, 2])
    assert float(got["air_temperature"][3]) == pytest.approx(286.15)
    assert np.isnan(float(got["sensible_heat_flux"][3]))


def test_corrected_fluxes_take_the_flags_of_the_measured(write):
    got = read(write(), fluxes="corrected")
    np.testing.assert_allclose(got["sensible_heat_flux"], [55, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(got["latent_heat_flux"], [22, 33, 44, 55])
    assert got["sensible_heat_flux"].attrs["column"] == "H_CORR"
    without = {k: v for k, v in COLUMNS.items() if k != "H_CORR"}
    with pytest.raises(InputError, match="H_CORR"):
        read(write(without), fluxes="corrected")


@pytest.mark.parametrize("name", ["VPD_F", "RH", "eair"])
def test_humidity_from_whatever_the_file_has(write, name):
    saturated = saturation_vapour_pressure(np.array([283.15, 284.15]))
    values = {"VPD_F": [5.0] * 4, "RH": [60.0] * 4, "eair": [0.9] * 4}[name]
    columns = {k: v for k, v in COLUMNS.items() if not k.startswith("VPD")} | {name: values}
    got = read(write(columns))["specific_humidity"].values
    expected = {"VPD_F": saturated - 500.0, "RH": 0.6 * saturated, "eair": np.full(2, 900.0)}[name]
    np.testing.assert_allclose(vapour_pressure(got[:2], np.array(9.8e4)), expected, rtol=1e-12)
    assert np.isnan(got[2:]).all() == (name != "eair")  # the others need the temperature


def test_base_names_with_positions(write):
    columns = {
        "TA_1_2_1": [9.0] * 4,
        "TA_1_1_1": [10.0] * 4,
        "H_1_1_1": [50.0] * 4,
        "TS_1_2_1": [13.0] * 4,
        "TS_1_1_1": [12.0] * 4,
        "TS_2_1_1": [99.0] * 4,
        "TS_1_1_2": [98.0] * 4,
    }
    got = read(write(columns, "AMF_US-Wkg_BASE_HH_1-5.csv"), soil_depths=[0.05, 0.15])
    assert got.attrs["site"] == "US-Wkg"
    assert float(got["air_temperature"][0]) == pytest.approx(283.15)
    assert float(got["soil_temperature_0.05m"][0]) == pytest.approx(285.15)
    assert float(got["soil_temperature_0.15m"][0]) == pytest.approx(286.15)
    assert "quality" not in got["sensible_heat_flux"].attrs


def test_soil_columns_run_downwards():
    assert soil_columns(["TS_F_MDS_10", "TS_F_MDS_2", "TS_F_MDS_2_QC", "TS_1_1_1"]) == [
        "TS_F_MDS_2",
        "TS_F_MDS_10",
    ]
    assert soil_columns(["TS_2", "TS_1", "TA"]) == ["TS_1", "TS_2"]
    assert soil_columns(["TA"]) == []


def test_values_that_may_be_filled_unseen_say_so(write):
    columns = {k: v for k, v in COLUMNS.items() if k != "H_F_MDS_QC"}
    got = read(write(columns))
    assert "look alike" in got["sensible_heat_flux"].attrs["quality"]
    assert "quality" not in got["latent_heat_flux"].attrs


def test_one_stamp_column_is_enough(write):
    by_start = read(write(TIMESTAMP_START=START))
    by_end = read(write(TIMESTAMP_END=END))
    np.testing.assert_array_equal(by_start["time"], by_end["time"])


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ({"TIMESTAMP_START": END, "TIMESTAMP_END": END}, "one interval before"),
        ({"TIME": END}, "neither"),
        ({"TIMESTAMP": END}, "follow one another"),  # of days, which these are not
        ({"TIMESTAMP": ["20140101", "20140102", "20140103", "20140105"]}, "follow one another"),
        (
            {
                "TIMESTAMP_START": ["20140101", "20140201", "20140301", "20140401"],
                "TIMESTAMP_END": ["20140131", "20140228", "20140331", "20140430"],
            },
            "half hours, hours, days or weeks",
        ),
    ],
)
def test_times_that_cannot_be(write, times, word):
    with pytest.raises(InputError, match=word):
        read(write(**times))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"utc_offset": None}, "utc_offset"),
        ({"fluxes": "filled"}, "measured"),
        ({"soil_depths": [-0.1]}, "depths"),
        ({"soil_depths": [0.1, 0.2, 0.3]}, "3 depths for 2"),
        ({"longitude": 400.0}, "longitude"),
    ],
)
def test_options_that_cannot_be(write, options, word):
    with pytest.raises(InputError, match=word):
        read(write(), **options)


def test_a_file_with_nothing_known_is_refused(write):
    with pytest.raises(InputError, match="FLUXNET columns"):
        read(write({"CO2": [400.0] * 4}))


def test_options_belong_to_the_format(write):
    with pytest.raises(InputError, match="Fluxnet"):
        Source(write(), "fluxnet")
    with pytest.raises(InputError, match="Fluxnet"):
        Source(write(), "urban-plumber", fluxnet=Fluxnet(0.0))


def test_puechabon(data_root):
    path = data_root / "fr-pue-2014" / "FR-Pue_2014_FLUXNET2015_subset.csv"
    got = read(path, soil_depths=[0.05], longitude=3.5957)
    assert got.attrs["site"] == "FR-Pue"
    assert got["time"].values[0] == np.datetime64("2014-01-01T00:00")
    assert got.sizes["time"] == 17519
    assert 100.0 * float(got["sensible_heat_flux"].isnull().mean()) == pytest.approx(30.6, abs=0.1)
    assert 100.0 * float(got["wind_speed"].isnull().mean()) == pytest.approx(3.8, abs=0.1)
    everything = read(path, accept_qc=[0, 1, 2, 3])
    assert float(everything["sensible_heat_flux"].mean()) == pytest.approx(25.15, abs=0.01)
    assert float(everything["air_temperature"].mean()) == pytest.approx(14.66 + 273.15, abs=0.01)


DAYS = {
    "TA_F": [10.0, 12.0, -9999],
    "TA_F_QC": [0.1, 1, 0],
    "PA_F": [85.0] * 3,
    "VPD_F": [5.0] * 3,
    "P_F": [0.864, 0.0, 8.64],
    "LE_F_MDS": [20.0, 40.0, 60.0],
    "LE_F_MDS_QC": [1.0, 0.4, 0.9],
    "SWC_F_MDS_1": [8.0, 9.0, 12.0],
}
WEEKS = {
    "TIMESTAMP_START": ["20141210", "20141217", "20141224"],
    "TIMESTAMP_END": ["20141216", "20141223", "20141231"],
}


def test_weeks_drive_days_and_are_observed_at_their_end(write):
    path = write(DAYS, "AMF_US-Wkg_FLUXNET_FULLSET_WW_2014-2014_3-5.csv", **WEEKS)
    got = read(path, utc_offset=-7.0, moisture_depths=[0.05])
    assert got.attrs["time_step"] == 86400.0
    assert got["time"].values[0] == np.datetime64("2014-12-11T07:00")  # end of the day, UTC
    assert got.sizes["time"] == 22
    np.testing.assert_allclose(got["air_temperature"], [283.15] * 7 + [285.15] * 7 + [np.nan] * 8)
    np.testing.assert_allclose(got["precipitation"], [1e-5] * 7 + [0.0] * 7 + [1e-4] * 8)
    evaporation = got["latent_heat_flux"]
    # the second week was measured too little, the third has eight days
    assert np.flatnonzero(np.isfinite(evaporation)).tolist() == [6]
    assert float(evaporation[6]) == 20.0
    assert evaporation.attrs["mean_over"] == 7 * 86400.0
    moisture = got["soil_moisture_0.05m"]
    np.testing.assert_allclose(moisture[[6, 13]], [0.08, 0.09])  # per cent in the file
    assert "mean_over" not in got["air_temperature"].attrs
    filled = read(path, utc_offset=-7.0, least_measured=0.3)["latent_heat_flux"]
    assert np.flatnonzero(np.isfinite(filled)).tolist() == [6, 13]


def test_days(write):
    path = write(DAYS, TIMESTAMP=["20141210", "20141211", "20141212"])
    got = read(path, utc_offset=0.0)
    np.testing.assert_allclose(got["latent_heat_flux"], [20.0, np.nan, 60.0])
    assert got["latent_heat_flux"].attrs["mean_over"] == 86400.0


def test_moisture_may_be_a_fraction(write):
    columns = COLUMNS | {"SWC_F_MDS_1": [0.1, 0.2, -9999, 0.3]}
    about = {"moisture_depths": [0.05], "moisture_unit": "1"}
    got = read(write(columns), soil_depths=[0.02], **about)
    np.testing.assert_allclose(got["soil_moisture_0.05m"], [0.1, 0.2, np.nan, 0.3])
    with pytest.raises(InputError, match="moisture_unit = '%' or '1'"):
        read(write(columns), moisture_depths=[0.05], moisture_unit="g")
    with pytest.raises(InputError, match="2 depths for 1"):
        read(write(columns), moisture_depths=[0.05, 0.1])


def test_uncertainty_survives_the_window(write):
    """And that of a mean of two values falls as their errors do, which are independent."""
    columns = {**COLUMNS, "LE_RANDUNC": [3.0, 4.0, 5.0, 12.0]}
    got = read(write(columns))
    start, end = (np.datetime64(f"2013-12-31T{t}") for t in ("23:00", "23:00"))
    end = end + np.timedelta64(2, "h")
    name = "latent_heat_flux_sigma"
    half = select_window(got, start, end, 1800.0, [], ["latent_heat_flux", name])
    np.testing.assert_allclose(half[name][1:], [3, 4, 5, 12])
    assert half[name].attrs["units"] == "W m-2"
    hour = select_window(got, start, end, 3600.0, [], [name])
    np.testing.assert_allclose(hour[name][1:], [2.5, 6.5])


def test_walnut_gulch_by_weeks(data_root):
    path = data_root / "us-wkg-2004" / "AMF_US-Wkg_FLUXNET_FULLSET_WW_2004-2021_3-5.csv"
    got = read(path, utc_offset=-7.0, soil_depths=[0.05, 0.15, 0.3], moisture_depths=[0.05])
    assert got.attrs["site"] == "US-Wkg"
    assert got.sizes["time"] == 18 * 365 + 5  # leap years included
    yearly = float(got["precipitation"].mean()) * 86400 * 365.25
    assert yearly == pytest.approx(0.8564 * 365.25, rel=0.02)
    weeks = got["latent_heat_flux"]
    assert 800 < int(np.isfinite(weeks).sum()) <= 18 * 51
    assert float(weeks.mean()) == pytest.approx(22.94, rel=0.05)
    assert 0.05 < float(got["soil_moisture_0.05m"].mean()) < 0.12


@pytest.mark.parametrize(
    ("folder", "site", "name", "depth"),
    [
        ("us-me2-2019", "US-Me2", "soil_temperature_0.32m", 0.32),
        ("us-whs-2012", "US-Whs", "soil_temperature_0.15m", 0.15),
    ],
)
def test_halves_of_a_site_in_two_files(data_root, folder, site, name, depth):
    parts = [
        read(data_root / folder / f"{site}-{part}-test.csv", utc_offset=-8.0, **options)
        for part, options in (
            ("forcings", {"soil_depths": [depth], "moisture_depths": [0.1]}),
            ("fluxes", {}),
        )
    ]
    got = merge_sources(parts)
    weather = set(FORCING) - {"incoming_longwave"}
    assert {*weather, "net_radiation", "sensible_heat_flux", "latent_heat_flux", name} <= set(got)
    for stream in weather:
        assert np.isfinite(got[stream]).all()
    assert got.attrs["site"] == site
    assert "look alike" in got["latent_heat_flux"].attrs["quality"]
    assert float(got["soil_moisture_0.10m"].max()) < 0.4
