"""`caliche check`: everything that can go wrong before a long run, looked at beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from caliche.commands.check.summary import CheckSummary, GradientEntry, by_heading
from caliche.data.gaps import filled_lines
from caliche.data.origin import note_lines
from caliche.errors import InputError
from caliche.estimation.tangent_run import run_with_tangents
from caliche.evaluation.clock import clock_line
from caliche.evaluation.prior_check import PriorCheck, check_prior
from caliche.evaluation.sensor_screen import screen_first, screen_signs
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem
from caliche.runs.trained import untrained
from caliche.sensitivity.prior_predictive import FEWEST, MEMBERS
from caliche.variables import variable
from caliche.wording import number_of

FORMATS = (".png", ".svg", ".pdf")
# Central differences of a well-scaled cost agree with an exact gradient about this well.
GRADIENT_AGREEMENT = 1e-5
# Standard deviations; a parameter that moves no observation by more has no effect.
UNFELT = 1e-12
# s; a fit takes some tens of evaluations.
LONGEST_FOR_SCREEN = 1.0
Found = TypeVar("Found")
Lines = Generator[str, None, None]


def check_experiment(
    experiment: Experiment,
    members: int = MEMBERS,
    keep: Callable[[PriorCheck], None] = lambda _: None,
    tell: Callable[[CheckSummary], None] = lambda _: None,
) -> Iterator[str]:
    """Lines of a report on an experiment; an InputError if it cannot run.

    Reads the data, builds the problem, compares reverse, forward and finite-difference gradients
    at the first guess, times one evaluation, holds the observations against `members` draws of the
    prior (0 for none), fits once and screens the sensors. `keep` is given those draws, and `tell`
    in the end all that was found.
    """
    config = experiment.config
    if config.model.learner is not None and experiment.fluxes is None:
        experiment = untrained(experiment, config.training.seed)
    yield f"{config.title}"
    yield ""
    tell((yield from _checked(experiment, members, keep)))


def _checked(
    experiment: Experiment, members: int, keep: Callable[[PriorCheck], None]
) -> Generator[str, None, CheckSummary]:
    """The lines after the title, and in the end what was found."""
    lines: list[str] = []
    yield from _kept(_window(experiment), lines)
    problem = experiment.problem()
    yield from _kept(_streams(experiment, problem), lines)
    yield from _kept(_model(problem), lines)
    yield from _kept(_parameters(problem), lines)
    gradients, no_effect = yield from _kept(_gradients(problem), lines)
    misfit, seconds = yield from _kept(_cost(problem, experiment.config.method.starts), lines)
    prior: tuple[str, ...] = ()
    if members:
        prior = yield from _kept(_prior(experiment, problem, members, keep), lines)
    sensors = yield from _kept(_sensors(problem, seconds["evaluation"]), lines)
    return CheckSummary(
        experiment.config.name,
        experiment.config.title,
        gradients,
        no_effect,
        misfit,
        problem.n_observations,
        seconds,
        prior,
        sensors,
        by_heading(lines),
    )


def _kept(said: Generator[str, None, Found], lines: list[str]) -> Generator[str, None, Found]:
    """The same lines, each kept on the way."""
    while True:
        try:
            line = next(said)
        except StopIteration as ended:
            return ended.value
        lines.append(line)
        yield line


def _window(experiment: Experiment) -> Lines:
    window, offset = experiment.config.window, experiment.config.utc_offset
    shift = np.timedelta64(round(offset * 3600), "s")

    def local(moment: np.datetime64) -> str:
        return str((moment + shift).astype("datetime64[m]")).replace("T", " ")

    yield f"Window      {local(window.start)} to {local(window.end)}, UTC{offset:+g}"
    if window.fit_until < window.end:
        yield f"            held out after {local(window.fit_until)}"
    steps = len(experiment.dataset.time) - 1
    yield f"            {number_of(steps, 'step')} of {window.time_step:g} s; forcing complete"
    for line in filled_lines(experiment.dataset, list(experiment.forcing_sources.values())):
        yield f"            {line}"
    for k, note in enumerate(note_lines(experiment.dataset)):
        yield f"{'Reading' if k == 0 else '':11} {note}"
    if line := clock_line(experiment):
        yield f"Clock       {line}"


def _streams(experiment: Experiment, problem: InverseProblem) -> Lines:
    dataset, n_fit = experiment.dataset, experiment.n_fit
    for name, observation in experiment.config.observations.items():
        unit = variable(name).unit
        values = np.array(dataset[name].values)
        if not variable(name).is_state:
            values[0] = np.nan  # a flux over the step before the window
        inside = int(np.isfinite(values[:n_fit]).sum())
        outside = int(np.isfinite(values[n_fit:]).sum())
        sigma = "of each value" if observation.sigma is None else f"{observation.sigma:g} {unit}"
        use = f"fitted, sigma {sigma}" if observation.fit else "scored"
        if name not in experiment.scored_streams:
            use = "left out: this closure does not separate the turbulent fluxes"
        rejected = int(dataset[name].attrs.get("n_rejected_by_qc", 0))
        line = f"Stream      {name}: {number_of(inside, 'value')}, {outside} held out; {use}"
        yield line + (f"; {rejected} rejected by quality control" if rejected else "")
    for sentence in problem.operator.unused(np.asarray(problem.observations.mask)):
        yield f"            {sentence}"


def _model(problem: InverseProblem) -> Lines:
    depths = problem.model.depths["soil_temperature"]
    spacing = np.diff(depths)
    yield (
        f"Grid        {number_of(len(depths), 'node')} to {depths[-1]:g} m, "
        f"spacing {spacing.min():.3g} to {spacing.max():.3g} m"
    )


def _parameters(problem: InverseProblem) -> Lines:
    for p, where in problem.space.slices():
        prior = problem.space.describe_prior(p.name)
        varies = p.name in problem.space.variations
        knots = f"; {number_of(where.stop - where.start, 'knot')} in time" if varies else ""
        yield f"Free        {p.name}: first guess {p.initial:g}, {prior}{knots}"
    for tie in problem.space.ties:
        yield f"Tied        {tie.name} {tie.describe()}"
    for name, value in problem.space.fixed.items():
        mean = "" if value.ndim == 0 else " in the mean over time"
        yield f"Fixed       {name} = {float(jnp.mean(value)):g}{mean}"


@jax.jit
def _cost_of(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.cost(u)


@jax.jit
def _slopes_of(problem: InverseProblem, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.grad(problem.cost)(u), jax.jacfwd(problem.cost)(u)


def _gradients(
    problem: InverseProblem,
) -> Generator[str, None, tuple[GradientEntry, tuple[str, ...]]]:
    u = problem.space.initial()
    value = float(_cost_of(problem, u))
    if not np.isfinite(value):
        raise InputError(
            "a finite misfit at the first guess",
            f"{value}",
            "look at the first guesses, the sigmas and the grid",
        )
    reverse, forward = (np.asarray(slope) for slope in _slopes_of(problem, u))
    step = 1e-4
    finite = np.array(
        [
            float(_cost_of(problem, u + step * e) - _cost_of(problem, u - step * e)) / (2.0 * step)
            for e in jnp.eye(len(u))
        ]
    )
    scale = np.abs(reverse).max()
    against_forward = np.abs(forward - reverse).max() / scale
    against_finite = np.abs(finite - reverse).max() / scale
    agree = bool(against_forward < 1e-9 and against_finite < GRADIENT_AGREEMENT)
    verdict = "agree" if agree else "DO NOT AGREE"
    yield (
        f"Gradients   {verdict}: reverse against forward {against_forward:.1e}, "
        f"against finite differences {against_finite:.1e}"
    )
    if flat := _without_effect(problem, u):
        yield (
            f"            NO EFFECT on any fitted stream at the first guess: {', '.join(flat)}; "
            "fix them, or fit what they act on: only their priors can estimate them"
        )
    return GradientEntry(agree, float(against_forward), float(against_finite)), tuple(flat)


def _without_effect(problem: InverseProblem, u: jax.Array) -> list[str]:
    """Parameters whose derivative is zero in every fitted value; the prior's does not count."""
    slopes = np.asarray(run_with_tangents(problem, u).slopes)
    weights = np.asarray(problem.weights)[..., None]
    slopes = np.where(weights > 0.0, slopes, 0.0)
    largest = np.max(np.abs(slopes * weights), axis=(0, 1))
    pairs = zip(problem.space.names, largest, strict=True)
    return [name for name, moved in pairs if moved <= UNFELT]


