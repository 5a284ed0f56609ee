"""The file that a command writes with --json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from caliche.errors import InputError


def check_file(path: Path | None) -> None:
    """Before any computation: can the file be written?"""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InputError("a file that can be written", str(path), "a file in a folder that exists")


def write_json(path: Path, summary: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            "a file that can be written", f"{path}: {error.strerror}", "another --json"
        ) from None
    typer.echo(f"\nWritten: {path}")
