"""Batches of a record for methods that run members: windows that are run by themselves.

A member's run over a window starts from a state of its own: that of a run over all that comes
before at one control vector, the mean of the ensemble when the epoch began, moved to the member by
its derivative there (`Carried`). That costs one run with tangents an epoch; it is exact for a
linear model, and as good as the ensemble is narrow for another.
"""

from __future__ import annotations

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.devices import side_by_side
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.problems.window import (
    WindowProblem,
    carry,
    cut,
    first_of_all,
    independent_of_parameters,
    window_problem,
)

# Members for each core; fewer fill no vector instruction.
FEWEST = 16


class RecordBatches:
    """A record cut into batches: windows of one length, the last one shorter.

    Raises
    ------
    InputError : a problem or a number of batches that cannot be cut.
    """

    def __init__(self, problem: Problem, number: int) -> None:
        if not isinstance(problem, InverseProblem):
            raise InputError(
                "one site where a record is cut into batches", "several", "leave out batches"
            )
        if problem.space.variations:
            raise InputError(
                "constant parameters where a record is cut into batches",
                f"{', '.join(problem.space.variations)} with a variation in time",
                "leave out batches",
            )
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


class Batch:
    """Residuals of many members of a problem: one compiled program of a fixed width, run side by
    side on the cores where there are members enough."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._seen = np.flatnonzero(np.asarray(problem.mask).ravel())
        self._width = 0
        adjusted = isinstance(problem, InverseProblem) and problem.adjustment is not None
        self._rows = problem.space.size if adjusted else 0

    @property
    def n(self) -> int:
        """Number of residuals."""
        return len(self._seen) + self._rows

    def grid(self, u: np.ndarray) -> np.ndarray:
        """Residuals (k, time + 1, stream), zero where nothing was observed."""
        k = len(u)
        lanes = max(1, min(os.cpu_count() or 1, k // FEWEST))
        # Fewer members than before would be another program to compile.
        self._width = max(self._width, -(-k // lanes))
        lanes = -(-k // self._width)
        padded = np.concatenate([u, np.repeat(u[-1:], lanes * self._width - k, axis=0)])

        def part(members: np.ndarray) -> np.ndarray:
            return np.asarray(_residuals(self._problem, jnp.asarray(members)))

        parts = np.split(padded, lanes)
        if lanes == 1:
            return part(parts[0])[:k]
        return np.concatenate(side_by_side(part, parts))[:k]

    def residuals(self, u: np.ndarray) -> np.ndarray:
        """Residuals (k, n) of what was observed, and of what it tells of some directions more."""
        seen = self.grid(u).reshape(len(u), -1)[:, self._seen]
        if not self._rows:
            return seen
        return np.concatenate([seen, np.asarray(_term(self._problem, jnp.asarray(u)))], axis=1)

    def run(self, u: np.ndarray) -> tuple[np.ndarray, None]:
        """Residuals, and no slopes; see `caliche.estimation.ensemble.core.Runner`."""
        return self.residuals(u), None


@jax.jit
def _residuals(problem: Problem, u: Float[Array, "member p"]) -> Float[Array, "member time stream"]:
    def one(u: Float[Array, " p"]) -> Float[Array, "time stream"]:
        seen = problem.observations
        return seen.residual(problem.standardised_misfit(u), problem.mask) * seen.root

    return jax.vmap(one)(u)


@jax.jit
def _term(problem: InverseProblem, u: Float[Array, "member p"]) -> Float[Array, "member row"]:
    assert problem.adjustment is not None
    return jax.vmap(problem.adjustment.residual)(jax.vmap(problem.space.vector)(u))
