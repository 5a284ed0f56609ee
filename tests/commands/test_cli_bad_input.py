"""A small tower with one thing wrong: one clear sentence, exit code 2, and nothing written."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

SOIL = "soil_temperature_0.05m"


def put(*path_and_value):
    """Sets a key of the experiment; None takes it away."""
    *path, last, value = path_and_value

    def breaking(tower):
        table = tower.config
        for key in path:
            table = table.setdefault(key, {})
        table[last] = value
        if value is None:
            del table[last]

    return breaking


def column(stream, **changes):
    def breaking(tower):
        entry = tower.source["columns"][stream]
        entry |= changes
        for key in [key for key, value in entry.items() if value is None]:
            del entry[key]

    return breaking


def cells(name, rows, value):
    def breaking(tower):
        for row in rows:
            tower.columns[name][row] = value

    return breaking


def repeat_a_time(tower):
    tower.times[11] = tower.times[10]


def exchange_two_times(tower):
    tower.times[10], tower.times[11] = tower.times[11], tower.times[10]


def lose_a_row(tower):
    for values in (tower.times, *tower.columns.values()):
        del values[20]


def observe_too_deep(tower):
    tower.source["columns"]["soil_temperature_2.00m"] = {"name": "TS_2", "unit": "degC"}
    tower.config["observations"]["soil_temperature_2.00m"] = {"sigma": 0.5}


def fix_everything(tower):
    tower.config["parameters"] = {"albedo": {"value": 0.2, "fixed": True}}


def cross_bounds(tower):
    tower.config["parameters"]["thermal_conductivity"] |= {"lower": 2.0, "upper": 1.0}


CONDUCTIVITY = ("parameters", "thermal_conductivity")
METHOD = ("method",)
CASES = {
    # files, columns, units
    "missing file": (put("sources", "tower", "path", "none.csv"), "none.csv", "not set"),
    "missing column": (column("air_temperature", name="TAA"), "'TAA' in tower.csv", "'TA'"),
    "missing flags": (column("air_temperature", qc="TA_QC"), "'TA_QC'", "'TS_1_QC'"),
    "wrong unit": (column("air_temperature", unit="W m-2"), "air_temperature", "degC"),
    "absent unit": (column("air_temperature", unit=None), "a unit of air_temperature", "degC"),
    "celsius as kelvin, forcing": (column("air_temperature", unit="K"), "degrees Celsius"),
    "celsius as kelvin, observed": (column(SOIL, unit="K"), "TS_1", "degrees Celsius", "72 of 72"),
    "unmapped forcing": (put("model", "turbulence", "bulk-transfer"), "wind_speed"),
    "unmapped stream": (put("observations", "surface_temperature", {}), "sigma"),
    "format": (put("sources", "tower", "format", "csv"), "'table'"),
    "text among numbers": (cells("SW_IN", [30], "dark"), "'dark' in row 31"),
    # time
    "stamp left out": (put("sources", "tower", "time", "stamp", None), "stamp ="),
    "offset left out": (put("sources", "tower", "time", "utc_offset", None), "utc_offset"),
    "time decreases": (exchange_two_times, "increasing times", "2024-06-01T11:00"),
    "time repeated": (repeat_a_time, "2024-06-01T11:00, repeated"),
    "time irregular": (lose_a_row, "a gap of 7200 s before 2024-06-01T22:00"),
    "window beyond the file": (put("window", "end", datetime(2024, 6, 5)), "2024-06-03T23:00Z"),
    "window before the file": (put("window", "start", datetime(2024, 5, 30)), "does not cover"),
    "window reversed": (put("window", "end", datetime(2024, 5, 30)), "put the three in order"),
    "window off the stamps": (put("window", "start", datetime(2024, 6, 1, 1, 30)), "window"),
    "time step": (put("window", "time_step", 0), "of 1 s or more", "time_step", "[window]"),
    "time step as text": (put("window", "time_step", "1h"), "a number for time_step"),
    "start as text": (put("window", "start", "2024-06-01"), "start = 2024-06-01T00:00:00"),
    "no window": (put("window", None), "the table [window]"),
    "offset of a planet": (put("site", "utc_offset", 100), "-14 and 14 hours"),
    # values
    "gap in forcing": (cells("LW_IN", [30], ""), "incoming_longwave", "2024-06-02T06:00Z"),
    "sentinel in forcing": (cells("LW_IN", [30], -9999), "incoming_longwave", "1 missing"),
    "spike in forcing": (cells("TA", [30], 500), "air_temperature", "2024-06-02T06:00Z"),
    "all flagged": (cells("TS_1_QC", range(72), 3), "71 rejected by quality control"),
    "flags as text": (column(SOIL, accept=["good"]), "whole numbers for accept"),
    # model
    "depth below the grid": (observe_too_deep, "0 to 1 m", "soil_temperature_2.00m"),
    "initial depth below the grid": (put("model", "initial_depths", [0.05, 1.5]), "1.5 m"),
    "initial depths unsorted": (put("model", "initial_depths", [0.2, 0.05]), "[0.05, 0.2]"),
    "layers unsorted": (put("model", "layer_bottoms", [0.4, 0.2]), "layer_bottoms", "increase"),
    "layer between nodes": (put("model", "layer_bottoms", [0.23]), "0.25 m"),
    "grid of nothing": (put("model", "depth", float("nan")), "a finite number for depth"),
    "nodes of nothing": (put("model", "node_depths", [0.0, float("nan"), 1.0]), "finite numbers"),
    "two nodes": (put("model", "nodes", 2), "at least 3 nodes"),
    "first layer too thin": (put("model", "first_spacing", 1e-9), "0.0001 m"),
    "unknown scheme": (put("model", "scheme", "euler"), "backward-euler"),
    # parameters
    "unknown parameter": (put("parameters", "thermal_conductivty", {}), "'thermal_conductivity'"),
    "crossed bounds": (cross_bounds, "thermal_conductivity", "lower = 2 and upper = 1"),
    "guess outside its bounds": (put(*CONDUCTIVITY, "value", 50.0), "0.05 and 5", "Got 50"),
    "reversed start": (put(*CONDUCTIVITY, "start", [2.0, 1.0]), "a start range"),
    "prior without its mean": (put(*CONDUCTIVITY, "prior", "normal"), "mean and sd"),
    "fixed at the impossible": (put("parameters", "albedo", "value", 20.0), "albedo between"),
    "nothing free": (fix_everything, "at least one free parameter"),
    # observations
    "unknown stream": (put("observations", "soil_temp_0.05m", {"sigma": 1.0}), f"'{SOIL}'"),
    "stream without depth": (put("observations", "soil_temperature", {"sigma": 1.0}), "metres"),
    "stream not of the model": (put("observations", "air_temperature", {"sigma": 1.0}), "computes"),
    "no sigma": (put("observations", SOIL, "sigma", None), "sigma", "in K"),
    "sigma of zero": (put("observations", SOIL, "sigma", 0.0), "above 0 for sigma"),
    "sigma negative": (put("observations", SOIL, "sigma", -1.0), "above 0 for sigma"),
    "sigma infinite": (put("observations", SOIL, "sigma", float("inf")), "a finite number"),
    "average longer than the window": (put("observations", SOIL, "average", 1e7), "average of"),
    "average of odd steps": (put("observations", SOIL, "average", 5000), "whole number of time"),
    "nothing to fit": (put("observations", {SOIL: {"fit": False}}), "at least one stream to fit"),
    # method
    "unknown method": (put("method", "name", "kalman"), "lm, lbfgs, adam", "'kalman'"),
    "no starts": (put("method", "starts", 0), "above 0 and up to 100000 for starts"),
    "starts as yes": (put("method", "starts", True), "a whole number for starts"),
    "negative seed": (put("method", "seed", -1), "seed"),
    "unknown option": (put("method", "options", {"max_iter": 3}), "'max_iterations'"),
    "option of a wrong kind": (put("method", "options", {"max_iterations": 2.5}), "whole number"),
    "option that is none": (put("method", "options", {"starts": 3}), "'starts'"),
    # the file itself
    "unknown table": (put("windows", {}), "'windows'", "'window'"),
    "unknown key": (put("model", "node", 3), "'node'", "[model]", "'nodes'"),
    "key where a table belongs": (put("observations", SOIL, 3), f'[observations."{SOIL}"]'),
    "extends nothing": (put("extends", "west-phoenx"), "'west-phoenix'"),
    "extends a number": (put("extends", 3), "extends in tower.toml"),
    "extends itself": (put("extends", "tower.toml"), "ring"),
    "twin and tower": (put("synthetic", {"truth": {}}), "[window]", "'start'"),
}


def assert_refused(outcome, command="estimate"):
    """Exit code 2 and one sentence of the usual shape, punctuated once."""
    assert outcome.code == 2
    if command != "check":  # which tells what it has found so far
        assert outcome.out == ""
    assert re.fullmatch(r"caliche: Expected .+\. Got .+\. Try: .+[.?]\n", outcome.err), outcome.err
    assert not re.search(r"[?!:,;]\.|[^.]\.\.(?!\.)", outcome.err), outcome.err


@pytest.mark.parametrize("case", CASES)
def test_one_thing_wrong(caliche, tower, case):
    breaking, *phrases = CASES[case]
    breaking(tower)
    tower.write()
    before = sorted(p.name for p in tower.folder.iterdir())
    outcome = caliche("estimate", "tower.toml", "--out", "run")
    assert_refused(outcome)
    for phrase in phrases:
        assert phrase in outcome.err
    assert sorted(p.name for p in tower.folder.iterdir()) == before


@pytest.mark.parametrize("case", ["missing file", "gap in forcing", "no starts", "unknown option"])
@pytest.mark.parametrize("command", ["check", "simulate"])
def test_other_commands_refuse_alike(caliche, tower, case, command):
    breaking, *phrases = CASES[case]
    breaking(tower)
    outcome = caliche(command, tower.write())
    assert_refused(outcome, command)
    assert phrases[0] in outcome.err
    assert not (tower.folder / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["twin-to-depths"], "'twin-two-depths'"),
        (["nowhere.toml"], "no file nowhere.toml"),
        (["tower.toml", "--method", "kalman"], "lm, lbfgs, adam"),
        (["tower.toml", "--starts", "0"], "above 0 and up to 100000 for starts"),
        (["tower.toml", "--starts", "many"], "--starts"),
        (["tower.toml", "--seed", "-1"], "seed"),
        (["tower.toml", "--stats", "3"], "--stats"),
        (["tower.toml", "--set", "method.starts"], "key=value"),
        (["tower.toml", "--set", "observations.a_0.1m.sigma=1"], "soil_temperature"),
        (["tower.toml", "--set", "a b=1"], "quote"),
        (["tower.toml", "--set", "model.nods=5"], "'nodes'"),
        (["tower.toml", "--set", "seed=5"], "[method]"),
        (["tower.toml", "--out", "."], "which does"),
        (["tower.toml", "--out", "tower.csv"], "which does"),
        (["tower.toml", "--out", "tower.csv/run"], "a folder"),
        (["west-phoenix"], "CALICHE_DATA is not set"),
        ([], "EXPERIMENT"),
    ],
)
def test_bad_command_lines(caliche, tower, arguments, phrase):
    tower.write()
    before = sorted(tower.folder.rglob("*"))
    outcome = caliche("estimate", *arguments)
    assert_refused(outcome)
    assert phrase in outcome.err
    assert sorted(tower.folder.rglob("*")) == before


def test_an_empty_out_survives_bad_input(caliche, tower):
    CASES["gap in forcing"][0](tower)
    (tower.folder / "empty").mkdir()
    for out in ("empty", "new/folder/run"):
        assert_refused(caliche("estimate", tower.write(), "--out", out))
    assert (tower.folder / "empty").is_dir()
    assert not (tower.folder / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["estimat"], "'estimate'"),
        (["report", "."], "summary.json"),
        (["report", "nowhere"], "not a folder"),
        (["data"], "CALICHE_DATA"),
        (["parameters", "combine"], "'combined'"),
        (["init", "tower.toml"], "which does"),
        (["init", "my-tower"], "my-tower.toml"),
        (["init", "nowhere/tower.toml"], "a folder that exists"),
    ],
)
def test_bad_input_of_other_commands(caliche, tower, arguments, phrase):
    tower.write()
    outcome = caliche(*arguments)
    assert_refused(outcome)
    assert phrase in outcome.err


@pytest.mark.parametrize(
    "content", [b"title = 3 4\n", b"\xff\xfe\n", b'[window]\n[window]\nx = "1'], ids=[0, 1, 2]
)
def test_a_file_that_is_no_toml(caliche, tower, content):
    tower.toml.write_bytes(content)
    outcome = caliche("check", "tower.toml")
    assert outcome.code == 2
    assert outcome.err.startswith("caliche: Expected ")
    assert "tower.toml" in outcome.err
