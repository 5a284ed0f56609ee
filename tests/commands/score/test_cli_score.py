"""`caliche score`: from a run folder alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def run(tower, caliche):
    """A run of the small tower, its own files gone, humidity and pressure among them."""
    tower.columns["QA"] = [0.008 for _ in tower.times]
    tower.columns["PA"] = [98.0 for _ in tower.times]
    tower.source["columns"]["specific_humidity"] = {"name": "QA", "unit": "kg kg-1"}
    tower.source["columns"]["air_pressure"] = {"name": "PA", "unit": "kPa"}
    caliche("estimate", tower.write(), "--out", "run")
    (tower.folder / "tower.csv").unlink()
    return tower.folder / "run"


def test_scores_and_benchmarks_of_a_run(caliche, run):
    outcome = caliche("score", run)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[1].startswith("A small tower: converged")
    # Of three streams the file flags one: the others may be filled, for all that is known.
    assert lines[3] == (
        "Hold-out, steps with a value (no quality flags for soil_temperature_0.20m and "
        "turbulent_heat_flux: measured and gap-filled values cannot be told apart):"
    )
    assert "soil_temperature_0.05m " in outcome.out
    (line,) = [x for x in outcome.out.splitlines() if x.startswith("turbulent_heat_flux: ")]
    assert "beats" in line or "loses to" in line
    assert "\n3lin " in outcome.out  # the humidity that the model does not use was kept
    assert "3km27: 2 clusters, as only 48 measured steps were there." in outcome.out

    told = json.loads(caliche("score", run, "--json", "-").out)
    assert told["period"] == "holdout"
    assert told["scores"]["soil_temperature_0.05m"]["kge_2012"] is None
    assert told["scores"]["soil_temperature_0.05m"]["n"] == 23
    flux = told["benchmarks"]["turbulent_heat_flux"]
    assert set(flux["beats"]) | set(flux["loses_to"]) == {"1lin", "3lin", "3km27"}
    assert flux["scores"]["caliche"] == told["scores"]["turbulent_heat_flux"]

    summary = json.loads((run / "summary.json").read_text())
    assert summary["holdout"]["turbulent_heat_flux"]["mae"] == flux["scores"]["caliche"]["mae"]
    assert "thermal_conductivity" in summary["plausibility"]

    code = f"""
import sys
from caliche import cli
sys.argv = ["caliche", "score", {str(run)!r}]
try:
    cli.main()
except SystemExit as ending:
    assert ending.code == 0
assert "jax" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_is_no_run(caliche, tmp_path):
    outcome = caliche("score", tmp_path)
    assert outcome.code == 2
    assert "Expected a run folder" in outcome.err


def test_a_scorecard_needs_days_and_a_control(caliche, run):
    outcome = caliche("score", run, "--against", run)
    assert outcome.code == 2
    assert "observations on at least 15 days for a scorecard" in outcome.err
    outcome = caliche("score", run, "--page", "card.html")
    assert outcome.code == 2
    assert "a control run for the page" in outcome.err
    assert not (run.parent / "card.html").exists()
