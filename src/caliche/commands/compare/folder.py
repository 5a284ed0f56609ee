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

from caliche._version import __version__
from caliche.errors import InputError
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.files.whole_file import write_text
from caliche.runs.folder import new_folder

# The keys of run.json that a comparison must share with the one it goes on from, in words.
SAME = {
    "problem": "the same experiment",
    "seeds": "the same number of seeds",
    "caliche": "the same version of caliche",
}


def what_is_compared(problem: str, seeds: int, methods: Sequence[str]) -> dict[str, Any]:
    """The content of run.json; other methods may join a comparison that was begun."""
    return {"problem": problem, "seeds": seeds, "caliche": __version__, "methods": list(methods)}


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
            table = _read(path.parent / "compare.json") or {}
            if _read(path) == run and not table.get("finished"):
                return path.parent
        return new_folder(Path("runs") / f"{name}-compare-{datetime.now():%Y%m%d-%H%M%S}", name)
    if not (out / "run.json").is_file():
        return new_folder(out, name)
    there = _read(out / "run.json") or {}
    differs = [words for key, words in SAME.items() if there.get(key) != run[key]]
    if differs:
        raise InputError(
            f"a comparison of {' and '.join(differs)} as in the folder",
            f"{out}, begun differently",
            "choose another --out, or run the command that began it",
        )
    return out


class CompareFolder:
    """A folder that `find_folder` found; it is made when something is written.

    begun : whether there was something to go on with.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path, self._run = path, run
        self.begun = (path / "run.json").is_file()

    def row(self, label: str, seed: int) -> dict[str, Any] | None:
        """What was written of a run that is finished."""
        return _read(self._file(label, seed))

    def write_row(self, label: str, seed: int, row: Mapping[str, Any]) -> None:
        self._begin()
        self.write(f"rows/{self._file(label, seed).name}", _json(row))

    def hyperparameters(self) -> Hyperparameters | None:
        found = _read(self.path / "hyperparameters.json")
        return None if found is None else Hyperparameters.from_dict(found)

    def write_hyperparameters(self, found: Hyperparameters) -> None:
        self._begin()
        self.write("hyperparameters.json", _json(asdict(found)))

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)

    def drop(self) -> None:
        """Remove a folder that was begun for nothing."""
        if not self.begun:
            shutil.rmtree(self.path, ignore_errors=True)

    def _begin(self) -> None:
        if not (self.path / "run.json").is_file():
            self.write("run.json", _json(self._run))

    def _file(self, label: str, seed: int) -> Path:
        # The name is for people, the hash tells labels apart that differ in signs only.
        plain = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")
        mark = hashlib.sha256(label.encode()).hexdigest()[:6]
        return self.path / "rows" / f"{plain}-{mark}-{seed}.json"


def _json(value: Mapping[str, Any]) -> str:
    # NaN stays: what is read again is what was written, to the last bit.
    return json.dumps(value, indent=1) + "\n"


def _read(path: Path) -> dict[str, Any] | None:
    """A file's content; None where there is none that can be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
