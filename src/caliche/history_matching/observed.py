"""The targets of a problem: metrics of its observations, with all that may part them from it."""

from __future__ import annotations

import numpy as np

from caliche.errors import InputError
from caliche.history_matching.discrepancy import SHARE, of_series, undefined
from caliche.history_matching.implausibility import Targets
from caliche.history_matching.metric_errors import MetricErrors, SeriesErrors, metric_errors
from caliche.history_matching.metrics import Metrics
from caliche.problems.inverse import InverseProblem


def series_errors(problem: InverseProblem) -> SeriesErrors:
    """The errors of a problem's observations, as its error model says."""
    observed = problem.observations
    shape = observed.values.shape
    rho = np.zeros(shape[1])
    if observed.autocorrelation is not None:
        rho = np.asarray(observed.autocorrelation, float)
    freedom = np.asarray(observed.freedom or (np.inf,) * shape[1], float)
    return SeriesErrors(np.broadcast_to(np.asarray(observed.scale), shape), rho, freedom)


def observed_targets(
    problem: InverseProblem,
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
    found = metric_errors(metrics, series, errors or series_errors(problem), seed)
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
