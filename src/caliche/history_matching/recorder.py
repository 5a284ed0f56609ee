"""Runs that are kept as they are made, so that the same search goes on where it was stopped.

A search is decided by its seed. Started again it asks for the same runs in the same order, and gets
those that were made before from the files: what it ends with is the same to the last bit, wherever
it was stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from caliche.files.checkpoint import read_arrays, write_arrays

KEEP_EVERY = 5.0  # seconds between two files
_SAME = "experiment, metrics and options"


class Recorder:
    """A memory of calls of functions of arrays.

    Parameters
    ----------
    folder : where to keep them, which exists; None for nowhere.
    mark : what they belong to.

    Raises
    ------
    InputError : files of another run, or that cannot be read.
    """

    def __init__(self, folder: Path | None, mark: str = "") -> None:
        self._folder, self._mark = folder, mark
        self._known: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        self._told = time.monotonic()
        self._files = 0
        if folder is not None:
            for path in sorted(folder.glob("runs-*.npz")):
                self._known |= read_arrays(path, mark, _SAME)
                self._files += 1

    @property
    def number(self) -> int:
        """Calls that are known."""
        return len(self._known)

    def __call__(
        self, name: str, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray
    ) -> np.ndarray:
        """`function(x)`, or what it gave before; `name` tells functions apart."""
        x = np.ascontiguousarray(x)
        said = f"{name} {x.shape} ".encode() + x.tobytes()
        key = hashlib.sha256(said).hexdigest()[:32]
        if key not in self._known:
            self._known[key] = self._new[key] = function(x)
            if time.monotonic() - self._told > KEEP_EVERY:
                self.flush()
        return self._known[key]

    def flush(self) -> None:
        """Write what is not in a file yet."""
        if self._folder is not None and self._new:
            write_arrays(self._folder / f"runs-{self._files:06d}.npz", self._mark, self._new)
            self._files += 1
            self._new = {}
        self._told = time.monotonic()
