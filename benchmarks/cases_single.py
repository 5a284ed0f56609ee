"""One site: forward, gradient and Gauss-Newton against C; calibration; schemes; scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np

import caliche
from benchmarks import eager_torch, problems, yardstick
from benchmarks.forcing import STEP, STEPS_PER_DAY, STEPS_PER_YEAR, site_forcing
from benchmarks.rows import Row, Size, blank_row, case, ratio_row, time_row
from benchmarks.timing import compile_apart, interleave
from caliche import InverseProblem
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.method import run_method
from caliche.models.soil_heat.closures import BULK_TRANSFER

KERNELS = "kernel's closure"
CLOSURES = {KERNELS: problems.TIMED_CLOSURE, "BULK_TRANSFER": BULK_TRANSFER}
ITERATIONS_TO_CONVERGE = 6  # of the kernel, where it is compared digit by digit
KNOTS = 12
VARYING = {
    "bulk_transfer_coefficient": "transfer coefficient",
    "thermal_conductivity": "conductivity",
}
KELVIN_TOLERANCE, GRADIENT_TOLERANCE = 1e-9, 1e-6


def forward(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.forward(u)


def cost(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.cost(u)


def gradient(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return jax.grad(problem.cost)(u)


def normal_equations(problem: InverseProblem, u: jax.Array) -> tuple:
    return problem.normal_equations(u)


@case("agreement", "Agreement with the C kernel")
def agreement(size: Size) -> list[Row]:
    """The same discrete model twice: ours and C, with the kernel's closure, backward Euler, and
    enough iterations in C to converge. The gradient is compared with the hand adjoint in C."""
    temperature = "largest difference of temperatures"
    slope = "largest relative difference of the gradient"
    try:
        kernel = yardstick.load_kernel()
    except yardstick.Unavailable as reason:
        return [blank_row(temperature, "K", reason), blank_row(slope, "1", reason)]
    setup = problems.make_setup(size.steps, closure=problems.KERNEL_CLOSURE)
    column = replace(setup.column, newton_iterations=ITERATIONS_TO_CONVERGE)
    space, u = setup.problem.space, setup.start
    theirs = kernel.forward(column, setup.forcing, setup.theta(u))
    theirs.run()
    ours = np.asarray(problems.predict(setup.problem, u))[1:]
    adjoint = kernel.gradient(column, setup.forcing, setup.theta(u), setup.observed)
    adjoint.run()
    by_u = np.asarray(jax.jit(gradient)(setup.problem, u))
    by_theta = by_u @ np.linalg.inv(problems.theta_slopes(space, u)) * problems.SIGMA**2
    relative = np.abs(by_theta - adjoint.output).max() / np.abs(adjoint.output).max()
    return [
        Row(
            temperature,
            float(np.abs(ours - theirs.output).max()),
            "K",
            target=KELVIN_TOLERANCE,
            required=True,
        ),
        Row(slope, float(relative), "1", target=GRADIENT_TOLERANCE, required=True),
    ]


@case("single", "One site-year: forward, gradient, Gauss-Newton")
def single(size: Size) -> list[Row]:
    """C takes 2 Newton iterations for the surface temperature; ours solves to tolerance. The
    yardstick of the forward run is the faster of two: Thomas algorithm and eigenmodes. Rows with
    BULK_TRANSFER, the package's own closure, compare with the same C, whose closure is simpler
    (constant air density, no floor of the wind); no target is set for that."""
    rows = []
    for words, closure in CLOSURES.items():
        setup = problems.make_setup(size.steps, closure=closure)
        programs = {
            name: compile_apart(function, setup.problem, setup.start)
            for name, function in (
                ("forward", forward),
                ("gradient", gradient),
                ("Gauss-Newton", normal_equations),
            )
        }
        jobs: dict[str, Callable] = {name: program.run for name, program in programs.items()}
        try:
            jobs |= _kernel_jobs(setup)
            missing = None
        except yardstick.Unavailable as reason:
            missing = reason
        timings = interleave(jobs, 2.0 * size.seconds, size.least_rounds)
        for name, timing in timings.items():
            if name in programs:
                rows.append(time_row(f"{name}, {words}", timing, compiled=programs[name]))
            elif words == KERNELS:
                rows.append(time_row(name, timing))
        rows += _single_ratios(words, timings, missing)
    return rows


def _kernel_jobs(setup: problems.Setup) -> dict[str, Callable]:
    kernel = yardstick.load_kernel()
    theta = setup.theta(setup.start)
    return {
        "C forward, Thomas": kernel.forward(setup.column, setup.forcing, theta).run,
        "C forward, eigenmodes": kernel.forward_modal(setup.column, setup.forcing, theta).run,
        "C gradient, hand adjoint": kernel.gradient(
            setup.column, setup.forcing, theta, setup.observed
        ).run,
    }


def _single_ratios(words: str, timings: dict, missing: Exception | None) -> list[Row]:
    ours = timings["forward"]
    what = f"forward over the best of C, {words}"
    target = 1.3 if words == KERNELS else None
    if missing is None:
        c = [timings["C forward, Thomas"], timings["C forward, eigenmodes"]]
        best = min(c, key=lambda timing: timing.minimum)
        rows = [
            ratio_row(what, ours, best, target),
            ratio_row(
                f"gradient over C's gradient, {words}",
                timings["gradient"],
                timings["C gradient, hand adjoint"],
            ),
        ]
    else:
        rows = [blank_row(what, "x", missing, target)]
    return [
        *rows,
        ratio_row(f"gradient over own forward, {words}", timings["gradient"], ours, target=2.2),
        ratio_row(
            f"Gauss-Newton (5 tangents) over own forward, {words}",
            timings["Gauss-Newton"],
            ours,
            target=2.5,
        ),
    ]


@case("schemes", "Cost of the second-order scheme")
def schemes(size: Size) -> list[Row]:
    """The kernel's closure; sdirk2 solves twice per step what backward Euler solves once."""
    functions = {"forward": forward, "gradient": gradient, "Gauss-Newton": normal_equations}
    setups = {s: problems.make_setup(size.steps, scheme=s) for s in ("backward-euler", "sdirk2")}
    programs = {
        (name, scheme): compile_apart(function, setup.problem, setup.start)
        for name, function in functions.items()
        for scheme, setup in setups.items()
    }
    jobs = {f"{name}, {scheme}": p.run for (name, scheme), p in programs.items()}
    timings = interleave(jobs, 2.0 * size.seconds, size.least_rounds)
    rows = [
        time_row(f"{name}, sdirk2", timings[f"{name}, sdirk2"], compiled=programs[name, "sdirk2"])
        for name in functions
    ]
    return rows + [
        ratio_row(
            f"{name}, sdirk2 over backward-euler",
            timings[f"{name}, sdirk2"],
            timings[f"{name}, backward-euler"],
            target=1.5 if name == "forward" else None,
        )
        for name in functions
    ]