@jax.jit
def _evaluate(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.normal_equations(u).cost


def _cost(
    problem: InverseProblem, starts: int
) -> Generator[str, None, tuple[float, dict[str, float]]]:
    """J at the first guess, and the seconds that it takes."""
    u = problem.space.initial()
    began = time.perf_counter()
    value = float(_evaluate(problem, u))
    compiling = time.perf_counter() - began
    began = time.perf_counter()
    jax.block_until_ready(_evaluate(problem, u))
    running = time.perf_counter() - began
    yield (
        f"Misfit      {value:.4g} at the first guess, for "
        f"{number_of(problem.n_observations, 'observation')}"
    )
    yield (
        f"Cost        one Gauss-Newton evaluation takes {running * 1e3:.3g} ms after "
        f"{compiling:.2g} s of compiling; expect 10 to 50 evaluations for each of "
        f"{number_of(starts, 'start')}"
    )
    return value, {"compile": compiling, "evaluation": running}


def _prior(
    experiment: Experiment, problem: InverseProblem, members: int, keep: Callable[..., None]
) -> Generator[str, None, tuple[str, ...]]:
    """Whether the observations lie within what the prior can produce."""
    try:
        found = check_prior(experiment, problem, members)
    except InputError as error:
        yield f"Prior       not drawn: {error}"
        return (f"not drawn: {error}",)
    keep(found)
    for k, sentence in enumerate(found.sentences):
        yield f"{'Prior' if k == 0 else '':11} {sentence}"
    return tuple(found.sentences)


def _sensors(problem: InverseProblem, seconds: float) -> Generator[str, None, tuple[str, ...]]:
    """What the sensors are suspected of, about the optimum of one fit."""
    long = seconds > LONGEST_FOR_SCREEN
    found = screen_signs(problem) if long else screen_first(problem)
    for k, suspicion in enumerate(found):
        yield f"{'Sensors' if k == 0 else '':11} {suspicion.sentence}"
    if not found and long:
        yield "Sensors     screened by caliche estimate alone: a fit takes long"
    elif not found:
        yield "Sensors     nothing that a clock, depth, bias, share or sign would cure"
    return tuple(suspicion.sentence for suspicion in found)


def check_figure_path(path: Path | None, members: int) -> None:
    """Raises InputError for a figure that could not be written in the end."""
    if members < 0 or 0 < members < FEWEST:
        raise InputError(
            f"--prior-predictive of at least {FEWEST}, or 0", f"{members}", "leave it out"
        )
    if path is None:
        return
    if not members:
        raise InputError("draws of the prior for --figure", "0", "leave --prior-predictive out")
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"a --figure that ends in {', '.join(FORMATS)}", str(path), f"{path.stem}.png"
        )
    if not path.parent.is_dir():
        raise InputError("a folder that exists", str(path.parent), "make it first")
