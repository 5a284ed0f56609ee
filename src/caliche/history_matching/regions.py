"""Regions apart: which points of a set are joined by lines that stay inside it.

Points are neighbours if a straight line between them stays inside. Lines of the shortest tree over
all points are tried first, then those between the parts that are left, nearest points first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

Inside = Callable[[np.ndarray], np.ndarray]  # points (n, P) -> (n,) whether they are in the set
_ON_A_LINE = 7  # points at which a line is looked at
_NEAR = 10  # points that each point may be joined to by the tree
_PAIRS = 12  # nearest pairs of points that are tried between two parts
_NEIGHBOURS = 6  # parts that each part is held against
_ROUNDS = 6
# Fewer points than this are no region of their own.
FEWEST = 3


def separate(points: np.ndarray, inside: Inside) -> np.ndarray:
    """Number (n,) of the region that each point belongs to, the largest first; -1 for fewer than 3
    points that nothing joins.

    Parameters
    ----------
    points : (n, P) of the set, at most a few thousand.
    """
    n = len(points)
    if n < FEWEST:
        return np.zeros(n, int)
    spread = points.std(axis=0)
    scaled = points / np.where(spread > 0.0, spread, 1.0)
    lines = _shortest_tree(scaled)
    kept = joined(points, lines, inside)
    labels = _parts(n, lines[kept, 0], lines[kept, 1])
    for _ in range(_ROUNDS):
        number = labels.max() + 1
        if number == 1:
            break
        pairs, owners = _bridges(scaled, labels, number)
        good = joined(points, pairs, inside)
        merged = _parts(number, owners[good, 0], owners[good, 1])
        if merged.max() + 1 == number:
            break
        labels = merged[labels]
    return _by_size(labels)


def joined(points: np.ndarray, pairs: np.ndarray, inside: Inside) -> np.ndarray:
    """(m,) whether the lines between pairs (m, 2) of points stay inside.

    From the middle outwards, so that most lines that leave the set cost one look.
    """
    order = sorted(range(1, _ON_A_LINE + 1), key=lambda k: abs(k - (_ON_A_LINE + 1) / 2))
    good = np.ones(len(pairs), bool)
    for k in order:
        share = k / (_ON_A_LINE + 1)
        left = np.flatnonzero(good)
        if not len(left):
            break
        first, second = points[pairs[left, 0]], points[pairs[left, 1]]
        good[left] = inside((1.0 - share) * first + share * second)
    return good


def _shortest_tree(scaled: np.ndarray) -> np.ndarray:
    """Lines (m, 2) of the shortest tree among near points; several where they are far apart."""
    n, near = len(scaled), min(_NEAR, len(scaled) - 1)
    away, other = map(np.asarray, KDTree(scaled).query(scaled, near + 1))
    rows = np.repeat(np.arange(n), near)
    # Points that are the same have a distance of zero, which the tree takes for no line.
    graph = coo_matrix((away[:, 1:].ravel() + 1e-12, (rows, other[:, 1:].ravel())), (n, n))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return np.column_stack([tree.row, tree.col])


def _parts(n: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    graph = coo_matrix((np.ones(len(first)), (first, second)), (n, n))
    return connected_components(graph, directed=False)[1]


def _bridges(scaled: np.ndarray, labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of points (m, 2) between parts that may be one, and the parts (m, 2) they are of."""
    members = [np.flatnonzero(labels == part) for part in range(number)]
    pairs, owners = [], []
    for part, mine in enumerate(members):
        away = cdist(scaled[mine], scaled)
        nearest = np.array([away[:, other].min() for other in members])
        nearest[part] = np.inf
        for other in np.argsort(nearest, kind="stable")[:_NEIGHBOURS]:
            if other == part:
                continue
            block = away[:, members[other]]
            few = np.argsort(block, axis=None, kind="stable")[:_PAIRS]
            rows, columns = np.unravel_index(few, block.shape)
            pairs.append(np.column_stack([mine[rows], members[other][columns]]))
            owners.append(np.tile([part, other], (len(few), 1)))
    return np.concatenate(pairs), np.concatenate(owners)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Numbered from the largest on; parts of few points are -1, unless there is nothing else."""
    size = np.bincount(labels)
    order = np.argsort(-size, kind="stable")
    number = np.empty(len(size), int)
    number[order] = np.arange(len(size))
    if size.max() >= FEWEST:
        number[size < FEWEST] = -1
    return number[labels]
