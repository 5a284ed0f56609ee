"""`caliche history-match`: metrics of an experiment, matched, and the folder that this leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from caliche.commands.history_match.arrays import numbers_of
from caliche.commands.history_match.folder import MatchFolder, identity
from caliche.commands.history_match.metrics import match_metrics
from caliche.commands.history_match.structure import LEAST, structure_of
from caliche.commands.history_match.words import sentences, warnings_of
from caliche.experiments.experiment import Experiment
from caliche.history_matching.choose_metrics import USUAL
from caliche.history_matching.discrepancy import SHARE, of_series
from caliche.history_matching.match import history_match, mark_of
from caliche.history_matching.observed import observed_targets, series_errors
from caliche.history_matching.result import Matched
from caliche.history_matching.study import MODEL, Options
from caliche.problems.inverse import InverseProblem
from caliche.runs.folder import versions

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
    kinds: Sequence[str] = USUAL,
    share: float = SHARE,
    run: Path | None = None,
    command: str | None = None,
    say: Say | None = None,
    counted: Callable[[int], None] | None = None,
) -> MatchRun:
    """Match the fitted streams of an experiment, and write a folder.

    Parameters
    ----------
    folder : to write. If the same run was stopped there, this one goes on from there.
    kinds : of metrics.
    share : of each series' standard deviation that the model may miss, where `run` says nothing.
    run : folder of an estimate whose residuals say how long errors persist and what the model
        misses.

    Raises
    ------
    InputError : anything wrong with these, with the configuration or the data.
    """
    options = options or Options()
    say = say or (lambda _text: None)
    place = MatchFolder(folder)
    problem = experiment.problem()
    metrics, left_out = match_metrics(experiment, kinds, options.starts)
    if tuple(kinds) == USUAL:
        left_out = tuple(text for text in left_out if "no seasons" not in text)
    errors, discrepancy, notes = series_errors(problem), None, _notes(experiment, problem, run)
    if run is not None:
        taken = structure_of(run, problem, metrics, errors)
        errors, notes = taken.errors, [*notes, *taken.sentences]
        least = LEAST * of_series(metrics, np.asarray(problem.observations.values), share)
        discrepancy = np.maximum(taken.discrepancy, least)
    metrics, targets, measured, told = observed_targets(
        problem, metrics, errors, share, discrepancy
    )
    place.begin(identity(experiment, options, kinds, share, run), experiment)
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
    summary = numbers_of(found)
    for k, entry in enumerate(summary["metrics"].values()):
        entry |= {"naive": float(measured.naive[k]), "bias": float(measured.bias[k])}
    labels = {e.name: e.long_name for e in problem.space.entries}
    for name, entry in summary["parameters"].items():
        entry["long_name"] = labels[name]
    config = experiment.config
    summary |= {
        "experiment": config.name,
        "title": config.title,
        "description": config.description,
        "seed": options.seed,
        "over": "start ranges" if options.starts else "bounds and priors",
        "notes": notes,
        "command": command,
    }
    summary["sentences"] = sentences(summary)
    summary["warnings"] = warnings_of(summary)
    summary["versions"] = versions()
    summary["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    place.close(experiment, found, summary)
    return MatchRun(folder, found, summary)


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
