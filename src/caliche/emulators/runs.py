"""Runs of a model: where it was run, what came out, its exact slopes, and what failed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from caliche.emulators.box import Box
from caliche.errors import InputError
from caliche.wording import number_of


@dataclass(frozen=True)
class Runs:
    """Runs that an emulator learns from.

    Attributes
    ----------
    u : (n, P) control vectors.
    values : (n, K) outputs; NaN where a run failed.
    slopes : (n, K, P) exact derivatives of the outputs by u, NaN for runs that have none; None if
        no run has any.
    failed : (n,) runs that gave no finite numbers, by default those whose values show it. They are
        counted, and teach nothing.

    Raises
    ------
    InputError : arrays whose shapes do not belong together.
    """

    u: np.ndarray
    values: np.ndarray
    slopes: np.ndarray | None = None
    failed: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        u, values = np.array(self.u, float), np.array(self.values, float)
        slopes = None if self.slopes is None else np.array(self.slopes, float)
        if u.ndim != 2 or values.ndim != 2 or len(u) != len(values):
            raise InputError(
                "runs with u (n, P) and values (n, K)",
                f"arrays {u.shape} and {values.shape}",
                "pass one row for each run",
            )
        if slopes is not None and slopes.shape != (*values.shape, u.shape[1]):
            raise InputError(
                f"slopes {(*values.shape, u.shape[1])}, by run, output and parameter",
                f"an array {slopes.shape}",
                "pass the derivative of every output by every entry of u",
            )
        failed = np.array(self.failed, bool) if np.size(self.failed) else np.zeros(len(u), bool)
        if failed.shape != (len(u),):
            raise InputError(
                f"one flag for each of {number_of(len(u), 'run')}",
                f"an array {failed.shape}",
                "pass (n,)",
            )
        # A run that says it is fine and is not must not teach anything either.
        failed = failed | ~np.all(np.isfinite(values), axis=1) | ~np.all(np.isfinite(u), axis=1)
        for name, array in zip(
            ("u", "values", "slopes", "failed"), (u, values, slopes, failed), strict=True
        ):
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.u)

    @property
    def with_slopes(self) -> np.ndarray:
        """(n,) which runs have exact slopes of all outputs."""
        if self.slopes is None:
            return np.zeros(len(self), bool)
        return np.all(np.isfinite(self.slopes), axis=(1, 2)) & ~self.failed

    def rows(self, which: np.ndarray) -> Runs:
        """Some of the runs: a mask (n,) or numbers."""
        slopes = None if self.slopes is None else self.slopes[which]
        return Runs(self.u[which], self.values[which], slopes, self.failed[which])

    @property
    def good(self) -> Runs:
        """The runs that did not fail."""
        return self.rows(~self.failed)

    def inside(self, box: Box) -> Runs:
        """The runs whose u lie in a box."""
        return self.rows(box.contains(self.u))

    def outputs(self, columns: np.ndarray) -> Runs:
        """The runs with some of the outputs, by number."""
        slopes = None if self.slopes is None else self.slopes[:, columns]
        return Runs(self.u, self.values[:, columns], slopes, self.failed)

    def joined(self, other: Runs) -> Runs:
        """These runs, then others of the same parameters and outputs."""
        slopes = None
        if self.slopes is not None or other.slopes is not None:
            slopes = np.concatenate([_slopes(self), _slopes(other)])
        return Runs(
            np.concatenate([self.u, other.u]),
            np.concatenate([self.values, other.values]),
            slopes,
            np.concatenate([self.failed, other.failed]),
        )

    def without_slopes(self) -> Runs:
        """The same runs as values alone."""
        return Runs(self.u, self.values, None, self.failed)


def _slopes(runs: Runs) -> np.ndarray:
    if runs.slopes is not None:
        return runs.slopes
    return np.full((*runs.values.shape, runs.u.shape[1]), np.nan)
