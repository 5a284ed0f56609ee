"""What a folder says of itself: which command wrote it, with which version of caliche."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caliche._version import __version__
from caliche.files.whole_file import write_text

MANIFEST = "run.json"


def manifest(command: str, run: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What run.json says: the command, the version, and what the run belongs to."""
    return {"command": command, "caliche": __version__, **(run or {})}


def write_manifest(folder: Path, command: str, run: Mapping[str, Any] | None = None) -> None:
    """Say which command writes a folder, which is there, and what the run belongs to."""
    write_text(folder / MANIFEST, json.dumps(manifest(command, run), indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A table in a JSON file; None where there is none that can be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
