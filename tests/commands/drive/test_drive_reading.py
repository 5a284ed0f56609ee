"""What `caliche drive` reads: gaps, Fortran's numbers, tables with a column of times."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from caliche.commands.drive.run import drive, make_job
from caliche.errors import InputError
from caliche.executables.config import read_drive
from caliche.executables.outputs import number, outputs_of
from caliche.executables.workers import counted

MISSING = (-9999.0, -6999.0, -999.0)
OVERFLOW = "asterisks, which Fortran writes"
# What the script leaves is decided by the mode; the truth is a rate of 0.3.
MODEL = r"""
import json, math, sys
rate, mode = json.load(open("parameters.json"))["parameters"]["rate"], sys.argv[1]
y = [2.5 * math.exp(-rate * t) for t in range(5)]
def leave(name, text): open(name, "w").write(text)
if mode == "good": leave("outputs.json", json.dumps(y))
pairs = "".join(f"{v:.9f},{t}\n" for t, v in enumerate(y))
if mode == "time": leave("outputs.csv", "y,time\n" + pairs)
if mode == "two": leave("outputs.csv", "y,z\n" + pairs)
if mode == "fortran": leave("outputs.csv", "".join(f"{v:.9E}\n".replace("E", "D") for v in y))
if mode == "stars": leave("outputs.csv", "*" * 9 + "\n" + "".join(f"{v:.9f}\n" for v in y[1:]))
if mode == "word": leave("outputs.csv", "".join(f"{v:.5f}x\n" for v in y))
if mode == "null": leave("outputs.json", json.dumps([*y[:2], None, *y[3:]]))
"""
CONFIG = """
title = "A decay"
[model]
command = ["{python}", "-I", "-S", "{{here}}/model.py", "{mode}"]
workers = 2
[parameters.rate]
lower = 0.0
upper = 2.0
[observations]
{observations}
[method]
name = "etki"
options = {{ members = 8, steps = 4 }}
"""
TRUTH = [2.5 * math.exp(-0.3 * t) for t in range(5)]
VALUES = f"values = {TRUTH}\nsigma = 0.05"


@pytest.fixture
def study(tmp_path):
    def write(mode: str, observations: str = VALUES):
        (tmp_path / "model.py").write_text(MODEL)
        text = CONFIG.format(python=sys.executable, mode=mode, observations=observations)
        (tmp_path / "study.toml").write_text(text)
        return read_drive(tmp_path / "study.toml")

    return write


def answer(config) -> dict[str, float]:
    """What the model gives in this process."""
    job = make_job(config)
    while not job.done:
        job.tell(2.5 * np.exp(-job.ask() * np.arange(5)))
    return job.result().estimate


@pytest.mark.parametrize("mode", ["time", "fortran"])
def test_outputs_in_a_table_of_fortran_or_with_times(study, tmp_path, mode):
    config = study(mode)
    found = drive(config, tmp_path / "out").found
    assert found.estimate["rate"] == pytest.approx(answer(config)["rate"], abs=1e-6)
    assert found.estimate["rate"] == pytest.approx(0.3, abs=0.005)


GAPS = {"a sentinel": "-9999,0.05", "blanks": ",", "null": "null,", "NaN": "NaN,NaN"}


@pytest.mark.parametrize("gap", GAPS.values(), ids=GAPS)
def test_a_gap_in_the_table_of_observations_is_missing(study, tmp_path, gap):
    rows = [f"{v!r},0.05" for v in TRUTH]
    rows[2] = gap
    (tmp_path / "seen.csv").write_text("\n".join(["value,sigma", *rows]) + "\n")
    config = study("good", 'file = "seen.csv"')
    np.testing.assert_array_equal(np.isfinite(config.observed), [True, True, False, True, True])
    assert answer(config)["rate"] == pytest.approx(0.3, abs=0.005)


@pytest.mark.parametrize("gap", ["-9999", "nan"])
def test_a_gap_in_a_list_of_observations_is_missing(study, gap):
    config = study("good", f"values = [1.0, {gap}, 2.0]\nsigma = 0.1")
    np.testing.assert_array_equal(config.observed, [1.0, np.nan, 2.0])


def test_what_stands_for_missing_can_be_said(study):
    config = study("good", "values = [1.0, -999.0, -1.0]\nsigma = 0.1\nmissing = [-1.0]")
    np.testing.assert_array_equal(config.observed, [1.0, -999.0, np.nan])


def test_nothing_is_needed_where_nothing_was_observed(study, tmp_path):
    gap = f"values = {[*TRUTH[:2], -9999, *TRUTH[3:]]}\nsigma = 0.05"
    found = drive(study("null", gap), tmp_path / "out").found
    assert found.n_failed == 0
    assert found.estimate["rate"] == pytest.approx(0.3, abs=0.005)
    with pytest.raises(InputError, match="8 of them: left outputs that are not finite"):
        drive(study("null"), tmp_path / "observed")


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("stars", f"{OVERFLOW} where a number does not fit its format"),
        ("two", "2 numbers in a line where one is expected"),
        ("word", "text where a number is expected: '2.50000x'"),
    ],
)
def test_what_cannot_be_read_is_named_once_with_where_to_look(study, tmp_path, mode, why):
    message = f"8 of them: left outputs.csv that cannot be read: {why}. Try: look at outputs.csv in"
    with pytest.raises(InputError, match=message):
        drive(study(mode), tmp_path / "out")


def test_reasons_that_differ_by_numbers_are_counted_as_one():
    told = ["exit code 3: stuck at t = 1.5", "exit code 3: stuck at t = 27", "exit code 4: stuck"]
    assert counted(told) == {told[0]: 2, told[2]: 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.5D+00", 2.5),
        ("-1.25d-3", -1.25e-3),
        (" 7 ", 7.0),
        ("0.5771964-104", 0.5771964e-104),
        (".5E1", 5.0),
        ("-9999", math.nan),
        ("-9999.00", math.nan),
        ("", math.nan),
        ("NULL", math.nan),
        ("-Infinity", -math.inf),
    ],
)
def test_numbers(text, value):
    np.testing.assert_equal(number(text, MISSING), value)


@pytest.mark.parametrize("text", ["******", "2012-104", "1,5", "abc", "1.5.2"])
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match=OVERFLOW if text[0] == "*" else "text where a number"):
        number(text)


TABLES = {
    "no header": ("outputs.csv", "1.5\n2.5\n"),
    "a header": ("outputs.csv", "y\n1.5\n2.5\n"),
    "a header with a mark": ("outputs.csv", "# y\n1.5\n2.5\n"),
    "a header of two words": ("outputs.csv", "soil temperature\n1.5\n2.5\n"),
    "times": ("outputs.csv", "date,flux\n2012-01-01,1.5\n2012-01-02,2.5\n"),
    "named": ("outputs.csv", "a,output,b\n0,1.5,1\n0,2.5,1\n"),
    "semicolons": ("outputs.csv", "time;y\n0;1.5\n1;2.5\n"),
    "blanks between": ("outputs.csv", " time  y\n 0  1.5\n 1  2.5\n"),
    "padded": ("outputs.csv", "   1.5\n   2.5\n\n"),
    "JSON": ("outputs.json", "[1.5, 2.5]"),
    "JSON by Fortran": ("outputs.json", '{"outputs": [1.5D+00, 0.25D1]}'),
    "JSON of texts": ("outputs.json", '["1.5", "2.5D0"]'),
}


@pytest.mark.parametrize(("name", "text"), TABLES.values(), ids=TABLES)
def test_tables_of_outputs(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert outputs_of(tmp_path / name) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("outputs.csv", "1.5,2\n2.5,3\n", "2 numbers in a line"),
        ("outputs.csv", "time,a,b\n1,1.5,2\n", "3 numbers in a line"),
        ("outputs.csv", "a,time\n1,1.5\n2\n", "lines of different lengths"),
        ("outputs.json", "[1.5, ******]", OVERFLOW),
        ("outputs.json", "[1.5, true]", "a bool where a number"),
        ("outputs.json", "[[1.5], [2.5]]", "a list where a number"),
        ("outputs.json", '{"values": [1]}', "neither a list"),
    ],
)
def test_tables_that_are_not_guessed_at(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=why):
        outputs_of(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("value,sigma\n1.5,\n", "a sigma above 0 beside every value .* none at value number 1"),
        ("value,sigma\n1.5,-9999\n", "a sigma above 0 .* none at value number 1"),
        ("value,sigma\n1.5,-0.1\n", "a sigma above 0 .* -0.1 at value number 1"),
        ("value,sigma\n1.5,0.1\n****,0.1\n", f"{OVERFLOW}.*, in row 2 of seen.csv"),
        ("value,sigma\n1.5\n", "1 cells below 2 names, in row 1 of seen.csv"),
        ("x,y\n1,2\n", "columns value and sigma .* Got seen.csv with x, y"),
        ('value,sigma\n"' + "1" * 200000 + '",2\n', "field larger than field limit"),
    ],
)
def test_tables_of_observations_that_are_refused(study, tmp_path, text, message):
    (tmp_path / "seen.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        study("good", 'file = "seen.csv"')
