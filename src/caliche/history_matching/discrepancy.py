"""What a model may miss at its best parameters: the discrepancy of each metric.

Nothing decides more. Unless something better is known it is a share of the standard deviation of
the observed series (a tenth, as Raoult et al. 2024 gave theirs, doi:10.5194/gmd-17-5779-2024):
so much for every mean, amplitude and daily maximum, and what so much does to the others.
"""

from __future__ import annotations

import math

import numpy as np

from caliche.metrics import metric as kind
from caliche.metrics.metric import Metrics

SHARE = 0.1  # of a series' standard deviation
FACTORS = (0.5, 1.0, 2.0)  # NROY is told for the discrepancy times these


def of_series(metrics: Metrics, series: np.ndarray, share: float = SHARE) -> np.ndarray:
    """(K,) discrepancies from a share of each series' standard deviation.

    Parameters
    ----------
    series : (time + 1, stream) observed, any number where masked.
    """
    sd, seen = np.asarray(metrics.scale), np.asarray(metrics.mask) > 0.0
    clean, weights = np.where(seen, series, 0.0), np.asarray(metrics.weights)
    sums = [float(w @ clean[:, k]) for w, k in zip(weights, metrics.row_stream, strict=True)]
    found = np.zeros(len(metrics))
    for k, metric in enumerate(metrics.metrics):
        size = share * sd[metric.stream]
        if metric.kind == kind.PHASE:
            # An error of that size across the harmonic turns it by size / amplitude.
            amplitude = math.hypot(*(sums[row] for row in metric.rows))
            turn = size / max(amplitude, 1e-12 * sd[metric.stream])
            size = min(turn, math.pi) * metric.period / (2.0 * math.pi)
        elif metric.kind == kind.MEMORY:
            size = share**2  # errors of that size without memory take so much from it
        elif metric.kind == kind.RATIO:
            upper, lower = (sums[row] for row in metric.rows)
            by = [share * sd[metrics.row_stream[row]] for row in metric.rows]
            size = math.hypot(by[0], upper / lower * by[1]) / abs(lower)
        found[k] = size
    return found


def undefined(
    metrics: Metrics, series: np.ndarray, spread: np.ndarray, times: float = 3.0
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which metrics (K,) the observations do not define, and a sentence on each.

    A phase needs an amplitude, and a ratio a denominator, that stands out of its uncertainty.

    Parameters
    ----------
    spread : (K,) standard deviations of observation error and discrepancy together.
    """
    seen, weights = np.asarray(metrics.mask) > 0.0, np.asarray(metrics.weights)
    clean = np.where(seen, series, 0.0)
    sums = [float(w @ clean[:, k]) for w, k in zip(weights, metrics.row_stream, strict=True)]
    bad, told = np.zeros(len(metrics), bool), []
    for k, metric in enumerate(metrics.metrics):
        if metric.kind == kind.PHASE and spread[k] > metric.period / (2.0 * math.pi * times):
            bad[k] = True
            told.append(f"{metric.name} is not matched: the amplitude is lost in its uncertainty.")
        if metric.kind == kind.RATIO:
            lower = metric.rows[1]
            sd = SHARE * float(metrics.scale[metrics.row_stream[lower]])
            if abs(sums[lower]) < times * sd:
                bad[k] = True
                told.append(f"{metric.name} is not matched: its denominator is close to zero.")
    return bad, tuple(told)
