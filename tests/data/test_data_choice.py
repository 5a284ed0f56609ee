"""Which of several columns is read: the first that has values, and contradictions are told."""

import numpy as np
import pytest
import xarray as xr

from caliche.data import Fluxnet, Source, open_source, select_window
from caliche.data import stream_notes as every_note
from caliche.data.humidity import saturation_vapour_pressure
from caliche.data.readers.fluxnet import UNFLAGGED
from caliche.errors import InputError

EMPTY, N = [-9999] * 4, 4
START = ["201401010000", "201401010030", "201401010100", "201401010130"]
BASE = {"TA_F": [10.0, 11, 12, 13], "PA_F": [98.0] * 4}
# At these temperatures (degC) and 60 %.
SATURATED = saturation_vapour_pressure(np.array(BASE["TA_F"]) + 273.15)
DEFICIT = (0.4 * SATURATED / 100.0).round(4).tolist()  # hPa


def stream_notes(data):
    """Notes of choices and contradictions."""
    told = {name: [n for n in notes if n != UNFLAGGED] for name, notes in every_note(data).items()}
    return {name: notes for name, notes in told.items() if notes}


@pytest.fixture
def read(tmp_path):
    def make(columns, missing=(), **options):
        columns = {"TIMESTAMP_START": START, **columns}
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        path = tmp_path / "FLX_XX-Tow_FLUXNET2015_FULLSET_HH_2014.csv"
        path.write_text("\n".join(lines) + "\n")
        options.setdefault("utc_offset", 1.0)
        return open_source(Source(path, "fluxnet", fluxnet=Fluxnet(**options), missing=missing))

    return make


@pytest.mark.parametrize(
    ("stream", "empty", "full", "values", "expected"),
    [
        ("precipitation", "P_F", "P", [0.2] * 4, 0.2 / 1800.0),
        ("incoming_longwave", "LW_IN_F", "LW_IN_F_MDS", [300] * 4, 300.0),
        ("incoming_longwave", "LW_IN_F", "LW_IN_1_1_1", [300] * 4, 300.0),
        ("air_temperature", "TA_1_1_1", "TA_1_2_1", [9.85] * 4, 283.0),
        ("air_temperature", "TA_F", "TA_1_1_2", [9.85] * 4, 283.0),
        ("wind_speed", "WS_F", "WS", [3] * 4, 3.0),
        ("sensible_heat_flux", "H_F_MDS", "H", [50] * 4, 50.0),
        ("ground_heat_flux_0.05m", "G_F_MDS", "G_1_1_1", [5] * 4, 5.0),
    ],
)
def test_an_empty_column_gives_way(read, stream, empty, full, values, expected):
    columns = {k: v for k, v in BASE.items() if k != "TA_F" or stream != "air_temperature"}
    got = read({**columns, empty: EMPTY, full: values}, plate_depth=0.05)
    np.testing.assert_allclose(got[stream], expected)
    assert got[stream].attrs["column"] == full
    assert stream_notes(got)[stream] == [
        f"{empty} of FLX_XX-Tow_FLUXNET2015_FULLSET_HH_2014.csv is empty, so {full} was read"
    ]


def test_the_first_column_stays_first(read):
    got = read({**BASE, "P_F": [0.4, -9999, 0, 0], "P": [0.2] * 4})
    assert got["precipitation"].attrs["column"] == "P_F"
    assert "precipitation" not in stream_notes(got)
    assert every_note(got)["precipitation"] == [UNFLAGGED]
    both = read({**BASE, "P_F": EMPTY, "P": ["NAN"] * 4})
    assert both["precipitation"].attrs["column"] == "P_F"


def test_a_column_next_to_empty_gives_way(read):
    rows = 40
    start = np.datetime64("2014-01-01T00:00") + np.arange(rows) * np.timedelta64(30, "m")
    stamps = [str(t).replace("-", "").replace("T", "").replace(":", "") for t in start]
    few, half = np.full(rows, -9999.0), np.full(rows, -9999.0)
    few[3], half[:20] = 0.0, 0.0
    columns = {"TIMESTAMP_START": stamps, "P": [0.2] * rows}
    got = read({**columns, "P_F": few})
    assert got["precipitation"].attrs["column"] == "P"
    assert "next to empty (2.5 % of its rows have values)" in stream_notes(got)["precipitation"][0]
    assert read({**columns, "P_F": half})["precipitation"].attrs["column"] == "P_F"


def test_a_column_can_be_preferred(read):
    columns = {**BASE, "P_F": [0.4] * 4, "P": [0.2] * 4, "VPD_F": DEFICIT, "RH": [60.0] * 4}
    got = read(columns, prefer={"precipitation": "P", "specific_humidity": "RH"})
    assert got["precipitation"].attrs["column"] == "P"
    assert got["specific_humidity"].attrs["column"] == "RH"
    with pytest.raises(InputError, match=r"'P_ERA'.*one of P_F, P"):
        read(columns, prefer={"precipitation": "P_ERA"})
    with pytest.raises(InputError, match="with a choice of columns for prefer"):
        read(columns, prefer={"soil_temperature_0.05m": "TS_1"})


def test_an_empty_corrected_flux_says_what_to_do(read):
    columns = {**BASE, "H_F_MDS": [50.0] * 4, "H_CORR": EMPTY, "LE_CORR": [50.0] * 4}
    got = read(columns, fluxes="corrected")
    start = np.datetime64("2013-12-31T23:00")
    with pytest.raises(InputError, match="H_CORR is empty; fluxes = 'measured' reads another"):
        select_window(
            got, start, start + np.timedelta64(2, "h"), 1800.0, [], ["sensible_heat_flux"]
        )


