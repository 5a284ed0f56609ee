"""A folder whose parts are kept as they finish, so that the same command goes on where it was.

    run.json      what the run is: the command, the version of caliche, and what it belongs to
    PARTS/...     the parts that are finished

Every file is written aside and moved into place, so that one that is there is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caliche.errors import InputError
from caliche.files.manifest import MANIFEST, manifest, read_json
from caliche.files.whole_file import clear, is_aside, write_text, write_text_once
from caliche.keys.records import Mismatch, from_json
from caliche.runs.folder import need_writable


class Parts:
    """The parts of a run, begun or taken up again.

    Parameters
    ----------
    path : of the folder. It does not exist, is empty, or is what the same command left.
    command : the command that writes it.
    parts : name of the folder of the parts in it.
    same : keys of run.json that a run shares with the one it goes on from, each in words, such as
        "the same data". The version of caliche is always one of them.

    Raises
    ------
    InputError : a folder that holds something else, or cannot be written.
    """

    def __init__(self, path: Path, command: str, parts: str, same: Mapping[str, str]) -> None:
        self.path, self.parts, self._command = path, path / parts, command
        self._same = {**same, "caliche": "the same version of caliche"}
        if self.begun is None and not _is_empty(path):
            raise InputError(
                "a folder for the run that does not exist yet, or that such a run left",
                f"{path}, which holds something else",
                "choose another --out",
            )
        need_writable(path)

    @property
    def begun(self) -> dict[str, Any] | None:
        """What run.json says; None where this command has not begun."""
        said = read_json(self.path / MANIFEST)
        return said if said is not None and said.get("command") == self._command else None

    def check(self, run: Mapping[str, Any]) -> None:
        """Refuse to go on with another run than the one that began here.

        Raises
        ------
        InputError : it differs in one of the keys of `same`.
        """
        there, here = self.begun, manifest(self._command, run)
        if there is None:
            return
        differs = [words for key, words in self._same.items() if there.get(key) != here.get(key)]
        if differs:
            raise InputError(
                f"a run with {' and '.join(differs)} as the one in the folder",
                f"{self.path}, begun differently",
                "choose another --out, or run the command that began it",
            )

    def begin(self, run: Mapping[str, Any], config: str | None = None) -> None:
        """Begin a run, or go on with it; several processes may do so at once.

        Parameters
        ----------
        run : for run.json, beside the command and the version.  config : for config.toml.

        Raises
        ------
        InputError : another run began here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # This first: a folder with anything but this in it is taken for something else.
        if self.begun is None:
            text = json.dumps(manifest(self._command, run), indent=1)
            write_text_once(self.path / MANIFEST, f"{text}\n")
        self.check(run)
        self.parts.mkdir(exist_ok=True)
        self.clear()
        if config is not None:
            write_text(self.path / "config.toml", config)

    def clear(self) -> None:
        """Remove what was on its way when a process was killed."""
        for folder in (self.path, self.parts):
            clear(folder)

    def read(self, name: str, form: type | None = None) -> dict[str, Any] | None:
        """The JSON of a part; None, so that it is made again, where there is none that can be read
        and has what `form` declares."""
        found = read_json(self.parts / f"{name}.json")
        try:
            return found if form is None or from_json(form, found) else None
        except Mismatch:
            return None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a part as JSON; NaN stays, so that what is read is what was written."""
        write_text(self.parts / f"{name}.json", json.dumps(content, indent=1) + "\n")

    def remove(self) -> None:
        """Remove the parts, which are in the result now."""
        shutil.rmtree(self.parts, ignore_errors=True)


def _is_empty(path: Path) -> bool:
    """Whether nothing is there but files on their way."""
    return not path.exists() or (path.is_dir() and all(map(is_aside, path.iterdir())))
