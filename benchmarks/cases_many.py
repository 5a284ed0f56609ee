"""Many members and many sites: batches against C, a Sobol ensemble, a region of sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

from benchmarks import problems, yardstick
from benchmarks.cases_single import cost, normal_equations
from benchmarks.forcing import STEPS_PER_YEAR
from benchmarks.rows import Row, Size, blank_row, case, ratio_row, time_row
from benchmarks.timing import compile_apart, interleave, run_job, time_once
from caliche import InverseProblem
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.method import CONVERGED
from caliche.sites.block_data import BlockData, SiteData, at_site
from caliche.sites.blocks import BlockEstimator, SiteEstimates

BLOCK = 64  # members of an ensemble, or sites, evaluated together
OF_C = {"forward": "forward_members", "Gauss-Newton": "normal_equations_members"}
TARGET = 1.4
SITE_VARIANTS = {
    "to 1e-6 of a standard deviation": {"method": LevenbergMarquardt()},
    "to 1e-4 of a standard deviation": {"method": LevenbergMarquardt(tolerance=1e-4)},
}


@case("batch-shared", "Many members of one site")
def batch_shared(size: Size) -> list[Row]:
    """The misfit, and the normal equations with five tangents, of many parameter vectors with the
    same forcing, in microseconds per member and site-year. C has SIMD lanes over members. One
    device of ours runs the time loop on one core, so the target holds against C on one."""
    setup = problems.make_setup(size.steps, in_block=True)
    rows = []
    for block in size.blocks:
        u = problems.draw_members(setup, block)
        programs = {
            "forward": compile_apart(jax.vmap(cost, (None, 0)), setup.problem, u),
            "Gauss-Newton": compile_apart(jax.vmap(normal_equations, (None, 0)), setup.problem, u),
        }
        c_arguments = (setup.forcing, problems.members_theta(setup, u), setup.observed)
        rows += _against_c(size, f"{block} members", block, setup, programs, c_arguments)
    return rows


def at_sites(function: Callable) -> Callable:
    """A function of (problem, u) as one of (problem, data, u) with the data of a block of sites."""

    def one(problem: InverseProblem, data: BlockData, u: jax.Array) -> Any:
        return function(at_site(problem, data), u)

    return jax.vmap(one, (None, -1, 0))


@case("batch-own", "Many sites with weather of their own")
def batch_own(size: Size) -> list[Row]:
    """As before, but every member has forcing and observations of its own, as sites do."""
    setup = problems.make_setup(size.steps, in_block=True)
    block = size.blocks[min(1, len(size.blocks) - 1)]
    u = problems.draw_members(setup, block)
    sites = problems.make_sites(setup, block)
    estimator = BlockEstimator(setup.problem, lanes=block, devices=jax.local_devices()[:1])
    data = estimator.place(as_data(setup, sites), np.ones((2, block), np.int32))
    arguments = (estimator.problem, data, u)
    programs = {
        "forward": compile_apart(at_sites(cost), *arguments),
        "Gauss-Newton": compile_apart(at_sites(normal_equations), *arguments),
    }
    c_arguments = (
        sites.kernel_forcing(),
        problems.members_theta(setup, u),
        sites.kernel_observed(),
    )
    return _against_c(size, f"{block} sites", block, setup, programs, c_arguments)


def _against_c(
    size: Size, words: str, block: int, setup: problems.Setup, programs: dict, c_arguments: tuple
) -> list[Row]:
    """Rows for both programs, in turn with C on one thread and on all."""
    jobs: dict[str, Callable] = {name: program.run for name, program in programs.items()}
    missing, cores = None, yardstick.cores()
    try:
        kernel = yardstick.load_kernel()
    except yardstick.Unavailable as reason:
        missing = reason
    else:
        for name, method in OF_C.items():
            run = getattr(kernel, method)(setup.column, *c_arguments).run
            for threads in sorted({1, cores}):
                jobs[f"C {name}, {threads} thr."] = _with_threads(kernel, threads, run)
    timings = interleave(jobs, size.seconds, min(3, size.least_rounds))
    per = block * setup.steps / STEPS_PER_YEAR
    rows = []
    for name, timing in timings.items():
        program = programs.get(name)
        note = f"kept {timing.cores:.1f} cores busy" if program else ""
        rows.append(time_row(f"{name}, {words}", timing, "us", per, compiled=program, note=note))
    for name in programs:
        what = f"{name} over C, {words}"
        if missing is not None:
            rows.append(blank_row(what, "x", missing, TARGET))
            continue
        rivals = {t: timings[f"C {name}, {t} thr."] for t in sorted({1, cores})}
        note = ", ".join(
            f"{timings[name].minimum / timing.minimum:.2f} x with C on {threads}"
            for threads, timing in rivals.items()
        )
        rows.append(ratio_row(what, timings[name], rivals[1], TARGET, note=f"{note} threads"))
    return rows


def _with_threads(kernel: yardstick.Kernel, threads: int, run: Callable) -> Callable:
    def job() -> None:
        kernel.set_threads(threads)
        run()

    return job


@case("ensemble", "Sobol ensemble")
def ensemble(size: Size) -> list[Row]:
    """Forward run and misfit of a Sobol sequence of parameter vectors, in blocks, as a global
    sensitivity study or an emulator's training set needs it."""
    setup = problems.make_setup(size.steps, in_block=True)
    unit = qmc.Sobol(len(setup.truth), seed=3).random(size.ensemble)
    u = setup.truth + jnp.asarray(2.0 * unit - 1.0)

    def misfits(problem: InverseProblem, u: jax.Array) -> jax.Array:
        return jax.lax.map(lambda v: problem.cost(v), u, batch_size=min(BLOCK, len(u)))

    program = compile_apart(misfits, setup.problem, u)
    timing = time_once(program.run)
    rate = size.ensemble * setup.steps / STEPS_PER_YEAR / timing.minimum
    note = f"{size.ensemble} members in blocks of {min(BLOCK, size.ensemble)}"
    return [
        Row(
            "site-years per second",
            rate,
            "1/s",
            compile_seconds=program.compile_seconds,
            first_call_seconds=program.first_call_seconds,
            note=note,
        ),
        Row(
            "a million site-years",
            1e6 / rate,
            "s",
            extrapolated=True,
            note="extrapolated from the row above",
        ),
    ]


