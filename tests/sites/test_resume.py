"""A run that was stopped goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import xarray as xr
from sites_cases import in_process, read

import caliche
from caliche import estimate_sites
from caliche.commands.sites.run import Progress
from caliche.sites import Share

pytestmark = pytest.mark.ci

KILLED = """
import os, signal, sys, caliche
caliche.configure()
from caliche import estimate_sites

def stop(progress):
    if progress.batches == 2:
        os.kill(os.getpid(), signal.SIGKILL)

experiment = caliche.load_experiment("small.toml")
estimate_sites(experiment, "twins.nc", "out", batch=4, lanes=8, callback=stop)
"""


class Stop(Exception):
    pass


def test_a_stopped_run_goes_on(write, twins):
    experiment = caliche.load_experiment(write())

    def stop(progress: Progress) -> None:
        if progress.batches == 2:
            raise Stop

    with pytest.raises(Stop):
        estimate_sites(experiment, twins, "out", batch=4, lanes=8, callback=stop)
    kept = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in Path("out/blocks").iterdir()}
    assert len(kept) == 2
    assert not Path("out/result.nc").exists()
    seen: list[Progress] = []
    # The size of the batches is remembered.
    estimate_sites(experiment, twins, "out", lanes=8, callback=seen.append)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in kept} == kept
    assert (seen[0].done, seen[0].fresh, seen[-1].done, seen[-1].fresh) == (8, 0, 20, 12)
    estimate_sites(experiment, twins, "straight", batch=4, lanes=8)
    xr.testing.assert_identical(read("out"), read("straight"))
    again: list[Progress] = []
    run = estimate_sites(experiment, twins, "out", lanes=8, callback=again.append)
    assert again == []
    assert run.summary is not None
    assert run.summary["converged"] == 20
    xr.testing.assert_identical(read("out"), read("straight"))
    assert sorted(os.listdir("out")) == [
        "blocks",
        "config.toml",
        "result.nc",
        "run.json",
        "summary.json",
    ]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_run_goes_on(write, twins):
    experiment = caliche.load_experiment(write())
    twins.to_netcdf("twins.nc", engine="h5netcdf")
    assert in_process(KILLED, check=False).returncode == -9
    assert len(list(Path("out/blocks").glob("*.nc"))) == 2
    Path("out/blocks/.000003.nc-host-1.aside").write_text("half a batch")
    estimate_sites(experiment, "twins.nc", "out", lanes=8)
    estimate_sites(experiment, "twins.nc", "straight", batch=4, lanes=8)
    xr.testing.assert_identical(read("out"), read("straight"))
    assert all(p.suffix == ".nc" for p in Path("out/blocks").iterdir())


def test_runs_are_not_mixed(write, twins):
    toml = write()
    estimate_sites(caliche.load_experiment(toml), twins, "out", batch=8, lanes=8)
    config = Path("out/config.toml").read_text("utf-8")
    other = caliche.load_experiment(toml, ["parameters.thermal_conductivity.value=0.7"])
    with pytest.raises(caliche.InputError, match="a run with the same configuration as"):
        estimate_sites(other, twins, "out")
    same = caliche.load_experiment(toml)
    with pytest.raises(caliche.InputError, match="a run with the same configuration as"):
        estimate_sites(same, twins, "out", tolerance=1e-2)
    with pytest.raises(caliche.InputError, match="the same collection and batches of the same"):
        estimate_sites(same, twins.isel(site=slice(1, None)), "out", batch=7)
    changed = twins.copy(deep=True)
    changed["air_temperature"][-1, 7] += 1e-3
    with pytest.raises(caliche.InputError, match="a run with the same collection as"):
        estimate_sites(same, changed, "out")
    assert Path("out/config.toml").read_text("utf-8") == config


def test_folders_that_are_refused(write, twins):
    experiment = caliche.load_experiment(write())
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    with pytest.raises(caliche.InputError, match="mine, which holds something else"):
        estimate_sites(experiment, twins, "mine")
    with pytest.raises(caliche.InputError, match="batches of at least one site"):
        estimate_sites(experiment, twins, "out", batch=0)
    with pytest.raises(caliche.InputError, match="a tolerance between 0 and 1"):
        estimate_sites(experiment, twins, "out", tolerance=2.0)
    with pytest.raises(caliche.InputError, match="between 1 and"):
        estimate_sites(experiment, twins, "out", devices=999)
    assert not Path("out").exists()


def test_a_damaged_batch_is_told(write, twins):
    experiment = caliche.load_experiment(write())
    estimate_sites(experiment, twins, "out", batch=8, lanes=8)
    Path("out/blocks/000001.nc").write_bytes(b"half")
    with pytest.raises(caliche.InputError, match=r"a whole file out/blocks/000001.nc"):
        estimate_sites(experiment, twins, "out")


def test_shares_meet_in_one_folder(write, twins):
    """Processes that never meet, as in an array of jobs: one after the other here."""
    experiment = caliche.load_experiment(write())
    estimate_sites(experiment, twins, "one", batch=4, lanes=8)
    first, second, third = (
        estimate_sites(experiment, twins, "out", batch=4, lanes=8, share=Share(k, 3))
        for k in (1, 0, 2)
    )
    assert (first.summary, second.summary) == (None, None)
    assert third.summary is not None
    xr.testing.assert_identical(read("out"), read("one"))
    text = json.loads(Path("out/run.json").read_text("utf-8"))
    assert (text["sites"], text["batch"]) == (20, 4)
