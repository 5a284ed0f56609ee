"""`caliche history-match` on a terminal, and when it is misused."""

from __future__ import annotations

import json
import tomllib

import pytest
import xarray as xr

from caliche.experiments import load_experiment

TWIN = "twin-two-depths"
SMALL = ("--set", "synthetic.hours=48", "--set", "model.nodes=21", "--points", 2048)
SMALL = (*SMALL, "--members", 150, "--start-ranges")


def test_what_is_left_is_told_written_and_can_be_estimated(caliche, tmp_path):
    folder = tmp_path / "found"
    outcome = caliche("history-match", TWIN, "--out", folder, *SMALL)
    assert outcome.code == 0
    assert "The model itself is searched" in outcome.err
    said = " ".join(outcome.out.split())
    assert "of the ranges is left" in said
    assert "The truth of this twin is kept" in said
    assert "with half the discrepancy" in said
    assert "volumetric_heat_capacity" in said
    assert {p.name for p in folder.iterdir()} == {
        "run.json",
        "config.toml",
        "result.nc",
        "summary.json",
        "reduced.toml",
        "history-match.html",
    }
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["members"] == 150
    assert summary["truth"]["implausibility"] < summary["cutoff"]
    with xr.open_dataset(folder / "result.nc", engine="h5netcdf") as found:
        assert found["value"].shape == (150, 5)
        assert found["minimum_implausibility"].shape == (5, 5, 20, 20)
    page = (folder / "history-match.html").read_text("utf-8")
    assert page.count("<svg") == 4
    assert "width kept" in page
    raw = tomllib.loads((folder / "reduced.toml").read_text("utf-8"))
    albedo = raw["parameters"]["albedo"]
    assert 0.01 <= albedo["lower"] < albedo["start"][0] < albedo["value"] < albedo["upper"] < 0.9
    space = load_experiment(folder / "reduced.toml").space
    assert dict(zip(space.names, space.free, strict=True))["albedo"].prior.upper == albedo["upper"]

    again = caliche("report", folder)
    assert again.code == 0
    assert (folder / "history-match.html").read_text("utf-8") == page

    other = caliche("history-match", TWIN, "--out", folder, *SMALL, "--seed", 1)
    assert other.code == 2
    assert "the same options" in other.err
    fresh = caliche("history-match", TWIN, "--out", folder, *SMALL, "--fresh")
    assert fresh.code == 2


def test_nothing_left_is_exit_code_3_with_the_reason(caliche, tmp_path):
    outcome = caliche(
        "history-match",
        TWIN,
        "--out",
        tmp_path / "none",
        *SMALL,
        "--discrepancy",
        0,
        "--points",
        256,
        "--members",
        50,
        "--set",
        "synthetic.truth.albedo=0.8",
        "--metrics",
        "mean,diurnal,maximum,sd",
    )
    said = " ".join(outcome.out.split())
    assert outcome.code in (0, 3)
    if outcome.code == 3:
        assert "No values of the parameters match all metrics" in said


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
        (("--with", "modle"), "did you mean 'model'"),
        (("--metrics", "men"), "did you mean 'mean'"),
        (("--combine", "median"), "--combine maximum"),
        (("--combine", "third", "--metrics", "bowen"), "Bowen"),
        (("--keep", 1.5), "below 1"),
        (("--cutoff", -3), "above zero"),
        (("--discrepancy", -0.1), "0 or more"),
        (("--members", 3), "50 or more"),
        (("--run", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(caliche, tmp_path, given, phrase):
    folder = tmp_path / "bad"
    outcome = caliche("history-match", TWIN, "--out", folder, *SMALL, *given)
    assert outcome.code == 2
    assert phrase in outcome.err
    assert not folder.exists()
