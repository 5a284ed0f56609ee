"""Sites calibrated together, from a file: what it says, what it writes, what it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from caliche.commands.joint.config import bundled_joint, read_joint
from caliche.commands.joint.folder import new_site, write_joint
from caliche.commands.joint.page import write_joint_page
from caliche.commands.joint.run import calibrate_jointly, values_at
from caliche.commands.joint.summary import JointSummary
from caliche.commands.joint.words import ratios
from caliche.errors import InputError
from caliche.keys.records import read_record, to_json
from caliche.runs.read_results import read_results

SITE = """
title = "A small twin"
[synthetic]
hours = 72
fit_hours = 60
noise = true
seed = 1
[synthetic.truth]
albedo = 0.2
combined_heat_transfer_coefficient = 25.0
thermal_conductivity = 0.8
[window]
time_step = 3600
[model]
name = "soil-heat"
node_depths = [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8]
scheme = "backward-euler"
[parameters.albedo]
prior = "normal"
mean = 0.25
sd = 0.1
[parameters.combined_heat_transfer_coefficient]
prior = "normal"
mean = 20.0
sd = 8.0
[parameters.thermal_conductivity]
prior = "log-normal"
mean = 1.0
sd = 0.6
[observations.surface_temperature]
sigma = 0.1
estimate_sigma = true
[observations."soil_temperature_0.05m"]
sigma = 0.1
"""
JOINT = """
title = "Three twins"
[sites.one]
experiment = "site.toml"
cover = "grass"
[sites.two]
experiment = "site.toml"
cover = "grass"
[sites.two.set.synthetic]
seed = 2
[sites.two.set.synthetic.truth]
albedo = 0.3
[sites.three]
experiment = "site.toml"
cover = "sand"
[sites.three.set.synthetic]
seed = 3
[sites.three.set.synthetic.truth]
combined_heat_transfer_coefficient = 20.0
thermal_conductivity = 0.5
[share]
thermal_conductivity = "cover"
combined_heat_transfer_coefficient = { spread = "estimate" }
"""


def write_files(folder: Path, joint: str = JOINT, site: str = SITE) -> Path:
    (folder / "site.toml").write_text(site)
    (folder / "twins.toml").write_text(joint)
    return folder / "twins.toml"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def done(file):
    lines: list[str] = []
    found, stages = calibrate_jointly(read_joint(file), file.parent / "run", True, lines.append)
    summary = write_joint(found, file.parent / "run", "caliche joint twins.toml")
    return found, stages, summary, lines


def test_truth_is_found_and_shared_as_asked(done):
    found, _, summary, _ = done
    assert found.converged
    truth = {
        "thermal_conductivity@grass": 0.8,
        "thermal_conductivity@sand": 0.5,
        "albedo@one": 0.2,
        "albedo@two": 0.3,
        "combined_heat_transfer_coefficient@three": 20.0,
    }
    assert set(truth) < set(found.result.names)
    for name, value in truth.items():
        p = found.result.parameters[name]
        assert abs(p.estimate - value) < 4.0 * p.sd
    assert summary.parameters["thermal_conductivity@grass"].sites == ("one", "two")
    taken = values_at(found)
    assert taken["one"]["thermal_conductivity"] is taken["two"]["thermal_conductivity"]
    # Twins differ by (25, 25, 20): a spread of some 0.3 of the prior's sd of 8.
    assert 0.1 < found.spreads["combined_heat_transfer_coefficient"] < 0.9


def test_scores_of_all_four_calibrations(done):
    _, _, summary, _ = done
    assert list(summary.scores) == ["first guess", "by itself", "together", "left out"]
    together = ratios(summary, "together", "fit")
    assert len(together) == 6
    assert all(0.95 < ratio < 1.15 for ratio in together.values())
    guess, left = (ratios(summary, kind, "hold-out") for kind in ("first guess", "left out"))
    assert np.mean(list(left.values())) < np.mean(list(guess.values()))
    assert any("left out of the calibration" in text for text in summary.sentences)


@pytest.mark.drawn
def test_folder_opens_without_caliche(done, file):
    found = done[0]
    with xr.open_dataset(file.parent / "run" / "result.nc", engine="h5netcdf") as data:
        assert data.sizes["site"] == 3
        value = found.result.parameters["albedo@two"].estimate
        np.testing.assert_allclose(data.estimate.sel(parameter="albedo@two"), value)
        assert data.rmse.dims == ("calibration", "site", "stream", "window")
        assert np.isfinite(data.rmse).all()
        assert np.isnan(data.site_sd).sum() == 0
    table = (file.parent / "run" / "parameters.csv").read_text().splitlines()
    assert table[0].startswith("parameter,where,estimate,sd,")
    assert any(line.startswith("thermal_conductivity,grass,") for line in table)
    assert any(",a new site," in line for line in table)
    page = write_joint_page(file.parent / "run").read_text()
    assert "<svg" in page
    assert "http-equiv" not in page


def test_the_reader_knows_it(done, file):
    found = read_results(file.parent / "run")
    assert found.kind == "joint"
    assert found.parameters["albedo@two"] == done[0].result.parameters["albedo@two"].estimate
    with pytest.raises(InputError, match="an experiment of its own"):
        _ = found.experiment


def test_a_new_site_gets_the_conditional_prior(done):
    found = done[0]
    middle, low, high = new_site(found)["combined_heat_transfer_coefficient"]
    spread = found.spreads["combined_heat_transfer_coefficient"]
    values = [
        found.result.parameters[f"combined_heat_transfer_coefficient@{s}"].estimate
        for s in ("one", "two", "three")
    ]
    rho = 1.0 - spread**2
    weight = rho / (rho * 3 + 1.0 - rho)  # of each site, by the formula of Sherman and Morrison
    assert middle == pytest.approx(20.0 + weight * sum(v - 20.0 for v in values), rel=1e-3)
    assert low < min(middle, 20.0)
    assert high > middle


def test_a_run_goes_on_from_the_fits_that_are_there(done, file):
    found, stages, _, lines = done
    assert len(lines) == 7  # three by themselves, one together, three left out
    (stages.path / "without-two.npz").unlink()
    again: list[str] = []
    repeated, _ = calibrate_jointly(read_joint(file), file.parent / "run", True, again.append)
    assert [line.partition(":")[0] for line in again] == ["without two"]
    np.testing.assert_array_equal(repeated.result.u, found.result.u)
    np.testing.assert_array_equal(repeated.result.covariance, found.result.covariance)
    for site, outcome in found.left_out.items():
        np.testing.assert_array_equal(repeated.left_out[site].final.u, outcome.final.u)
    with pytest.raises(InputError, match="the same configuration and data"):
        calibrate_jointly(read_joint(file, ["share.albedo='global'"]), file.parent / "run")


@pytest.mark.slow
def test_killed_and_resumed_is_identical(done, file, tmp_path):
    found = done[0]
    command = [sys.executable, "-m", "caliche", "joint", str(file), "--out", str(tmp_path / "run")]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=dict(os.environ))
    while not list((tmp_path / "run" / "stages").glob("without-*.npz")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "by itself" not in finished.stderr
    with xr.open_dataset(tmp_path / "run" / "result.nc", engine="h5netcdf") as data:
        np.testing.assert_allclose(data.u, found.result.u, atol=1e-9)
    assert not (tmp_path / "run" / "stages").exists()


@pytest.mark.ci
def test_a_site_that_cannot_be_is_named_and_the_others_go_on(tmp_path):
    truth = "[sites.three.set.synthetic.truth]\n"
    broken = JOINT.replace(truth, f"{truth}albedo_of_snow = 0.5\n")
    config = read_joint(write_files(tmp_path, broken))
    lines: list[str] = []
    found, _ = calibrate_jointly(config, tmp_path / "run", False, lines.append)
    assert list(found.failures) == ["three"]
    assert not found.converged
    assert found.problem.sites == ("one", "two")
    summary = write_joint(found, tmp_path / "run")
    assert "albedo_of_snow" in summary.failures["three"]
    assert "left out" not in summary.scores


@pytest.mark.ci
def test_clusters_give_labels(tmp_path):
    joint = JOINT.replace('thermal_conductivity = "cover"', 'thermal_conductivity = "cluster"')
    joint += '[clusters]\nnumber = 2\npredictors = ["cover", "residuals"]\n'
    found, _ = calibrate_jointly(read_joint(write_files(tmp_path, joint)), tmp_path / "run", False)
    assert found.clusters is not None
    assert found.clusters.member[0] == found.clusters.member[1] != found.clusters.member[2]
    assert "thermal_conductivity@like three" in found.result.names


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"cover"\ncombined', '"colour"\ncombined', "'colour'"),
        ('thermal_conductivity = "cover"', 'thermal_conductivty = "cover"', "thermal_conductivity"),
        ('{ spread = "estimate" }', "{ spread = 2.0 }", "between 0.01 and 1"),
        ('experiment = "site.toml"\ncover = "sand"', 'cover = "sand"', "experiment"),
        ('cover = "sand"', "cover = [1]", "a word or a number"),
        ("[share]", "[shared]\nx = 1\n[share]", "'shared'"),
    ],
)
def test_bad_files_are_told_in_one_sentence(tmp_path, old, new, match):
    assert old in JOINT
    with pytest.raises(InputError, match=match) as told:
        read_joint(write_files(tmp_path, JOINT.replace(old, new)))
    assert str(told.value).count("Expected") == 1


def test_names_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="four-towers"):
        read_joint("four-tower")
    assert "four-towers" in bundled_joint()
    config = read_joint("four-towers")
    assert list(config.sites) == ["US-Me2", "US-Whs", "FR-Pue", "US-Bo1"]
    assert config.sites["US-Whs"].attributes["vegetation"] == "desert"
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "y").touch()
    with pytest.raises(InputError, match="does not exist yet"):
        calibrate_jointly(read_joint(write_files(tmp_path)), tmp_path / "x", False)


def test_summary_is_json(done, file):
    written = json.loads((file.parent / "run" / "summary.json").read_text())
    assert read_record(JointSummary, file.parent / "run" / "summary.json", "") == done[2]
    assert to_json(done[2]) == written
