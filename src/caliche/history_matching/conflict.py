"""Nothing is left: which metrics exclude each other, and what would reconcile them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from caliche.history_matching.implausibility import Rule, Targets
from caliche.history_matching.subset_simulation import climb_down

_NUMBER = 200  # points of a rung
_SMALLEST = 1e-8  # volume down to which the best point is looked for
_PAIRS = 6  # pairs that are looked at closely


@dataclass(frozen=True)
class Conflict:
    """Why nothing is left.

    least : (K,) the lowest implausibility of each metric alone, of all points that were met.
    alone : metrics that no point matches.
    pairs : pairs that no point matches together, worst first, with the lowest value of the larger
        implausibility of the two.
    factor : the least number by which all discrepancies have to be multiplied for a point to be
        left; None if no discrepancy is above zero.
    best : (P,) that point.
    """

    least: np.ndarray
    alone: tuple[str, ...]
    pairs: tuple[tuple[str, str, float], ...]
    factor: float | None
    best: np.ndarray


def find_conflict(
    values: Callable[[np.ndarray], np.ndarray],
    targets: Targets,
    rule: Rule,
    points: np.ndarray,
    seed: int,
) -> Conflict:
    """Look for what excludes what.

    Parameters
    ----------
    values : points (n, P) of the cube -> metrics (n, K).
    points : (m, P) of the whole cube, and wherever the search has been.
    """
    cutoff, number = rule.cutoff(len(targets)), len(targets)
    known = values(points)
    good = ~np.isnan(known).any(axis=1)
    points, known = points[good], known[good]
    each = targets.implausibility(known)
    seeds = points[: min(len(points), 8 * _NUMBER)]

    def lowest(function: Callable[[np.ndarray], np.ndarray]) -> tuple[float, np.ndarray]:
        """The least value of a function of metrics, and where."""

        def ask(x: np.ndarray) -> np.ndarray:
            return function(values(x))

        start = function(known[: len(seeds)])
        ladder = climb_down(ask, seeds, start, 0.0, _NUMBER, seed, _SMALLEST)
        at = np.concatenate([rung.points for rung in ladder.rungs] + [points])
        found = np.concatenate([rung.statistic for rung in ladder.rungs] + [function(known)])
        best = int(np.nanargmin(found))
        return float(found[best]), at[best]

    least = each.min(axis=0)
    for k in np.flatnonzero(least > cutoff):
        least[k], _ = lowest(lambda y, k=k: targets.implausibility(y)[:, k])
    alone = [targets.names[k] for k in range(number) if least[k] > cutoff]
    pairs = sorted(
        (
            (float(np.max(each[:, list(pair)], axis=1).min()), pair)
            for pair in combinations(range(number), 2)
            if not any(least[k] > cutoff for k in pair)
        ),
        reverse=True,
    )
    told = []
    for rough, pair in pairs[:_PAIRS]:
        if rough <= cutoff:
            continue
        worst, _ = lowest(lambda y, p=list(pair): targets.implausibility(y)[:, p].max(axis=1))
        if worst > cutoff:
            told.append((targets.names[pair[0]], targets.names[pair[1]], worst))
    told.sort(key=lambda item: -item[2])
    if not np.any(targets.discrepancy > 0.0):
        best = points[int(np.argmin(rule.combine(targets, known)))]
        return Conflict(least, tuple(alone), tuple(told), None, best)
    factor, best = lowest(lambda y: factor_needed(targets, y, cutoff, rule.n))
    return Conflict(least, tuple(alone), tuple(told), factor, best)


def factor_needed(targets: Targets, mean: np.ndarray, cutoff: float, n: int = 1) -> np.ndarray:
    """(m,) by which discrepancies have to be multiplied for predictions (m, K) to be left: the n-th
    largest over the metrics, of the factor that brings its implausibility to the cut-off."""
    lacking = (targets.departures(mean) / cutoff) ** 2 - np.diag(targets.error)
    size = np.where(targets.discrepancy > 0.0, targets.discrepancy, 1e-300)
    factor = np.sqrt(np.clip(lacking, 0.0, None)) / size
    found = np.sort(factor, axis=1)[:, factor.shape[1] - n]
    return np.where(np.isnan(mean).any(axis=1), np.nan, found)