@case("varying", "Parameters that vary in time")
def varying(size: Size) -> list[Row]:
    """The kernel's closure, with one of the five parameters given at 12 knots, a straight line
    between them: 16 entries of u instead of 5. What depends on it is then prepared anew in every
    step: a few numbers of the surface, or the rates of all modes of the column."""
    functions = {"forward": forward, "gradient": gradient, "Gauss-Newton": normal_equations}
    setup = problems.make_setup(size.steps)
    variants = {"constant": setup.problem} | {
        f"{words} varies": problems.varying(setup, name, KNOTS) for name, words in VARYING.items()
    }
    programs = {
        (what, words): compile_apart(function, problem, problem.space.to_whitened(problems.TRUTH))
        for words, problem in variants.items()
        for what, function in functions.items()
    }
    jobs = {key: program.run for key, program in programs.items()}
    timings = interleave(jobs, 3.0 * size.seconds, size.least_rounds)
    entries = {words: problem.space.size for words, problem in variants.items()}
    rows = [
        time_row(
            f"{what}, {words}",
            timings[what, words],
            compiled=programs[what, words],
            note=f"{entries[words]} entries of u",
        )
        for what, words in programs
    ]
    for words in list(variants)[1:]:
        rows += [
            ratio_row(
                f"{what}, {words} over constant", timings[what, words], timings[what, "constant"]
            )
            for what in functions
        ]
        rows += [
            ratio_row(
                f"{what} over own forward, {words}", timings[what, words], timings["forward", words]
            )
            for what in list(functions)[1:]
        ]
    return rows


