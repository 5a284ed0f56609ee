"""A box about the best point, which grows with success and shrinks with failure.

With many parameters an emulator knows nothing of most of the ranges, and its uncertainty there
draws every run to their corners. Runs stay in a box instead (TuRBO: Eriksson et al. 2019,
arXiv:1910.01739), whose sides follow the length-scales.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

FIRST_SIDE, LEAST_SIDE, MOST_SIDE = 0.8, 2.0**-7, 1.6
SUCCESSES, RESTARTS = 3, 3
# A success lowers the best value by more than this share of the spread of the values.
_LEAST_GAIN = 1e-3


class TrustRegion(NamedTuple):
    """The side of the box, over that of the ranges, and what happened since it last changed.

    side : of all P sides the geometric mean, 1 for the ranges themselves.
    successes, failures : in a row.  restarts : so far.
    """

    side: float = FIRST_SIDE
    successes: int = 0
    failures: int = 0
    restarts: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether it has shrunk to nothing too often."""
        return self.restarts > RESTARTS

    def after(self, gain: float, spread: float, size: int, batch: int) -> TrustRegion:
        """The region after a batch of runs.

        Parameters
        ----------
        gain : by how much it lowered the best value.  spread : of the values so far.
        size : P.  batch : runs in it.
        """
        side, successes, failures, restarts = self
        if gain > _LEAST_GAIN * spread:
            successes, failures = successes + 1, 0
        else:
            successes, failures = 0, failures + 1
        if successes >= SUCCESSES:
            side, successes = min(2.0 * side, MOST_SIDE), 0
        if failures >= max(math.ceil(4 / batch), math.ceil(size / batch)):
            side, failures = 0.5 * side, 0
        if side < LEAST_SIDE:
            return TrustRegion(restarts=restarts + 1)
        return TrustRegion(side, successes, failures, restarts)

    def box(self, centre: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends (P,) in the unit box [-1, 1] of the region about a centre, where the emulator has
        these length-scales."""
        shape = scales / np.exp(np.mean(np.log(scales)))
        reach = self.side * shape
        return np.maximum(centre - reach, -1.0), np.minimum(centre + reach, 1.0)
