"""What history matching found as arrays and plain numbers, for a file, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from caliche.history_matching.removed import BINS
from caliche.history_matching.result import Matched


def dataset_of(found: Matched) -> xr.Dataset:
    """Points that are left, their metrics, and the matrix of pairs of parameters."""
    nroy = found.nroy
    names, metrics = list(found.names), list(found.targets.names)
    data: dict[str, Any] = {
        "position": (("member", "parameter"), nroy.points, {"long_name": "place in its range"}),
        "value": (("member", "parameter"), found.physical, {"long_name": "value in its unit"}),
        "implausibility": ("member", nroy.statistic, {"units": "1"}),
        "region": ("member", nroy.regions, {"long_name": "region, from the largest on; -1 stray"}),
        "metric_value": (("member", "metric"), found.outputs, {"long_name": "metric in its unit"}),
        "metric_sd": (("member", "metric"), found.outputs_sd, {"long_name": "emulator sd"}),
        "target": ("metric", found.targets.values, {"long_name": "observed metric"}),
        "error_sd": ("metric", found.targets.error_sd, {"long_name": "observation error"}),
        "error_covariance": (("metric", "other_metric"), found.targets.error, {}),
        "discrepancy": ("metric", found.targets.discrepancy, {"long_name": "model discrepancy"}),
        "edges": (("parameter", "edge"), found.edges, {"long_name": "values at edges of bins"}),
        "marginal": (
            ("wave", "parameter", "bin"),
            np.stack([wave.marginals for wave in found.waves]),
            {"long_name": "share of what is left in each part of a range", "units": "1"},
        ),
        "removed_alone": (("wave", "metric"), np.stack([w.removed.alone for w in found.waves])),
        "removed_added": (("wave", "metric"), np.stack([w.removed.added for w in found.waves])),
        "minimum_implausibility": (
            ("parameter", "other_parameter", "bin", "other_bin"),
            lowest(nroy.searched, nroy.searched_statistic),
            {"long_name": "lowest implausibility that was met over the other parameters"},
        ),
        "optical_depth": (
            ("parameter", "other_parameter", "bin", "other_bin"),
            depth(nroy.points, len(names)) * (0.0 if nroy.empty else nroy.fraction),
            {"long_name": "share of the cell that is left", "units": "1"},
        ),
    }
    coordinates = {"parameter": names, "metric": metrics}
    return xr.Dataset(data, coords=coordinates, attrs={"Conventions": "CF-1.11"})


def cells(points: np.ndarray) -> np.ndarray:
    """(n, P) bin of each point of the cube along each range."""
    return np.clip((points * BINS).astype(int), 0, BINS - 1)


def lowest(points: np.ndarray, statistic: np.ndarray) -> np.ndarray:
    """(P, P, bin, bin) lowest implausibility in each cell of two ranges; NaN where none was met."""
    number, bins = points.shape[1], cells(points)
    found = np.full((number, number, BINS, BINS), np.inf)
    for i in range(number):
        for j in range(number):
            np.minimum.at(found[i, j], (bins[:, i], bins[:, j]), statistic)
    return np.where(np.isinf(found), np.nan, found)


def depth(points: np.ndarray, number: int) -> np.ndarray:
    """(P, P, bin, bin) density of points in each cell of two ranges, 1 on average; on the diagonal
    that in each part of one range, repeated."""
    found = np.zeros((number, number, BINS, BINS))
    if not len(points):
        return found
    bins = cells(points)
    for i in range(number):
        for j in range(number):
            np.add.at(found[i, j], (bins[:, i], bins[:, j]), BINS**2 / len(points))
    for i in range(number):
        found[i, i] = found[i, i].sum(axis=1, keepdims=True) / BINS
    return found


def numbers_of(found: Matched) -> dict[str, Any]:
    """What is told of it, as plain numbers and words."""
    nroy, targets = found.nroy, found.targets
    wide = np.full((len(found.names), 2), np.nan)
    if not nroy.empty:
        wide = np.stack([nroy.points.min(axis=0), nroy.points.max(axis=0)], axis=1)
    return {
        "method": found.method,
        "why": found.why,
        "empty": nroy.empty,
        "fraction": float(nroy.fraction),
        "fraction_error": float(nroy.error),
        "sampler": nroy.method,
        "members": len(nroy.points),
        "failed_share": float(nroy.failed),
        "regions": [float(part) for part in nroy.parts],
        "rule": found.rule.kind if found.rule.n == 1 else f"{found.rule.n}. largest",
        "cutoff": float(found.cutoff),
        "chance": float(found.chance),
        "runs": int(found.runs),
        "seconds_a_run": dict(zip(("values", "forward", "reverse"), found.seconds, strict=True)),
        "parameters": {
            name: {
                "unit": found.units[k],
                "before": found.before[k].tolist(),
                "after": found.after[k].tolist(),
                "place": wide[k].tolist(),
            }
            for k, name in enumerate(found.names)
        },
        "metrics": {
            name: {
                "unit": targets.units[k],
                "target": float(targets.values[k]),
                "error": float(targets.error_sd[k]),
                "discrepancy": float(targets.discrepancy[k]),
                "removed_alone": _last(found, k, "alone"),
                "removed_added": _last(found, k, "added"),
            }
            for k, name in enumerate(targets.names)
        },
        "by_factor": [
            {"factor": f, "fraction": float(v), "error": float(e), "bound": bool(b)}
            for f, v, e, b in found.by_factor
        ],
        "waves": [
            {
                "number": wave.number,
                "runs": wave.runs,
                "failed": wave.failed,
                "slopes": wave.slopes,
                "fraction": float(wave.fraction),
                "error": float(wave.error),
                "refused": list(wave.refused),
                "emulator_share": float(wave.emulator_share),
                "stop": wave.sentence,
            }
            for wave in found.waves
        ],
        "audit": None if found.audit is None else dict(vars(found.audit)),
        "conflict": _conflict(found),
        "truth": None
        if found.truth is None
        else {"implausibility": found.truth[1], "place": found.truth[0].tolist()},
        "left_out": list(found.left_out),
        "isolated": found.isolated.tolist(),
    }


def _last(found: Matched, k: int, what: str) -> float:
    """Of a metric: the most that it removed in any wave."""
    return max(float(getattr(wave.removed, what)[k]) for wave in found.waves)


def _conflict(found: Matched) -> Mapping[str, Any] | None:
    conflict = found.conflict
    if conflict is None:
        return None
    factor = conflict.factor
    return {
        "least": dict(zip(found.targets.names, conflict.least.tolist(), strict=True)),
        "alone": list(conflict.alone),
        "pairs": [list(pair) for pair in conflict.pairs],
        "factor": factor,
        "discrepancy": None
        if factor is None
        else dict(
            zip(found.targets.names, (factor * found.targets.discrepancy).tolist(), strict=True)
        ),
    }
