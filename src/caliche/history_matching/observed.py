"""The targets of a problem: metrics of its observations, with all that may part them from it."""

from __future__ import annotations

import numpy as np

from caliche.errors import InputError
from caliche.history_matching.discrepancy import SHARE, of_series, undefined
from caliche.history_matching.implausibility import Targets
from caliche.metrics.errors import MetricErrors, SeriesErrors, errors_of, metric_errors
from caliche.metrics.metric import Metrics
from caliche.problems.base import Problem


def observed_targets(
    problem: Problem,
    metrics: Metrics,
    errors: SeriesErrors | None = None,
    share: float = SHARE,
    discrepancy: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Metrics, Targets, MetricErrors, tuple[str, ...]]:
    """Metrics that the observations define, their targets, and a sentence on each that they do not.

    Parameters
    ----------
    errors : of the series; those of the problem's error model without.
    share : of a series' standard deviation that the model may miss.
    discrepancy : (K,) instead of what follows from `share`; NaN where it shall.

    Raises
    ------
    InputError : a share below zero; no metric is left.
    """
    if not share >= 0.0:
        raise InputError("a discrepancy of 0 or more", f"{share:g}", f"use {SHARE:g}")
    series = np.asarray(problem.observations.values)
    found = metric_errors(metrics, series, errors or errors_of(problem.observations), seed)
    usual = of_series(metrics, series, share)
    if discrepancy is not None:
        usual = np.where(np.isfinite(discrepancy), discrepancy, usual)
    spread = np.sqrt(np.diag(found.covariance) + usual**2)
    bad, told = undefined(metrics, series, spread)
    if bad.all():
        raise InputError("a metric that the observations define", "none", "ask for --metrics mean")
    kept = metrics.only(~bad)
    targets = Targets(
        metrics.names, found.values, found.covariance, usual, units=metrics.units
    ).only(~bad)
    few = MetricErrors(
        found.values[~bad],
        found.covariance[np.ix_(~bad, ~bad)],
        found.bias[~bad],
        found.naive[~bad],
    )
    return kept, targets, few, told
