"""Regions that no point of a search met: looked for by descent from many points that are ruled out.

The exact slopes of the metrics lead from each start downhill (Levenberg-Marquardt on departures in
standard deviations). Where one ends at a point that is not implausible, and no straight line
joins it to what was found, there is a region too small for the search.
"""

from __future__ import annotations

import numpy as np

from caliche.history_matching.nonimplausible import Nonimplausible
from caliche.history_matching.regions import joined
from caliche.history_matching.study import Study
from caliche.history_matching.waves import farthest

STARTS, ITERATIONS = 32, 12
# Half of the starts lie in this share of what was ruled out, the least implausible one.
_BEST = 0.3
_NEAREST = 12  # points of what was found that are tried for a line
_EDGE = 1e-6


def isolated(study: Study, nroy: Nonimplausible, mode: str) -> np.ndarray:
    """(m, P) points of the cube that are not implausible and apart from all that was found.

    Parameters
    ----------
    mode : of differentiation.
    """
    cube, values = nroy.searched[: nroy.cube], nroy.searched_statistic[: nroy.cube]
    cube, values = cube[values > nroy.cutoff], values[values > nroy.cutoff]
    if not len(cube):
        return np.zeros((0, study.ranges.size))
    inputs, box = study.ranges.to_inputs(cube), study.ranges.box
    low = inputs[values <= np.quantile(values, _BEST)]
    starts = [farthest(some, box, STARTS // 2) for some in (low, inputs)]
    ends = _descend(study, np.concatenate(starts), mode)
    x = study.ranges.from_inputs(ends)
    x = x[study.exact(x) <= nroy.cutoff]
    return _apart(study, nroy, x)


def _descend(study: Study, e: np.ndarray, mode: str) -> np.ndarray:
    """Where descents from emulator inputs e (n, P) are least implausible."""
    ranges, targets = study.ranges, study.targets
    low, width = ranges.lower, ranges.upper - ranges.lower
    sd = np.sqrt(targets.variance)
    damping = np.full(len(e), 1e-2)

    def look(at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values, slopes = study.simulator.with_slopes(at, mode)
        statistic = study.rule.combine(targets, values)
        away = targets.departures(values) / sd
        return away, slopes * width / sd[:, None], np.where(np.isnan(statistic), np.inf, statistic)

    away, slopes, best = look(e)
    found = e.copy()
    for _ in range(ITERATIONS):
        gradient = np.einsum("nkp,nk->np", np.nan_to_num(slopes), np.nan_to_num(away))
        square = np.einsum("nkp,nkq->npq", np.nan_to_num(slopes), np.nan_to_num(slopes))
        size = np.trace(square, axis1=1, axis2=2) + 1e-12
        matrix = square + (damping * size)[:, None, None] * np.eye(e.shape[1])
        step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
        place = np.clip((e - low) / width + np.clip(step, -0.3, 0.3), _EDGE, 1.0 - _EDGE)
        tried = low + width * place
        new_away, new_slopes, statistic = look(tried)
        better = np.sum(new_away**2, axis=1) < np.sum(away**2, axis=1)
        damping = np.where(better, 0.3 * damping, 5.0 * damping)
        found = np.where((statistic < best)[:, None], tried, found)
        best = np.minimum(best, statistic)
        e = np.where(better[:, None], tried, e)
        away = np.where(better[:, None], new_away, away)
        slopes = np.where(better[:, None, None], new_slopes, slopes)
    return found


def _apart(study: Study, nroy: Nonimplausible, x: np.ndarray) -> np.ndarray:
    """Those of the points that no line joins to what was found, or to each other."""
    kept: list[np.ndarray] = []

    def inside(points: np.ndarray) -> np.ndarray:
        return study.exact(points) <= nroy.cutoff

    for point in x:
        others = np.concatenate([nroy.points, np.reshape(kept, (-1, len(point)))])
        if len(others):
            near = np.argsort(np.linalg.norm(others - point, axis=1))[:_NEAREST]
            every = np.concatenate([point[None], others[near]])
            pairs = np.column_stack([np.zeros(len(near), int), np.arange(1, len(near) + 1)])
            if joined(every, pairs, inside).any():
                continue
        kept.append(point)
    return np.reshape(kept, (-1, study.ranges.size))
