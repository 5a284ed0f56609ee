"""What the missed targets would take: the same work in C, and where the time of ours goes."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import problems, yardstick
from benchmarks.cases_many import as_data
from benchmarks.cases_single import ITERATIONS_TO_CONVERGE, forward, normal_equations
from benchmarks.rows import Row, Size, blank_row, case, ratio_row, time_row
from benchmarks.timing import compile_apart, fresh_cache, interleave, run_job
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.method import run_method
from caliche.sites.blocks import BlockEstimator

SITES = 64


@case("limits", "What the missed targets would take")
def limits(size: Size) -> list[Row]:
    """Where a target is missed, what sets the pace. Forward: C takes a fixed number of Newton
    iterations for the surface, two in all other comparisons; ours goes on until a step is below
    1e-5 K, so that budgets close to round-off. Calibration: the normal equations that
    Levenberg-Marquardt takes, and nothing else. Sites: as many normal equations as ours take, in C,
    on all cores."""
    try:
        kernel = yardstick.load_kernel()
    except yardstick.Unavailable as reason:
        return [blank_row("the same work in C", "ms", reason)]
    return [*_forward(kernel, size), *_calibration(size), *_sites(kernel, size)]


def _forward(kernel: yardstick.Kernel, size: Size) -> list[Row]:
    setup = problems.make_setup(size.steps, closure=problems.KERNEL_CLOSURE)
    theta = setup.theta(setup.start)

    def in_c(iterations: int) -> yardstick.Prepared:
        column = replace(setup.column, newton_iterations=iterations)
        return kernel.forward_modal(column, setup.forcing, theta)

    exact = in_c(ITERATIONS_TO_CONVERGE)
    exact.run()
    ours = compile_apart(forward, problems.make_setup(size.steps).problem, setup.start)
    jobs = {"ours": ours.run}
    rows = []
    for iterations in (2, 3):
        prepared = in_c(iterations)
        prepared.run()
        jobs[f"C, eigenmodes, {iterations} iterations"] = prepared.run
        error = float(np.abs(prepared.output - exact.output).max())
        rows.append(Row(f"largest error of C with {iterations} iterations", error, "K"))
    timings = interleave(jobs, size.seconds, size.least_rounds)
    rows += [time_row(name, timing) for name, timing in timings.items() if name != "ours"]
    return [
        *rows,
        *(
            ratio_row(f"forward over {name}", timings["ours"], timing)
            for name, timing in timings.items()
            if name != "ours"
        ),
    ]


def _calibration(size: Size) -> list[Row]:
    setup = problems.make_setup(size.steps)
    method, starts = LevenbergMarquardt(), setup.start[None]
    evaluations = run_method(method, setup.problem, starts).n_iterations
    program = compile_apart(normal_equations, setup.problem, setup.start)
    timing = interleave({"ours": program.run}, size.seconds, size.least_rounds)["ours"]
    return [
        Row(f"{number} normal equations", 1e3 * number * timing.minimum, "ms", note=words)
        for number, words in (
            (evaluations, "as many as the calibration takes"),
            (2, "the least that could find out that it has converged"),
        )
    ]


def _sites(kernel: yardstick.Kernel, size: Size) -> list[Row]:
    setup = problems.make_setup(size.steps, in_block=True)
    number = SITES if size.name == "full" else yardstick.LANES
    made = problems.make_sites(setup, number)
    began_at = problems.with_initial(setup.problem, setup.start)
    estimator = BlockEstimator(began_at, lanes=number, devices=jax.local_devices()[:1])
    found = list(estimator.run([as_data(setup, made)]))
    evaluations = float(np.concatenate([part.iterations for part in found]).mean())
    theta = problems.members_theta(setup, jnp.tile(setup.start, (number, 1)))
    in_c = kernel.normal_equations_members(
        setup.column, made.kernel_forcing(), theta, made.kernel_observed()
    )
    kernel.set_threads(yardstick.cores())
    timing = interleave({"C": in_c.run}, size.seconds, size.least_rounds)["C"]
    what = f"1,000 sites with {evaluations:.1f} normal equations each, C on all cores"
    return [Row(what, 1000.0 / number * evaluations * timing.minimum, "s", extrapolated=True)]


@case("stages", "What a warm command line waits for")
def stages(size: Size) -> list[Row]:
    """The stages of `caliche estimate twin-two-depths` in a fresh process that finds its programs
    compiled; the fastest of three. Most of it is Python: imports, tracing what is then found
    compiled, and drawing nine figures."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            run_job("command_stages", fresh_cache(folder), out=f"{folder}/{number}").value
            for number in range(4)
        ]
    return [Row(name, min(run[name] for run in runs[1:]), "s") for name in runs[0]]
