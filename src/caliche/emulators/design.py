"""Where to run a model for an emulator: points spread over a box."""

from __future__ import annotations

import numpy as np

from caliche.emulators.box import Box
from caliche.parameters.space import unit_hypercube

_TRIES = 50


def latin_hypercube(number: int, box: Box, seed: int) -> np.ndarray:
    """Points u (number, P), one in each of `number` slices of every side of a box: of 50 such
    designs the one whose two nearest points are farthest apart."""
    random = np.random.default_rng(seed)
    best, farthest = np.zeros((number, box.size)), -1.0
    for _ in range(_TRIES):
        x = 2.0 * unit_hypercube(number, box.size, random) - 1.0
        apart = np.linalg.norm(x[:, None] - x[None], axis=-1) + 1e9 * np.eye(number)
        if apart.min() > farthest:
            best, farthest = x, apart.min()
    return box.from_unit(best)
