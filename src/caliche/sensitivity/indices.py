"""Which parameters matter: Morris' elementary effects and Sobol' indices, for many outputs at once.

The sums that `screening_design` names are kept by bags of rows, so that what is kept does not grow
with the number of runs; from them come the indices, and by drawing bags their intervals.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from caliche.sensitivity.designs import BAGS, SOBOL, Design, Groups, Parts, Sums

REPLICATES = 400
# Below this, relative to its size, an output does not vary but for round-off.
CONSTANT = 1e-10


def add(design: Design, sums: Sums, y: np.ndarray, rows: np.ndarray) -> None:
    """Add good rows y (row, run, o), whose numbers are `rows`, to the sums of their bags."""
    if len(rows) == 0:
        return
    if np.isnan(sums.centre).all():
        design.begin(sums, y, int(rows[0]))
    bags = rows * BAGS // max(design.rows, BAGS)
    terms = design.terms(sums, y, rows)
    for bag in np.unique(bags):
        mine = bags == bag
        sums.number[bag] += mine.sum()
        for total, term in zip(sums[1:6], terms, strict=True):
            total[bag] += term[mine].sum(axis=0)


class Interval(NamedTuple):
    """An index, and its 95 % interval from the bootstrap; all of one shape."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Indices:
    """Indices of every group (g, o + a): of the outputs, then of the sets of outputs asked for.

    by_name : `S1`, `ST` (Sobol'); `mu`, `mu_star`, `sigma` (Morris), whose mu and sigma are NaN
        for groups of several parameters, and all three for sets of outputs.
    additive : (o + a) sum of S1, Sobol' alone.
    total : (g, o + a) the measure by which groups are ranked: partial variances (Sobol') or mean
        square effects (Morris), in the output's unit squared.
    mean, variance : (o) and (o + a) of the outputs over the cube.
    """

    method: str
    groups: Groups
    rows: int
    by_name: Mapping[str, Interval]
    additive: Interval | None
    total: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(g, o + a) each group's share of the sum of all groups' totals; NaN without any."""
        whole = self.total.sum(axis=0)
        return self.total / np.where(whole > 0.0, whole, np.nan)


def indices(design: Design, sums: Sums, sets: np.ndarray | None = None, seed: int = 0) -> Indices:
    """Indices with 95 % intervals (percentiles over resampled bags).

    Parameters
    ----------
    sets : (a, o) weights of outputs in each set, 1 over the number for a mean. Of a set, variances
        and partial variances are added up before they are divided: the generalised index of
        Gamboa et al. (2014), doi:10.1214/14-EJS895.
    """
    o = sums.level.shape[1]
    sets = np.zeros((0, o)) if sets is None else np.asarray(sets, float)
    sobol = design.method == SOBOL
    single = np.array([len(columns) == 1 for columns in design.groups.columns])
    bags = sums.number > 0.0
    n = int(bags.sum())

    def parts_of(weights: np.ndarray) -> tuple[Parts, Sums]:
        """Each bag as often as its weight says."""
        added = [np.tensordot(weights, x[bags], 1) for x in sums[:6]]
        total = sums._replace(**dict(zip(Sums._fields[:6], added, strict=True)))
        return Parts(
            *(np.concatenate([x, x @ sets.T], axis=-1) for x in design.parts(total))
        ), total

    parts, whole = parts_of(np.ones(n))
    mean = sums.centre + whole.level / (whole.number * (2.0 if sobol else 1.0))
    size = np.concatenate([np.abs(mean), np.sqrt(sets @ mean**2)])
    varies = parts.variance > (CONSTANT * size) ** 2

    def indices_of(parts: Parts, count: float) -> dict[str, np.ndarray]:
        if sobol:
            return _sobol(parts, varies)
        found = _morris(parts, count, single)
        for values in found.values():
            values[:, o:] = np.nan  # effects of different outputs do not add up
        return found

    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), REPLICATES)
    replicates = []
    for weights in drawn.astype(float):
        again, total = parts_of(weights)
        if total.number > 1.0:
            replicates.append(indices_of(again, float(total.number)))
    intervals = {
        name: Interval(value, *_percentiles(np.stack([r[name] for r in replicates])))
        for name, value in indices_of(parts, float(whole.number)).items()
    }
    return Indices(
        design.method,
        design.groups,
        int(whole.number),
        intervals,
        intervals.pop("additive", None),
        np.where(varies, parts.total, 0.0),
        mean,
        np.where(varies, parts.variance, 0.0),
    )


def _sobol(parts: Parts, varies: np.ndarray) -> dict[str, np.ndarray]:
    variance = np.where(varies & (parts.variance > 0.0), parts.variance, np.nan)
    main = parts.main / variance
    return {"S1": main, "ST": parts.total / variance, "additive": main.sum(axis=0)}


def _morris(parts: Parts, n: float, single: np.ndarray) -> dict[str, np.ndarray]:
    signed = np.where(single[:, None], 1.0, np.nan)
    spread = np.sqrt(parts.spread * n / (n - 1.0))
    return {"mu": parts.main * signed, "mu_star": parts.size, "sigma": spread * signed}


def _percentiles(replicates: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN
        return np.nanpercentile(replicates, (2.5, 97.5), axis=0)
