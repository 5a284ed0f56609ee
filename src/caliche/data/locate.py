"""Where data files lie: beside the configuration, or in the folder named by CALICHE_DATA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from caliche.errors import InputError

VARIABLE = "CALICHE_DATA"


@dataclass(frozen=True)
class DataFolder:
    """One row of `caliche data`: a folder, the names of its files, and its README's title."""

    name: str
    files: tuple[str, ...]
    title: str


def find_data(path: Path | str, base: Path | str) -> Path:
    """The file that `path` means.

    An absolute path is taken as it is. A relative one is looked for in `base` (the folder of the
    configuration), then in the folder named by the environment variable CALICHE_DATA.

    Raises
    ------
    InputError : a relative path that is in neither place.
    """
    path = _expanded(path)
    if path.is_absolute():
        return path
    folders = [Path(base)]
    if os.environ.get(VARIABLE):
        folders.append(_expanded(os.environ[VARIABLE]))
    for folder in folders:
        if (folder / path).exists():
            return folder / path
    looked = " or ".join(str(folder) for folder in folders)
    unset = "" if len(folders) > 1 else f"; {VARIABLE} is not set"
    raise InputError(
        f"a file {str(path)!r}",
        f"none in {looked}{unset}",
        f"set {VARIABLE} to the folder of your data, or give an absolute path",
    )


def list_data() -> list[DataFolder]:
    """The folders of data in CALICHE_DATA, by name.

    Raises
    ------
    InputError : CALICHE_DATA is not set, or is not a folder.
    """
    value = os.environ.get(VARIABLE)
    root = _expanded(value or "")
    if not value or not root.is_dir():
        raise InputError(
            f"the environment variable {VARIABLE} to name a folder of data",
            f"{value}, which is not a folder" if value else "nothing, it is not set",
            f"export {VARIABLE}=/path/to/data",
        )
    folders = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    return [DataFolder(folder.name, _files(folder), _title(folder)) for folder in folders]


def _expanded(path: Path | str) -> Path:
    """The path with ~ in full. InputError if there is no such user, or a character that cannot."""
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"the home of a user in {str(path)!r}", "no such user", "give the path in full"
        ) from None
    if "\0" in str(path):
        raise InputError("the path of a file", repr(str(path)), "take the character NUL away")
    return expanded


def _files(folder: Path) -> tuple[str, ...]:
    """Names of a folder's files; none if it may not be read."""
    try:
        inside = sorted(folder.iterdir())
    except PermissionError:
        return ()
    return tuple(p.name for p in inside if p.is_file() and not p.name.startswith("."))


def _title(folder: Path) -> str:
    """First line of README.md without its hashes; empty if there is none."""
    readme = folder / "README.md"
    if not os.access(readme, os.R_OK) or not readme.is_file():
        return ""
    with readme.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip().lstrip("#").strip()