@case("accuracy", "Accuracy of the schemes in time")
def accuracy(size: Size) -> list[Row]:
    """Root-mean-square difference from the same grid with sdirk2 and much shorter steps; forcing
    constant over each half-hour, BULK_TRANSFER, 21 nodes in 1 m. The first five days, in which
    the uniform initial profile settles, do not count."""
    depths = (0.05, 0.20)
    steps = size.accuracy_days * STEPS_PER_DAY
    raw = site_forcing(STEPS_PER_YEAR)
    summer = {name: values[150 * STEPS_PER_DAY :][: steps + 1] for name, values in raw.items()}

    def run(scheme: str, time_step: float) -> np.ndarray:
        refine = round(STEP / time_step)
        model = caliche.SoilHeat(
            np.linspace(0.0, 1.0, 21),
            time_step,
            scheme=scheme,
            turbulence=BULK_TRANSFER,
            bottom="zero-flux",
            initial="uniform",
        )
        fine = {n: np.concatenate([v[:1], np.repeat(v[1:], refine)]) for n, v in summer.items()}
        problem = problems.problem_without_data(model, fine, depths)
        u = problem.space.to_whitened(problems.TRUTH)
        return np.asarray(problems.predict(problem, u))[::refine][5 * STEPS_PER_DAY :]

    reference = run("sdirk2", size.reference_step)
    rows = []
    for time_step in (STEP, STEP / 2.0):
        for scheme in ("backward-euler", "crank-nicolson", "sdirk2"):
            error = np.sqrt(np.mean((run(scheme, time_step) - reference) ** 2, axis=0))
            for depth, value in zip(depths, error, strict=True):
                what = f"rms error at {100.0 * depth:.0f} cm, {scheme}, {time_step:.0f} s"
                rows.append(Row(what, float(value), "K"))
    note = f"reference: sdirk2 with steps of {size.reference_step:g} s, {size.accuracy_days} days"
    return [replace(rows[0], note=note), *rows[1:]]


@case("calibration", "Calibration of one site-year")
def calibration(size: Size) -> list[Row]:
    """Levenberg-Marquardt from a start that is off by 0.4, -0.3, 0.1, -0.4, 0.2 in log
    conductivity, log heat capacity, albedo, log transfer coefficient and moisture availability;
    everything compiled before. Its rival is 500 gradients by eager PyTorch, as many as Adam takes
    in the manner of Huang et al. (2026)."""
    setup = problems.make_setup(size.steps)
    starts = setup.start[None]
    method = LevenbergMarquardt()
    outcome = run_method(method, setup.problem, starts)
    result = caliche.estimate(setup.problem, method, starts)
    jobs = {
        "LM": lambda: run_method(method, setup.problem, starts),
        "estimate": lambda: caliche.estimate(setup.problem, method, starts),
    }
    timings = interleave(jobs, size.seconds, size.least_rounds)
    exact = np.asarray(setup.problem.space.vector(setup.truth))
    error = [
        abs(result.parameters[n].estimate / t - 1.0)
        for n, t in zip(result.names, exact, strict=True)
    ]
    note = f"{outcome.n_iterations} evaluations; " + (
        f"converged, largest error of a parameter {max(error):.1%}"
        if result.converged
        else "NOT converged"
    )
    whole = size.steps == STEPS_PER_YEAR
    rows = [
        time_row("LM alone", timings["LM"], target=10.0 if whole else None, note=note),
        time_row("caliche.estimate, with error bars", timings["estimate"]),
    ]
    what = "500 eager PyTorch gradients over one LM"
    try:
        eager = eager_torch.site_year_seconds(size.eager_steps)
    except ImportError as reason:
        return [*rows, blank_row(what, "x", reason, target=1e5)]
    adam = 500.0 * eager.gradient * size.steps / STEPS_PER_YEAR
    return [
        *rows,
        Row("500 eager PyTorch gradients", adam / 3600.0, "h", extrapolated=True, note=eager.note),
        Row(what, adam / timings["LM"].minimum, "x", target=1e5, at_least=True, extrapolated=True),
    ]


@case("scaling", "Scaling with layers, length and members")
def scaling(size: Size) -> list[Row]:
    """Forward, gradient and Gauss-Newton of the benchmark problem, the kernel's closure."""
    functions = {"forward": forward, "gradient": gradient, "Gauss-Newton": normal_equations}
    variants = [
        (f"{layers} layers", min(size.steps, STEPS_PER_YEAR), layers) for layers in size.layers
    ] + [(f"{years:g} years", round(years * STEPS_PER_YEAR), 20) for years in size.lengths]
    rows = []
    for words, steps, layers in variants:
        setup = problems.make_setup(steps, layers)
        for name, function in functions.items():
            program = compile_apart(function, setup.problem, setup.start)
            timing = interleave({"it": program.run}, 0.25 * size.seconds)["it"]
            note = f"XLA's temporary memory: {program.temporary_bytes / 2**20:.1f} MiB"
            rows.append(time_row(f"{name}, {words}", timing, compiled=program, note=note))
    setup = problems.make_setup(size.steps // 4, in_block=True)
    for number in size.members:
        u = problems.draw_members(setup, number)
        program = compile_apart(jax.vmap(cost, (None, 0)), setup.problem, u)
        timing = interleave({"it": program.run}, 0.25 * size.seconds)["it"]
        what = f"misfit of {number} members, a quarter of the steps, per member"
        rows.append(time_row(what, timing, "us", per=number, compiled=program))
    return rows
