"""The package as it is used: the paper's experiment, the command line, memory, imports, XLA."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import caliche
from benchmarks import eager_torch
from benchmarks.rows import Row, Size, blank_row, case, time_row
from benchmarks.timing import Timing, fresh_cache, interleave, run_child, run_job
from caliche.sites import synthetic

SMALLEST_GAIN = 2.0  # of the XLA option, below which it no longer does what it is there for
PAPER_ITERATIONS = 150  # of Adam, at most, in each trial of the paper
MOST_GROWTH = 1.05  # of memory with the number of sites, which it should not depend on
SMALL_SITES = """
title = "Small sites"
[sites]
[window]
time_step = 1800
[model]
node_depths = [0.0, 0.02, 0.06, 0.15, 0.35, 0.8]
scheme = "backward-euler"
[parameters.thermal_conductivity]
value = 0.8
[parameters.combined_heat_transfer_coefficient]
value = 20.0
[observations."soil_temperature_0.06m"]
sigma = 0.2
[observations.surface_temperature]
sigma = 0.5
"""
IMPORTS = {
    "import caliche": "import caliche",
    "import caliche, first use of the command line": "import caliche.cli",
    "import jax, for comparison": "import jax",
    "import caliche and all that estimating needs": (
        "import caliche; caliche.estimate; caliche.load_experiment"
    ),
}


@case("option", "The XLA option that caliche relies on")
def option(size: Size) -> list[Row]:
    """`caliche.configure()` has XLA compile a time loop in one piece, with an option that XLA does
    not document. A small loop is timed with and without it, each in a process of its own; a gain
    below 2 fails the benchmarks: a new jaxlib would then have dropped or renamed the option."""
    seconds = {
        words: run_job("time_loop", in_one_piece=words == "with").value["seconds"]
        for words in ("without", "with")
    }
    gain = seconds["without"] / seconds["with"]
    note = "" if gain >= SMALLEST_GAIN else dropped(gain)
    return [
        *(Row(f"small time loop, {w} the option", 1e3 * s, "ms") for w, s in seconds.items()),
        Row(
            "gain by the option",
            gain,
            "x",
            target=SMALLEST_GAIN,
            at_least=True,
            required=True,
            note=note,
        ),
    ]


def dropped(gain: float) -> str:
    """What to say when the option no longer helps."""
    import jaxlib

    return (
        f"Expected time loops to run at least {SMALLEST_GAIN:g} times faster with the option set "
        f"in caliche.runtime. Got {gain:.2f}. Try: look for what jaxlib {jaxlib.__version__} calls "
        "xla_cpu_small_while_loop_byte_threshold now."
    )


@case("paper", "The paper's experiment")
def paper(size: Size) -> list[Row]:
    """Twin experiment with two depths of Huang et al. (2026), 100 hours, 101 nodes, as bundled
    (twin-two-depths, with noise), from 50 starts. Compiled by a first call. Its rival is our
    eager PyTorch version of their program: Jacobi sweeps, autograd, 150 Adam iterations a trial."""
    problem = caliche.load_experiment("twin-two-depths").problem()
    first = caliche.estimate(problem, starts=size.starts)
    results = []

    def again() -> None:
        results.append(caliche.estimate(problem, starts=size.starts))

    timing = interleave({"it": again}, size.seconds, size.least_rounds)["it"]
    converged = sum(start.converged for start in first.starts)
    what = f"{size.starts} trials by caliche"
    rows = [
        Row(
            what,
            timing.minimum,
            "s",
            timing.median,
            first.seconds["compile"],
            first.seconds["run"],
            target=1.0 if size.starts == 50 else None,
            note=f"{converged} of {size.starts} converged, {first.n_iterations} iterations",
        ),
    ]
    what = f"{size.starts} trials by eager PyTorch"
    try:
        eager = eager_torch.paper_twin_seconds(size.eager_hours)
    except ImportError as reason:
        return [*rows, blank_row(what, "h", reason)]
    total = size.starts * PAPER_ITERATIONS * eager.gradient
    return [
        *rows,
        Row(
            f"{what}, {PAPER_ITERATIONS} iterations each",
            total / 3600.0,
            "h",
            extrapolated=True,
            note=eager.note,
        ),
        Row("eager PyTorch over caliche", total / timing.minimum, "x", extrapolated=True),
    ]


@case("memory", "A gradient over many years")
def memory(size: Size) -> list[Row]:
    """Time and peak resident memory of the gradient of the misfit over many years of half-hours,
    in a process that does nothing else. The memory includes Python, JAX, the forcing and the
    observations; what a process takes that has only loaded them all stands beside it."""
    idle = run_job("baseline").value["peak_mebibytes"]
    job = run_job("long_gradient", years=size.years).value
    timing = Timing((job["seconds"],))
    whole = size.years == 10.0
    return [
        Row(
            f"gradient over {size.years:g} years",
            1e3 * timing.minimum,
            "ms",
            1e3 * job["median_seconds"],
            job["compile_seconds"],
            job["first_call_seconds"],
        ),
        Row(
            "peak memory of the process",
            job["peak_mebibytes"] * 2**20 / 1e6,
            "MB",
            target=500.0 if whole else None,
            note=f"XLA's temporary memory: {job['temporary_mebibytes']:.0f} MiB; before compiling "
            f"the peak was {job['mebibytes_before']:.0f} MiB",
        ),
        Row("peak memory of a process that computes nothing", idle * 2**20 / 1e6, "MB"),
    ]


@case("streamed", "Memory of many sites")
def streamed(size: Size) -> list[Row]:
    """Peak resident memory of a process that calibrates the sites of a collection: ten days of
    half-hours, two free parameters, sites read and written 64 at a time. It finds its programs
    compiled."""
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "small.toml"
        config.write_text(SMALL_SITES, encoding="utf-8")
        few = synthetic(caliche.load_experiment(config), 50, seed=1, steps=480)
        few = few.drop_vars([name for name in few.data_vars if str(name).startswith("truth")])
        for number in (size.streamed[0], *size.streamed):  # the first of them compiles
            file = Path(folder) / f"{number}-{len(peaks)}.nc"
            many = few.isel(site=np.resize(np.arange(50), number))
            many.assign_coords(site=np.arange(number)).to_netcdf(file, engine="h5netcdf")
            fresh = {"XDG_CACHE_HOME": folder}
            job = run_job("streamed_sites", fresh, folder=folder, collection=str(file)).value
            peaks.append(job["peak_mebibytes"])
            note = f"{job['converged']} converged, {job['seconds']:.1f} s; the collection takes "
            note += f"{file.stat().st_size / 1e6:.0f} MB"
            rows.append(
                Row(f"{number:,} sites", job["peak_mebibytes"] * 2**20 / 1e6, "MB", note=note)
            )
    return [
        *rows[1:],
        Row(
            f"{size.streamed[1]:,} sites over {size.streamed[0]:,}",
            peaks[2] / peaks[1],
            "x",
            target=MOST_GROWTH,
        ),
    ]


@case("command-line", "The command line, end to end")
def command_line(size: Size) -> list[Row]:
    """`caliche estimate twin-two-depths` as a subprocess, from the start of Python to the finished
    report; cold with an empty cache folder, warm right after; each the fastest of three."""
    script = Path(sys.executable).with_name("caliche")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "caliche"]
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            for words, samples in seconds.items():
                arguments = ["estimate", "twin-two-depths", "--out", str(Path(folder) / words)]
                samples.append(
                    run_child([*command, *arguments], fresh_cache(folder), cwd=folder)[1]
                )
    targets = {"cold": 8.0, "warm": 4.0}
    return [
        time_row(f"caliche estimate, {words}", Timing(tuple(samples)), "s", target=targets[words])
        for words, samples in seconds.items()
    ]


@case("imports", "Import time")
def imports(size: Size) -> list[Row]:
    """Each in a fresh process, the smallest of three (files are then in the system's cache)."""
    rows = []
    for words, statement in IMPORTS.items():
        program = (
            f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        )
        printed = [run_child([sys.executable, "-c", program])[0] for _ in range(3)]
        samples = [float(text) for text in printed]
        rows.append(time_row(words, Timing(tuple(samples)), "s"))
    return rows
