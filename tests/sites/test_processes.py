"""Several devices, several processes, and memory: each in processes of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sites_cases import configuration, in_process, read

import caliche
from caliche import estimate_sites
from caliche.sites import Share, join

pytestmark = pytest.mark.ci

ON_DEVICES = """
import sys, caliche
devices = int(sys.argv[1])
caliche.configure(devices=devices)
import jax
assert jax.local_device_count() == devices
from caliche import estimate_sites
experiment = caliche.load_experiment("small.toml")
estimate_sites(experiment, "twins.nc", f"out{devices}", batch=8, lanes=8)
"""

MEMORY = """
import sys, caliche
caliche.configure()
from caliche import estimate_sites
experiment = caliche.load_experiment("small.toml")
estimate_sites(experiment, sys.argv[1], sys.argv[2], batch=16, lanes=16)
status = open("/proc/self/status").read()
print(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
"""


@pytest.fixture
def files(write, twins) -> Path:
    twins.to_netcdf("twins.nc", engine="h5netcdf")
    return write()


def test_devices(files):
    estimate_sites(caliche.load_experiment(files), "twins.nc", "out1", batch=8, lanes=8)
    in_process(ON_DEVICES, 4)  # each number compiles anew; the lanes are cut the same way for all
    xr.testing.assert_allclose(read("out4"), read("out1"), rtol=1e-9)


def test_two_processes_that_meet(files):
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "caliche",
        "sites",
        "small.toml",
        "twins.nc",
        "--out",
        "both",
        "--batch",
        "4",
        "--devices",
        "1",
        "--processes",
        "2",
        "--coordinator",
        f"localhost:{port}",
    ]
    running = [
        subprocess.Popen(
            [*command, "--process", str(k)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert any("20 of 20 sites converged" in out for out, _ in said)
    totals = sorted(err.splitlines()[-1].split(",")[0] for _, err in said)
    assert totals == ["small: 12 of 12 sites", "small: 8 of 8 sites"]
    estimate_sites(caliche.load_experiment(files), "twins.nc", "one", batch=4, lanes=8)
    xr.testing.assert_allclose(read("both"), read("one"), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such file there")
def test_memory_does_not_grow_with_the_sites(write, twins):
    write()
    steps = 4000
    rows = np.resize(np.arange(144), steps + 1)
    long = twins.isel(time=rows).drop_vars([n for n in twins.data_vars if n.startswith("truth")])
    long["time"] = twins.time.values[0] + np.arange(steps + 1) * np.timedelta64(1800, "s")
    peaks = []
    for number in (64, 256):
        many = long.isel(site=np.resize(np.arange(20), number))
        many = many.assign_coords(site=[f"site {k}" for k in range(number)])
        many.to_netcdf(f"{number}.nc", engine="h5netcdf")
        peaks.append(int(in_process(MEMORY, f"{number}.nc", f"out{number}").stdout) / 1024)
    size = 5 * 8 * (steps + 1) * (256 - 64) / 2**20
    assert size > 25.0  # MB of data more
    assert peaks[1] - peaks[0] < 10.0


def test_what_join_refuses():
    assert join() == Share(0, 1)
    assert join(4, 2) == Share(2, 4)
    assert Share(1, 3).of(8) == [1, 4, 7]
    for arguments in [(2, None, None), (None, 1, None), (None, None, "localhost:1")]:
        with pytest.raises(caliche.InputError, match="--processes and --process together"):
            join(*arguments)
    with pytest.raises(caliche.InputError, match="process 2 of 2"):
        join(2, 2)
    with pytest.raises(caliche.InputError, match="either --distributed or"):
        join(2, 1, detect=True)


def test_a_configuration_for_sites_alone(write):
    experiment = caliche.load_experiment(write())
    with pytest.raises(caliche.InputError, match="at least one source"):
        experiment.problem()
    assert configuration()["sites"] == {}
