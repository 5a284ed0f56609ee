"""Calibrations through the command line: what is written, what is printed, and the exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import xarray as xr

from caliche.commands.estimate.terminal import print_summary
from caliche.experiments import load_experiment
from caliche.keys.records import from_json
from caliche.remarks import as_table
from caliche.runs.run_summary import RunSummary
from caliche.terminal import tables
from caliche.terminal.progress import Progress

RUN_FILES = ["config.toml", "report.html", "result.nc", "run.json", "summary.json"]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text("utf-8"))


def estimates(folder: Path) -> dict[str, float]:
    return {n: p["estimate"] for n, p in summary_of(folder)["parameters"].items()}


def test_check_reports_what_a_run_would_meet(caliche, tower):
    outcome = caliche("check", tower.write(), "--json", "found.json")
    assert (outcome.code, outcome.err) == (0, "")
    for line in (
        "Window      2024-06-01 01:00 to 2024-06-04 00:00, UTC+1",
        "held out after 2024-06-03 01:00",
        "71 steps of 3600 s; forcing complete",
        "soil_temperature_0.05m: 49 values, 23 held out; fitted, sigma 0.5 K",
        "21 nodes to 1 m",
        "thermal_conductivity: first guess 0.8, flat between 0.05 and 5 W m-1 K-1",
        "bottom_temperature: first guess 290, normal, 290 ± 2 K",
        "albedo = 0.2",
        "Gradients   agree",
        "for each of 2 starts",
    ):
        assert line in outcome.out, line
    assert names(tower.folder) == ["found.json", "tower.csv", "tower.toml"]
    found = json.loads((tower.folder / "found.json").read_text())
    assert (found["experiment"], found["title"]) == ("tower", "A small tower")
    assert found["gradients"]["agree"] is True
    assert found["gradients"]["finite_differences"] < 1e-5
    assert found["no_effect"] == []
    assert found["observations"] == 98
    assert found["seconds"].keys() == {"compile", "evaluation"}
    assert list(found["lines"])[:4] == ["window", "clock", "stream", "grid"]
    assert found["lines"]["misfit"] == [
        f"{found['misfit']:.4g} at the first guess, for 98 observations"
    ]
    told = outcome.out.replace("\n", " ")
    assert all(sentence in told for sentence in (*found["prior"], *found["sensors"]))


def test_check_names_parameters_without_effect_and_streams_left_out(caliche, tower):
    tower.config["observations"]["sensible_heat_flux"] = {"fit": False}
    outcome = caliche("check", tower.write(), "--prior-predictive", 0)
    assert outcome.code == 0
    assert "sensible_heat_flux: 48 values, 23 held out; left out" in outcome.out


def test_check_refuses_a_misfit_that_overflows(caliche, tower, monkeypatch):
    monkeypatch.setattr("caliche.keys.read.SMALLEST", 0.0)  # a sigma that is refused by itself
    tower.config["observations"]["soil_temperature_0.05m"]["sigma"] = 1e-200
    outcome = caliche("check", tower.write())
    assert outcome.code == 2
    assert "a finite misfit at the first guess" in outcome.err


@pytest.mark.drawn
def test_a_tower_from_file_to_report(caliche, tower):
    tower.write()
    outcome = caliche("estimate", "tower.toml", "--out", "first", "--seed", 3)
    assert outcome.code == 0, outcome.err
    assert names(tower.folder) == ["first", "tower.csv", "tower.toml"]
    assert names(tower.folder / "first") == RUN_FILES
    lines = outcome.out.splitlines()
    assert lines[0] == ""
    assert lines[1].startswith("A small tower: converged, with a record too short to tell")
    assert lines[1].endswith("; 2 of 2 starts reached this optimum")
    assert lines[-1] == "Report: first/report.html"
    assert "Hold-out:" in lines
    assert "\x1b" not in outcome.out + outcome.err
    assert "\r" not in outcome.out + outcome.err
    assert outcome.err.startswith("Calibrating tower")

    # The command is recorded, and the folder's configuration runs again to the same numbers.
    summary = summary_of(tower.folder / "first")
    assert summary["command"] == "caliche estimate tower.toml --out first --seed 3"
    assert summary["seed"] == 3
    config = tomllib.loads((tower.folder / "first" / "config.toml").read_text("utf-8"))
    assert config["method"] == {"name": "lm", "starts": 2, "seed": 3}
    assert str(tower.folder) not in (tower.folder / "first" / "config.toml").read_text("utf-8")
    again = caliche("estimate", "first/config.toml", "--out", "second")
    assert again.code == 0, again.err
    assert estimates(tower.folder / "second") == estimates(tower.folder / "first")

    # The report needs the folder and nothing else.
    report = (tower.folder / "first" / "report.html").read_bytes()
    shutil.move(tower.folder / "first", tower.folder / "moved")
    (tower.folder / "tower.csv").unlink()
    assert caliche("report", "moved").out == "Report: moved/report.html\n"
    assert (tower.folder / "moved" / "report.html").read_bytes() == report


def test_a_run_that_does_not_converge(caliche, tower):
    tower.write()
    outcome = caliche(
        "estimate", "tower.toml", "--out", "run", "--set", "method.options.max_iterations=2"
    )
    assert outcome.code == 3
    assert outcome.out.splitlines()[1].startswith("A small tower: DID NOT CONVERGE: ")
    assert names(tower.folder / "run") == RUN_FILES
    summary = summary_of(tower.folder / "run")
    assert summary["converged"] is False
    assert summary["n_iterations"] == 2
    assert "did not converge" in (tower.folder / "run" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_another_method_leaves_the_options_of_the_first(caliche, tower):
    tower.config["method"]["options"] = {"max_iterations": 150, "tolerance": 1e-7}
    tower.write()
    outcome = caliche("estimate", "tower.toml", "--method", "adam", "--starts", 1, "--out", "run")
    assert outcome.code in (0, 3), outcome.err
    assert summary_of(tower.folder / "run")["method"] == "adam"
    config = tomllib.loads((tower.folder / "run" / "config.toml").read_text("utf-8"))
    assert config["method"] == {"name": "adam", "starts": 1, "seed": 0}


def test_overrides_in_toml_syntax(tower):
    experiment = load_experiment(
        tower.write(),
        [
            'observations."soil_temperature_0.05m".sigma=0.2',
            "parameters.thermal_conductivity.fixed = true",
            "parameters.bottom_temperature.fixed=true",
            "model.scheme=backward-euler",
        ],
    )
    assert experiment.config.observations["soil_temperature_0.05m"].sigma == 0.2
    assert experiment.config.model.scheme == "backward-euler"
    assert experiment.space.names == ("combined_heat_transfer_coefficient",)
    assert float(experiment.space.fixed["thermal_conductivity"]) == 0.8
    # Fixed without a value, a parameter stays at the mean of the prior that it had.
    assert float(experiment.space.fixed["bottom_temperature"]) == 290.0


def test_an_interrupt_leaves_nothing(caliche, tower, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", interrupt)
    outcome = caliche("estimate", tower.write(), "--out", "new/run")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "caliche: interrupted; nothing was written"
    assert names(tower.folder) == ["tower.csv", "tower.toml"]


def test_simulate_writes_series_and_scores(caliche, tower):
    tower.write()
    outcome = caliche("simulate", "tower.toml", "--out", "simulation")
    assert (outcome.code, outcome.err) == (0, "")
    assert names(tower.folder / "simulation") == ["config.toml", "run.json", "simulation.nc"]
    header, first = outcome.out.splitlines()[1], outcome.out.splitlines()[3]
    assert header.split() == ["stream", "n", "RMSE", "bias", "r", "NSE"]
    assert first.split()[:2] == ["soil_temperature_0.05m", "72"]
    assert "turbulent_heat_flux (not fitted)" in outcome.out
    assert outcome.out.splitlines()[-1] == "Series: simulation/simulation.nc"
    with xr.open_dataset(tower.folder / "simulation" / "simulation.nc") as series:
        assert series["soil_temperature_0.05m_modelled"].attrs["units"] == "K"
        assert series.sizes["time"] == 72
    again = caliche("simulate", "simulation/config.toml", "--out", "again")
    assert again.out.splitlines()[:-1] == outcome.out.splitlines()[:-1]


def test_the_default_folder_is_under_runs(caliche, tower):
    outcome = caliche("simulate", tower.write())
    assert outcome.code == 0
    (folder,) = (tower.folder / "runs").iterdir()
    assert folder.name.startswith("tower-simulation-")


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_summary_on_a_terminal(capsys, monkeypatch, columns):
    parameter = {
        "estimate": 2.2e6,
        "sd": 1.9e4,
        "interval95": [2.15e6, 2.25e6],
        "initial": 2.0e6,
        "unit": "J m-3 K-1",
        "fixed": False,
    }
    score = {"n": 9, "rmse": 0.1, "bias": None, "r": -0.99, "nse": 1.0, "fitted": True}
    summary = {
        "title": "A run",
        "method": "lm",
        "reason": "",
        "converged": True,
        "verdict": as_table("converged", []),
        "parameters": {"combined_heat_transfer_coefficient": parameter},
        "fit": {"soil_temperature_0.05m": score},
        "holdout": None,
        "warnings": ["Look here."],
    }
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", columns)
    print_summary(from_json(RunSummary, summary))
    out = capsys.readouterr().out
    assert "A run: converged\n" in out
    assert "(2.200 ± 0.019) × 10⁶" in out
    assert max(map(len, out.splitlines())) <= int(columns)
    assert ("95 % interval" in out) is (columns == "200")
    assert "Note: Look here." in out


@pytest.mark.ci
def test_a_whole_run_in_a_pipe_of_its_own(tower):
    """Nothing that the tests set up (double precision, for one) is needed."""
    tower.write()
    done = subprocess.run(
        [sys.executable, "-m", "caliche", "estimate", "tower.toml", "--out", "run"],
        env={"PATH": "", "PYTHONPATH": ":".join(p for p in sys.path if p), "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "Warning" not in done.stderr
    seconds = summary_of(tower.folder / "run")["seconds"]
    assert seconds["import"] > 0.05
    assert seconds["compile"] > 0.05
    assert seconds["run"] > 0.0
