"""The folder of an assimilation: windows as they finish, and what is made of them at the end.

    run.json          what the run is, so that only the same one goes on with it
    config.toml       the configuration, to run it again
    windows/N.npz     the windows that are finished
    result.nc         series and windows; summary.json: settings, parameters, windows, sentences

Every file is written aside and moved into place, so that one that is there is whole.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from caliche.assimilation.windows import Analysis
from caliche.commands.assimilate.summary import AssimilationSummary, Part
from caliche.errors import InputError
from caliche.files.whole_file import write_text, written_aside
from caliche.keys.records import from_json, json_text
from caliche.problems.window import Handed
from caliche.runs.parts import Parts

_HANDED = "handed_"
_ARRAYS = ("u", "covariance_u", "forecast", "analysis")


class AssimilationFolder:
    """A folder of finished windows, made or taken up again. A `Store` of `assimilate_windows`.

    Parameters
    ----------
    mark : of the run, see `fingerprint`; a folder of another run is refused.

    Raises
    ------
    InputError : a folder that holds something else, or cannot be written.
    """

    def __init__(self, path: Path, mark: str) -> None:
        same = {"mark": "the same experiment, window and forgetting"}
        self._parts, self._run = Parts(path, "assimilate", "windows", same), {"mark": mark}
        self._parts.check(self._run)
        self.path = path

    def begin(self, config: str) -> None:
        """Make the folder, if it is not there."""
        self._parts.begin(self._run, config)

    def read(self, number: int) -> Analysis | None:
        path = self._file(number)
        if not path.is_file():
            return None
        try:
            with np.load(path) as kept:
                arrays = {name: kept[name] for name in kept.files}
            handed = {n.removeprefix(_HANDED): arrays[n] for n in arrays if n.startswith(_HANDED)}
            own = {name: arrays[name] for name in _ARRAYS}
            record = json.loads(str(arrays["record"]))
            from_json(Part, record)
            return Analysis(record, **own, handed=Handed(**handed))
        except Exception as error:  # numpy and zip have one for every way of damage
            raise InputError(
                f"a whole file {path}",
                type(error).__name__,
                "remove it and run the command again",
            ) from None

    def write(self, number: int, analysis: Analysis) -> None:
        arrays = {name: getattr(analysis, name) for name in _ARRAYS}
        arrays |= {f"{_HANDED}{name}": x for name, x in asdict(analysis.handed).items()}
        with written_aside(self._file(number)) as scratch, open(scratch, "wb") as file:
            np.savez(file, record=np.asarray(json.dumps(analysis.record)), **arrays)
            file.flush()
            os.fsync(file.fileno())

    def write_text(self, name: str, text: str) -> None:
        write_text(self.path / name, text)

    def write_dataset(self, name: str, dataset: Any) -> None:
        with written_aside(self.path / name) as scratch:
            dataset.to_netcdf(scratch, engine="h5netcdf")

    def write_summary(self, summary: AssimilationSummary) -> None:
        self.write_text("summary.json", json_text(summary))

    def _file(self, number: int) -> Path:
        return self._parts.parts / f"{number + 1:05d}.npz"
