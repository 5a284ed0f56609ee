"""Points of a region too small to be met by chance, through a ladder of larger ones.

Subset simulation (Au & Beck 2001, doi:10.1016/S0266-8920(01)00019-4): each rung is the part of the
one before that lies below a quantile of the implausibility there, and the volume is the product of
these shares. Points move in a rung by slices along lines (Neal 2003, doi:10.1214/aos/1056562461)
in the directions in which the rung is spread, so that no step length has to be chosen. All points
of a rung that lie in the next one go on, each as often, so that a region apart keeps its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# implausibility(x (n, P) in the unit cube) -> (n,); NaN where a run failed
Implausibility = Callable[[np.ndarray], np.ndarray]
SHARE = 0.2  # of a rung that lies in the next one
SMALLEST = 1e-12  # volume at which the ladder ends
# Slices that a line may take before its point stays where it is; the interval halves in each.
_SHRINKS = 16
# Length of the first interval along a line, in differences of two points of the rung.
_LENGTH = 3.0


@dataclass(frozen=True)
class Rung:
    """A step of the ladder: points spread evenly over what lies below `level`.

    points, statistic : (n, P) and (n,).  group : (n,) which seed each point comes from.
    share : of the rung before that lies in this one.  error : relative standard error of `share`.
    """

    level: float
    points: np.ndarray
    statistic: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Ladder:
    """Where a ladder led.

    rungs : from the whole cube downwards; the last lies inside the cut-off unless `empty`.
    fraction, error : volume inside the cut-off, and its standard error; where `empty`, a bound and
        NaN.
    """

    rungs: tuple[Rung, ...]
    fraction: float
    error: float
    empty: bool


def climb_down(
    implausibility: Implausibility,
    points: np.ndarray,
    statistic: np.ndarray,
    cutoff: float,
    number: int,
    seed: int,
    smallest: float = SMALLEST,
) -> Ladder:
    """The ladder from points that are spread over the whole cube to the cut-off.

    Parameters
    ----------
    points, statistic : (m, P) spread evenly over the cube, and their implausibility (m,), finite.
    number : of points in each rung.
    smallest : volume at which it ends.
    """
    rng = np.random.default_rng([seed, 20011])
    rungs = [Rung(np.inf, points, statistic, np.arange(len(points)))]
    fraction, spread = 1.0, 0.0
    while True:
        here = rungs[-1]
        level = max(float(np.quantile(here.statistic, SHARE, method="lower")), cutoff)
        inside = here.statistic <= level
        share = float(inside.mean())
        fraction *= share
        spread += _relative(inside, here.group) ** 2
        stuck = level >= here.level or fraction < smallest
        if stuck and level > cutoff:
            return Ladder(tuple(rungs), fraction, np.nan, True)
        seeds, values = here.points[inside], here.statistic[inside]
        rungs.append(spread_out(implausibility, seeds, values, level, number, rng))
        if level <= cutoff:
            return Ladder(tuple(rungs), fraction, fraction * np.sqrt(spread), False)


def spread_out(
    implausibility: Implausibility,
    seeds: np.ndarray,
    statistic: np.ndarray,
    level: float,
    number: int,
    rng: np.random.Generator,
) -> Rung:
    """About `number` points spread evenly over what lies below `level`, from seeds that are."""
    copies = -(-number // len(seeds)) if len(seeds) < number else 1
    group = np.tile(np.arange(len(seeds)), copies)
    points, values = np.tile(seeds, (copies, 1)), np.tile(statistic, copies)
    if len(points) > number:
        # The copies of the last round that are too many are left out by chance.
        first = len(seeds) * (copies - 1)
        extra = rng.permutation(len(seeds))[: number - first]
        kept = np.concatenate([np.arange(first), first + np.sort(extra)])
        points, values, group = points[kept], values[kept], group[kept]
    for _ in range(moves(seeds.shape[1])):
        points, values = slice_move(implausibility, points, values, seeds, level, rng)
    return Rung(level, points, values, group)


def moves(dimensions: int) -> int:
    """How often each point moves in a rung."""
    return 3 + dimensions // 2


def slice_move(
    implausibility: Implausibility,
    points: np.ndarray,
    statistic: np.ndarray,
    seeds: np.ndarray,
    level: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Every point moved once along a line within what lies below `level`, and its implausibility.

    The distribution that is uniform there stays so: directions come from the seeds, which stand
    still, and the interval lies at random about the point and shrinks towards it.
    """
    n, dimensions = points.shape
    direction = _directions(seeds, n, dimensions, rng)
    low = -_LENGTH * rng.random(n)
    high = low + _LENGTH
    points, statistic = points.copy(), statistic.copy()
    left = np.arange(n)
    for _ in range(_SHRINKS):
        at = low[left] + (high[left] - low[left]) * rng.random(len(left))
        tried = points[left] + at[:, None] * direction[left]
        within = np.all((tried >= 0.0) & (tried <= 1.0), axis=1)
        value = np.full(len(left), np.nan)
        if within.any():
            value[within] = implausibility(tried[within])
        good = value <= level
        points[left[good]], statistic[left[good]] = tried[good], value[good]
        below = at < 0.0
        low[left] = np.where(below, at, low[left])
        high[left] = np.where(below, high[left], at)
        left = left[~good]
        if not len(left):
            break
    return points, statistic


def _directions(seeds: np.ndarray, n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """(n, P) differences of two seeds; for every fourth point one axis, over the whole cube."""
    first, second = rng.integers(len(seeds), size=(2, n))
    found = seeds[first] - seeds[second]
    alone = (rng.random(n) < 0.25) | np.all(found == 0.0, axis=1)
    axes = np.eye(dimensions)[rng.integers(dimensions, size=n)]
    return np.where(alone[:, None], axes, found)


def _relative(inside: np.ndarray, group: np.ndarray) -> float:
    """Relative standard error of a share, where points of one group are alike."""
    size = np.bincount(group)
    used = size > 0
    total = np.bincount(group, inside)[used]
    share, size = inside.mean(), size[used]
    scatter = np.sum((total - share * size) ** 2)
    return float(np.sqrt(scatter * len(size) / max(len(size) - 1, 1)) / (len(inside) * share))