@case("sites", "Many sites calibrated")
def sites(size: Size) -> list[Row]:
    """Levenberg-Marquardt for every site with weather and observations of its own, from the
    perturbed start, in blocks over as many devices as there are cores, error bars included, in a
    process of its own. Making the weather and compiling are not timed."""
    found = run_job("calibrated_sites", steps=size.steps, number=size.sites).value
    return [row for words, one in found.items() for row in _site_rows(size, words, one)]


def calibrate_sites(steps: int, number: int) -> dict[str, dict[str, float]]:
    """What `sites` tells of each variant, measured in this process on all its devices."""
    setup = problems.make_setup(steps, in_block=True)
    began_at = problems.with_initial(setup.problem, setup.start)
    data = as_data(setup, problems.make_sites(setup, number))
    found = {}
    for words, options in SITE_VARIANTS.items():
        estimator = BlockEstimator(began_at, **options)
        first = time_once(lambda e=estimator: list(e.run([data])))
        done: list[SiteEstimates] = []
        again = time_once(lambda e=estimator, d=done: d.extend(e.run([data])))
        found[words] = {
            "devices": len(estimator.devices),
            "first_call": first.minimum,
            "seconds": again.minimum,
            "converged": int(sum((part.status == CONVERGED).sum() for part in done)),
            "evaluations": float(np.concatenate([part.iterations for part in done]).mean()),
        }
    return found


def as_data(setup: problems.Setup, made: problems.Sites) -> SiteData:
    number = len(made.values)
    mask = np.asarray(setup.problem.observations.mask)[:, :, None]
    return SiteData(
        {name: np.ascontiguousarray(np.asarray(v).T) for name, v in made.forcing.items()},
        np.ascontiguousarray(np.moveaxis(np.asarray(made.values), 0, 2)),
        np.repeat(mask, number, axis=2),
        None,
        np.arange(number),
    )


def _site_rows(size: Size, words: str, found: dict[str, float]) -> list[Row]:
    years = size.sites * size.steps / STEPS_PER_YEAR
    seconds = found["seconds"]
    note = (
        f"{size.sites} sites on {found['devices']} device(s); {found['converged']} converged; "
        f"{found['evaluations']:.1f} evaluations a site"
    )
    whole = size.steps == STEPS_PER_YEAR
    return [
        Row(
            f"site-years calibrated per second, {words}",
            years / seconds,
            "1/s",
            first_call_seconds=found["first_call"],
            note=note,
        ),
        Row(
            f"1,000 site-years, {words}",
            1000.0 * seconds / years,
            "s",
            target=2.0 if whole else None,
            extrapolated=size.sites != 1000,
            note=f"scaled from {size.sites} sites",
        ),
    ]
