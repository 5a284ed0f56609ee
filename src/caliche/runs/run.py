"""A run: calibrate an experiment and leave one folder that tells all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.cards.methods import keeps_state
from caliche.estimation import Result, estimate
from caliche.estimation.ensemble.hyperparameters import forget_rounds
from caliche.estimation.hyperparameters import Unknown
from caliche.estimation.method import Callback
from caliche.estimation.timing import Stopwatch
from caliche.evaluation.clock import clock_remarks
from caliche.evaluation.exact_model import exact_remarks
from caliche.evaluation.prediction import predict
from caliche.evaluation.sensor_screen import screen_sensors
from caliche.evaluation.structural_span import structural_error
from caliche.experiments.config.objective import SCORECARD, check_objective
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import Checkpoint
from caliche.files.whole_file import remove
from caliche.keys.records import json_text, to_json
from caliche.remarks import Remark
from caliche.runs.dataset import result_dataset
from caliche.runs.ensemble import add_ensemble
from caliche.runs.folder import (
    as_run,
    finished_summary,
    new_folder,
    state_file,
    write_data,
    write_whole,
)
from caliche.runs.run_summary import REMEDY, RunSummary
from caliche.runs.scorecard import minimising_scorecard
from caliche.runs.summary import summarise


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the result, and what summary.json says of it."""

    folder: Path
    result: Result
    found: RunSummary

    @property
    def summary(self) -> Mapping[str, Any]:
        """The content of summary.json."""
        return to_json(self.found)


def run_experiment(
    experiment: Experiment,
    method: str | None = None,
    starts: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    callback: Callback | None = None,
    command: str | None = None,
    import_seconds: float = 0.0,
    resume: bool = False,
    mark: str = "",
) -> Run:
    """Calibrate an experiment and write its run folder (all but the report).

    Parameters
    ----------
    method, starts, seed : instead of the configuration's.
    out : the folder, which must not exist; default `runs/<experiment>-<time>`.
    callback : see `caliche.estimate`.
    resume : go on from the state that a run into the same folder left when it was stopped; only
        methods without gradients keep one, see `state_file`.
    mark : what the run belongs to, see `caliche.runs.folder.mark_of`.

    Raises
    ------
    InputError : anything wrong with configuration or data; then nothing is written.
    """
    c = experiment.config.method
    folder = new_folder(out, experiment.config.name)
    watch = Stopwatch()
    problem = experiment.problem()
    # Options belong to the method they were written for, and so do starts, which some have not.
    name = c.name if method is None else method
    options = c.options if name == c.name else {}
    if starts is None:
        starts = 1 if keeps_state(name) and name != c.name else c.starts
    state = state_file(folder)
    keeps = resume or keeps_state(name)
    check_objective(experiment.config.objective, name, experiment.config.name)
    by_card = experiment.config.objective.kind == SCORECARD
    result = estimate(
        problem,
        minimising_scorecard(experiment, problem, options) if by_card else name,
        starts=starts,
        seed=c.seed if seed is None else seed,
        callback=callback,
        # A scorecard knows no sizes of errors: error bars alone do.
        unknown=Unknown(information="bars") if by_card else experiment.unknown,
        checkpoint=Checkpoint(state, resume) if keeps else None,
        **({} if by_card else options),
    )
    scoring = experiment.calibrated(result.hyperparameters).scoring_problem()
    prediction = predict(scoring, result.u, result.covariance_u)
    guess = predict(scoring, np.asarray(scoring.space.initial()))
    suspicions = [Remark("clock", text) for text in clock_remarks(experiment)]
    if result.converged:
        fitted = experiment.calibrated(result.hyperparameters).problem()
        screened = screen_sensors(fitted, result.u)
        # A sign is suspected by the scores already.
        suspicions += [
            Remark("sensor", found.sentence, False) for found in screened if found.kind != "sign"
        ]
    seconds = {"import": import_seconds, **watch.seconds()}
    structure = (
        structural_error(experiment, scoring, result.u, prediction) if result.converged else {}
    )
    calibrated = experiment.calibrated(result.hyperparameters)
    estimates = {n: float(p.estimate) for n, p in result.parameters.items()}
    held = exact_remarks(calibrated, {n: estimates[n] for n in calibrated.space.names})
    result = dataclasses.replace(result, remarks=(*result.remarks, *held))
    found = summarise(experiment, result, prediction, seconds, command, suspicions, structure)

    def write(inside: Path) -> None:
        text = as_run(experiment, folder, result)
        (inside / "config.toml").write_text(text, encoding="utf-8")
        write_data(experiment, inside)
        (inside / "summary.json").write_text(json_text(found), encoding="utf-8")
        dataset = result_dataset(experiment, result, prediction, guess)
        dataset.to_netcdf(inside / "result.nc", engine="h5netcdf")
        if result.ensemble is not None:
            add_ensemble(inside / "result.nc", experiment, result)

    write_whole(folder, "estimate", write, mark)
    forget_state(folder)
    return Run(folder, result, found)


def finished_run(folder: Path | None, mark: str) -> RunSummary | None:
    """What the same run, which is finished, says in a folder; None where there is none."""
    found = finished_summary(folder, "estimate", mark, RunSummary, REMEDY)
    if found is not None and folder is not None:
        forget_state(folder)
    return found


def forget_state(folder: Path) -> None:
    """Remove what a method kept on the way to a folder that is whole now."""
    state = state_file(folder)
    remove(state)
    forget_rounds(state)
