"""One run of the model at the configured values, and its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caliche.evaluation.prediction import observed_series, predict
from caliche.evaluation.scores import score
from caliche.experiments.experiment import Experiment
from caliche.runs.dataset import series_dataset
from caliche.runs.folder import as_run, new_folder, write_data, write_whole
from caliche.runs.run_summary import ScoreEntry
from caliche.variables import variable


def run_simulation(
    experiment: Experiment, out: Path | None = None
) -> tuple[Path, dict[str, ScoreEntry]]:
    """Run the model once at the configured values; write `simulation.nc` and the configuration.

    Returns the folder and the scores of every observed stream over the whole window.
    """
    folder = new_folder(out, f"{experiment.config.name}-simulation")
    problem = experiment.scoring_problem()
    prediction = predict(problem, np.asarray(problem.space.initial()))
    observed = observed_series(experiment)
    observations = experiment.config.observations
    scores = {
        name: ScoreEntry(
            **vars(score(observed[name], series, variable(name).unit != "K")),
            fitted=observations[name].fit,
        )
        for name, series in prediction.streams.items()
    }

    def write(inside: Path) -> None:
        (inside / "config.toml").write_text(as_run(experiment, folder), encoding="utf-8")
        write_data(experiment, inside)
        series_dataset(experiment, prediction).to_netcdf(
            inside / "simulation.nc", engine="h5netcdf"
        )

    write_whole(folder, "simulate", write)
    return folder, scores
