"""Text tables as loggers, spreadsheets and EddyPro write them: nothing is lost without a word."""

import numpy as np
import pytest

from caliche.data import Column, Source, TimeAxis, open_source
from caliche.data.readers.csv_layout import read_layout
from caliche.errors import InputError

TAIR = {"air_temperature": ("TA", "K")}
NAN = np.nan


@pytest.fixture
def write(tmp_path):
    def make(text, name="tower.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.mark.parametrize("cell", ["#DIV/0!", "#N/A", "no # 5", "a#b"])
def test_a_hash_inside_a_row_is_no_comment(write_csv, half_hours, table, cell):
    """A cell of a column that nobody asked for must not take the rest of its row with it."""
    path = write_csv(half_hours(3), BATT=[12.1, cell, 12.3], TA=[290, 291, 292])
    np.testing.assert_array_equal(
        open_source(table(path, TAIR))["air_temperature"], [290, 291, 292]
    )


def test_comments_are_whole_lines_before_and_after_the_header(write, table):
    text = "# Site\n\n#time,TA\ntime,TA\n# checked\n2012-05-01 00:30,290\n  # by hand\n"
    path = write(text + "2012-05-01 01:00,291\n2012-05-01 01:30,292\n#end")
    np.testing.assert_array_equal(
        open_source(table(path, TAIR))["air_temperature"], [290, 291, 292]
    )


def test_a_row_that_begins_with_an_error_of_a_spreadsheet_is_a_row(write, table):
    path = write("TA,time\n290,2012-05-01 00:30\n#N/A,2012-05-01 01:00\n292,2012-05-01 01:30\n")
    np.testing.assert_array_equal(
        open_source(table(path, TAIR))["air_temperature"], [290, NAN, 292]
    )


def test_a_header_behind_a_hash_is_told(write, table):
    path = write("# time, TA\n2012-05-01 00:30,290\n2012-05-01 01:00,291\n")
    with pytest.raises(InputError, match="take the # away from the line of column names"):
        open_source(table(path, TAIR))


@pytest.mark.parametrize(
    "mark",
    [
        "NAN",
        "nan",
        "NaN",
        "NA",
        "n/a",
        "N/A",
        "null",
        "NULL",
        "None",
        "#N/A",
        "#DIV/0!",
        "#VALUE!",
        "#NUM!",
        "INF",
        "-inf",
        "-9999",
        "-9999.00",
        "-6999",
        "-999",
        '"NAN"',
        " NAN ",
    ],
)
def test_what_stands_for_missing(write_csv, half_hours, table, mark):
    path = write_csv(half_hours(3), TA=[290, mark, 292])
    got = open_source(table(path, TAIR))["air_temperature"]
    np.testing.assert_array_equal(got, [290, NAN, 292])
    assert got.attrs["n_missing"] == 1


def test_text_and_numbers_can_be_declared_missing(write_csv, half_hours, table):
    path = write_csv(half_hours(5), TA=["bad", "9999", 290, "Bad ", -9999])
    with pytest.raises(InputError, match=r"'bad' in row 1.*missing = \[-9999, \"bad\"\]"):
        open_source(table(path, TAIR))
    got = open_source(table(path, TAIR, missing=(9999.0, "BAD")))["air_temperature"]
    np.testing.assert_array_equal(got, [NAN, NAN, 290, NAN, NAN])


def test_missing_flags_reject(write_csv, half_hours, table):
    path = write_csv(half_hours(3), TA=[290, 291, 292], Q=[0, "NAN", -9999])
    got = open_source(table(path, {"air_temperature": ("TA", "K", "Q")}))["air_temperature"]
    np.testing.assert_array_equal(got, [290, NAN, NAN])


@pytest.mark.parametrize("second", ["TA", "TA ", " TA", '"TA"'])
def test_two_columns_of_one_name(write, table, second):
    path = write(f"time,TA,{second}\n2012-05-01 00:30,290,1\n2012-05-01 01:00,291,2\n")
    with pytest.raises(InputError, match=r"one column 'TA' in tower\.csv.*2, columns 2 and 3"):
        open_source(table(path, TAIR))


def test_two_columns_of_one_name_that_nobody_reads(write, table):
    path = write("time,B,B,TA\n2012-05-01 00:30,1,1,290\n2012-05-01 01:00,2,2,291\n")
    np.testing.assert_array_equal(open_source(table(path, TAIR))["air_temperature"], [290, 291])


def test_two_columns_of_times(write, table):
    path = write("time,time,TA\n2012-05-01 00:30,1,290\n2012-05-01 01:00,2,291\n")
    with pytest.raises(InputError, match=r"one column 'time'"):
        open_source(table(path, TAIR))


def test_rows_of_another_width(write, table):
    cut = write("time,TA,B\n2012-05-01 00:30,290,1\n2012-05-01 01:00,29")
    with pytest.raises(InputError, match=r"3\. Got 2 in line 3\. Try: correct that row"):
        open_source(table(cut, TAIR))
    comma = write("time,TA\n2012-05-01 00:30,290,\n2012-05-01 01:00,291,\n")
    np.testing.assert_array_equal(open_source(table(comma, TAIR))["air_temperature"], [290, 291])
    quoted = write('time,C,TA\n2012-05-01 00:30,"a, b\n#c",290\n2012-05-01 01:00,"d",291\n')
    np.testing.assert_array_equal(open_source(table(quoted, TAIR))["air_temperature"], [290, 291])


def test_other_separators_are_told(write, table):
    path = write("time;TA\n2012-05-01 00:30;16,5\n2012-05-01 01:00;16,7\n")
    with pytest.raises(InputError, match=r"separated by commas.*Got semicolons.*decimal points"):
        open_source(table(path, TAIR))
    path = write("time\tTA\n2012-05-01 00:30\t290\n")
    with pytest.raises(InputError, match=r"Got tabs.*the suffix \.tsv"):
        open_source(table(path, TAIR))
    path = write("time TA\n2012-05-01T00:30 290\n", "tower.txt")
    with pytest.raises(InputError, match="Got blanks"):
        open_source(table(path, TAIR))


TOA5 = """"TOA5","LOGGER","CR1000X","1","Std.05","CPU:prog.cr1x","1","Table"
"TIMESTAMP","RECORD","TA_Avg","Rain_Tot"
"TS","RN","Deg C","mm"
"","","Avg","Tot"
"2022-06-29 17:30:00",0,22.1,0
"2022-06-29 18:00:00",1,"NAN",0.2
"2022-06-29 18:30:00",2,21.5,0
"""


@pytest.mark.parametrize("name", ["tower.dat", "tower.csv"])
def test_a_table_of_a_campbell_logger(write, table, name):
    columns = {"air_temperature": ("TA_Avg", "degC"), "precipitation": ("Rain_Tot",)}
    source = table(write(TOA5, name), columns, utc_offset=-7.0)
    got = open_source(
        Source(source.path, "table", TimeAxis("TIMESTAMP", "end", -7.0), source.columns)
    )
    assert got["time"].values[0] == np.datetime64("2022-06-30T00:30")
    np.testing.assert_allclose(got["air_temperature"], [295.25, NAN, 294.65])
    np.testing.assert_allclose(got["precipitation"] * 1800.0, [0, 0.2, 0])  # unit of the header
    axis, other = (
        TimeAxis("TIMESTAMP", "end", -7.0),
        {"precipitation": Column("Rain_Tot", "mm h-1")},
    )
    with pytest.raises(InputError, match=r"in mm h-1, as declared.*'mm' written in the file"):
        open_source(Source(source.path, "table", axis, other))


EDDYPRO = """file_info,,,,corrected_fluxes_and_quality_flags,,,air_properties,
filename,date,time,DOY,H,qc_H,LE,air_temperature,air_pressure
,[yyyy-mm-dd],[HH:MM],[ddd.ddd],[W+1m-2],[#],[W+1m-2],[K],[Pa]
a.ghg,2024-03-29,01:30,89.06,-20.1,0,5.1,283.4,89867
a.ghg,2024-03-29,02:00,89.08,-21.1,0,-9999,283.2,89867
a.ghg,2024-03-29,02:30,89.10,-22.1,1,5.2,283.1,89867
"""


@pytest.mark.parametrize("column", ["date", "time"])
def test_full_output_of_eddypro(write, table, column):
    columns = {
        "air_temperature": ("air_temperature", "K"),
        "latent_heat_flux": ("LE", "W m-2"),
        "sensible_heat_flux": ("H", None, "qc_H"),
    }
    columns = table("x.csv", columns).columns
    path = write(EDDYPRO)
    got = open_source(Source(path, "table", TimeAxis(column, "end", 0.0), columns))
    assert got["time"].values[0] == np.datetime64("2024-03-29T01:30")
    assert got.attrs["time_step"] == 1800.0
    np.testing.assert_allclose(got["air_temperature"], [283.4, 283.2, 283.1])
    np.testing.assert_allclose(got["sensible_heat_flux"], [-20.1, -21.1, NAN])
    np.testing.assert_allclose(got["latent_heat_flux"], [5.1, NAN, 5.2])
    assert read_layout(path, ",").units["H"] == "W m-2"


def test_a_line_of_units_below_the_names(write, table):
    path = write("time,TA\n[],[K]\n2012-05-01 00:30,290\n2012-05-01 01:00,291\n")
    got = open_source(table(path, {"air_temperature": ("TA",)}))
    np.testing.assert_array_equal(got["air_temperature"], [290, 291])


def test_times_a_little_off_and_irregular_ones(write, table):
    """A spreadsheet's times end in .997; a stamp that is off is shown with its neighbour."""
    path = write(
        "time,TA\n2012-05-01 00:29:59.997,290\n2012-05-01 01:00:00,291\n"
        "2012-05-01 01:30:00.002,292\n"
    )
    assert open_source(table(path, TAIR)).attrs["time_step"] == 1800.0
    path = write(
        "time,TA\n2012-05-01 00:30,1\n2012-05-01 01:00,1\n2012-05-01 01:30:01,1\n"
        "2012-05-01 02:00:01,1\n"
    )
    with pytest.raises(
        InputError, match=r"1801 s before 2012-05-01T01:30:01, after 2012-05-01T01:00"
    ):
        open_source(table(path, TAIR))


@pytest.mark.parametrize("layout", ["%Y-%m-%d %", "%G-%m-%d"])
def test_a_format_of_time_that_is_none(write_csv, half_hours, table, layout):
    path = write_csv(half_hours(2), TA=[290, 291])
    with pytest.raises(InputError, match="a format of the time"):
        open_source(table(path, TAIR, time_format=layout))
