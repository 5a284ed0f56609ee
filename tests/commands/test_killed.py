"""Killed at any change of the file system, the same command goes on to the same result.

The disk sees a process that ends: from the moment on, nothing is made, moved or removed any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from problems import SMALL

TWIN = ("twin-two-depths", *SMALL, "--out", "out")
COMMANDS = {
    "estimate": ("estimate", *TWIN),
    "ensemble": (
        "estimate",
        *TWIN,
        "--method",
        "eki",
        "--set",
        'method={name="eki",options={members=12}}',
    ),
    "variants": ("variants", *TWIN, "--only", "albedo"),
    "compare": ("compare", *TWIN, "--method", "lm,uki", "--repeats", "1"),
    "assimilate": ("assimilate", *TWIN, "--window", "1"),
    "screen": ("screen", *TWIN, "--method", "morris", "--samples", "4"),
    "emulate": ("emulate", *TWIN, "--runs", "16", "--gradients", "never"),
    "history-match": ("history-match", *TWIN, "--waves", "1", "--with", "model", "--runs", "64"),
}
# What tells when and how long, not what was found.
TIMES = ("created", "seconds", "run_seconds", "compile_seconds", "written", "date", "time", "cost")
FEW, ALL = 5, 1000  # moments of killing, spread over all changes; 0 is as if nothing had begun
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}


class Killed(BaseException):
    """The process is no more."""


class Disk:
    """Changes of the file system below a folder, counted; none after the last one."""

    def __init__(self) -> None:
        self.folder, self.changes, self.last = "", 0, -1
        sys.addaudithook(self._seen)

    def _seen(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or (event not in CHANGES and event != "open"):
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or not os.path.abspath(path).startswith(
            self.folder
        ):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        self.changes += 1
        if 0 <= self.last < self.changes:
            raise Killed

    @contextmanager
    def watched(self, folder: Path, last: int = -1) -> Iterator[None]:
        """Counted, and with nothing after `last` changes."""
        self.folder, self.changes, self.last = str(folder), 0, last
        try:
            yield
        finally:
            self.folder = ""


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


def found(folder: Path) -> dict[str, Any]:
    """Everything that was found, by file: tables of JSON less times, and names of all files."""
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
    tables = {name: json.loads((folder / name).read_text()) for name in files if "json" in name}
    return {"files": files, **{name: without_times(table) for name, table in tables.items()}}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not any(t in k for t in TIMES)}
    if isinstance(value, list):
        return [without_times(v) for v in value]
    if isinstance(value, str):
        return re.sub(r"[0-9.e+-]+ (ms|s|min)\b", "", value)
    return "nan" if value != value else value


def unlike(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two tables are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = {**one, **other}
        return [t for k in keys for t in unlike(one.get(k), other.get(k), f"{place}/{k}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [text for k, (a, b) in pairs for text in unlike(a, b, f"{place}/{k}")]
    return [] if one == other else [f"{place}: {one} not {other}"]


CASES = [
    pytest.param(name, FEW, marks=() if name in ("estimate", "variants") else pytest.mark.ci)
    for name in COMMANDS
] + [pytest.param(name, ALL, marks=pytest.mark.slow) for name in COMMANDS]


@pytest.mark.parametrize(("name", "most"), CASES)
def test_it_goes_on(caliche, disk, tmp_path, monkeypatch, name, most):
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[name]
    with disk.watched(tmp_path):
        outcome = caliche(*command)
    assert outcome.code in (0, 3), outcome.err
    whole, changes = found(tmp_path), disk.changes
    assert changes > 3
    for last in sorted({round(k * (changes - 1) / most) for k in range(1, most + 1)} - {0}):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        os.chdir(tmp_path)
        # What is measured in seconds may decide how many changes there are: the last may not come.
        with disk.watched(tmp_path, last), contextlib.suppress(Killed):
            caliche(*command)
        left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
        again = caliche(*command)
        told = f"killed after {last} of {changes} changes, which left {left}"
        assert again.code == outcome.code, f"{told}: {again.err}"
        assert unlike(found(tmp_path), whole) == [], told
