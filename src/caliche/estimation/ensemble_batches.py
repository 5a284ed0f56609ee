"""Batches of a record for methods that run members: windows that are run by themselves.

A member's run over a window starts from a state of its own: that of a run over all that comes
before at one control vector, the mean of the ensemble when the epoch began, moved to the member by
its derivative there (`CarriedModel`). That costs one run with tangents an epoch; it is exact for a
linear model, and as good as the ensemble is narrow for another.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from caliche.errors import InputError
from caliche.estimation.ensemble_estimate import Batch
from caliche.estimation.windows_problem import (
    WindowProblem,
    carry,
    cut,
    first_of_all,
    independent_of_parameters,
    window_problem,
)
from caliche.inverse_problem import InverseProblem


class RecordBatches:
    """A record cut into batches: windows of one length, the last one shorter.

    Raises
    ------
    InputError : a problem or a number of batches that cannot be cut.
    """

    def __init__(self, problem: InverseProblem, number: int) -> None:
        if problem.space.variations:
            raise InputError(
                "constant parameters where a record is cut into batches",
                f"{', '.join(problem.space.variations)} with a variation in time",
                "leave out batches",
            )  # fmt: skip
        n_steps = problem.observations.mask.shape[0] - 1
        self._pieces = cut(problem, -(-n_steps // number))
        seen = np.any(np.asarray(problem.mask), axis=1)
        full = [np.any(seen[piece.first : piece.last + 1]) for piece in self._pieces]
        if len(full) < number or not all(full):
            raise InputError(
                "observations in every batch", f"none in some of {number}", "use fewer batches"
            )
        self._problem = independent_of_parameters(problem)
        self._first = first_of_all(self._problem)
        self._centre: np.ndarray | None = None
        self._windows: list[WindowProblem] = []
        self._width = 0

    def residuals(self, u: np.ndarray, number: int, centre: np.ndarray) -> np.ndarray:
        """Residuals (k, n) of what was observed in a batch, of members u (k, P)."""
        if self._centre is None or not np.array_equal(self._centre, centre):
            self._windows, self._centre = self._started(centre), centre
        k = len(u)
        self._width = max(self._width, k)
        padded = np.concatenate([u, np.repeat(u[-1:], self._width - k, axis=0)])
        return Batch(self._windows[number]).residuals(padded)[:k]

    def _started(self, centre: np.ndarray) -> list[WindowProblem]:
        """Every window with its state at the start, and how that depends on u about `centre`."""
        windows, handed = [], self._first
        for piece in self._pieces:
            windows.append(window_problem(self._problem, piece, handed))
            state, slopes = carry(windows[-1], centre, piece.carry)
            handed = dataclasses.replace(self._first, state=state, slopes=slopes, centre=centre)
        return windows
