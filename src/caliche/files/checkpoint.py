"""States of a run in a file that is whole at any time: named arrays, or the leaves of a tree."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from caliche.errors import InputError
from caliche.files.whole_file import written_aside


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of a run on its way; `resume` to go on from what is there."""

    path: Path
    resume: bool = False


def fingerprint(*parts: object) -> str:
    """What a kept state belongs to: problems, methods, arrays, settings.

    Arrays count by their shape and bytes, dataclasses and modules by all their fields, functions by
    their name, and numbers and texts as they are written.
    """
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _pieces(part: object) -> Iterator[bytes]:
    if isinstance(part, np.ndarray | jax.Array):
        array = np.asarray(part)
        yield f"{array.dtype} {array.shape}".encode()
        yield array.tobytes()
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        yield type(part).__qualname__.encode()
        for field in dataclasses.fields(part):
            yield field.name.encode()
            yield from _pieces(getattr(part, field.name))
    elif isinstance(part, Mapping):
        yield f"mapping of {len(part)}".encode()
        for item in part.items():
            yield from _pieces(item)
    elif isinstance(part, list | tuple):
        yield f"{type(part).__qualname__} of {len(part)}".encode()
        for item in part:
            yield from _pieces(item)
    elif isinstance(part, functools.partial):
        yield from _pieces((part.func, part.args, part.keywords))
    elif callable(part):
        yield getattr(part, "__qualname__", type(part).__qualname__).encode()
    else:
        yield repr(part).encode()


def write_arrays(path: Path, mark: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays; what is there under this name is always whole.

    mark : the `fingerprint` of what they belong to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as scratch, open(scratch, "wb") as file:
        names = np.asarray(sorted(arrays))
        np.savez(file, fingerprint=np.asarray(mark), names=names, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, mark: str, what: str) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Parameters
    ----------
    what : the things a state has to share with the run, in words.

    Raises
    ------
    InputError : no such file, one that cannot be read, or one with another mark.
    """
    try:
        with open(path, "rb") as file, np.load(file) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except Exception as error:  # numpy and zip have one for every way in which a file is damaged
        raise InputError(
            f"the state of a run that was stopped, {path}",
            f"{type(error).__name__}",
            "start again with another --out, or move that file away",
        ) from None
    if str(arrays.pop("fingerprint", "")) != mark:
        raise InputError(
            f"a state of the same {what} in {path}",
            "that of another one",
            "undo what was changed, start again with another --out, or move that file away",
        )
    if not np.array_equal(arrays.pop("names", np.asarray(sorted(arrays))), sorted(arrays)):
        raise InputError(
            f"all arrays of the state {path}",
            f"only {', '.join(sorted(arrays)) or 'none'}",
            "start again with another --out, or move that file away",
        )
    return arrays


def write_leaves(path: Path, tree: Any) -> None:
    """Write the arrays of a tree; what is there under this name is always whole."""
    with written_aside(path) as scratch, open(scratch, "wb") as file:
        eqx.tree_serialise_leaves(file, tree)
        file.flush()
        os.fsync(file.fileno())


def read_leaves(path: Path, like: Any) -> Any:
    """The arrays that `write_leaves` wrote, in a tree of this structure.

    Raises
    ------
    InputError : another structure, other shapes, or a file that cannot be read.
    """
    try:
        return eqx.tree_deserialise_leaves(path, like)
    except Exception as error:  # as above
        raise InputError(
            f"weights of this network in {path}",
            str(error).partition("\n")[0] or type(error).__name__,
            "train again into another --out",
        ) from None
