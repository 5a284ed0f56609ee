"""What each run would have been predicted to be had it been left out, in closed form.

With Q = R^-1 - R^-1 H (H^T R^-1 H)^-1 H^T R^-1 and the rows B of a run, its value and all its
slopes, the residual is Q_BB^-1 (Q y)_B and its covariance sigma^2 Q_BB^-1 (Dubrule 1983,
doi:10.1007/BF01033232; here for blocks). Leaving out one row of a run
with gradients would mean nothing: its other rows give it away.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from caliche.emulators.process import projected_inverse
from caliche.emulators.rows import Rows


class LeftOut(NamedTuple):
    """By run (n,): value less prediction, and the standard deviation of that prediction, at the
    hyperparameters and sigma^2 of all runs."""

    residual: np.ndarray
    sd: np.ndarray

    @property
    def standardised(self) -> np.ndarray:
        """(n,) residuals over their standard deviations."""
        return self.residual / self.sd


def leave_out(
    kernel: str, basis: str, rows: Rows, y: np.ndarray, log_theta: np.ndarray, number: int
) -> LeftOut:
    """Every one of `number` runs left out with all its rows, for an output y (row,)."""
    q, qy, variance = map(
        np.asarray, projected_inverse(kernel, basis, rows, jnp.asarray(y), jnp.asarray(log_theta))
    )
    residual, sd = np.empty(number), np.empty(number)
    for run in range(number):
        mine = rows.of_run(run)
        inverse = np.linalg.inv(q[np.ix_(mine, mine)])
        residual[run] = inverse[0] @ qy[mine]
        sd[run] = np.sqrt(variance * max(inverse[0, 0], 0.0))
    return LeftOut(residual, sd)
