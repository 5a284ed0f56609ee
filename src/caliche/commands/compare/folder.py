"""The folder of a comparison: a file for every run that is finished, and the table at the end.

    run.json              what is compared: hash of the problem, number of seeds, methods
    hyperparameters.json  the sizes of errors and smoothness that are held, if any were unknown
    rows/NAME.json        a method from a seed, written when it is finished
    compare.json, compare.csv, config.toml

Every file is written aside and moved into place, so that one that is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from caliche.estimation.hyperparameters import Hyperparameters
from caliche.files.manifest import manifest, read_json
from caliche.files.whole_file import write_text
from caliche.keys.records import read_record
from caliche.runs.folder import new_folder
from caliche.runs.open_run import hyperparameters_of
from caliche.runs.parts import Parts
from caliche.runs.run_summary import HyperparameterEntry

REMEDY = "remove that file and give the command again"
# The keys of run.json that a comparison must share with the one it goes on from, in words.
SAME = {
    "problem": "the same experiment",
    "seeds": "the same number of seeds",
}


def what_is_compared(problem: str, seeds: int, methods: Sequence[str]) -> dict[str, Any]:
    """The content of run.json; other methods may join a comparison that was begun."""
    return {"problem": problem, "seeds": seeds, "methods": list(methods)}


def find_folder(out: Path | None, name: str, run: Mapping[str, Any]) -> Path:
    """The folder to write, or to go on in. Makes nothing yet.

    Without `out`, the newest unfinished comparison under runs/ that is the same, else a new folder.

    Raises
    ------
    InputError : `out` holds something else, or cannot be written.
    """
    if out is None:
        begun = sorted(Path("runs").glob(f"{name}-compare-*/run.json"), reverse=True)
        for path in begun:
            table = read_json(path.parent / "compare.json") or {}
            there = read_json(path) or {}
            if manifest("compare", run) == there and not table.get("finished"):
                return path.parent
        return new_folder(Path("runs") / f"{name}-compare-{datetime.now():%Y%m%d-%H%M%S}", name)
    Parts(out, "compare", "rows", SAME).check(run)
    return out


class CompareFolder:
    """A folder that `find_folder` found; it is made when something is written.

    begun : whether there was something to go on with.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path, self._run = path, run
        self._parts = Parts(path, "compare", "rows", SAME)
        self.begun = self._parts.begun is not None
        if self.begun:
            self._parts.clear()

    def row(self, label: str, seed: int, form: type) -> dict[str, Any] | None:
        """What was written of a run that is finished, if it has what `form` declares."""
        return self._parts.read(_name(label, seed), form)

    def write_row(self, label: str, seed: int, row: Mapping[str, Any]) -> None:
        self._parts.begin(self._run)
        self._parts.write(_name(label, seed), row)

    def hyperparameters(self) -> Hyperparameters | None:
        path = self.path / "hyperparameters.json"
        if not path.is_file():
            return None
        return hyperparameters_of(read_record(HyperparameterEntry, path, REMEDY, gaps=True))

    def write_hyperparameters(self, found: Hyperparameters) -> None:
        self._parts.begin(self._run)
        self.write("hyperparameters.json", json.dumps(asdict(found), indent=1) + "\n")

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)

    def drop(self) -> None:
        """Remove a folder that was begun for nothing."""
        if not self.begun:
            shutil.rmtree(self.path, ignore_errors=True)


def _name(label: str, seed: int) -> str:
    """Of a row's file: for people, and a hash tells labels apart that differ in signs only."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")
    mark = hashlib.sha256(label.encode()).hexdigest()[:6]
    return f"{plain}-{mark}-{seed}"
