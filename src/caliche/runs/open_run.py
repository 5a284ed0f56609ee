"""A run folder opened again: its experiment, its estimates, what else it found."""

from __future__ import annotations

from pathlib import Path

from caliche.errors import InputError
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.information import InformationEstimate
from caliche.experiments.experiment import Experiment, load_experiment
from caliche.files.netcdf import open_arrays
from caliche.keys.records import read_record
from caliche.runs.kinds import wrong_folder
from caliche.runs.run_summary import REMEDY, Estimates, HyperparameterEntry


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
    results = open_arrays(
        folder / "result.nc", REMEDY, {"estimate": ("parameter",), "parameter": ("parameter",)}
    )
    names = [str(name) for name in results["parameter"].values]
    values = dict(zip(names, results["estimate"].values.tolist(), strict=True))
    if set(values) != set(experiment.space.names):
        raise InputError(
            f"estimates of {', '.join(experiment.space.names)} in result.nc",
            ", ".join(values),
            "run the experiment again: its configuration has changed",
        )
    return experiment.calibrated(read_hyperparameters(folder)), values


def read_hyperparameters(folder: Path) -> Hyperparameters | None:
    """The hyperparameters that a run estimated, if any.

    Raises
    ------
    InputError : a summary.json that is damaged.
    """
    found = read_record(Estimates, folder / "summary.json", REMEDY).hyperparameters
    return None if found is None else hyperparameters_of(found)


def hyperparameters_of(found: HyperparameterEntry) -> Hyperparameters:
    """Hyperparameters from what a file keeps of them."""
    told = None if found.information is None else InformationEstimate(**vars(found.information))
    return Hyperparameters(**{**vars(found), "information": told})
