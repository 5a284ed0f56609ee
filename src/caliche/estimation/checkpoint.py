"""Arrays of a tree in a file that is whole at any time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import equinox as eqx

from caliche.errors import InputError


def write_leaves(path: Path, tree: Any) -> None:
    """Write the arrays of a tree; what is there under this name is always whole."""
    aside = path.with_name(f".{path.name}.part")
    with aside.open("wb") as file:
        eqx.tree_serialise_leaves(file, tree)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def read_leaves(path: Path, like: Any) -> Any:
    """The arrays that `write_leaves` wrote, in a tree of this structure.

    Raises
    ------
    InputError : another structure, other shapes, or a file that cannot be read.
    """
    try:
        return eqx.tree_deserialise_leaves(path, like)
    except (OSError, RuntimeError, ValueError, EOFError, TypeError) as error:
        raise InputError(
            f"weights of this network in {path.name}", str(error).partition("\n")[0],
            "train again into another --out",
        ) from None  # fmt: skip
