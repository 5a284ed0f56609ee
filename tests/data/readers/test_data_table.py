"""Tables: stamps, offsets, missing values, quality flags, and every bad file told clearly."""

import numpy as np
import pytest
import xarray as xr

from caliche.data import Column, TimeAxis, open_source
from caliche.data.readers.table import interval_end_utc
from caliche.errors import InputError

TAIR = {"air_temperature": ("TA", "K")}


def utc(text):
    return np.datetime64(text, "ns")


@pytest.mark.parametrize(
    ("stamp", "offset", "first"),
    [
        ("end", 0.0, "2012-05-01T00:30"),
        ("start", 0.0, "2012-05-01T01:00"),
        ("middle", 0.0, "2012-05-01T00:45"),
        ("end", -7.0, "2012-05-01T07:30"),
        ("end", 5.5, "2012-04-30T19:00"),
        ("start", 9.5, "2012-04-30T15:30"),
        ("middle", -3.5, "2012-05-01T04:15"),
    ],
)
def test_stamps_and_offsets(write_csv, half_hours, table, stamp, offset, first):
    path = write_csv(half_hours(3), TA=[290, 291, 292])
    data = open_source(table(path, TAIR, stamp, offset))
    assert data["time"].values[0] == utc(first)
    assert data["time"].dtype == np.dtype("datetime64[ns]")
    assert data.attrs["time_step"] == 1800.0
    assert data.attrs["utc_offset"] == offset


def test_interval_end_is_the_same_however_it_is_stamped():
    end = np.array(["2012-05-01T00:30", "2012-05-01T01:00"], dtype="datetime64[ns]")
    for stamp, shift in (("start", 30), ("middle", 15), ("end", 0)):
        local = end - np.timedelta64(shift, "m") + np.timedelta64(345, "m")
        got = interval_end_utc(local, 1800.0, TimeAxis("time", stamp, 5.75))
        np.testing.assert_array_equal(got, end)


@pytest.mark.parametrize(
    ("texts", "layout"),
    [
        (["201205010030", "201205010100"], None),
        (["20120501003000", "20120501010000"], None),
        (["2012-05-01 00:30:00", "2012-05-01 01:00:00"], None),
        (["201205010030.0", "201205010100.0"], None),
        (["01/05/2012 00:30", "01/05/2012 01:00"], "%d/%m/%Y %H:%M"),
        (["2012-05-01T00:30Z", "2012-05-01T01:00Z"], None),
    ],
)
def test_time_texts(write_csv, table, texts, layout):
    data = open_source(table(write_csv(texts, TA=[290, 291]), TAIR, time_format=layout))
    np.testing.assert_array_equal(
        data["time"].values, [utc("2012-05-01T00:30"), utc("2012-05-01T01:00")]
    )


def test_times_with_their_own_zone(write_csv, table):
    path = write_csv(["2012-05-01T00:30-07:00", "2012-05-01T01:00-07:00"], TA=[290, 291])
    data = open_source(table(path, TAIR, utc_offset=-7.0))
    assert data["time"].values[0] == utc("2012-05-01T07:30")
    with pytest.raises(InputError, match=r"utc_offset = 0, as declared.*give utc_offset = -7"):
        open_source(table(path, TAIR))
    path = write_csv(["2012-05-01 00:30 UTC", "2012-05-01 01:00 UTC"], TA=[290, 291])
    layout = "%Y-%m-%d %H:%M %Z"
    first = open_source(table(path, TAIR, time_format=layout))["time"].values[0]
    assert first == utc("2012-05-01T00:30")
    with pytest.raises(InputError, match=r"utc_offset = -7, as declared.*give utc_offset = 0"):
        open_source(table(path, TAIR, utc_offset=-7.0, time_format=layout))


def test_missing_values_and_attributes(write_csv, half_hours, table):
    values = ["", "NaN", "-9999", "-6999.0", "-999", "21.5"]
    path = write_csv(half_hours(6), TA=values)
    data = open_source(table(path, {"air_temperature": ("TA", "degC")}, site="Here"))
    tair = data["air_temperature"]
    assert tair.dtype == np.float64
    np.testing.assert_allclose(tair.values, [np.nan] * 5 + [294.65])
    assert tair.attrs["units"] == "K"
    assert tair.attrs["standard_name"] == "air_temperature"
    assert tair.attrs["source"] == "tower.csv"
    assert tair.attrs["interval"] == 1800.0
    assert tair.attrs["n_missing"] == 5
    assert tair.attrs["n_rejected_by_qc"] == 0
    assert data.attrs["site"] == "Here"


def test_empty_columns(write_csv, half_hours, table):
    data = open_source(table(write_csv(half_hours(2), TA=["", " "]), TAIR))
    assert data["air_temperature"].attrs["n_missing"] == 2
    with pytest.raises(InputError, match=r"a time in every row.*2 rows"):
        open_source(table(write_csv(["", ""], TA=[290, 291]), TAIR))


