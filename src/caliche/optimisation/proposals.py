"""Where to run next: the point with the highest logEI that is not too near to another run."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from caliche.emulators.rows import NEAREST
from caliche.optimisation.acquisition import log_expected_improvement, probability_of_improvement
from caliche.optimisation.surrogate import nearest

# Points among which a search for the highest begins, for each parameter, and at most.
_EACH, _FEWEST, _MOST = 100, 512, 4096
_SEARCHES, _ITERATIONS, _OTHER_PEAK = 4, 40, 0.2
# Coordinates of the best point that are changed in half of those points, on average.
_CHANGED = 20
# How near the ends of the ranges a run may be: a bounded parameter's u is infinite on them.
EDGE = 1e-4
# The least improvement that counts, in units of the spread of the values.
LEAST_GAIN = 1e-3


class Proposal(NamedTuple):
    """A point (P,) of the unit box with its logEI, and the probability that it is an improvement
    of a thousandth of the spread of the values."""

    x: np.ndarray
    log_gain: float
    chance: float


def propose(
    surrogate: Any,
    best: float,
    region: tuple[np.ndarray, np.ndarray],
    centre: np.ndarray,
    taken: np.ndarray,
    scales: np.ndarray,
    random: np.random.Generator,
) -> Proposal:
    """The next point within a region of the unit box.

    Parameters
    ----------
    surrogate : see `Surrogate`; its values are in units of their spread.
    best : that is to be undercut.  region : its ends (P,).  centre : (P,) the best point.
    taken : (k, P) points that are run already, or will be.  scales : (P,) length-scales.
    """
    low, high = (np.clip(end, EDGE - 1.0, 1.0 - EDGE) for end in region)
    points = _candidates(low, high, centre, random)
    level = jnp.asarray(best)
    heights = np.asarray(_heights(surrogate, jnp.asarray(points), level)[0])
    heights = np.where(np.isfinite(heights), heights, -np.inf)
    apart = np.linalg.norm((points[:, None] - taken[None]) / scales, axis=2).min(axis=1)
    allowed = np.flatnonzero(apart >= NEAREST)
    order = allowed[np.argsort(-heights[allowed], kind="stable")]
    found = [(float(heights[k]), points[k]) for k in order]
    bounds = np.stack([low, high], axis=1)

    def down(x: np.ndarray) -> tuple[float, np.ndarray]:
        height, slope = _height_and_slope(surrogate, jnp.asarray(x), level)
        height, slope = float(height), np.asarray(slope)
        if not np.isfinite(height) or not np.isfinite(slope).all():
            return 1e10, np.zeros_like(x)
        return -height, -slope

    for begin in _spread(points[order], scales):
        end = minimize(
            down,
            begin,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _ITERATIONS},
        )
        found.append((-float(end.fun), np.clip(end.x, low, high)))
    found.sort(key=lambda one: -one[0])
    farthest = int(np.argmax(apart))  # where runs are everywhere
    fallback = (float(heights[farthest]), points[farthest])
    height, x = next((one for one in found if nearest(one[1], taken, scales) >= NEAREST), fallback)
    points[0] = x
    return Proposal(x, height, float(_heights(surrogate, jnp.asarray(points), level)[1][0]))


def _spread(points: np.ndarray, scales: np.ndarray) -> list[np.ndarray]:
    """A few of points (n, P) in order, none near to another: peaks of their own."""
    chosen: list[np.ndarray] = []
    for x in points:
        if len(chosen) == _SEARCHES:
            break
        if not chosen or nearest(x, np.array(chosen), scales) >= _OTHER_PEAK:
            chosen.append(x)
    return chosen


def settle(surrogate: Any, starts: np.ndarray) -> np.ndarray:
    """Where in the unit box the mean is lowest (P,), sought from some points (k, P)."""
    best, lowest = starts[0], np.inf
    for x in starts:
        end = minimize(
            lambda x: tuple(
                np.asarray(y, float) for y in _mean_and_slope(surrogate, jnp.asarray(x))
            ),
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=[(EDGE - 1.0, 1.0 - EDGE)] * len(x),
        )
        if end.fun < lowest:
            best, lowest = end.x, float(end.fun)
    return np.clip(best, EDGE - 1.0, 1.0 - EDGE)


def _candidates(
    low: np.ndarray, high: np.ndarray, centre: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Points (m, P) of the region: half anywhere in it, half the best point with some of its
    coordinates changed."""
    p = len(low)
    number = 1 << int(np.ceil(np.log2(np.clip(_EACH * p, _FEWEST, _MOST))))
    points = low + (high - low) * random.random((number, p))
    half = points[: number // 2]
    changed = random.random(half.shape) < min(1.0, _CHANGED / p) * random.random((len(half), 1))
    # At random distances: near the best point as well as anywhere.
    reach = 10.0 ** -(3.0 * random.random((len(half), 1)))
    near = np.clip(centre, low, high)
    half[:] = np.where(changed, near + reach * (half - near), near)
    return points


def _height(surrogate: Any, x: Float[Array, " p"], best: Float[Array, ""]) -> Float[Array, ""]:
    mean, sd = surrogate.moments(x)
    return log_expected_improvement(mean, sd, best)


@jax.jit
def _heights(
    surrogate: Any, x: Float[Array, "m p"], best: Float[Array, ""]
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """logEI at points, and the probability of an improvement that counts."""

    def one(x: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        mean, sd = surrogate.moments(x)
        chance = probability_of_improvement(mean, sd, best - LEAST_GAIN)
        return log_expected_improvement(mean, sd, best), chance

    return jax.vmap(one)(x)


@jax.jit
def _height_and_slope(
    surrogate: Any, x: Float[Array, " p"], best: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, " p"]]:
    return jax.value_and_grad(lambda one: _height(surrogate, one, best))(x)


@jax.jit
def _mean_and_slope(
    surrogate: Any, x: Float[Array, " p"]
) -> tuple[Float[Array, ""], Float[Array, " p"]]:
    return jax.value_and_grad(lambda one: surrogate.moments(one)[0])(x)
