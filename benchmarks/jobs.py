"""Jobs that need a process of their own: `python -m benchmarks.jobs NAME ARGUMENTS`.

A job prints one JSON value. Peak memory is then that of the job alone, and settings of XLA, which
are read once per process, can differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import interleave, peak_memory

LOOP_STEPS = 17520
LOOP_NODES = 8
LOOP_SUMS = 8


def baseline() -> dict[str, float]:
    """Memory of Python with JAX and caliche loaded and configured, and nothing computed."""
    import jax

    import caliche
    from benchmarks import problems

    caliche.configure(cache=False)
    problems.make_model()
    jax.block_until_ready(jax.numpy.zeros(3))
    return {"peak_mebibytes": peak_memory()}


def long_gradient(years: float) -> dict[str, float]:
    """The gradient of the misfit over many years: compile, run, and peak memory of the process.

    The observations are zeros, which cost the same and need no forward run to make.
    """
    import jax

    import caliche

    caliche.configure(cache=False)
    from benchmarks import problems
    from benchmarks.forcing import STEPS_PER_YEAR, site_forcing
    from benchmarks.timing import compile_apart

    model = problems.make_model()
    raw = site_forcing(round(years * STEPS_PER_YEAR))
    problem = problems.problem_without_data(model, raw, [model.node_depths[k] for k in (2, 5)])
    u = problem.space.initial()
    before = peak_memory()
    program = compile_apart(lambda p, v: jax.grad(p.cost)(v), problem, u)
    timing = interleave({"it": program.run}, 1.0, least_rounds=2)["it"]
    return {
        "seconds": timing.minimum,
        "median_seconds": timing.median,
        "compile_seconds": program.compile_seconds,
        "first_call_seconds": program.first_call_seconds,
        "temporary_mebibytes": program.temporary_bytes / 2**20,
        "mebibytes_before": before,
        "peak_mebibytes": peak_memory(),
    }


def streamed_sites(folder: str, collection: str) -> dict[str, float]:
    """Calibrate every site of a collection, read and written batch by batch, on one device."""
    import time

    import caliche

    caliche.configure(devices=1)
    from caliche import estimate_sites

    experiment = caliche.load_experiment(Path(folder) / "small.toml")
    began = time.perf_counter()
    run = estimate_sites(experiment, collection, f"{collection}.out", batch=64)
    assert run.summary is not None
    return {
        "seconds": time.perf_counter() - began,
        "converged": run.summary["converged"],
        "peak_mebibytes": peak_memory(),
    }


def calibrated_sites(steps: int, number: int) -> dict[str, dict[str, float]]:
    """Calibrate sites with a device for each core."""
    import caliche

    caliche.configure(cache=False, devices="all")
    from benchmarks.cases_many import calibrate_sites

    return calibrate_sites(steps, number)


def command_stages(out: str) -> dict[str, float]:
    """Seconds of each stage of `caliche estimate twin-two-depths`."""
    import time

    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def ended(stage: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[stage] = now - began
        began = now

    from caliche import cli  # noqa: F401
    from caliche.terminal import tables  # noqa: F401
    from caliche.terminal.workbench import workbench

    load, run_experiment, write_report = workbench()
    ended("imports")
    experiment = load("twin-two-depths", [])
    experiment.problem()
    ended("experiment and its synthetic observations")
    run = run_experiment(experiment, out=Path(out))
    ended("calibration from 20 starts, error bars, files")
    write_report(run.folder)
    ended("report")
    return seconds


def time_loop(in_one_piece: bool) -> dict[str, float]:
    """A small time loop, with the XLA option that caliche sets or with XLA's default.

    A vector is summed and changed by its sum, several times a step: a chain of small operations as
    in a model, but independent of the models in the package.
    """
    import jax
    import jax.numpy as jnp

    import caliche

    if in_one_piece:
        caliche.configure(cache=False)
    jax.config.update("jax_enable_x64", True)
    weights = jnp.linspace(0.1, 0.2, LOOP_NODES)

    def step(column: Any, air: Any) -> tuple[Any, Any]:
        for _ in range(LOOP_SUMS):
            surface = (weights * column).sum()
            column = column + 0.1 * weights * (air - surface)
        return column, surface

    air = 280.0 + jnp.sin(0.1 * jnp.arange(LOOP_STEPS))
    program = jax.jit(lambda start: jax.lax.scan(step, start, air)[1].sum())
    start = jnp.full(LOOP_NODES, 280.0)
    timing = interleave({"it": lambda: program(start).block_until_ready()}, 0.5, least_rounds=5)
    return {"seconds": timing["it"].minimum}


JOBS = {
    job.__name__: job
    for job in (
        baseline,
        calibrated_sites,
        command_stages,
        long_gradient,
        streamed_sites,
        time_loop,
    )
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
