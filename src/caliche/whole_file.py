"""Files that are whole whenever they are there: written aside, then moved into place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; at the end it takes the place of `path`, and on an error it
    is removed."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text file in UTF-8 with Unix line ends, whole, and return its path."""
    with written_aside(path) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="\n")
    return path
