"""`caliche history-match` on a terminal, and when it is misused."""

from __future__ import annotations

import dataclasses
import json
import tomllib

import numpy as np
import pytest
import xarray as xr

from caliche.commands.history_match import run
from caliche.experiments import load_experiment
from caliche.history_matching import conflict
from caliche.history_matching.observed import observed_targets
from executable_cases import write_study

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


@pytest.mark.ci
def test_a_fit_of_the_twin_stands_beside_what_is_left(caliche, tmp_path):
    fit, folder = tmp_path / "fit", tmp_path / "found"
    short = ("--set", "synthetic.hours=48", "--set", "model.nodes=21")
    assert caliche("estimate", TWIN, "--out", fit, *short).code == 0
    outcome = caliche("history-match", TWIN, "--out", folder, *SMALL, "--against", fit)
    assert outcome.code == 0
    said = " ".join(outcome.out.split())
    assert "The estimate of fit has an implausibility of" in said
    assert "so that it is among what is left" in said
    assert "The 95 % intervals of fit by Laplace" in said
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    entry = summary["against"]["parameters"]["albedo"]
    low, high = entry["places"]["Laplace"]
    assert 0.0 < low < entry["place"] < high < 1.0
    page = (folder / "history-match.html").read_text("utf-8")
    assert page.count("<svg") == 5
    assert "Beside the fit of fit" in page
    refused = caliche("history-match", TWIN, "--out", tmp_path / "no", "--against", folder)
    assert refused.code == 2
    assert "the folder of caliche estimate" in refused.err
    assert not (tmp_path / "no").exists()


def test_nothing_left_is_exit_code_3_with_the_reason(caliche, tmp_path, monkeypatch):
    def moved(*given):
        metrics, targets, measured, told = observed_targets(*given)
        away = 40.0 * np.sqrt(targets.variance) * (np.arange(len(targets)) == 0)
        moved = dataclasses.replace(targets, values=targets.values + away)
        return metrics, moved, measured, told

    monkeypatch.setattr(run, "observed_targets", moved)
    monkeypatch.setattr(conflict, "_SMALLEST", 1e-3)
    folder = tmp_path / "none"
    small = (*SMALL, "--points", 256, "--members", 50, "--metrics", "mean,sd")
    outcome = caliche("history-match", TWIN, "--out", folder, *small)
    assert outcome.code == 3
    said = " ".join(outcome.out.split())
    assert "No values of the parameters match all metrics to within" in said
    assert "surface_temperature: mean" in said
    assert "times as large would reconcile them" in said
    assert "Nothing is left" in (folder / "reduced.toml").read_text("utf-8")
    page = (folder / "history-match.html").read_text("utf-8")
    assert "What excludes what" in page


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


def test_an_executable_has_a_page_and_its_own_options(caliche, tmp_path):
    path, folder = write_study(tmp_path), tmp_path / "found"
    small = ("--with", "emulator", "--waves", 1, "--runs", 10, "--points", 256, "--members", 50)
    outcome = caliche("history-match", path, "--out", folder, *small, "--workers", 3)
    assert outcome.code == 0
    assert "Wave 1: 10 runs, 0 failed" in outcome.err
    assert "without slopes, as it is an executable" in outcome.err
    page = (folder / "history-match.html").read_text("utf-8")
    assert "outputs: value 2" in page
    for command, given, phrase in (
        ("history-match", ("--run", "R"), "--run, which is of experiments"),
        ("history-match", ("--gradients", "always"), "Got an executable"),
        ("history-match", ("--metrics", "diurnal"), "among values, mean, change, sd, bins"),
        ("emulate", ("--set", "a=1"), "--set, which is of experiments"),
        ("emulate", ("--gradients", "always"), "Got an executable"),
    ):
        refused = caliche(command, path, *given, "--out", tmp_path / "none")
        assert refused.code == 2
        assert phrase in " ".join(refused.err.split())
        assert not (tmp_path / "none").exists()
    refused = caliche("history-match", TWIN, "--workers", 2, "--out", tmp_path / "none")
    assert refused.code == 2
    assert "--workers, which is of executables" in " ".join(refused.err.split())
