"""`caliche history-match`: metrics of an experiment, matched, and the folder that this leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from caliche.commands.history_match.against import against, fitted_intervals
from caliche.commands.history_match.arrays import numbers_of
from caliche.commands.history_match.folder import (
    MatchFolder,
    identity,
    identity_of_program,
    reduced,
    reduced_experiment,
)
from caliche.commands.history_match.structure import LEAST, structure_of
from caliche.commands.history_match.words import sentences, warnings_of
from caliche.evaluation.experiment_metrics import match_metrics
from caliche.executables.config import DriveConfig, as_kept
from caliche.executables.problem import program_problem
from caliche.executables.runner import ProgramMetrics, ProgramRunner, refuse_slopes
from caliche.executables.workers import Workers
from caliche.experiments.experiment import Experiment
from caliche.history_matching.discrepancy import SHARE, of_series
from caliche.history_matching.match import history_match, mark_of, match_study, study_of
from caliche.history_matching.observed import observed_targets
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.result import Matched
from caliche.history_matching.study import MODEL, Options
from caliche.metrics.choose import USUAL
from caliche.metrics.errors import MetricErrors, errors_of
from caliche.metrics.vectors import usual_kinds, vector_metrics
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.runs.folder import as_run, versions, write_data

Say = Callable[[str], None]


@dataclass(frozen=True)
class MatchRun:
    """A finished run: its folder, what was found, and the content of summary.json."""

    folder: Path
    found: Matched
    summary: dict[str, Any]


def match_experiment(
    experiment: Experiment,
    folder: Path,
    options: Options | None = None,
    kinds: Sequence[str] = (),
    share: float = SHARE,
    run: Path | None = None,
    command: str | None = None,
    say: Say | None = None,
    counted: Callable[[int], None] | None = None,
    other: Path | None = None,
) -> MatchRun:
    """Match the fitted streams of an experiment, and write a folder.

    Parameters
    ----------
    folder : to write. If the same run was stopped there, this one goes on from there.
    kinds : of metrics; mean, daily and annual cycle without.
    share : of each series' standard deviation that the model may miss, where `run` says nothing.
    run : folder of an estimate whose residuals say how long errors persist and what the model
        misses.
    other : folder of an estimate that is shown beside what is left.

    Raises
    ------
    InputError : anything wrong with these, with the configuration or the data.
    """
    options, kinds = options or Options(), tuple(kinds) or USUAL
    say = say or (lambda _text: None)
    place = MatchFolder(folder)
    problem = experiment.problem()
    metrics, left_out = match_metrics(experiment, kinds, options.starts)
    if kinds == USUAL:
        left_out = tuple(text for text in left_out if "no seasons" not in text)
    errors, discrepancy, notes = (
        errors_of(problem.observations),
        None,
        _notes(experiment, problem, run),
    )
    if run is not None:
        taken = structure_of(run, problem, metrics, errors)
        errors, notes = taken.errors, [*notes, *taken.sentences]
        least = LEAST * of_series(metrics, np.asarray(problem.observations.values), share)
        discrepancy = np.maximum(taken.discrepancy, least)
    metrics, targets, measured, told = observed_targets(
        problem, metrics, errors, share, discrepancy
    )
    if other is not None:
        fitted_intervals(other, problem.space.names)  # refuses another run before anything is done
    place.begin(identity(experiment, options, kinds, share, run), as_run(experiment, folder))
    write_data(experiment, folder)
    if options.audit and options.method == MODEL:
        notes.append("Nothing is audited, as the model itself is searched and no emulator.")
    found = history_match(
        problem,
        metrics,
        targets,
        options,
        place.recorder(mark_of(problem, metrics, targets, options)),
        experiment.truth,
        say,
        counted,
        (*left_out, *told),
    )
    config = experiment.config
    said: dict[str, Any] = {
        "experiment": config.name,
        "title": config.title,
        "description": config.description,
        "notes": notes,
        "command": command,
    }
    if other is not None:
        said["against"] = against(other, problem, metrics, found, options.starts)
    summary = _summary(found, problem, measured, options, said)
    place.close(reduced_experiment(experiment, folder, found), found, summary)
    return MatchRun(folder, found, summary)


def match_program(
    config: DriveConfig,
    folder: Path,
    options: Options | None = None,
    kinds: Sequence[str] = (),
    share: float = SHARE,
    workers: int | None = None,
    command: str | None = None,
    say: Say | None = None,
    counted: Callable[[int], None] | None = None,
) -> MatchRun:
    """The same of an executable; see `caliche.executables.workers` for the contract.

    Parameters
    ----------
    kinds : of `caliche.metrics.vectors.VECTOR_KINDS`; those that suit the observations without.
    workers : runs at the same time, instead of the configuration's.

    Raises
    ------
    InputError : anything wrong with these; a command that cannot be started.
    """
    options = options or Options()
    refuse_slopes(options.gradients)
    place, problem = MatchFolder(folder), program_problem(config)
    metrics, left_out = vector_metrics(problem.vector, kinds or usual_kinds(problem.vector))
    metrics, targets, measured, told = observed_targets(problem, metrics, share=share)
    place.begin(
        identity_of_program(config, options, kinds, share),
        tomli_w.dumps(as_kept(config, folder)),
    )
    ranges = Ranges(problem.space, options.starts)
    mark = mark_of(problem, metrics, targets, options)
    with Workers(config, workers or config.workers) as pool:
        runner = ProgramRunner(problem, pool, place.members)
        simulator = ProgramMetrics(
            runner, metrics, ranges, place.recorder(mark), options.failures, counted
        )
        study = study_of(simulator, ranges, targets, options, say)
        found = match_study(study, None, (*left_out, *told))
    said = {
        "experiment": config.name,
        "title": config.title,
        "notes": [
            "Errors of the observations count as independent, as the file of an executable says "
            "nothing else."
        ],
        "command": command,
        "failures": runner.failures(),
    }
    summary = _summary(found, problem, measured, options, said)
    raw = as_kept(config, folder)
    raw["title"] = f"{config.title}, reduced"
    place.close(reduced(raw, problem.space, found), found, summary)
    return MatchRun(folder, found, summary)


def _summary(
    found: Matched,
    problem: Problem,
    measured: MetricErrors,
    options: Options,
    said: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of summary.json."""
    summary = numbers_of(found)
    for k, entry in enumerate(summary["metrics"].values()):
        entry |= {"naive": float(measured.naive[k]), "bias": float(measured.bias[k])}
    labels = {e.name: e.long_name for e in problem.space.entries}
    for name, entry in summary["parameters"].items():
        entry["long_name"] = labels[name]
    summary |= {"seed": options.seed, **said}
    summary["over"] = "start ranges" if options.starts else "bounds and priors"
    summary["sentences"] = sentences(summary)
    summary["warnings"] = warnings_of(summary)
    summary["versions"] = versions()
    summary["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    return summary


def _notes(experiment: Experiment, problem: InverseProblem, run: Path | None) -> list[str]:
    """What was assumed of the errors."""
    streams = experiment.config.observations
    alone = [
        name
        for name in problem.stream_names
        if streams[name].autocorrelation is None and not streams[name].estimate_autocorrelation
    ]
    found = []
    if run is None and alone and experiment.config.synthetic is None:
        found.append(
            f"Errors of {', '.join(alone)} count as independent from step to step, as the "
            "experiment says nothing else. Real ones persist, and then metrics are known less "
            "well: give autocorrelation, or --run RUN to take it from the residuals of a fit."
        )
    guessed = [n for n in problem.stream_names if streams[n].estimate_sigma]
    if guessed and run is None:
        found.append(f"sigma of {', '.join(guessed)} is only a first guess; --run RUN knows it.")
    return found
