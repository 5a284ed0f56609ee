"""Which command wrote a folder, told by the files in it. Nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caliche.errors import InputError
from caliche.wording import listing


@dataclass(frozen=True)
class Kind:
    """The folder of one command.

    marks : sets of patterns; a folder with files of all patterns of one set is of this command,
        finished or not.
    summary : the JSON with what it found, written last.
    arrays : its netCDF file, empty if it has none.
    page : the page that is written of it, empty if there is none.
    """

    command: str
    marks: tuple[tuple[str, ...], ...]
    summary: str = "summary.json"
    arrays: str = "result.nc"
    page: str = ""

    @property
    def results(self) -> str:
        """Its files, in words."""
        return listing([name for name in (self.arrays, self.summary) if name])


# Tried in this order: what several folders have comes last.
KINDS = (
    Kind(
        "variants",
        (("variants.json",), ("finished", "run.json")),
        "variants.json",
        "",
        "variants.html",
    ),
    Kind("compare", (("compare.json",), ("rows", "run.json")), "compare.json", ""),
    Kind("design", (("design.json",),), "design.json", ""),
    Kind("drive", (("drive.toml",),), "result.json", ""),
    Kind("simulate", (("simulation.nc",),), "", "simulation.nc"),
    Kind("screen", (("screening.nc",),), arrays="screening.nc", page="screening.html"),
    Kind("train", (("network.eqx",), ("checkpoint-*.eqx",)), page="report.html"),
    Kind("assimilate", (("windows", "run.json"),), page="assimilation.html"),
    Kind("sites", (("run.json",), ("blocks",))),
    Kind("joint", (("parameters.csv", "result.nc"), ("stages",)), page="report.html"),
    Kind("estimate", (("summary.json", "result.nc"),), page="report.html"),
)


def kind_of(folder: Path) -> Kind | None:
    """The kind of a folder, finished or not; None if it is of no command."""
    for kind in KINDS:
        if any(all(any(folder.glob(name)) for name in files) for files in kind.marks):
            return kind
    return None


def finished(folder: Path, kind: Kind) -> bool:
    """Whether a folder of a kind has all results."""
    return all((folder / name).is_file() for name in (kind.summary, kind.arrays) if name)


def wrong_folder(folder: Path, *commands: str) -> InputError | None:
    """The error for a path that is not a finished folder of one of `commands`; None if it is one,
    or nothing that is known."""
    expected = f"a folder that {listing([f'caliche {c}' for c in commands], 'or')} wrote"
    if not folder.exists():
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
    if not finished(folder, kind):
        return InputError(
            f"{expected} to the end",
            f"{folder}, in which caliche {kind.command} was not finished",
            f"give that caliche {kind.command} again, with --out {folder}",
        )
    return None


def _use_of(kind: Kind) -> str:
    page = f", and {kind.page} is its page" if kind.page else ""
    return f"its results are in {kind.results}{page}"
