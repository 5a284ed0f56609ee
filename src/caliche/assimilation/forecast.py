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
    what was not known of the parameters. It is `freedom` on average if prior, errors and model are
    right, where `freedom` is n less what was unknown before and is seen here.
    """

    n: int
    rmse: float
    bias: float
    chi_square: float
    freedom: int


def forecast(window: WindowProblem, handed: Handed) -> tuple[np.ndarray, dict[str, Innovation]]:
    """Predictions (time + 1, stream) with what is known before the window, and how they fare."""
    prediction = np.asarray(run_with_tangents(window, jnp.asarray(handed.mean)).prediction)
    residual, jacobian = linearised(window, handed.mean)
    shape = window.observations.mask.shape
    n, mask = shape[0] * shape[1], np.asarray(window.mask)
    innovation = residual[:n].reshape(shape)
    slopes = jacobian[:n].reshape(*shape, -1)
    misfit = prediction - np.asarray(window.observations.values)
    found = {}
    for k, stream in enumerate(window.operator.streams):
        seen = mask[:, k]
        if not seen.any():
            continue
        chi_square, freedom = innovation_chi_square(
            innovation[seen, k], slopes[seen, k], handed.information
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
    innovation: np.ndarray, slopes: np.ndarray, information: np.ndarray
) -> tuple[float, int]:
    """d^T (I + J A^-1 J^T)^-1 d and its degrees of freedom, of innovations d (n,) with slopes
    J (n, P). Directions of u without information in A take one degree of freedom each, if seen."""
    posterior = information + slopes.T @ slopes
    gradient = slopes.T @ innovation
    inverse, rank = pseudo_inverse(posterior)
    unknown = rank - pseudo_inverse(information)[1]
    value = innovation @ innovation - gradient @ inverse @ gradient
    return max(float(value), 0.0), len(innovation) - unknown


def pseudo_inverse(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """Inverse along what a symmetric matrix determines, by its own units, and its rank."""
    scale = np.sqrt(np.clip(np.diag(matrix), 1e-300, None))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    seen = values > RANK_TOLERANCE * max(values[-1], 1.0)
    inverse = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
    return inverse / np.outer(scale, scale), int(seen.sum())
