"""One reader for the folders of all commands: what was found, and the model to run with it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import xarray as xr

from caliche.errors import InputError
from caliche.estimation.information import without_term
from caliche.executables.config import is_drive
from caliche.experiments.experiment import Experiment, load_experiment
from caliche.files.netcdf import groups_of, open_arrays
from caliche.keys.records import checked, read_table, read_text
from caliche.problems.inverse import InverseProblem
from caliche.runs.kinds import finished, kind_of
from caliche.runs.open_run import open_run
from caliche.runs.run_summary import Estimates
from caliche.runs.trained import load_trained

# Those whose folder is of one experiment, to be run again at what was found.
_REMEDY = "restore that file, or run the command again"
WITH_MODEL = ("estimate", "train")


@dataclass(frozen=True)
class Results:
    """What a command left in its folder.

    Attributes
    ----------
    folder : its path.  kind : the command, one of `folder_kinds.KINDS`.
    summary : the content of its JSON: numbers and words.
    data : its arrays, or None for a command that leaves none.
    config : its configuration as TOML; empty for `design`, which keeps none.
    """

    folder: Path
    kind: str
    summary: Mapping[str, Any]
    data: xr.Dataset | None
    config: str

    @property
    def parameters(self) -> dict[str, float]:
        """Estimates of an `estimate`, `train` or `joint`, by name, those that are fixed included.

        Raises
        ------
        InputError : another kind, which has none or several.
        """
        table = self.summary.get("parameters")
        if self.kind not in (*WITH_MODEL, "joint") or not isinstance(table, Mapping):
            raise self._other("one set of parameters", "read .summary")
        path = self.folder / "summary.json"
        found = checked(Estimates, self.summary, path, _REMEDY).parameters
        return {name: entry.estimate for name, entry in found.items()}

    @functools.cached_property
    def experiment(self) -> Experiment:
        """The experiment, with hyperparameters and network as they were found.

        Raises
        ------
        InputError : a kind that has no experiment of its own.
        """
        if self.kind == "train":
            return load_trained(self.folder)
        if self.kind == "estimate":
            return open_run(self.folder)[0]
        if self.kind in ("drive", "joint") or is_drive(self.folder / "config.toml"):
            raise self._other("an experiment of its own", "read .summary")
        return load_experiment(self.folder / "config.toml")

    def problem(self, whole: bool = False) -> InverseProblem:
        """The inverse problem of `experiment`, in whose coordinates `u` is.

        Its cost at `u` is the J of the summary. If `whole`, it is the one that error bars and
        samplers see, with all that the observations tell of each direction.
        """
        experiment = self.experiment
        problem = experiment.problem()
        if whole or experiment.found is None:
            return problem
        return without_term(problem, experiment.found.information)

    @property
    def u(self) -> jnp.ndarray:
        """The control vector (P,) of the estimate, to run the model with: `problem().forward(u)`.

        Raises
        ------
        InputError : a kind that is not of one experiment.
        """
        if self.kind not in WITH_MODEL:
            raise self._other("one estimate of one experiment", "read .summary or .data")
        space = self.experiment.space
        return space.to_whitened({n: jnp.asarray(self.parameters[n]) for n in space.names})

    @property
    def draws(self) -> xr.Dataset | None:
        """Draws of the posterior (chain, draw), where there are some; ArviZ reads the same file."""
        path = self.folder / "result.nc"
        if not path.is_file():
            return None
        if "posterior" not in groups_of(path, _REMEDY):
            return None
        return open_arrays(path, _REMEDY, group="posterior")

    def _other(self, what: str, instead: str) -> InputError:
        return InputError(f"a folder with {what}", f"{self.folder} of caliche {self.kind}", instead)


def read_results(folder: str | Path) -> Results:
    """What any command of caliche left in a folder.

    Raises
    ------
    InputError : not such a folder, or a file of it that cannot be read.
    """
    folder = Path(folder)
    found = kind_of(folder)
    if found is None or not found.summary or not finished(folder, found):
        got = "no results of caliche in it" if folder.is_dir() else "no such folder"
        raise InputError(
            "a folder that a command of caliche wrote to the end",
            f"{folder}, {got}",
            "give the folder that the command named with --out",
        )
    kind = found.command
    config = folder / ("drive.toml" if kind == "drive" else "config.toml")
    summary = read_table(folder / found.summary, _REMEDY)
    text = "" if kind == "design" else read_text(config, _REMEDY)
    data = open_arrays(folder / found.arrays, _REMEDY) if found.arrays else None
    return Results(folder, kind, summary, data, text)
