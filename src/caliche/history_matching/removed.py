"""How much of the ranges each metric removes, and where what is left lies."""

from __future__ import annotations

import numpy as np

from caliche.history_matching.implausibility import NTH, Rule
from caliche.history_matching.result import Removed

BINS = 20  # of a marginal


def removed_by(rule: Rule, each: np.ndarray, cutoff: float) -> Removed:
    """Share of the cube that each metric removes, alone and in addition to the others.

    Parameters
    ----------
    each : (m, K) implausibilities of points spread evenly over the cube; NaN rows do not count.
    """
    each = each[~np.isnan(each).any(axis=1)]
    beyond = each > cutoff
    count = beyond.sum(axis=1)
    needed = rule.n if rule.kind == NTH else 1
    alone = beyond.mean(axis=0)
    # What is out with all, and would not be without this one.
    added = ((count[:, None] >= needed) & (count[:, None] - beyond < needed)).mean(axis=0)
    return Removed(alone, added)


def marginals(points: np.ndarray, dimensions: int) -> np.ndarray:
    """(P, bin) share of points (n, P) of the cube in each part of each range."""
    if not len(points):
        return np.zeros((dimensions, BINS))
    part = np.minimum((points * BINS).astype(int), BINS - 1)
    counts = [np.bincount(column, minlength=BINS) for column in part.T]
    return np.stack(counts) / len(points)
