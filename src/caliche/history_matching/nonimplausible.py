"""Points that are not ruled out yet (NROY), the volume that they fill, and its parts.

The cube is searched by quasi-random points; where too few of them are left, a ladder of cut-offs
goes on from there. The volume is always a share of the whole cube.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from caliche.errors import InputError
from caliche.history_matching.regions import separate
from caliche.history_matching.subset_simulation import (
    SMALLEST,
    Implausibility,
    climb_down,
    spread_out,
)
from caliche.wording import number_of

POINTS = 2**15  # by which the cube is searched
MEMBERS = 2000  # points of NROY that are wanted
# Points of a rung of the ladder, for each member that is wanted.
RUNG = 2
# Fewer hits than this among the points of the search, and the ladder takes over.
FEWEST_HITS = 50


@dataclass(frozen=True)
class Nonimplausible:
    """What is not ruled out.

    Attributes
    ----------
    points, statistic : (n, P) spread evenly over NROY, in the unit cube, and their implausibility.
    regions : (n,) the part that each belongs to, from the largest on; -1 for stray points.
    fraction, error : volume as a share of the cube, and its standard error. Where nothing is left
        `fraction` is a bound, and `error` NaN.
    parts : (r,) share of NROY that lies in each region.
    method : "rejection" or "subset simulation".
    searched, searched_statistic : (m, P) and (m,) all points that say how implausible the cube is.
    failed : share of the cube in which runs fail: it is not judged.
    runs : points whose implausibility was asked for.
    cube : how many of `searched`, the first ones, are spread evenly over the whole cube.
    """

    points: np.ndarray
    statistic: np.ndarray
    regions: np.ndarray
    fraction: float
    error: float
    method: str
    searched: np.ndarray
    searched_statistic: np.ndarray
    cutoff: float
    failed: float = 0.0
    runs: int = 0
    cube: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not len(self.points)

    @property
    def parts(self) -> np.ndarray:
        """(r,) share of NROY in each region."""
        if self.empty:
            return np.zeros(0)
        return np.bincount(self.regions[self.regions >= 0]) / len(self.points)

    @property
    def best(self) -> np.ndarray:
        """(P,) the least implausible point that was met."""
        points = np.concatenate([self.searched, self.points])
        values = np.concatenate([self.searched_statistic, self.statistic])
        return points[int(np.nanargmin(values))]


class Counted:
    """An implausibility that counts what it is asked."""

    def __init__(self, function: Implausibility) -> None:
        self._function, self.runs, self.failed = function, 0, 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        found = self._function(x)
        self.runs += len(x)
        self.failed += int(np.isnan(found).sum())
        return found


def sample_nroy(
    implausibility: Implausibility,
    dimensions: int,
    cutoff: float,
    members: int = MEMBERS,
    points: int = POINTS,
    seed: int = 0,
    apart: bool = True,
    rung: int | None = None,
) -> Nonimplausible:
    """Search the unit cube for what is not implausible.

    Parameters
    ----------
    implausibility : points (n, P) -> (n,); NaN where the model failed, which rules nothing out but
        cannot be counted either.
    members : points of NROY that are wanted.
    points : of the search, rounded up to a power of two.
    rung : points of a rung of the ladder; twice the members without.
    apart : whether regions are told apart, which takes some runs more for each member.

    Raises
    ------
    InputError : the model fails at almost every point.
    """
    ask = Counted(implausibility)
    power = max(6, int(np.ceil(np.log2(points))))
    cube = qmc.Sobol(dimensions, rng=np.random.default_rng([seed, 1])).random_base2(power)
    found = ask(cube)
    good = ~np.isnan(found)
    if good.sum() < max(FEWEST_HITS, 0.01 * len(cube)):
        raise InputError(
            "a model that runs in at least 1 % of the ranges",
            f"{int(good.sum())} of {number_of(len(cube), 'run')} with finite numbers",
            "narrow the ranges or bounds",
        )
    failed = float(1.0 - good.mean())
    cube, found = cube[good], found[good]
    inside = found <= cutoff
    hits = int(inside.sum())
    searched = [(cube, found)]
    rng = np.random.default_rng([seed, 2])
    if hits >= FEWEST_HITS:
        method, fraction = "rejection", float(inside.mean())
        # Independent points would scatter so; evenly spread ones scatter less.
        error = float(np.sqrt(fraction * (1.0 - fraction) / len(found)))
        seeds, values = cube[inside], found[inside]
        if hits >= members:
            some = np.sort(rng.permutation(hits)[:members])
            kept, statistic = seeds[some], values[some]
        else:
            more = spread_out(ask, seeds, values, cutoff, members, rng)
            kept, statistic = more.points, more.statistic
            searched.append((kept, statistic))
    else:
        ladder = climb_down(ask, cube, found, cutoff, rung or RUNG * members, seed)
        method, fraction, error = "subset simulation", ladder.fraction, ladder.error
        searched += [(rung.points, rung.statistic) for rung in ladder.rungs[1:]]
        last = ladder.rungs[-1]
        some = np.sort(rng.permutation(len(last.points))[:members])
        kept, statistic = last.points[some], last.statistic[some]
        if ladder.empty:
            fraction, kept, statistic = max(fraction, SMALLEST), kept[:0], statistic[:0]
    regions = np.zeros(len(kept), int)
    if apart and len(kept):
        regions = separate(kept, lambda x: ask(x) <= cutoff)
    every, values = (np.concatenate(parts) for parts in zip(*searched, strict=True))
    return Nonimplausible(
        kept,
        statistic,
        regions,
        fraction,
        error,
        method,
        every,
        values,
        cutoff,
        failed,
        ask.runs,
        len(cube),
    )
