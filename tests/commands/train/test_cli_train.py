"""`caliche train`: a small tower, a small network, the folder that it leaves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr


@pytest.fixture
def site(tower):
    """The tower with what LaD needs, and a network in its fluxes."""
    hours = range(len(tower.times))
    tower.columns |= {
        "RAIN": [0.4 if h % 31 < 3 else 0.0 for h in hours],
        "WIND": [3.0 + math.sin(h / 5.0) for h in hours],
        "PRESSURE": [98.0 for _ in hours],
        "HUMIDITY": [0.008 for _ in hours],
    }
    tower.source["columns"] |= {
        "precipitation": {"name": "RAIN", "unit": "mm"},
        "wind_speed": {"name": "WIND", "unit": "m s-1"},
        "air_pressure": {"name": "PRESSURE", "unit": "kPa"},
        "specific_humidity": {"name": "HUMIDITY", "unit": "kg kg-1"},
    }
    tower.config["model"] = {
        "name": "lad",
        "fluxes": "neural-flux",
        "states": False,
        "thicknesses": [0.05, 1.0],
    }
    tower.config["parameters"] = {"albedo": {"value": 0.2}}
    tower.config["observations"] = {
        "latent_heat_flux": {"sigma": 20.0},
        "sensible_heat_flux": {"sigma": 20.0},
        "soil_temperature_0.05m": {"fit": False},
    }
    tower.config["training"] = {
        "epochs": 3,
        "window_days": 0.5,
        "width": 4,
        "depth": 1,
        "learning_rate": 0.01,
    }
    return tower


@pytest.mark.drawn
def test_train_then_score_report_and_resume(site, caliche, tmp_path):
    toml, out = site.write(), tmp_path / "run"
    done = caliche("train", toml, "--out", out)
    assert done.code in (0, 3), done.err
    assert "epoch 3 of 3" in done.err
    assert "with bulk fluxes at the first guess" in done.out
    files = {p.name for p in out.iterdir()}
    assert files == {
        "checkpoint-0.eqx",
        "config.toml",
        "network.eqx",
        "report.html",
        "result.nc",
        "run.json",
        "summary.json",
    }
    summary = json.loads((out / "summary.json").read_text())
    t = summary["training"]
    assert (t["fluxes"], t["states"], len(t["inputs"])) == ("neural-flux", False, 6)
    assert t["seeds"][0]["epochs"] == 3
    assert summary["parameters"]["albedo"]["sd"] is None
    with xr.open_dataset(out / "result.nc", engine="h5netcdf") as results:
        assert results["loss_held_out"].shape == (1, 4)
        assert float(np.abs(results["model_column_imbalance"]).max()) < 1e-6
        fluxes = results["model_turbulent_heat_flux"].values.copy()
    page = (out / "report.html").read_text()
    assert "Learned parts" in page
    assert "the learned part" in page
    assert "Learning curve" in page

    scored = caliche("score", out)
    assert scored.code == 0, scored.err
    assert "latent_heat_flux" in scored.out

    refused = caliche("train", toml, "--out", out)
    assert refused.code == 2
    assert "a folder for the run that does not exist yet" in refused.err
    # A training that was killed: what was written at its end is not there.
    for name in ("result.nc", "summary.json", "network.eqx", "report.html"):
        (out / name).unlink()
    again = caliche("train", toml, "--out", out)
    assert again.code == done.code, again.err
    with xr.open_dataset(out / "result.nc", engine="h5netcdf") as results:
        np.testing.assert_array_equal(results["model_turbulent_heat_flux"].values, fluxes)
    other = caliche("train", toml, "--out", out, "--set", "training.width=5")
    assert other.code == 2
    assert "another configuration" in other.err

    from caliche.runs.trained import load_trained

    problem = load_trained(out).problem()
    cost = float(problem.cost(problem.space.initial()))
    assert math.isfinite(cost)


@pytest.mark.slow  # two programs to compile
def test_ablate_prints_the_comparison(site, caliche, tmp_path):
    out = tmp_path / "ablation"
    done = caliche("train", site.write(), "--out", out, "--ablate", "--set", "training.seeds=2")
    assert done.code in (0, 3), done.err
    for row in ("LaD, bulk fluxes", "without states", "with states"):
        assert row in done.out
    assert "mean ± sd over 2 seeds" in done.out
    for name, states in (("without-states", False), ("with-states", True)):
        summary = json.loads((out / name / "summary.json").read_text())
        assert summary["training"]["states"] is states
        assert [s["seed"] for s in summary["training"]["seeds"]] == [0, 1]
    tables = json.loads((out / "ablation.json").read_text())
    assert len(tables["latent_heat_flux"]["with states"]["rmse"]) == 2


def test_comparison_of_seeds():
    """Mean and sd over seeds, of the hold-out where there is one."""
    from caliche.commands.train.run import compare_runs
    from caliche.runs.run_summary import ScoreEntry, SeedEntry, TrainingEntry, WindowScores

    def run(*values: float) -> TrainingEntry:
        keys = ("rmse", "bias", "percent_bias", "nse", "kge_2009")
        tables = [
            {"latent_heat_flux": ScoreEntry(**dict.fromkeys(keys, v))}  # type: ignore[arg-type]
            for v in values
        ]
        seeds = tuple(
            SeedEntry(k, 1.0, 1, 1, True, "", fit={}, holdout=t) for k, t in enumerate(tables)
        )
        bulk = WindowScores(tables[0], tables[0])
        sizes = (1, 1, 1, 1.0, 1, (1, 1))
        return TrainingEntry("neural-flux", True, (), *sizes, seeds, bulk)

    rows = compare_runs({"without": run(9.0, 1.0, 3.0), "with": run(2.0)})["latent_heat_flux"]
    assert rows["LaD, bulk fluxes"]["rmse"] == (9.0, None)
    assert rows["without"]["rmse"] == pytest.approx((13.0 / 3.0, np.std([9, 1, 3], ddof=1)))
    assert rows["with"]["nse"] == (2.0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('model.fluxes="neural-fluxes"', "did you mean 'neural-flux'"),
        ('model.fluxes="bulk"', "a network in the fluxes"),
        ('model.scheme="code"', "scheme = 'smooth'"),
        ("training.epochs=0", "above 0 for epochs"),
        ("training.window_days=0.3", "whole number of time steps"),
        ("training.window_days=9", "observations to learn from"),
        ("training.layers=2", "a known key"),
    ],
)
def test_what_cannot_be_is_refused(site, caliche, tmp_path, change, message):
    done = caliche("train", site.write(), "--out", tmp_path / "run", "--set", change)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "run").exists()


def test_an_untrained_network_estimates_nothing(site, caliche, tmp_path):
    done = caliche("estimate", site.write(), "--out", tmp_path / "run")
    assert done.code == 2
    assert "caliche train" in done.err