def test_missing_numbers_can_be_chosen(write_csv, half_hours, table):
    path = write_csv(half_hours(3), TA=["-7777", "290", "291"])
    data = open_source(table(path, TAIR, missing=(-7777.0,)))
    assert np.isnan(data["air_temperature"].values[0])


def test_quality_flags(write_csv, half_hours, table):
    path = write_csv(half_hours(4), TA=[290, 291, 292, ""], Q=[0, 1, "", 3])
    strict = open_source(table(path, {"air_temperature": Column("TA", "K", "Q")}))
    np.testing.assert_array_equal(strict["air_temperature"], [290, np.nan, np.nan, np.nan])
    assert strict["air_temperature"].attrs["n_rejected_by_qc"] == 2
    assert strict["air_temperature"].attrs["n_missing"] == 1
    loose = open_source(table(path, {"air_temperature": Column("TA", "K", "Q", (0, 1))}))
    np.testing.assert_array_equal(loose["air_temperature"], [290, 291, np.nan, np.nan])
    shared = open_source(table(path, {"air_temperature": Column("TA", "K", "Q")}, accept_qc=(0, 1)))
    np.testing.assert_array_equal(shared["air_temperature"], loose["air_temperature"])


def test_amounts_per_step_use_the_interval(write_csv, half_hours, table):
    path = write_csv(half_hours(2, step=60), P=[3.6, 0])
    data = open_source(table(path, {"precipitation": ("P", "mm")}))
    np.testing.assert_allclose(data["precipitation"], [1e-3, 0.0])


def test_turbulent_heat_flux_is_added(write_csv, half_hours, table):
    path = write_csv(half_hours(2), H=[100, ""], LE=[50, 60])
    columns = {"sensible_heat_flux": ("H", "W m-2"), "latent_heat_flux": ("LE", "W m-2")}
    data = open_source(table(path, columns))
    np.testing.assert_array_equal(data["turbulent_heat_flux"], [150.0, np.nan])


def test_comment_lines_and_byte_order_mark(tmp_path, table):
    path = tmp_path / "base.csv"
    text = "\ufeff# Site: US-A\n# Version: 1\ntime, TA\n201205010030, 290\n201205010100, 291\n"
    path.write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(open_source(table(path, TAIR))["air_temperature"], [290, 291])


def test_missing_file(tmp_path, table):
    with pytest.raises(InputError, match=r"a data file gone\.csv"):
        open_source(table(tmp_path / "gone.csv", TAIR))


def test_unknown_suffix(tmp_path, table):
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(InputError, match=r"suffix of \.csv.*a\.xlsx"):
        open_source(table(tmp_path / "a.xlsx", TAIR))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x81bad", b'time,TA\n"2012,1\n'])
def test_unreadable_csv(tmp_path, table, content):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="a table that can be read") as error:
        open_source(table(path, TAIR))
    assert error.value.__suppress_context__


def test_rows_longer_than_the_header(tmp_path, table):
    path = tmp_path / "bad.csv"
    path.write_text("time,TA\n2012-05-01 00:30,290,1\n2012-05-01 01:00,291,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="as many fields per row"):
        open_source(table(path, TAIR))


def test_missing_column_names_the_nearest(write_csv, half_hours, table):
    path = write_csv(half_hours(2), TA_F=[290, 291])
    with pytest.raises(InputError, match=r"a column 'TA_G' in tower\.csv.*did you mean 'TA_F'"):
        open_source(table(path, {"air_temperature": ("TA_G", "K")}))


def test_no_time_column(tmp_path, table):
    path = tmp_path / "a.csv"
    path.write_text("date,TA\n2012-05-01,290\n", encoding="utf-8")
    with pytest.raises(InputError, match="a column 'time'"):
        open_source(table(path, TAIR))


def test_text_where_a_number_should_be(write_csv, half_hours, table):
    path = write_csv(half_hours(3), TA=[290, "x29", 291])
    with pytest.raises(InputError, match=r"numbers in column TA.*'x29' in row 2"):
        open_source(table(path, TAIR))


def test_unit_left_out_of_a_csv(write_csv, half_hours, table):
    path = write_csv(half_hours(2), TA=[290, 291])
    with pytest.raises(InputError, match=r"unit of air_temperature in TA of tower\.csv.*Got none"):
        open_source(table(path, {"air_temperature": ("TA",)}))


def test_celsius_declared_as_kelvin(write_csv, half_hours, table):
    path = write_csv(half_hours(3), TA=[21.0, 22.0, 23.0])
    with pytest.raises(InputError, match=r"look like degrees Celsius: unit = 'degC'") as error:
        open_source(table(path, TAIR))
    assert "3 of 3 values outside, the first 21 K at 2012-05-01T00:30Z" in str(error.value)


@pytest.mark.parametrize(
    "texts", [["5/1/2012 00:30", "5/1/2012 01:00"], ["182", "183"], ["2012", "2013"]]
)
def test_ambiguous_time_texts_want_a_format(write_csv, table, texts):
    path = write_csv(texts, TA=[290, 291])
    with pytest.raises(InputError, match=rf"'{texts[0]}' in row 1.*give the format"):
        open_source(table(path, TAIR))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["00:30", "01:00", "01:00", "01:30"], r"increasing.*first 2012-05-01T01:00, repeated"),
        (["00:30", "01:30", "01:00", "02:00"], r"increasing.*2012-05-01T01:00, earlier than"),
        (["00:30", "01:00", "02:00", "02:30"], r"1800 s.*a gap of 3600 s before 2012-05-01T02:00"),
        (["00:30", "01:00", "01:10", "01:40"], r"a short step of 600 s before 2012-05-01T01:10"),
        (["00:30", ""], r"a time in every row.*1 row without one, the first row 2"),
        (["00:30"], r"at least two times in tower.csv"),
    ],
)
def test_bad_times(write_csv, table, times, message):
    path = write_csv([t and f"2012-05-01 {t}" for t in times], TA=[290] * len(times))
    with pytest.raises(InputError, match=message):
        open_source(table(path, TAIR))