def test_an_empty_deficit_gives_way_to_relative_humidity(read):
    by_rh = read({**BASE, "VPD_F": EMPTY, "RH": [60.0] * 4})["specific_humidity"]
    by_vpd = read({**BASE, "VPD_F": DEFICIT})["specific_humidity"]
    assert by_rh.attrs["column"] == "RH"
    np.testing.assert_allclose(by_rh, by_vpd, rtol=1e-5)


def test_a_relative_humidity_that_contradicts_the_deficit_is_told(read):
    agree = read({**BASE, "VPD_F": DEFICIT, "RH": [61.0] * 4})
    assert "specific_humidity" not in stream_notes(agree)
    against = read({**BASE, "VPD_F": DEFICIT, "RH": [80.0] * 4})
    (sentence,) = stream_notes(against)["specific_humidity"]
    assert "RH of FLX" in sentence
    assert "contradicts VPD_F" in sentence
    assert "differ by 20 % (median of 4 values); VPD_F was used" in sentence
    np.testing.assert_allclose(against["specific_humidity"], agree["specific_humidity"])


def test_relative_humidity_as_a_fraction_is_refused(read):
    with pytest.raises(InputError, match=r"relative humidity in %.*no value above 0\.6"):
        read({**BASE, "RH": [0.6] * 4})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"TS_F_MDS_1": EMPTY, "TS_F_MDS_2": [14] * 4, "TS_1": [12] * 4}, ["TS_1", "TS_F_MDS_2"]),
        (
            {"TS_F_MDS_1": EMPTY, "TS_F_MDS_2": EMPTY, "TS_1": [12] * 4, "TS_2": [14] * 4},
            ["TS_1", "TS_2"],
        ),
        (
            {"TS_1_1_1": EMPTY, "TS_1_2_1": EMPTY, "TS_2_1_1": [12] * 4, "TS_2_2_1": [14] * 4},
            ["TS_2_1_1", "TS_2_2_1"],
        ),
        ({"TS_1_1_1": EMPTY, "TS_1_1_2": [12] * 4, "TS_1_2_1": [14] * 4}, ["TS_1_1_2", "TS_1_2_1"]),
    ],
)
def test_dead_sensors_of_a_profile_give_way(read, columns, expected):
    got = read({**BASE, **columns}, soil_depths=[0.05, 0.15])
    names = ["soil_temperature_0.05m", "soil_temperature_0.15m"]
    assert [got[name].attrs["column"] for name in names] == expected
    np.testing.assert_allclose([got[name][0] for name in names], [285.15, 287.15])
    assert "empty" in stream_notes(got)["soil_temperature_0.05m"][0]


def test_a_dead_sensor_without_another_in_its_place_is_named(read):
    columns = {"TS_1_1_1": EMPTY, "TS_1_2_1": [14] * 4, "TS_2_1_1": [12] * 4}
    got = read({**BASE, **columns}, soil_depths=[0.05, 0.15])
    start = np.datetime64("2013-12-31T23:00")
    with pytest.raises(InputError, match=r"TS_1_1_1 of .* is empty; TS_2_1_1 has values"):
        select_window(
            got, start, start + np.timedelta64(2, "h"), 1800.0, [], ["soil_temperature_0.05m"]
        )


def test_soil_moisture_of_a_desert_is_in_per_cent(read):
    """The unit is the format's, whatever the values: 0.8 % is not 80 %."""
    columns = {**BASE, "SWC_F_MDS_1": [0.8, 0.7, -9999, 0.9]}
    got = read(columns, moisture_depths=[0.05])
    np.testing.assert_allclose(got["soil_moisture_0.05m"], [0.008, 0.007, np.nan, 0.009])
    assert "moisture_unit = '1'" in stream_notes(got)["soil_moisture_0.05m"][0]
    two = {**BASE, "SWC_1_1_1": EMPTY, "SWC_2_1_1": [0.8] * 4}
    first, second = stream_notes(read(two, moisture_depths=[0.05]))["soil_moisture_0.05m"]
    assert "SWC_1_1_1" in first
    assert "read in %" in second
    as_fraction = read(columns, moisture_depths=[0.05], moisture_unit="1")
    np.testing.assert_allclose(as_fraction["soil_moisture_0.05m"], [0.8, 0.7, np.nan, 0.9])


def test_plumber2_takes_the_spelling_that_has_values_and_compares_humidity(tmp_path):
    time = np.datetime64("2014-01-01T00:00", "ns") + np.arange(3) * np.timedelta64(30, "m")
    values = {
        "Psurf": (np.nan, "Pa"),
        "PSurf": (9.8e4, "Pa"),
        "Precip": (np.nan, "mm/s"),
        "Rainf": (1e-4, "mm/s"),
        "Qair": (0.004, "kg/kg"),
        "Tair": (290.0, "K"),
        "RH": (70.0, "%"),
    }
    data = xr.Dataset(
        {name: ("time", np.full(3, v), {"units": unit}) for name, (v, unit) in values.items()},
        coords={"time": time},
    )
    path = tmp_path / "XX-Tow_Met.nc"
    data.to_netcdf(path)
    got = open_source(Source(path, "plumber2", fluxnet=Fluxnet(1.0, stamp="start")))
    np.testing.assert_allclose(got["air_pressure"], 9.8e4)
    np.testing.assert_allclose(got["precipitation"], 1e-4)
    notes = stream_notes(got)
    assert notes["air_pressure"] == ["Psurf of XX-Tow_Met.nc is empty, so PSurf was read"]
    assert "RH of XX-Tow_Met.nc contradicts Qair" in notes["specific_humidity"][0]
