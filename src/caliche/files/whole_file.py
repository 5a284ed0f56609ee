"""Files and folders that are whole whenever they are there: written aside, then moved into place.

What a process that was killed leaves of one on its way is hidden, and ends in `.aside`.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from caliche.errors import InputError

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # Windows: what is left of folders on their way stays

_ASIDE, _LOCK = ".aside", "lock"


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
    """Remove what processes that were killed left in a folder, unless somebody writes there now."""
    with _held(folder, alone=True) as alone:
        if alone:
            _unlink(*(left for left in folder.glob(f".*{_ASIDE}") if not left.is_dir()))


@contextlib.contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write to and to move into its place; what is left of it at the
    end is removed. While it is written its lock is held, which the system takes from a process that
    ends in any way: `clear_folders` knows by it what nobody writes any more."""
    scratch = _aside(folder)
    scratch.mkdir()
    try:
        with open(scratch / _LOCK, "wb") as lock:
            _hold(lock.fileno())
            inside = scratch / folder.name
            inside.mkdir()
            yield inside
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_folders(folder: Path) -> None:
    """Remove what processes that were killed left on the way to a folder."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}-*{_ASIDE}"):
        if not left.is_dir():
            continue
        try:
            with open(left / _LOCK, "ab") as lock:
                if not _hold(lock.fileno()):
                    continue
        except OSError:
            continue
        shutil.rmtree(left, ignore_errors=True)


def _hold(lock: int, kind: int | None = None) -> bool:
    """Take the lock of a file, alone or as `kind` says, until it is closed; whether it was free."""
    if fcntl is None:  # pragma: no cover
        return False
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if kind is None else kind) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _aside(path: Path) -> Path:
    # Not the process id: machines that share a file system have the same ones.
    return path.with_name(f".{path.name}-{os.urandom(8).hex()}{_ASIDE}")


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A name beside `path` that nobody else has; gone at the end."""
    scratch = _aside(path)
    with _held(path.parent):
        try:
            yield scratch
        finally:
            scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(folder: Path, alone: bool = False) -> Iterator[bool]:
    """The lock of a folder, shared by all who write files there, or for one alone; whether it could
    be had. The system takes it from a process that ends in any way."""
    if fcntl is None:  # pragma: no cover
        yield False
        return
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:  # what is written there will say why
        yield False
        return
    try:
        yield _hold(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _unlink(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
