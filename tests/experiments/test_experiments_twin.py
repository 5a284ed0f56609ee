"""The twin experiments: the truth is found, and the run folder tells all of it."""

from __future__ import annotations

import json
import shutil
import tomllib

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import caliche
from caliche.errors import InputError
from caliche.estimation import tangent_run
from caliche.estimation.tangent_run import run_with_tangents
from caliche.files.manifest import write_manifest
from caliche.report import write_report

TRUTH = {
    "albedo": 0.2,
    "combined_heat_transfer_coefficient": 25.0,
    "thermal_conductivity": 0.8,
    "volumetric_heat_capacity": 2.2e6,
    "bottom_temperature": 293.0,
}


@pytest.fixture(scope="module")
def run(calibrate):
    done = calibrate("twin-two-depths")
    write_report(done.folder)
    return done


@pytest.fixture(scope="module")
def summary(run):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((run.folder / "summary.json").read_text("utf-8"), parse_constant=refuse)


def values(result):
    return {name: p.estimate for name, p in result.parameters.items()}


def test_the_python_interface_and_the_run_agree(run):
    experiment = caliche.load_experiment("twin-two-depths")
    problem = experiment.problem()
    result = caliche.estimate(problem, method="lm", starts=20, seed=0)
    conductivity = result.parameters["thermal_conductivity"]
    low, high = conductivity.interval
    assert low < conductivity.estimate < high
    assert 0.0 < conductivity.sd < 0.05
    # The same seed gives the same numbers, to the last bit.
    assert values(result) == values(run.result)
    assert [s.initial for s in result.starts] == [s.initial for s in run.result.starts]


def test_error_bars_and_prediction_share_one_program(run):
    """Where all that is scored is fitted; tracing it again is most of a warm start."""
    problem = caliche.load_experiment("twin-two-depths").problem()
    known = tangent_run._run._cache_size()
    run_with_tangents(problem, jnp.asarray(run.result.u))
    scoring = caliche.load_experiment("twin-two-depths").scoring_problem()
    run_with_tangents(scoring, jnp.asarray(run.result.u))
    assert tangent_run._run._cache_size() == known > 0


def test_the_truth_lies_within_the_intervals(run):
    assert run.result.converged
    assert all(start.converged for start in run.result.starts)
    for name, truth in TRUTH.items():
        low, high = run.result.parameters[name].interval
        assert low < truth < high, name


def test_without_noise_the_truth_is_recovered(calibrate):
    result = calibrate("twin-two-depths", "synthetic.noise=false", starts=2).result
    assert result.converged
    for name, truth in TRUTH.items():
        assert result.parameters[name].estimate == pytest.approx(truth, rel=1e-6), name


def test_one_depth_says_far_less_of_conductivity(run, calibrate):
    one = calibrate("twin-one-depth", starts=2).result
    assert one.converged
    ratio = (
        one.parameters["thermal_conductivity"].sd / run.result.parameters["thermal_conductivity"].sd
    )
    assert 20 < ratio < 80


def test_summary_has_the_documented_keys(summary):
    assert set(summary) >= {
        "experiment",
        "method",
        "converged",
        "reason",
        "seed",
        "n_iterations",
        "n_model_runs",
        "seconds",
        "parameters",
        "correlation",
        "starts",
        "fit",
        "holdout",
        "derived",
        "versions",
    }
    assert (summary["experiment"], summary["method"]) == ("twin-two-depths", "lm")
    assert summary["converged"] is True
    assert summary["reason"].startswith("converged")
    assert summary["seed"] == 0
    assert set(summary["seconds"]) == {"import", "compile", "run"}
    assert summary["n_model_runs"] >= 20 * summary["n_iterations"]
    assert summary["holdout"] is None
    assert set(summary["parameters"]) == {*TRUTH, "emissivity"}
    for name, p in summary["parameters"].items():
        assert set(p) >= {
            "estimate",
            "sd",
            "interval95",
            "initial",
            "unit",
            "lower",
            "upper",
            "fixed",
        }
        assert p["fixed"] is (name == "emissivity")
        if not p["fixed"]:
            low, high = p["interval95"]
            assert p["lower"] < low < p["estimate"] < high < p["upper"]
            assert p["truth"] == TRUTH[name]
    assert summary["correlation"]["names"] == list(TRUTH)
    matrix = np.array(summary["correlation"]["matrix"])
    assert matrix.shape == (5, 5)
    assert matrix == pytest.approx(matrix.T)
    assert np.diag(matrix) == pytest.approx(np.ones(5))
    assert len(summary["starts"]) == 20
    for start in summary["starts"]:
        assert set(start) >= {"initial", "estimate", "misfit", "converged"}
        assert set(start["initial"]) == set(start["estimate"]) == set(TRUTH)
        assert start["misfit"] == pytest.approx(summary["starts"][0]["misfit"], abs=1e-6)
    assert set(summary["fit"]) == {"surface_temperature", "soil_temperature_0.05m"}
    for score in summary["fit"].values():
        assert set(score) >= {"n", "rmse", "bias", "r2", "nse", "sd_obs", "sd_model"}
        assert score["n"] == 101
        assert score["rmse"] == pytest.approx(0.1, rel=0.3)
    assert "thermal_diffusivity" in summary["derived"]
    assert set(summary["versions"]) >= {"caliche", "python", "jax", "numpy"}