@pytest.fixture
def write_nc(tmp_path):
    """A netCDF table of air temperature, half-hourly from 2012-05-01 00:30."""

    def write(values=(290.0, 291.0, 292.0), units="K", name="a.nc", extra=None, **options):
        time = np.datetime64("2012-05-01T00:30", "ns") + np.arange(len(values)) * np.timedelta64(
            30, "m"
        )
        attrs = {} if units is None else {"units": units}
        data = xr.Dataset(
            {"TA": (("time", "y"), np.array(values)[:, None], attrs), "lat": 33.5, "lon": -112.0},
            coords={"time": time},
        )
        path = tmp_path / name
        data.assign(extra or {}).to_netcdf(path, **options)
        return path

    return write


def test_netcdf_table(write_nc, table):
    path = write_nc(encoding={"time": {"units": "days since 2000-01-01", "dtype": "float64"}})
    data = open_source(table(path, TAIR, "start", 5.5))
    assert data["time"].values[0] == utc("2012-04-30T19:30")
    np.testing.assert_array_equal(data["air_temperature"], [290, 291, 292])
    assert (data.attrs["latitude"], data.attrs["longitude"]) == (33.5, -112.0)


def test_netcdf3_table(write_nc, table):
    path = write_nc(format="NETCDF3_CLASSIC", engine="scipy")
    assert open_source(table(path, TAIR))["air_temperature"].values[2] == 292


def test_netcdf_unit_of_the_file_is_used_when_none_is_declared(write_nc, table):
    path = write_nc((20.0, 21.0, -9999.0), "degC")
    data = open_source(table(path, {"air_temperature": ("TA",)}))
    np.testing.assert_allclose(data["air_temperature"], [293.15, 294.15, np.nan])


def test_netcdf_unit_that_contradicts(write_nc, table):
    for units in ("degC", "furlong"):
        path = write_nc(units=units)
        with pytest.raises(InputError, match=rf"TA of a\.nc in K, as declared.*'{units}'"):
            open_source(table(path, TAIR))


def test_netcdf_without_any_unit(write_nc, table):
    with pytest.raises(InputError, match="Got none"):
        open_source(table(write_nc(units=None), {"air_temperature": ("TA",)}))


def test_netcdf_missing_variable_and_time(write_nc, table):
    path = write_nc()
    with pytest.raises(InputError, match=r"a variable 'TB' in a\.nc.*'TA'"):
        open_source(table(path, {"air_temperature": ("TB", "K")}))
    source = table(path, TAIR)
    with pytest.raises(InputError, match=r"a variable 'times' in a\.nc.*'time'"):
        open_source(type(source)(path, "table", TimeAxis("times", "end", 0), source.columns))
    with pytest.raises(InputError, match="time variable with one axis"):
        open_source(type(source)(path, "table", TimeAxis("lat", "end", 0), source.columns))


def test_netcdf_time_without_dates(tmp_path, table):
    path = tmp_path / "a.nc"
    xr.Dataset({"TA": ("time", [290.0, 291.0])}, coords={"time": [1.0, 2.0]}).to_netcdf(path)
    with pytest.raises(InputError, match="dates in the time variable"):
        open_source(table(path, TAIR))


def test_netcdf_with_depths_along_an_axis(write_nc, table):
    path = write_nc(extra={"TS": (("time", "z"), np.full((3, 2), 290.0))})
    with pytest.raises(InputError, match=r"one value per time of TS.*dimensions \(time, z\)"):
        open_source(table(path, {"soil_temperature_0.05m": ("TS", "K")}))


def test_unreadable_netcdf(tmp_path, table):
    path = tmp_path / "a.nc"
    path.write_text("not netCDF", encoding="utf-8")
    with pytest.raises(InputError, match="a netCDF file that can be read"):
        open_source(table(path, TAIR))
