"""Posterior predictive bands: what the draws of the parameters say about the streams."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.posterior import Posterior
from caliche.experiments.experiment import Experiment
from caliche.inverse_problem import InverseProblem

# Draws that the bands are made of, and how many are run together.
DRAWS = 400
TOGETHER = 16
# Bytes of predictions held at once; longer records get fewer draws.
LARGEST = 1e9
FEWEST = 100


@dataclass(frozen=True)
class Band:
    """95 % band of one stream (time + 1,), in its unit; NaN where it cannot be predicted.

    lower, upper : from the parameters alone. lower_noisy, upper_noisy : of an observation, whose
    errors come on top; NaN for a stream without declared errors. covered : share of the n
    observations, fitted or held out, that the latter contains; NaN without either.
    """

    lower: np.ndarray
    upper: np.ndarray
    lower_noisy: np.ndarray
    upper_noisy: np.ndarray
    covered: float
    n: int


def predictive_bands(
    experiment: Experiment, u: np.ndarray, curvature: Posterior, inflated: bool, seed: int
) -> dict[str, Band]:
    """Bands of every scored stream over fit and hold-out, from draws u (..., P).

    An observation's error is white noise of the declared sigma; if `inflated`, of the residuals'
    own standard deviation where that is larger.
    """
    problem = experiment.scoring_problem()
    names = [stream.name for stream in problem.operator.streams]
    sigma = {}
    for name in names:
        declared = experiment.config.observations[name].sigma
        ratio = curvature.residuals[name].variance_ratio if name in curvature.residuals else 1.0
        scale = np.sqrt(max(1.0, ratio)) if inflated else 1.0
        sigma[name] = np.nan if declared is None else scale * declared
    observed = np.where(np.asarray(problem.mask), np.asarray(problem.observations.values), np.nan)
    noise = np.array([sigma[name] for name in names])
    return bands(problem, u, noise, observed, seed)


def bands(
    problem: InverseProblem, u: np.ndarray, sigma: np.ndarray, observed: np.ndarray, seed: int
) -> dict[str, Band]:
    """Bands of every stream, from draws u (..., P); sigma (stream,) is that of the noise.

    `observed` (time + 1, stream) is NaN where nothing was.
    """
    u = u.reshape(-1, u.shape[-1])
    generator = np.random.default_rng(seed)
    most = int(np.clip(LARGEST / (8 * observed.size), FEWEST, DRAWS))
    if len(u) > most:
        u = u[np.sort(generator.choice(len(u), most, replace=False))]
    predictions = _predictions(problem, u)
    found = {}
    for k, stream in enumerate(problem.operator.streams):
        values = predictions[:, :, k]
        noisy = values + sigma[k] * generator.standard_normal(values.shape)
        lower, upper = np.quantile(values, [0.025, 0.975], axis=0)
        low, high = np.quantile(noisy, [0.025, 0.975], axis=0)
        y = observed[:, k]
        known = np.isfinite(y) & np.isfinite(low)
        inside = (y[known] >= low[known]) & (y[known] <= high[known])
        covered = float(inside.mean()) if known.any() else float("nan")
        found[stream.name] = Band(lower, upper, low, high, covered, int(known.sum()))
    return found


def _predictions(problem: InverseProblem, u: np.ndarray) -> np.ndarray:
    """Predictions (draw, time + 1, stream), some draws at a time."""
    together = min(TOGETHER, len(u))
    filled = np.concatenate([u, np.repeat(u[:1], -len(u) % together, axis=0)])
    parts = [
        np.asarray(_forward(problem, jnp.asarray(filled[i : i + together])))
        for i in range(0, len(filled), together)
    ]
    return np.concatenate(parts)[: len(u)]


@functools.partial(jax.jit)
def _forward(problem: InverseProblem, u: Float[Array, "draw p"]) -> Float[Array, "draw time s"]:
    return jax.vmap(problem.forward)(u)