def test_result_opens_in_plain_xarray(run):
    with xr.open_dataset(run.folder / "result.nc", engine="h5netcdf") as data:
        assert np.issubdtype(data["time"].dtype, np.datetime64)
        assert data.sizes["time"] == 101
        assert data.attrs["Conventions"].startswith("CF-")
        for name, array in data.data_vars.items():
            assert array.attrs.get("long_name"), name
            # Along `parameter` every entry has its own unit, which the comment lists.
            if "parameter" not in array.dims:
                assert array.attrs.get("units"), name
        for what in ("observed", "modelled", "first_guess", "band"):
            assert data[f"surface_temperature_{what}"].attrs["units"] == "K"
        assert data["forcing_air_temperature"].attrs["units"] == "K"
        balance = data["model_energy_imbalance"].values[1:]
        assert np.abs(balance).max() < 1e-8
        assert int(data["holdout"].sum()) == 0
        assert data["trajectory"].dims == ("start", "iteration", "parameter")
        assert list(data["parameter"].values) == list(TRUTH)
        estimate = dict(zip(data["parameter"].values, data["estimate"].values, strict=True))
        assert estimate["albedo"] == run.result.parameters["albedo"].estimate


@pytest.mark.drawn
def test_the_report_needs_the_folder_alone(run, tmp_path, monkeypatch):
    monkeypatch.delenv("CALICHE_DATA", raising=False)
    first = write_report(run.folder).read_bytes()
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    (moved / "report.html").unlink()
    assert write_report(moved).read_bytes() == first


def test_the_configuration_runs_again_to_the_same_numbers(run, calibrate):
    text = (run.folder / "config.toml").read_text("utf-8")
    assert tomllib.loads(text)["method"] == {"name": "lm", "starts": 20, "seed": 0}
    assert values(calibrate(str(run.folder / "config.toml")).result) == values(run.result)


def test_another_seed_draws_other_starts(calibrate, run):
    other = calibrate("twin-two-depths", "method.seed=1").result
    assert other.starts[1].initial != run.result.starts[1].initial
    for name, p in run.result.parameters.items():
        assert other.parameters[name].estimate == pytest.approx(p.estimate, rel=1e-6)


def test_a_twin_with_hold_out(calibrate, tmp_path):
    path = tmp_path / "held-out.toml"
    path.write_text('extends = "twin-two-depths"\n[synthetic]\nhours = 120\nfit_hours = 100\n')
    done = calibrate(str(path), starts=2)
    assert done.result.converged
    assert {name: score["n"] for name, score in done.summary["fit"].items()} == {
        "surface_temperature": 101,
        "soil_temperature_0.05m": 101,
    }
    for score in done.summary["holdout"].values():
        assert score["n"] == 20
        assert score["rmse"] < 0.15
        assert score["nse"] > 0.99
    with xr.open_dataset(done.folder / "result.nc", engine="h5netcdf") as data:
        assert int(data["holdout"].sum()) == 20


def test_an_existing_folder_is_left_alone(run):
    before = {p.name: p.read_bytes() for p in run.folder.iterdir()}
    with pytest.raises(InputError, match="which does"):
        caliche.run_experiment(caliche.load_experiment("twin-two-depths"), out=run.folder)
    assert {p.name: p.read_bytes() for p in run.folder.iterdir()} == before
    assert [p.name for p in run.folder.parent.iterdir()] == ["run"]


# -- one reader for every folder -----------------------------------------------------------------


def test_a_run_is_read_and_its_model_run_again(run):
    found = caliche.read_results(run.folder)
    assert found.kind == "estimate"
    assert found.parameters == values(run.result)
    np.testing.assert_allclose(found.u, run.result.u, rtol=1e-9)
    best = min(start.misfit for start in run.result.starts)
    assert float(found.problem().cost(found.u)) == pytest.approx(best, rel=1e-9)
    assert found.data is not None
    assert "soil_temperature_0.05m_modelled" in found.data
    assert found.draws is None


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("compare", ("compare.json",)),
        ("variants", ("variants.json",)),
        ("design", ("design.json",)),
    ],
)
def test_other_folders_are_read_as_what_they_are(kind, files, tmp_path):
    for name in files:
        (tmp_path / name).write_text('{"rows": []}')
    write_manifest(tmp_path, kind)
    if kind != "design":  # which keeps none
        with pytest.raises(InputError, match=r"config\.toml"):
            caliche.read_results(tmp_path)
    (tmp_path / "config.toml").write_text('title = "x"')
    found = caliche.read_results(tmp_path)
    assert (found.kind, found.summary, found.data) == (kind, {"rows": []}, None)
    with pytest.raises(InputError, match="one set of parameters"):
        _ = found.parameters
    with pytest.raises(InputError, match="one estimate of one experiment"):
        _ = found.u


def test_what_is_no_folder_of_results_is_told(tmp_path):
    with pytest.raises(InputError, match="no results of caliche"):
        caliche.read_results(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        caliche.read_results(tmp_path / "none")
