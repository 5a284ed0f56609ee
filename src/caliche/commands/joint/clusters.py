"""Groups of sites that are alike: k-medoids on mixed predictors.

The distance is Gower's (1971, doi:10.2307/2528823): each predictor adds 0 or 1 where it is a word,
and the difference as a share of its range where it is a number; one that is missing at either site
does not count. Medoids (Kaufman and Rousseeuw 1990, doi:10.1002/9780470316801) are sites, so that a
cluster has a name that means something.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from caliche.errors import InputError

# With no more sets of medoids than this all of them are tried.
EXHAUSTIVE = 20_000

Predictor = Sequence[str] | Sequence[float]


@dataclass(frozen=True)
class Clusters:
    """A partition of sites.

    Attributes
    ----------
    medoids : the site in the middle of each cluster.
    member : (site,) number of the cluster of each site.
    cost : sum of the distances of sites to their medoid.
    silhouette : mean over sites, -1 to 1 (Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7): how
        much closer sites are to their own cluster than to the next.
    """

    medoids: tuple[int, ...]
    member: np.ndarray
    cost: float
    silhouette: float


def gower(
    predictors: Mapping[str, Predictor], weights: Mapping[str, float] | None = None
) -> np.ndarray:
    """Distances (site, site) between 0 and 1.

    Parameters
    ----------
    predictors : by name, a word or a number for each site; "" or NaN where it is missing.
    weights : of predictors, 1 where not named.

    Raises
    ------
    InputError : no predictor; two sites without one that both have.
    """
    if not predictors:
        raise InputError("a predictor to tell sites apart", "none", 'predictors = ["vegetation"]')
    n = len(next(iter(predictors.values())))
    total, weight = np.zeros((n, n)), np.zeros((n, n))
    for name, values in predictors.items():
        w = (weights or {}).get(name, 1.0)
        if isinstance(values[0], str):
            words = np.array([str(v) for v in values])
            known, apart = words != "", (words[:, None] != words[None, :]).astype(float)
        else:
            numbers = np.array([float(v) for v in values])
            known = np.isfinite(numbers)
            span = np.ptp(numbers[known]) if known.any() else 0.0
            apart = np.abs(numbers[:, None] - numbers[None, :]) / (span or 1.0)
        both = known[:, None] & known[None, :]
        total += w * np.where(both, apart, 0.0)
        weight += w * both
    if not (weight > 0.0).all():
        raise InputError(
            "a predictor that any two sites both have",
            "none for some pair",
            "give every site the attributes that clusters are made of",
        )
    return total / weight


def k_medoids(distances: np.ndarray, number: int | None = None) -> Clusters:
    """The partition into so many clusters with the least distance to their medoids.

    All sets of medoids are tried where they are few, else the best is sought by exchanges (PAM).

    Parameters
    ----------
    distances : (site, site).
    number : of clusters; None for that with the largest silhouette.

    Raises
    ------
    InputError : a number that sites cannot be divided into.
    """
    n = len(distances)
    if number is None:
        if n < 3:
            return k_medoids(distances, 1)
        tried = [k_medoids(distances, k) for k in range(2, n)]
        return max(tried, key=lambda found: found.silhouette)
    if not 1 <= number <= n:
        raise InputError(f"between 1 and {n} clusters of {n} sites", str(number), "number = 2")
    if math.comb(n, number) <= EXHAUSTIVE:
        medoids = min(combinations(range(n), number), key=lambda m: _cost(distances, m))
    else:
        medoids = _exchange(distances, _build(distances, number))
    member = distances[:, medoids].argmin(axis=1)
    member[list(medoids)] = np.arange(number)  # of two sites that are the same
    return Clusters(
        tuple(int(m) for m in medoids),
        member,
        _cost(distances, medoids),
        _silhouette(distances, member),
    )


def _cost(distances: np.ndarray, medoids: Sequence[int]) -> float:
    return float(distances[:, list(medoids)].min(axis=1).sum())


def _build(distances: np.ndarray, number: int) -> tuple[int, ...]:
    """Medoids one after the other, each where it helps most."""
    found: tuple[int, ...] = ()
    while len(found) < number:
        rest = [k for k in range(len(distances)) if k not in found]
        found = (*found, min(rest, key=lambda k: _cost(distances, (*found, k))))
    return found


def _exchange(distances: np.ndarray, medoids: tuple[int, ...]) -> tuple[int, ...]:
    """Exchange a medoid for another site as long as that brings sites closer."""
    while True:
        others = [k for k in range(len(distances)) if k not in medoids]
        tried = [(*medoids[:i], k, *medoids[i + 1 :]) for i in range(len(medoids)) for k in others]
        best = min(tried, key=lambda m: _cost(distances, m), default=medoids)
        if _cost(distances, best) >= _cost(distances, medoids) - 1e-12:
            return tuple(sorted(medoids))
        medoids = best


def _silhouette(distances: np.ndarray, member: np.ndarray) -> float:
    """Mean silhouette; 0 for a site alone in its cluster, and where there is but one cluster."""
    labels = np.unique(member)
    if len(labels) < 2:
        return 0.0
    values = np.zeros(len(member))
    for k, own in enumerate(member):
        mine = (member == own) & (np.arange(len(member)) != k)
        if not mine.any():
            continue
        inside = distances[k, mine].mean()
        outside = min(distances[k, member == label].mean() for label in labels if label != own)
        widest = max(inside, outside)
        values[k] = (outside - inside) / widest if widest > 0.0 else 0.0
    return float(values.mean())
