"""A run folder opened again: its experiment, its estimates, what else it found."""

from __future__ import annotations

import json
from pathlib import Path

import xarray as xr

from caliche.errors import InputError
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.experiments.experiment import Experiment, load_experiment
from caliche.runs.kinds import wrong_folder


def is_run(folder: str | Path) -> bool:
    """Whether this is a folder (of a run), not an experiment."""
    return Path(folder).is_dir()


def open_run(folder: Path) -> tuple[Experiment, dict[str, float]]:
    """The experiment of a run folder, and the estimates of its free parameters.

    Raises
    ------
    InputError : a file of the run is missing or cannot be read.
    """
    error = wrong_folder(folder, "estimate", "train")
    if error is not None:
        raise error
    needed = ("config.toml", "summary.json", "result.nc")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"a run folder with {', '.join(needed[:-1])} and {needed[-1]}",
            f"{folder}, without {' and '.join(missing)}",
            "give the folder that `caliche estimate` wrote, or an experiment",
        )
    experiment = load_experiment(folder / "config.toml")
    try:
        with xr.open_dataset(folder / "result.nc", engine="h5netcdf") as results:
            names = [str(name) for name in results["parameter"].values]
            values = dict(zip(names, results["estimate"].values.tolist(), strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "a result.nc that can be read", f"{type(error).__name__}: {error}", "run it again"
        ) from error
    if set(values) != set(experiment.space.names):
        raise InputError(
            f"estimates of {', '.join(experiment.space.names)} in result.nc",
            ", ".join(values),
            "run the experiment again: its configuration has changed",
        )
    return experiment.calibrated(read_hyperparameters(folder)), values


def read_hyperparameters(folder: Path) -> Hyperparameters | None:
    """The hyperparameters that a run estimated, if any."""
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    found = summary.get("hyperparameters")
    if found is None:
        return None
    return Hyperparameters.from_dict(found)
