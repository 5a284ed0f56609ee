"""`caliche identify` and `caliche design` on a terminal, in a pipe, and when they are misused."""

from __future__ import annotations

import json
import os

import pytest

from caliche.terminal import tables

DEPTHS = ("--depths", "0,0.05,0.15", "--streams", "none")


def test_identify_says_what_is_weak_and_why(caliche):
    outcome = caliche("identify", "twin-one-depth")
    assert outcome.code == 0
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    row = next(line for line in lines if line.startswith("thermal_conductivity "))
    for part in ("0.80 ± 0.35", "44 %", "weakly identified"):
        assert part in row
    row = next(line for line in lines if line.startswith("bottom_temperature "))
    assert "0.060 K" in row
    assert "prior sd" not in outcome.out, "a column that says the same of every row"
    flat = " ".join(outcome.out.split())
    assert "3 of 5 parameters are identified; weakly identified: thermal_conductivity and" in flat
    assert "thermal_conductivity +44 %, volumetric_heat_capacity +22 % (collinearity 54)" in flat
    assert "thermal_conductivity, now 44 %, would come to 1.1 % with surface_temperature" in flat


def test_identify_with_priors_shows_what_they_gave(caliche, tower):
    tower.write()
    outcome = caliche("identify", "tower.toml")
    assert outcome.code == 0
    header = next(line for line in outcome.out.splitlines() if line.startswith("parameter "))
    assert "prior sd" in header
    assert "shrinkage" in header


def test_identify_as_json(caliche, tmp_path):
    path = tmp_path / "found.json"
    outcome = caliche("identify", "twin-one-depth", "--points", 2, "--json", path)
    assert outcome.code == 0
    assert f"Written: {path}" in outcome.out
    assert "Verdicts at 2 points over the ranges:" in outcome.out
    summary = json.loads(path.read_text("utf-8"))
    assert summary["experiment"] == "twin-one-depth"
    assert summary["parameters"]["thermal_conductivity"]["verdict"] == "weakly identified"
    assert summary["condition_number"] == pytest.approx(152, rel=0.01)
    assert len(summary["sentences"]) > 3
    assert summary["points"]["number"] == 2


@pytest.mark.parametrize("columns", [80, 100])
def test_the_table_fits_a_terminal(caliche, monkeypatch, columns):
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        "shutil.get_terminal_size", lambda *_, **__: os.terminal_size((columns, 24))
    )
    for arguments in (("identify", "twin-one-depth"), ("design", "twin-two-depths", *DEPTHS)):
        outcome = caliche(*arguments)
        assert outcome.code == 0
        assert max(map(len, outcome.out.splitlines())) <= columns
    assert "weakly identified" in caliche("identify", "twin-one-depth").out


def test_design_ranks_sets(caliche, tmp_path):
    folder = tmp_path / "design"
    outcome = caliche("design", "twin-two-depths", *DEPTHS, "--out", folder, "--top", 3)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    best = next(line for line in lines if line.startswith("volumetric_heat_capacity "))
    assert "23 % 5 cm" in best
    assert "0.80 % surface + 5 cm" in best
    ranked = lines[next(k for k, line in enumerate(lines) if line.startswith("sensors ")) + 2 :]
    assert [line.split("  ")[0] for line in ranked[:3]] == [
        "surface + 5 cm + 15 cm",
        "surface + 15 cm",
        "surface + 5 cm",
    ]
    assert "tc = thermal_conductivity" in outcome.out
    assert {p.name for p in folder.iterdir()} == {
        "design.csv",
        "design.json",
        "run.json",
        "sd-against-depths.svg",
        "sd-against-depths.png",
    }


def test_design_by_a_parameter_with_another_error(caliche):
    options = ("--by", "thermal_conductivity", "--size", 1, "--sigma", "soil_temperature=0.5")
    outcome = caliche("design", "twin-two-depths", *DEPTHS, *options)
    assert outcome.code == 0
    assert "0.5 K for 5 cm and 15 cm" in " ".join(outcome.out.split())
    assert "best one sensor" in outcome.out
    assert "best two sensors" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (("identify", "twin-one-dept"), "did you mean 'twin-one-depth'"),
        (("identify", "twin-one-depth", "--at", "nowhere"), "--at initial"),
        (("identify", "twin-one-depth", "--points", "-1"), "not negative"),
        (("identify", "twin-one-depth", "--json", "no/such/folder.json"), "can be written"),
        (("identify",), "caliche identify --help"),
        (("design", "twin-two-depths", "--depths", "5 cm"), "depths in metres"),
        (("design", "twin-two-depths", "--depths", "-0.1"), "depths in metres"),
        (("design", "twin-two-depths", "--depths", "7"), "within the grid"),
        (("design", "twin-two-depths", "--streams", "sensible_heat"), "known variable"),
        (("design", "twin-two-depths", "--sigma", "soil_temperature"), "NAME=NUMBER"),
        (("design", "twin-two-depths", "--by", "albed"), "'albedo'"),
        (("design", "twin-two-depths", "--out", "."), "does not exist yet"),
    ],
)
def test_bad_input(caliche, tmp_path, monkeypatch, arguments, phrase):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    outcome = caliche(*arguments)
    assert outcome.code == 2
    assert phrase in outcome.err
    assert outcome.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_help_says_what_the_options_are(caliche):
    for command, options in (
        ("identify", ("--at", "--points", "--seed", "--json", "--set")),
        ("design", ("--depths", "--streams", "--sigma", "--size", "--add", "--by", "--out")),
    ):
        outcome = caliche(command, "--help")
        assert outcome.code == 0
        assert all(option in outcome.out for option in options)
    assert "\n  identify " in caliche("--help").out
    assert "\n  design " in caliche("--help").out
