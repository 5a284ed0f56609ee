"""Posterior predictive bands: what draws of the parameters say, beside what was observed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.curvature import Posterior
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem

# Draws that the bands are made of, and how many are run together.
DRAWS = 400
TOGETHER = 16
# Bytes of predictions held at once; longer records get fewer draws.
LARGEST = 1e9
FEWEST = 100


@dataclass(frozen=True)
class Skill:
    """What draws say of one stream against its n observations of a window, in its unit.

    rmse : of the mean of the draws.  crps : mean continuous ranked probability score of an
    observation as the draws foresee it, errors included; lower is better, the absolute error of a
    forecast without spread (doi:10.1198/016214506000001437).  covered : share of observations in
    the 95 % band.  width : mean width of that band.  The last three are NaN for a stream without
    declared errors.
    """

    n: int
    rmse: float
    crps: float
    covered: float
    width: float


@dataclass(frozen=True)
class Band:
    """95 % band of one stream (time + 1,), in its unit; NaN where it cannot be predicted.

    lower, upper : from the parameters alone. lower_noisy, upper_noisy : of an observation, whose
    errors come on top; NaN for a stream without declared errors. covered : share of the n
    observations, fitted or held out, that the latter contains; NaN without either. skill : by
    window, "fit" and "holdout"; only those with observations.
    """

    lower: np.ndarray
    upper: np.ndarray
    lower_noisy: np.ndarray
    upper_noisy: np.ndarray
    covered: float
    n: int
    skill: Mapping[str, Skill] = field(default_factory=dict)


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
    return bands(problem, u, noise, observed, seed, experiment.n_fit)


def bands(
    problem: InverseProblem,
    u: np.ndarray,
    sigma: np.ndarray,
    observed: np.ndarray,
    seed: int,
    n_fit: int | None = None,
) -> dict[str, Band]:
    """Bands of every stream, from draws u (..., P); sigma (stream,) is that of the noise.

    `observed` (time + 1, stream) is NaN where nothing was; the first `n_fit` times were fitted.
    The noise is that of the seed, the same for every method.
    """
    windows = {"fit": slice(0, n_fit), "holdout": slice(n_fit, None if n_fit else 0)}
    u = u.reshape(-1, u.shape[-1])
    generator, chooser = np.random.default_rng(seed), np.random.default_rng([seed, 2])
    most = int(np.clip(LARGEST / (8 * observed.size), FEWEST, DRAWS))
    if len(u) > most:
        u = u[np.sort(chooser.choice(len(u), most, replace=False))]
    predictions = _predictions(problem, u)
    found = {}
    for k, stream in enumerate(problem.operator.streams):
        # Fewer draws are repeated, so that all methods are seen with the same noise.
        values = np.resize(predictions[:, :, k], (most, len(observed)))
        noisy = values + sigma[k] * generator.standard_normal(values.shape)
        lower, upper = np.quantile(values, [0.025, 0.975], axis=0)
        low, high = np.quantile(noisy, [0.025, 0.975], axis=0)
        y = observed[:, k]
        known = np.isfinite(y) & np.isfinite(low)
        inside = (y[known] >= low[known]) & (y[known] <= high[known])
        covered = float(inside.mean()) if known.any() else float("nan")
        skill = {
            name: _skill(y[part], values[:, part], noisy[:, part], low[part], high[part])
            for name, part in windows.items()
            if np.isfinite(y[part]).any()
        }
        found[stream.name] = Band(lower, upper, low, high, covered, int(known.sum()), skill)
    return found


def _skill(
    y: np.ndarray, values: np.ndarray, noisy: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Skill:
    """Skill of draws (draw, time) against observations (time,), NaN where there are none."""
    seen = np.isfinite(y)
    y, values, noisy, low, high = y[seen], values[:, seen], noisy[:, seen], low[seen], high[seen]
    rmse = float(np.sqrt(np.mean((values.mean(axis=0) - y) ** 2)))
    if not np.isfinite(noisy).all():
        return Skill(len(y), rmse, float("nan"), float("nan"), float("nan"))
    inside = (y >= low) & (y <= high)
    crps, width = float(crps_of(y, noisy).mean()), float(np.mean(high - low))
    return Skill(len(y), rmse, crps, float(inside.mean()), width)


def crps_of(y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """CRPS (time,) of draws (draw, time): E |x - y| - 1/2 E |x - x'|, fair to few draws."""
    k = len(draws)
    ranks = 2.0 * np.arange(1, k + 1) - k - 1.0
    apart = ranks @ np.sort(draws, axis=0) / (k * (k - 1.0))  # half the mean of |x - x'|
    return np.abs(draws - y).mean(axis=0) - apart


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
