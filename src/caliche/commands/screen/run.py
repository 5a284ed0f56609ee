"""`caliche screen`: which parameters of an experiment matter, before anything is fitted.

`screen_outputs` says what is looked at, `caliche.sensitivity.indices` what is computed of it,
`screen_words` says it, and `screen_files` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caliche.commands.screen.folder import summarise, write_screening
from caliche.commands.screen.outputs import Outputs, outputs_of
from caliche.commands.screen.summary import ScreeningSummary
from caliche.commands.screen.words import COURSE, CYCLE, RMSE
from caliche.errors import InputError, nearest
from caliche.estimation.timing import Stopwatch
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import Checkpoint
from caliche.files.whole_file import remove
from caliche.runs.folder import new_folder, state_file
from caliche.sensitivity.designs import (
    MORRIS,
    SOBOL,
    Design,
    Groups,
    make_groups,
    morris_design,
    sobol_design,
)
from caliche.sensitivity.indices import Indices, indices
from caliche.sensitivity.run import CubeRunner, Progress, screen, where_failed

SAMPLES = {MORRIS: 128, SOBOL: 1024}
KEEP = 0.95


@dataclass(frozen=True)
class Plan:
    """What a screening will run."""

    experiment: str
    method: str
    groups: Groups
    samples: int
    runs: int
    steps: int
    together: int
    note: str = ""


@dataclass(frozen=True)
class Screening:
    """A finished screening.

    indices : of every output; `outputs` says what stands where.
    kept : names of the groups that matter, most important first; the others may be fixed.
    summary : the content of summary.json.
    """

    folder: Path
    outputs: Outputs
    indices: Indices
    kept: tuple[str, ...]
    summary: ScreeningSummary


def screen_experiment(
    experiment: Experiment,
    method: str = MORRIS,
    samples: int | None = None,
    seed: int = 0,
    together: Mapping[str, Sequence[str]] | None = None,
    keep: float = KEEP,
    starts: bool = False,
    out: Path | None = None,
    resume: bool = False,
    announce: Callable[[Plan], None] | None = None,
    callback: Callable[[Progress], None] | None = None,
    command: str | None = None,
    mark: str = "",
) -> Screening:
    """Screen the free parameters of an experiment over their priors, and write a folder.

    Parameters
    ----------
    method : `morris` or `sobol`.
    samples : trajectories (128), or Sobol' points (1024), which are rounded up to a power of two.
    together : groups of parameters by name. The knots of one parameter are always together.
    keep : share of the total effects, on each output of a fitted stream, that the parameters that
        stay free must hold.
    starts : draw parameters with a flat prior from their start ranges, where they have one.
    resume : go on from the state that a run into the same folder left.
    mark : what the run belongs to, see `caliche.runs.folder.mark_of`.

    Raises
    ------
    InputError : anything wrong with these, with the configuration or the data; then nothing is
        written. No output depends on any parameter, or too few runs did not fail.
    """
    if method not in SAMPLES:
        raise InputError("morris or sobol", repr(method), nearest(method, SAMPLES))
    if not 0.0 < keep <= 1.0:
        raise InputError("a share to keep above 0 and up to 1", f"{keep:g}", "--keep 0.95")
    watch = Stopwatch()
    folder = new_folder(out, f"{experiment.config.name}-screen")
    problem = experiment.scoring_problem(experiment.n_fit)
    outputs = outputs_of(experiment, problem)
    columns = [entry.parameter.name for entry in problem.space.entries]
    design, note = _design(method, make_groups(columns, together or {}), samples, seed)
    runner = CubeRunner(problem, outputs.function, design, starts)
    if announce is not None:
        runs = design.rows * design.per_row
        steps, at_once = len(problem.observations.mask) - 1, min(runner.width, runs)
        name = experiment.config.name
        announce(Plan(name, method, design.groups, design.rows, runs, steps, at_once, note))
    checkpoint = Checkpoint(state_file(folder), resume)
    of_state = f"{runner.mark} {method} {seed} {design.groups}"
    runner.compile()
    names = problem.space.names
    done = screen(design, runner, outputs.number, checkpoint, of_state, callback, names)
    found = indices(design, done.sums, outputs.sets, seed)
    try:
        kept = matters(found, outputs, keep)
    except InputError:
        remove(checkpoint.path)
        raise
    told = {
        "method": method,
        "runs": design.rows * design.per_row,
        "failed": done.failed,
        "dropped": done.dropped,
        "where_failed": where_failed(done, names),
        "samples": design.rows,
        "seed": seed,
        "keep": keep,
        "over": "start ranges" if starts else "priors",
        "command": command,
        "seconds": watch.seconds(),
    }
    summary = summarise(experiment, problem.space, outputs, found, kept, told)
    write_screening(experiment, folder, outputs, found, summary, mark)
    remove(checkpoint.path)
    return Screening(folder, outputs, found, kept, summary)


def _design(method: str, groups: Groups, samples: int | None, seed: int) -> tuple[Design, str]:
    """The design, and a note if the number of samples was changed."""
    rows = SAMPLES[method] if samples is None else samples
    if method == MORRIS:
        return morris_design(groups, rows, seed), ""
    power = 1 << max(0, rows - 1).bit_length()
    note = "" if power == rows else f"{rows} samples rounded up to {power}, a power of two"
    return sobol_design(groups, power if rows >= 8 else rows, seed), note


def deciding(outputs: Outputs) -> list[int]:
    """The indices that decide what matters: over time, by hour and of the error, of each fitted
    stream."""
    return [
        outputs.column(k, kind)
        for k, fitted in enumerate(outputs.fitted)
        if fitted
        for kind in outputs.kinds(k)
        if kind in (COURSE, CYCLE, RMSE)
    ]


def matters(found: Indices, outputs: Outputs, keep: float) -> tuple[str, ...]:
    """Groups that matter, most important first.

    On each output the fewest groups are needed that together hold the share `keep` of the total
    effects; a group matters if any output needs it. By importance: its largest share.
    """
    shares = found.shares[:, deciding(outputs)]
    shares = shares[:, np.isfinite(shares).all(axis=0)]
    if not shares.shape[1]:
        raise InputError(
            "a fitted stream that depends on a free parameter",
            "none that changes in any run",
            "look at the model's output with caliche simulate",
        )
    needed = np.zeros(len(found.groups), bool)
    for column in shares.T:
        order = np.argsort(-column, kind="stable")
        held = np.cumsum(column[order])
        needed[order[: int(np.searchsorted(held, keep - 1e-9)) + 1]] = True
    importance = shares.max(axis=1)
    by_importance = np.argsort(-importance, kind="stable")
    return tuple(found.groups.names[k] for k in by_importance if needed[k])
