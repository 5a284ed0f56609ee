"""Other ways of computing the same, or something like it: eager PyTorch, diffrax, SuPy."""

from __future__ import annotations

import jax.numpy as jnp

from benchmarks import adaptive, eager_torch, problems, suews
from benchmarks.cases_single import forward, gradient
from benchmarks.forcing import STEPS_PER_DAY, STEPS_PER_YEAR
from benchmarks.rows import UNITS, Row, Size, blank_row, case, ratio_row, time_row
from benchmarks.timing import ChildFailed, compile_apart, interleave


@case("eager", "Eager PyTorch")
def eager(size: Size) -> list[Row]:
    """The benchmark problem in the manner of Huang et al. (2026): explicit steps of 60 s,
    neighbours by a fixed convolution, autograd through every step. Our own program, not theirs."""
    whats = ("forward", "gradient")
    try:
        found = eager_torch.site_year_seconds(size.eager_steps)
    except ImportError as reason:
        return [blank_row(f"{what}, one site-year", "s", reason) for what in whats]
    setup = problems.make_setup(size.steps)
    programs = {
        "forward": compile_apart(forward, setup.problem, setup.start),
        "gradient": compile_apart(gradient, setup.problem, setup.start),
    }
    jobs = {name: program.run for name, program in programs.items()}
    ours = interleave(jobs, size.seconds, size.least_rounds)
    scale = setup.steps / STEPS_PER_YEAR
    rows = []
    for what in whats:
        seconds = getattr(found, what)
        rows += [
            Row(f"{what}, one site-year", seconds, "s", extrapolated=True, note=found.note),
            Row(
                f"{what}, eager PyTorch over caliche",
                seconds * scale / ours[what].minimum,
                "x",
                extrapolated=True,
            ),
        ]
    return rows


@case("adaptive", "An adaptive solver")
def adaptive_solver(size: Size) -> list[Row]:
    """diffrax with Kvaerno3, relative and absolute tolerance 1e-4, forcing linear between its
    half-hourly values (of which the solver is not told). Ours: sdirk2 with steps of half an hour
    over the same days. The two do not have the same accuracy: it is the order that matters."""
    whats = ("forward", "gradient")
    try:
        programs = {
            what: compile_apart(program, jnp.full(5, 1.01))
            for what, program in adaptive.make_programs(size.adaptive_days).items()
        }
    except ImportError as reason:
        return [blank_row(what, "ms", reason) for what in whats]
    setup = problems.make_setup(size.adaptive_days * STEPS_PER_DAY, scheme="sdirk2")
    ours = {
        "forward": compile_apart(forward, setup.problem, setup.start),
        "gradient": compile_apart(gradient, setup.problem, setup.start),
    }
    jobs = {f"{what} by diffrax": program.run for what, program in programs.items()}
    jobs |= {f"{what} by caliche": program.run for what, program in ours.items()}
    timings = interleave(jobs, size.seconds, 1)
    rows = []
    for what in whats:
        theirs, mine = timings[f"{what} by diffrax"], timings[f"{what} by caliche"]
        rows += [
            time_row(f"{what}, {size.adaptive_days} days", theirs, compiled=programs[what]),
            ratio_row(f"{what}, diffrax over caliche", theirs, mine),
        ]
    return rows


@case("suews", "A model of the field, forward only")
def suews_forward(size: Size) -> list[Row]:
    """SuPy (SUEWS) on its own sample data: the energy and water balance of a city's neighbourhood
    with seven kinds of surface, every five minutes, with all its output and no derivatives. It
    computes much more than SoilHeat does; only the order of magnitude means anything."""
    what = "SuPy, one site-year"
    try:
        found = suews.run_sample(size.suews_days)
    except (ImportError, ChildFailed) as reason:
        return [blank_row(what, "s", reason)]
    note = (
        f"extrapolated from {size.suews_days} days of {found['steps_per_day']} steps, supy "
        f"{found['version']}"
    )
    seconds = found["seconds"] * 365.0 / size.suews_days
    return [Row(what, seconds * UNITS["s"], "s", extrapolated=True, note=note)]
