"""`caliche emulate`: an emulator of a problem or an experiment, with what it costs and is worth."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import tomli_w

from caliche.commands.emulate.folder import summarise, write_emulation
from caliche.emulators.box import REACH, box_of
from caliche.emulators.components import (
    COMPONENTS,
    METRICS,
    Outputs,
    check_kind,
    outputs_of,
    usual_metrics,
)
from caliche.emulators.design import latin_hypercube
from caliche.emulators.emulator import Emulator, fit_emulator
from caliche.emulators.fit import Options
from caliche.emulators.model_runs import ModelRunner, Runner, runs_from
from caliche.emulators.plan import AUTO, NEVER, Plan, Times, check_gradients, planned
from caliche.emulators.problem import EmulatedProblem, emulated_problem
from caliche.emulators.store import load_emulator, load_outputs
from caliche.emulators.surface import Surface
from caliche.errors import InputError
from caliche.evaluation.experiment_metrics import match_metrics
from caliche.executables.config import DriveConfig, as_kept, is_drive, read_drive
from caliche.executables.problem import program_problem
from caliche.executables.runner import ProgramRunner, refuse_slopes
from caliche.executables.workers import Workers
from caliche.experiments.experiment import Experiment, load_experiment
from caliche.files.whole_file import write_text
from caliche.metrics.metric import Metrics
from caliche.metrics.vectors import usual_kinds, vector_metrics
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.runs.folder import as_run, new_folder, write_data
from caliche.runs.read_results import read_results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_BEST_OF = 20


@dataclass(frozen=True)
class Emulation:
    """An emulator of a problem.

    original : the problem.  outputs : what is emulated of its predictions.
    emulator : of those.  plan, times : what was to be run, and what it took.
    """

    original: Problem
    outputs: Outputs
    emulator: Emulator
    plan: Plan
    times: Times

    @property
    def passed(self) -> bool:
        """Whether every output passed its checks."""
        return bool(self.emulator.checks.passed.all())

    @functools.cached_property
    def problem(self) -> EmulatedProblem:
        """The problem with the emulator in place of its model: for `estimate`, profiles, sampling.

        Raises
        ------
        InputError : an output was refused.
        """
        return emulated_problem(self.original, self.outputs, self.emulator)

    @property
    def summary(self) -> dict[str, Any]:
        """What was found, as summary.json has it."""
        return summarise(self.outputs, self.emulator, self.plan, self.times, self.original)

    def to_frame(self) -> pd.DataFrame:
        """A row for each output: verdict, errors and length-scales."""
        import pandas as pd

        rows = []
        for name, entry in self.summary["outputs"].items():
            numbers = {k: v for k, v in entry.items() if not isinstance(v, list | dict)}
            rows.append({"output": name, **numbers})
        return pd.DataFrame(rows).set_index("output")

    def plot_errors(self) -> Figure:
        """Standardised errors of the runs that were held out, by output."""
        from caliche.commands.emulate.figures import errors_figure

        return errors_figure(self.summary)

    def plot_scales(self) -> Figure:
        """How fast each output bends along each parameter."""
        from caliche.commands.emulate.figures import scales_figure

        return scales_figure(self.summary)


def emulate(
    problem: Problem,
    outputs: str | Metrics = METRICS,
    runs: int | None = None,
    gradients: str = AUTO,
    options: Options | None = None,
    reach: float = REACH,
    seed: int = 0,
    announce: Callable[[Plan], None] | None = None,
    callback: Callable[[str, int, int], None] | None = None,
    runner: Runner | None = None,
) -> Emulation:
    """Emulate what a problem predicts, over the box of its priors.

    Parameters
    ----------
    outputs : `metrics` of each stream (mean, change, daily cycle), or others of
        `caliche.match_metrics`; or `pcs`, the principal components of all predictions, from which
        they all follow.
    runs : to learn from; by default 10 for each parameter, or 2 with slopes.
    gradients : whether runs have exact slopes: `auto` where they pay, `always`, `never`.
    reach : of the box along normal priors, in standard deviations.
    seed : of design and draws.
    announce : called with the plan before anything of it is run.
    callback : called with what is being run, how many runs are done, and of how many.
    runner : of a model that is not caliche's.

    Raises
    ------
    InputError : anything wrong with these, or too few runs without a failure.
    """
    if not isinstance(outputs, Metrics):
        check_kind(outputs)
    check_gradients(gradients)
    if runs is not None:
        planned_or_error(runs)
    if runner is None:
        if not isinstance(problem, InverseProblem):
            raise InputError(
                "the problem of one site, with its model",
                type(problem).__name__,
                "emulate each site by itself",
            )
        runner = ModelRunner(problem)
        if outputs == METRICS:
            outputs = usual_metrics(problem)
    options = options or Options(seed=seed)
    box = box_of(problem.space, reach)
    known = outputs if isinstance(outputs, Metrics) else None
    plan = planned(runner.costs(known, gradients != NEVER), box.size, runs, gradients)
    if announce is not None:
        announce(plan)

    def tell(what: str) -> Callable[[int, int], None] | None:
        if callback is None:
            return None
        return functools.partial(callback, what)

    u, held_u = latin_hypercube(plan.runs, box, seed), latin_hypercube(plan.held_out, box, seed + 1)
    began = time.perf_counter()
    fields = runner.fields(np.concatenate([u, held_u]), tell("values"))
    fine = np.all(np.isfinite(fields[:, np.asarray(problem.mask)]), axis=1)
    if fine.sum() < 4:
        raise InputError(
            "at least 4 runs that did not fail",
            f"{int(fine.sum())} of {len(fine)}",
            "narrow the priors, or run caliche check",
        )
    made = outputs_of(outputs, problem, fields[fine])
    ran = time.perf_counter()
    slopes = runner.slopes(made, u, plan.mode, tell("slopes")) if plan.slopes else None
    sloped = time.perf_counter()
    learned = runs_from(made, u, fields[: len(u)], slopes)
    judged = runs_from(made, held_u, fields[len(u) :])
    emulator = fit_emulator(learned, box, made.names, options, judged)
    fitted = time.perf_counter()
    times = Times(ran - began, sloped - ran, fitted - sloped, _prediction_time(emulator))
    return Emulation(problem, made, emulator, plan, times)


def planned_or_error(runs: int) -> None:
    """Refuse a number of runs before anything is compiled."""
    if runs < 4:
        raise InputError("at least 4 runs", str(runs), "leave --runs out for a number that suits")


def emulate_experiment(
    experiment: Experiment,
    outputs: str = METRICS,
    runs: int | None = None,
    gradients: str = AUTO,
    options: Options | None = None,
    reach: float = REACH,
    seed: int = 0,
    out: Path | None = None,
    kinds: Sequence[str] = (),
    announce: Callable[[Plan], None] | None = None,
    callback: Callable[[str, int, int], None] | None = None,
    command: str | None = None,
    mark: str = "",
) -> tuple[Emulation, Path, Mapping[str, Any]]:
    """Emulate an experiment, and write a folder: the emulation, the folder and its summary.

    kinds : of metrics, see `caliche.metrics.choose.KINDS`; mean, change and harmonics without.
    mark : what it belongs to, see `caliche.runs.folder.mark_of`.

    Raises
    ------
    InputError : as `emulate` does, or a folder that exists; then nothing is written.
    """
    folder = new_folder(out, f"{experiment.config.name}-emulate")
    problem = experiment.problem()
    what: str | Metrics = outputs
    if outputs != COMPONENTS and kinds:
        check_kind(outputs)
        what = match_metrics(experiment, kinds)[0]
    found = emulate(problem, what, runs, gradients, options, reach, seed, announce, callback)
    config = experiment.config
    said = {"experiment": config.name, "title": config.title, "command": command}
    said |= {"description": config.description}

    def write(inside: Path) -> None:
        text = as_run(experiment, folder)
        (inside / "config.toml").write_text(text, encoding="utf-8")
        write_data(experiment, inside)

    summary = write_emulation(
        folder, found.outputs, found.emulator, said | found.summary, write, mark
    )
    return found, folder, summary


def emulate_program(
    config: DriveConfig,
    outputs: str = METRICS,
    runs: int | None = None,
    gradients: str = AUTO,
    options: Options | None = None,
    reach: float = REACH,
    seed: int = 0,
    out: Path | None = None,
    kinds: Sequence[str] = (),
    announce: Callable[[Plan], None] | None = None,
    callback: Callable[[str, int, int], None] | None = None,
    command: str | None = None,
    workers: int | None = None,
) -> tuple[Emulation, Path, Mapping[str, Any]]:
    """The same of an executable. Its runs are kept beside the folder while it is at work, so that
    the same call goes on where it was stopped, and in it afterwards.

    Raises
    ------
    InputError : as `emulate` does; a command that cannot be started.
    """
    check_kind(outputs)
    check_gradients(gradients)
    refuse_slopes(gradients)
    folder, problem = new_folder(out, f"{config.name}-emulate"), program_problem(config)
    what: str | Metrics = outputs
    if outputs == METRICS:
        what = vector_metrics(problem.vector, kinds or usual_kinds(problem.vector))[0]
    members = folder.with_name(f"{folder.name}.members")
    _same_file(config, members / "drive.toml")
    with Workers(config, workers or config.workers) as pool:
        runner = ProgramRunner(problem, pool, members)
        found = emulate(
            problem, what, runs, NEVER, options, reach, seed, announce, callback, runner
        )
    said = {"experiment": config.name, "title": config.title, "command": command}
    said |= {"failures": runner.failures()}

    def write(inside: Path) -> None:
        text = tomli_w.dumps(as_kept(config, folder))
        (inside / "config.toml").write_text(text, encoding="utf-8")

    summary = write_emulation(folder, found.outputs, found.emulator, said | found.summary, write)
    shutil.move(members, folder / "members")
    return found, folder, summary


def _same_file(config: DriveConfig, kept: Path) -> None:
    """Refuse runs that were begun with another file; keep this one beside new ones.

    Raises
    ------
    InputError : it is another file.
    """
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, config.text)
    elif kept.read_text("utf-8") != config.text:
        raise InputError(
            f"the file with which the runs in {kept.parent} were begun",
            "another one, or one that was changed since",
            "choose another --out, or move that folder away",
        )


def open_emulation(folder: str | Path) -> EmulatedProblem:
    """The problem of a folder of `caliche emulate`, with the emulator in place of its model.

    Raises
    ------
    InputError : another folder; an emulator that was refused.
    """
    results = read_results(folder)
    if results.kind != "emulate":
        raise InputError(
            "a folder that caliche emulate wrote", f"{folder} of caliche {results.kind}", "--out"
        )
    file, config = Path(folder) / "emulator.nc", Path(folder) / "config.toml"
    if is_drive(config):
        problem: Problem = program_problem(read_drive(config))
    else:
        problem = load_experiment(config).problem()
    return emulated_problem(problem, load_outputs(file), load_emulator(file))


def _prediction_time(emulator: Emulator) -> float:
    """Milliseconds of one prediction with its variances, inside compiled code."""
    x, best = jnp.zeros(emulator.box.size), np.inf
    jax.block_until_ready(_one(emulator.surface, x))
    for _ in range(_BEST_OF):
        began = time.perf_counter()
        jax.block_until_ready(_one(emulator.surface, x))
        best = min(best, time.perf_counter() - began)
    return 1e3 * best


@jax.jit
def _one(surface: Surface, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return surface.moments(x)
