"""Error bars beside bounds: what a quadratic misfit says where parameters can go no further.

A flat prior's coordinate is bent: beside a bound its slope changes by orders of magnitude within
one standard deviation, and a symmetric step in it means nothing. There the misfit is taken as
quadratic in the parameter itself, and the interval is that of its profile within the bounds: the
values whose lowest misfit, the others free between their bounds, is within the quantile of
chi-square. Beside it a parameter on a bound has an end inside, and the others are not conditional.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, lsq_linear
from scipy.special import log_ndtr

from caliche.constants import NORMAL_QUANTILE
from caliche.parameters.space import ParameterSpace

# A bound closer than this many standard deviations counts.
NEAR = 2.0
# Eigenvalues of a scaled curvature below this are directions that the data do not see.
UNSEEN = 1e-12
ROUNDS = 5


class Quadratic(NamedTuple):
    """Where the misfit is taken as quadratic, in coordinates w (P,) of which it is a function.

    w, values : (P,) coordinates and physical values.  slopes : (P,) of the values by w.
    gradient, hessian : (P,) and (P, P) of J by w.  sd : (P,) of w, infinite where nothing is known.
    held : (P,) on a bound.
    """

    w: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    sd: np.ndarray
    held: np.ndarray


def near_bounds(space: ParameterSpace, at: Quadratic) -> np.ndarray:
    """Which parameters or knots (P,) with a flat prior lie on a bound or within `NEAR` sd of it."""
    sd = np.where(np.isfinite(at.sd), at.sd, 0.0) * np.abs(at.slopes)
    lower, upper = _bounds(space)
    close = np.minimum(at.values - lower, upper - at.values) < NEAR * sd
    flat = np.array([not e.parameter.prior.informative for e in space.entries])
    return flat & (close | at.held) & (np.isfinite(at.sd) | at.held)


def bounded_intervals(
    space: ParameterSpace, at: Quadratic, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ends (P,) of 95 % intervals: of an entry beside a bound (`near`) in physical
    values, of the others in w."""
    centre, hessian, gradient, low, high = box_of(space, at, near)
    below, above = centre.copy(), centre.copy()
    for k in range(len(near)):
        if not (np.isfinite(at.sd[k]) or at.held[k]):
            continue
        around = [int(j) for j in np.flatnonzero(near) if j != k]
        matrix, slope = _reduced(hessian, gradient, [k, *around])
        box = low[[k, *around]], high[[k, *around]]
        below[k] = centre[k] - _end(matrix, slope, box, -1.0)
        above[k] = centre[k] + _end(matrix, slope, box, 1.0)
    return below, above


