"""`caliche sites`: what is printed, written, refused, and kept when it is interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli_w
import xarray as xr

from caliche.commands.sites.terminal import sites_words
from caliche.experiments import load_experiment
from caliche.sites import synthetic
from caliche.terminal.progress import Progress

CONFIG = {
    "title": "Small sites",
    "sites": {},
    "window": {"time_step": 3600},
    "model": {"node_depths": [0.0, 0.05, 0.2, 0.8], "scheme": "backward-euler"},
    "parameters": {"thermal_conductivity": {"value": 0.8}},
    "observations": {"surface_temperature": {"sigma": 0.5}},
}


@pytest.fixture
def small(tmp_path, monkeypatch) -> xr.Dataset:
    """The twin collection of small.toml, in the current folder with small.nc."""
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(tomli_w.dumps(CONFIG), encoding="utf-8")
    dataset = synthetic(load_experiment("small.toml"), 10, steps=72)
    dataset.to_netcdf("small.nc", engine="h5netcdf")
    return dataset


def test_sites(caliche, small):
    outcome = caliche("sites", "small.toml", "small.nc", "--out", "run")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[1] == "Small sites: 10 of 10 sites converged"
    assert lines[3].split("   ")[0] == "parameter"
    assert "median" in lines[3]
    assert "5 to 95 % of sites" in lines[3]
    assert lines[5].startswith("thermal_conductivity")
    assert lines[-1] == f"Result: {Path('run') / 'result.nc'}"
    progress = outcome.err.splitlines()
    assert progress[0] == "small: 0 of 10 sites; compiling"
    assert progress[-1].startswith("small: 10 of 10 sites, 0 failed, ")
    assert progress[-1].endswith(" sites per second")
    again = caliche("sites", "small.toml", "small.nc", "--out", "run")
    assert (again.code, again.out, again.err) == (0, outcome.out, "")


def test_sites_that_fail(caliche, small):
    for site in range(7):
        small["air_temperature"][site, 9] = np.nan
    small.to_netcdf("gaps.nc", engine="h5netcdf")
    outcome = caliche("sites", "small.toml", "gaps.nc", "--out", "run")
    assert outcome.code == 3
    assert "3 of 10 sites converged" in outcome.out
    reason = "air_temperature is missing at 1 of 72 steps, first 2000-06-01T09:00Z"
    assert f"7 did not:\n  twin 0: {reason}\n" in outcome.out
    assert "  and 2 more, see summary.json" in outcome.out
    small["air_temperature"][:, 9] = np.nan
    small.to_netcdf("all.nc", engine="h5netcdf")
    outcome = caliche("sites", "small.toml", "all.nc", "--out", "none")
    assert outcome.code == 3
    assert outcome.out.splitlines()[1:4] == [
        "Small sites: 0 of 10 sites converged",
        "",
        "10 did not:",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.toml", "none.nc"], "Expected a collection at none.nc"),
        (["small.toml", "small.nc", "--process", "1"], "--processes and --process together"),
        (["small.toml", "small.nc", "--batch", "0"], "batches of at least one site"),
        (["small.toml", "small.nc", "--devices", "0"], "Expected at least one device"),
        (["small.toml", "small.nc", "--set", "window.time_step=1800"], "time step of 1800 s"),
        (["small.toml", "small.nc", "--set", "sites.stop=1"], "Expected a known key"),
        (
            [
                "small.toml",
                "small.nc",
                "--set",
                "model.bottom='measured-temperature'",
                "--set",
                "model.bottom_stream='soil_temperature_0.80m'",
            ],
            "soil_temperature_0.80m in small.nc",
        ),
        (["twin-two-depths", "small.nc"], "Expected one start for each site"),
    ],
)
def test_bad_input(caliche, small, arguments, message):
    outcome = caliche("sites", *arguments, "--out", "run")
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not Path("run").exists()


def test_an_interrupt_keeps_what_is_finished(caliche, small, monkeypatch):
    def interrupt(*_, now, **__):
        if list(Path("run/blocks").iterdir()):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", interrupt)
        outcome = caliche("sites", "small.toml", "small.nc", "--out", "run", "--batch", "4")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == (
        "caliche: interrupted; finished batches are kept in run, and the same command goes on "
        "from there"
    )
    assert len(list(Path("run/blocks").iterdir())) == 1
    after = caliche("sites", "small.toml", "small.nc", "--out", "run")
    assert after.code == 0
    assert after.err.startswith("small: 4 of 10 sites done already; compiling")


def test_progress_in_words():
    from caliche.commands.sites.run import Progress as News

    assert sites_words("small", News(0, 10, 0, 0, 0, 0.1)) == "small: 0 of 10 sites; compiling"
    told = sites_words("small", News(5, 10, 1, 0, 5, 2.0))
    assert told == "small: 5 of 10 sites, 1 failed, 2.5 sites per second"


def test_a_share_of_the_work(caliche, small):
    arguments = ["sites", "small.toml", "small.nc", "--out", "run", "--batch", "4"]
    first = caliche(*arguments, "--processes", 2, "--process", 0)
    assert first.code == 0
    assert "This process has done its share" in first.out
    second = caliche(*arguments, "--processes", 2, "--process", 1)
    assert second.code == 0
    assert "10 of 10 sites converged" in second.out
