"""Files that are whole whenever they are there: written aside, then moved into place.

What a process that was killed leaves of a file on its way is hidden, and ends in `.aside`.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from caliche.errors import InputError

_ASIDE = ".aside"


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; at the end it takes the place of `path`, and on an error it
    is removed. Several writers, on several machines too, do not meet: the last one stays.

    Raises
    ------
    InputError : it cannot be written there.
    """
    with _scratch(path) as scratch:
        try:
            yield scratch
            scratch.replace(path)
        except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
            told = error.strerror or type(error).__name__
            raise InputError(
                "a file that can be written",
                f"{path}: {told}",
                "move what is there away, or see to its rights",
            ) from error


def write_text(path: Path, text: str) -> Path:
    """Write a text file in UTF-8 with Unix line ends, whole, and return its path."""
    with written_aside(path) as scratch:
        _write(scratch, text)
    return path


def write_text_once(path: Path, text: str) -> None:
    """The same, unless the file is there already: of several writers, the first one stays."""
    with _scratch(path) as scratch:
        _write(scratch, text)
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)


def is_aside(path: Path) -> bool:
    """Whether a file is on its way, or was left there by a process that was killed."""
    return path.name.startswith(".") and path.name.endswith(_ASIDE)


def remove(path: Path) -> None:
    """Remove a file, if it is there, and what processes that were killed left on the way to it."""
    if path.exists():
        _unlink(path, *path.parent.glob(f".{glob.escape(path.name)}-*{_ASIDE}"))


def clear(folder: Path) -> None:
    """Remove what processes that were killed left in a folder; for when nobody writes there."""
    _unlink(*folder.glob(f".*{_ASIDE}"))


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A name beside `path` that nobody else has; gone at the end."""
    # Not the process id: machines that share a file system have the same ones.
    scratch = path.with_name(f".{path.name}-{os.urandom(8).hex()}{_ASIDE}")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _unlink(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