def box_of(
    space: ParameterSpace, at: Quadratic, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The quadratic in physical values of the entries `near`, and in w of the others: centre (P,),
    curvature (P, P) and slope (P,), and how far each can move down and up (P,)."""
    stretch = np.where(near, 1.0 / np.where(at.slopes == 0.0, 1e-300, at.slopes), 1.0)
    hessian = at.hessian * np.outer(stretch, stretch)
    gradient = np.where(at.held, at.gradient * stretch, 0.0)  # at an optimum there is no other
    lower, upper = _bounds(space)
    low = np.where(near, np.minimum(lower - at.values, 0.0), -np.inf)
    high = np.where(near, np.maximum(upper - at.values, 0.0), np.inf)
    centre = np.where(near, at.values, at.w)
    return centre, hessian, gradient, low, high


def _bounds(space: ParameterSpace) -> tuple[np.ndarray, np.ndarray]:
    priors = [e.parameter.prior for e in space.entries]
    return np.array([p.lower for p in priors]), np.array([p.upper for p in priors])


def _reduced(
    hessian: np.ndarray, gradient: np.ndarray, kept: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Curvature and slope over the entries kept, the others at their best."""
    rest = [k for k in range(len(gradient)) if k not in kept]
    inside, slope = hessian[np.ix_(kept, kept)], gradient[kept]
    if not rest:
        return inside, slope
    across = hessian[np.ix_(rest, kept)]
    return inside - across.T @ seen_inverse(hessian[np.ix_(rest, rest)]) @ across, slope


def seen_inverse(matrix: np.ndarray, unseen: float = UNSEEN) -> np.ndarray:
    """Inverse of a curvature (P, P) in the directions whose scaled eigenvalue is more than this
    share of the largest, zero in the others."""
    scale = np.sqrt(np.clip(np.diag(matrix), 1e-300, None))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    seen = values > unseen * max(values[-1], 1e-300)
    return (vectors[:, seen] / values[seen]) @ vectors[:, seen].T / np.outer(scale, scale)


def _end(
    matrix: np.ndarray, slope: np.ndarray, box: tuple[np.ndarray, np.ndarray], way: float
) -> float:
    """How far the first entry can go before twice the misfit has risen by the quantile."""
    rise = NORMAL_QUANTILE**2
    farthest = float(box[1][0] if way > 0.0 else -box[0][0])

    def beyond(distance: float) -> float:
        return 2.0 * _least(matrix, slope, box, way * distance) - rise

    alone = NORMAL_QUANTILE / np.sqrt(max(matrix[0, 0], 1e-300))
    far = min(alone, farthest)
    while beyond(far) < 0.0:
        if far >= farthest or far > 1e8 * alone:
            return farthest if np.isfinite(farthest) else float("inf")
        far = min(2.0 * far, farthest)
    return float(np.asarray(brentq(beyond, 0.0, far, xtol=1e-6 * far))) if far > 0.0 else 0.0


def _least(
    matrix: np.ndarray, slope: np.ndarray, box: tuple[np.ndarray, np.ndarray], first: float
) -> float:
    """Lowest quadratic misfit with the first entry moved by so much, above that at the optimum."""
    fixed = 0.5 * matrix[0, 0] * first**2 + slope[0] * first
    if len(slope) == 1:
        return float(fixed)
    inner, pull = matrix[1:, 1:], slope[1:] + matrix[1:, 0] * first
    scale = np.sqrt(np.clip(np.diag(inner), 1e-300, None))
    values, vectors = np.linalg.eigh(inner / np.outer(scale, scale))
    values = np.maximum(values, UNSEEN * values[-1])
    root = np.sqrt(values)[:, None] * vectors.T  # of the scaled curvature
    target = -(vectors.T @ (pull / scale)) / np.sqrt(values)
    low, high = box[0][1:] * scale, box[1][1:] * scale
    found = lsq_linear(root, target, (low, np.maximum(high, low + 1e-300)), method="bvls")
    move = np.clip(found.x / scale, box[0][1:], box[1][1:])
    return float(fixed + pull @ move + 0.5 * move @ inner @ move)


def tail_curvature(hessian: np.ndarray, gradient: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Curvature (P,) to add to that of parameters held by a bound, so that each has the second
    moment of its tail inside.

    Of exp(-g t - S t^2 / 2) at a distance t > 0 from the bound, with g the slope of J there and S
    its curvature with the others at their best.
    """
    found = np.where(held, np.inf, 0.0)
    for _ in range(ROUNDS if held.sum() > 1 else 1):
        for k in np.flatnonzero(held):
            others = np.flatnonzero(np.isfinite(found) & (np.arange(len(held)) != k))
            matrix = hessian + np.diag(np.where(np.isfinite(found), found, 0.0))
            matrix[k, k] = hessian[k, k]
            within, _ = _reduced(
                matrix[np.ix_([k, *others], [k, *others])], np.zeros(len(others) + 1), [0]
            )
            curvature = max(float(within[0, 0]), 0.0)
            found[k] = 1.0 / _second_moment(abs(gradient[k]), curvature) - curvature
    return np.maximum(found, 0.0)


def _second_moment(slope: float, curvature: float) -> float:
    """E t^2 of the density exp(-slope t - curvature t^2 / 2) over t > 0."""
    if curvature <= 0.0 or slope > 30.0 * np.sqrt(curvature):
        return 2.0 / max(slope, 1e-150) ** 2
    a = slope / np.sqrt(curvature)
    hazard = np.exp(-0.5 * a**2 - 0.5 * np.log(2.0 * np.pi) - log_ndtr(-a))
    return float((1.0 - a * hazard + a**2) / curvature)
