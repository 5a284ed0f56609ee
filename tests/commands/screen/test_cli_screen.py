"""`caliche screen` on a terminal, and when it is misused."""

from __future__ import annotations

import json

import pytest

TWIN = "twin-two-depths"


@pytest.mark.drawn
def test_screen_says_what_matters(caliche, tmp_path):
    folder = tmp_path / "found"
    settings = ("--set", "synthetic.hours=30", "--set", "method.starts=1")
    outcome = caliche(
        "screen", TWIN, "--samples", 16, "--start-ranges", "--out", folder, "--seed", 3, *settings
    )
    assert outcome.code == 0
    assert "16 samples of 6 runs, 96 runs of 30 steps" in outcome.err
    assert "96 of 96 runs, 0 failed" in outcome.err
    lines = outcome.out.splitlines()
    header = next(line for line in lines if line.startswith("parameter "))
    assert "mu* of mean, K" in header
    row = next(line for line in lines if line.startswith("volumetric_heat_capacity "))
    assert row.endswith("fixed")
    assert "may be fixed: at most" in " ".join(outcome.out.split())
    assert {p.name for p in folder.iterdir() if p.suffix not in (".svg", ".png")} == {
        "screening.nc",
        "summary.json",
        "screening.html",
        "config.toml",
        "reduced.toml",
        "run.json",
    }
    assert (folder / "soil_temperature_0.05m-maps.png").stat().st_size > 10_000
    assert (folder / "surface_temperature-effects.svg").is_file()
    page = (folder / "screening.html").read_text("utf-8")
    assert page.count("<svg") == 4
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["runs"] == 96

    fit = caliche("estimate", folder / "reduced.toml", "--out", tmp_path / "fit")
    assert fit.code in (0, 3)
    rows = fit.out.splitlines()
    row = next(line for line in rows if line.startswith("volumetric_heat_capacity "))
    assert "fixed" in row
    assert "±" in next(line for line in rows if line.startswith("albedo "))


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (("--method", "sobel"), "did you mean 'sobol'"),
        (("--samples", "2"), "from 4 to"),
        (("--method", "sobol", "--samples", "5"), "from 8 to"),
        (("--keep", "0"), "--keep 0.95"),
        (("--keep", "95"), "--keep 0.95"),
        (("--groups", "soil"), "NAME=A,B"),
        (("--groups", "soil=albedo; soil=emissivity"), "rename one"),
        (("--groups", "soil=thermal_conductivty"), "did you mean 'thermal_conductivity'"),
        (("--out", "."), "does not exist yet"),
        (("--set", "parameters.albedo.fixed=maybe"), "albedo"),
    ],
)
def test_bad_input(caliche, tmp_path, monkeypatch, options, phrase):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    outcome = caliche("screen", TWIN, *options)
    assert outcome.code == 2
    assert phrase in outcome.err
    assert outcome.err.splitlines()[-1].startswith("caliche: Expected")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_help_says_what_the_options_are(caliche):
    outcome = caliche("screen", "--help")
    assert outcome.code == 0
    for option in (
        "--method",
        "--samples",
        "--seed",
        "--groups",
        "--keep",
        "--start-ranges",
        "--fresh",
    ):
        assert option in outcome.out
    assert "\n  screen " in caliche("--help").out
