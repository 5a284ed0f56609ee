"""Which command wrote a folder, as the folder itself says, and what it leaves there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caliche.errors import InputError
from caliche.files.manifest import MANIFEST, read_json
from caliche.wording import listing


@dataclass(frozen=True)
class Kind:
    """The folder of one command.

    summary : the JSON with what it found, written last.
    arrays : its netCDF file, empty if it has none.
    page : the page that is written of it, empty if there is none.
    whole : written at once when the command is done, so that what is missing was lost since.
    """

    command: str
    summary: str = "summary.json"
    arrays: str = "result.nc"
    page: str = ""
    whole: bool = False

    @property
    def results(self) -> str:
        """Its files, in words."""
        return listing([name for name in (self.arrays, self.summary) if name])


KINDS = (
    Kind("variants", "variants.json", "", "variants.html"),
    Kind("compare", "compare.json", ""),
    Kind("design", "design.json", "", whole=True),
    Kind("drive", "result.json", ""),
    Kind("simulate", "", "simulation.nc", whole=True),
    Kind("screen", arrays="screening.nc", page="screening.html", whole=True),
    Kind("history-match", page="history-match.html"),
    Kind("emulate", arrays="emulator.nc", page="emulation.html", whole=True),
    Kind("emulate-column", arrays="", page="column.html"),
    Kind("train", page="report.html"),
    Kind("assimilate", page="assimilation.html"),
    Kind("sites"),
    Kind("joint", page="report.html"),
    Kind("estimate", page="report.html", whole=True),
)
_BY_COMMAND = {kind.command: kind for kind in KINDS}


def kind_of(folder: Path) -> Kind | None:
    """The kind of a folder, finished or not; None if it is of no command."""
    said = read_json(folder / MANIFEST) or {}
    return _BY_COMMAND.get(str(said.get("command")))


def finished(folder: Path, kind: Kind) -> bool:
    """Whether a folder of a kind has all results."""
    return all((folder / name).is_file() for name in (kind.summary, kind.arrays) if name)


def wrong_folder(folder: Path, *commands: str) -> InputError | None:
    """The error for a path that is not a finished folder of one of `commands`; None if it is one,
    or nothing that is known."""
    expected = f"a folder that {listing([f'caliche {c}' for c in commands], 'or')} wrote"
    try:
        there = folder.exists()
    except OSError as error:  # a name that is too long, a folder that may not be read
        return InputError(expected, error.strerror or str(error), "look for the name of --out")
    if not there:
        return InputError(
            expected, f"{folder}, which is not a folder that exists", "look for the name of --out"
        )
    if not folder.is_dir():
        return InputError(
            expected, f"{folder}, which is not a folder", "give the folder in which it lies"
        )
    kind = kind_of(folder)
    if kind is None:
        return None
    if kind.command not in commands:
        return InputError(expected, f"{folder}, which caliche {kind.command} wrote", _use_of(kind))
    if not (kind.whole or finished(folder, kind)):
        return InputError(
            f"{expected} to the end",
            f"{folder}, in which caliche {kind.command} was not finished",
            f"give that caliche {kind.command} again, with --out {folder}",
        )
    return None


def _use_of(kind: Kind) -> str:
    page = f", and {kind.page} is its page" if kind.page else ""
    return f"its results are in {kind.results}{page}"
