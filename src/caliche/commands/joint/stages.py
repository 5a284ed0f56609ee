"""Fits of a joint calibration in files, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from caliche.errors import InputError
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.method import History, Iterate, Outcome
from caliche.files.checkpoint import read_arrays, write_arrays
from caliche.runs.parts import Parts


class Fit(NamedTuple):
    """A fit, with the hyperparameters and spreads that were found on the way."""

    outcome: Outcome
    hyperparameters: Hyperparameters | None = None
    spreads: Mapping[str, float] = {}


class Stages:
    """The folder of a run: a file for each fit that is finished.

    Parameters
    ----------
    folder : of the run; does not exist, is empty, or holds what an earlier run of the same left.
    mark : what the fits belong to, see `fingerprint`.

    Raises
    ------
    InputError : the folder holds something else.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        same = {"mark": "the same configuration and data"}
        self._parts, self._mark = Parts(folder, "joint", "stages", same), mark
        self.folder, self.path = folder, self._parts.parts
        self._parts.check({"mark": mark})
        if (folder / "summary.json").is_file() and not self.path.is_dir():
            raise InputError(
                "a folder for the run that does not exist yet, or that such a run left unfinished",
                f"{folder}, where it was finished",
                "choose another --out",
            )

    def get(self, name: str) -> Fit | None:
        """The fit of this name, if it is there."""
        file = self.path / f"{name}.npz"
        return self._read(file) if file.is_file() else None

    def put(self, name: str, fit: Fit) -> Fit:
        """Keep a fit; it is there whole or not at all."""
        said = {
            "n_iterations": fit.outcome.n_iterations,
            "hyperparameters": fit.hyperparameters and asdict(fit.hyperparameters),
            "spreads": dict(fit.spreads),
        }
        arrays = {
            "said": np.asarray(json.dumps(said)),
            "misfit": fit.outcome.history.misfit,
            "u": fit.outcome.history.u,
        }
        self._parts.begin({"mark": self._mark})
        arrays |= {f"final_{k}": np.asarray(v) for k, v in fit.outcome.final._asdict().items()}
        write_arrays(self.path / f"{name}.npz", self._mark, arrays)
        return fit

    def remove(self) -> None:
        """The fits are in the result now."""
        self._parts.remove()

    def _read(self, file: Path) -> Fit:
        try:
            arrays = read_arrays(file, self._mark, "configuration, data and version")
        except InputError as error:
            raise InputError(
                f"fits of the same configuration, data and version in {self.path}",
                error.got,
                "choose another --out, or remove that folder",
            ) from None
        said: dict[str, Any] = json.loads(str(arrays["said"]))
        final = Iterate(**{name: jnp.asarray(arrays[f"final_{name}"]) for name in Iterate._fields})
        outcome = Outcome(final, History(arrays["misfit"], arrays["u"]), said["n_iterations"])
        found = said["hyperparameters"]
        hyperparameters = None if found is None else Hyperparameters.from_dict(found)
        return Fit(outcome, hyperparameters, said["spreads"])
