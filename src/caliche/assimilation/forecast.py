"""Forecasts of a window with what is known before it, and how its observations fare against them.

The statistics of innovations in terms of R and B are those of Desroziers et al. (2005,
doi:10.1256/qj.05.108): d^T (R + H B H^T)^-1 d is their number on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from caliche.estimation.curvature import linearised
from caliche.estimation.method import RANK_TOLERANCE
from caliche.estimation.tangent_run import run_with_tangents
from caliche.problems.window import Handed, WindowProblem


@dataclass(frozen=True)
class Innovation:
    """Observations of one stream against the forecast made before they were assimilated.

    n : how many.  rmse, bias : of forecast minus observed, in the stream's unit.
    chi_square : d^T S^-1 d of the standardised innovations d, with S = I + C of the errors and of
    what was not known of the parameters; d as the stream counts in J, times the square root of its
    `Observations.information`.  freedom : what that is on average if prior, errors as declared and
    model are right: n less what was unknown before and is seen here, where the stream counts in
    full.
    """

    n: int
    rmse: float
    bias: float
    chi_square: float
    freedom: float


def forecast(window: WindowProblem, handed: Handed) -> tuple[np.ndarray, dict[str, Innovation]]:
    """Predictions (time + 1, stream) with what is known before the window, and how they fare."""
    prediction = np.asarray(run_with_tangents(window, jnp.asarray(handed.mean)).prediction)
    residual, jacobian = linearised(window, handed.mean)
    shape = window.observations.mask.shape
    n, mask = shape[0] * shape[1], np.asarray(window.mask)
    powers = np.asarray(window.observations.root)[0] ** 2
    innovation = residual[:n].reshape(shape)
    slopes = jacobian[:n].reshape(*shape, -1)
    misfit = prediction - np.asarray(window.observations.values)
    found = {}
    for k, stream in enumerate(window.operator.streams):
        seen = mask[:, k]
        if not seen.any():
            continue
        chi_square, freedom = innovation_chi_square(
            innovation[seen, k], slopes[seen, k], handed.information, float(powers[k])
        )
        error = misfit[seen, k]
        found[stream.name] = Innovation(
            int(seen.sum()),
            float(np.sqrt(np.mean(error**2))),
            float(np.mean(error)),
            chi_square,
            freedom,
        )
    return prediction, found


def innovation_chi_square(
    innovation: np.ndarray, slopes: np.ndarray, information: np.ndarray, power: float = 1.0
) -> tuple[float, float]:
    """d^T (I + J A^-1 J^T)^-1 d and what it is on average, of innovations d (n,) with slopes J
    (n, P) and the information A (P, P) known before.

    d and J are those of J, whose errors have the variance `power`, at most 1. Along a direction in
    which the parameters scatter by l the average is (power + l) / (1 + l). Directions of u without
    information in A are fitted to the innovations: they take one degree of freedom each, if seen.
    """
    seen = slopes.T @ slopes
    gradient = slopes.T @ innovation
    inverse, rank = pseudo_inverse(information + seen)
    unknown = rank - pseudo_inverse(information)[1]
    value = innovation @ innovation - gradient @ inverse @ gradient
    scattered = float(np.sum(inverse * seen)) - unknown  # sum of l / (1 + l)
    freedom = power * (len(innovation) - unknown) + (1.0 - power) * max(scattered, 0.0)
    return max(float(value), 0.0), freedom


def pseudo_inverse(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """Inverse along what a symmetric matrix determines, by its own units, and its rank."""
    scale = np.sqrt(np.clip(np.diag(matrix), 1e-300, None))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    seen = values > RANK_TOLERANCE * max(values[-1], 1.0)
    inverse = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
    return inverse / np.outer(scale, scale), int(seen.sum())
