"""How well a modelled series matches an observed one. Definitions: docs/validation.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """Scores of one stream over the times where it was observed.

    Errors are model minus observation. None where a score does not exist (no values, no variance,
    no natural zero).

    Attributes
    ----------
    n : number of values compared.
    rmse, bias, mae : root-mean-square, mean and mean absolute error, unit of the stream.
    r, r2 : linear correlation and its square.
    nse : Nash-Sutcliffe efficiency, doi:10.1016/0022-1694(70)90255-6.
    sd_obs, sd_model : standard deviations, unit of the stream.
    percent_bias : bias as a percentage of the observed sum.
    kge_2009, kge_2012 : Kling-Gupta efficiency, doi:10.1016/j.jhydrol.2009.08.003, and as modified
        in doi:10.1016/j.jhydrol.2012.01.011.
    overlap : common area of the two distributions, 0 to 1, doi:10.1175/JCLI4253.1.
    error_p05, error_p95 : errors of the 5th and 95th percentile, unit of the stream.
    nme : mean absolute error over that of the observed mean.
    """

    n: int
    rmse: float | None = None
    bias: float | None = None
    r2: float | None = None
    nse: float | None = None
    sd_obs: float | None = None
    sd_model: float | None = None
    mae: float | None = None
    r: float | None = None
    percent_bias: float | None = None
    kge_2009: float | None = None
    kge_2012: float | None = None
    overlap: float | None = None
    error_p05: float | None = None
    error_p95: float | None = None
    nme: float | None = None


def score(observed: np.ndarray, modelled: np.ndarray, natural_zero: bool = True) -> Score:
    """Score of a modelled against an observed series; NaN marks what is missing in either.

    Parameters
    ----------
    observed, modelled : (n,), one unit.
    natural_zero : whether ratios of means mean something. They do for a flux; for a temperature
        they depend on the scale, so percent bias and KGE are left out.
    """
    both = np.isfinite(observed) & np.isfinite(modelled)
    y, m = observed[both], modelled[both]
    if len(y) == 0:
        return Score(0)
    error = m - y
    sd_obs, sd_model = _sd(y), _sd(m)
    varies = sd_obs > 0.0
    r = float(np.corrcoef(y, m)[0, 1]) if varies and sd_model > 0.0 else None
    mean_absolute = float(np.abs(error).mean())
    percentiles = np.percentile(m, (5, 95)) - np.percentile(y, (5, 95))
    total = float(y.sum())
    kge = _kling_gupta(y, m, sd_obs, sd_model, r) if natural_zero else (None, None)
    return Score(
        n=len(y),
        rmse=float(np.sqrt(np.mean(error**2))),
        bias=float(error.mean()),
        r2=None if r is None else r**2,
        nse=float(1.0 - np.mean(error**2) / sd_obs**2) if varies else None,
        sd_obs=sd_obs,
        sd_model=sd_model,
        mae=mean_absolute,
        r=r,
        percent_bias=100.0 * float(error.sum()) / total if natural_zero and total else None,
        kge_2009=kge[0],
        kge_2012=kge[1],
        overlap=overlap(y, m),
        error_p05=float(percentiles[0]),
        error_p95=float(percentiles[1]),
        nme=mean_absolute / float(np.abs(y - y.mean()).mean()) if varies else None,
    )


def _sd(values: np.ndarray) -> float:
    """Standard deviation, exactly 0 for a constant, whose mean is a rounding error off."""
    return 0.0 if np.ptp(values) == 0.0 else float(values.std())


def _kling_gupta(
    y: np.ndarray, m: np.ndarray, sd_obs: float, sd_model: float, r: float | None
) -> tuple[float | None, float | None]:
    """KGE of 2009 (ratio of standard deviations) and of 2012 (ratio of coefficients of variation).

    A constant model has r = 0, which gives the mean of the observations 1 - sqrt 2
    (doi:10.5194/hess-23-4323-2019).
    """
    mean_obs, mean_model = float(y.mean()), float(m.mean())
    if sd_obs == 0.0 or mean_obs == 0.0:
        return None, None
    r = 0.0 if r is None else r
    alpha, beta = sd_model / sd_obs, mean_model / mean_obs
    first = 1.0 - math.hypot(r - 1.0, alpha - 1.0, beta - 1.0)
    if beta == 0.0:
        return first, None
    return first, 1.0 - math.hypot(r - 1.0, alpha / beta - 1.0, beta - 1.0)


def overlap(observed: np.ndarray, modelled: np.ndarray) -> float | None:
    """Common area of two histograms (Perkins et al. 2007), 0 to 1; None if nothing varies.

    Bins of one width between the smallest and the largest observation, 2 n^(1/3) of them, and one
    more for what lies outside on either side: the same bins for every model of one record.
    """
    low, high = float(observed.min()), float(observed.max())
    if low == high:
        return None
    edges = np.linspace(low, high, math.ceil(2.0 * len(observed) ** (1.0 / 3.0)) + 1)
    shares = []
    for values in (observed, modelled):
        bins = np.searchsorted(edges, values, side="right")
        bins[values == high] = len(edges) - 1  # the last bin holds its upper edge
        shares.append(np.bincount(bins, minlength=len(edges) + 1) / len(values))
    return float(np.minimum(*shares).sum())


def normalised_scores(scores: Mapping[str, Score]) -> dict[str, float]:
    """Mean of seven metrics, each scaled from 0 (best) to 1 (worst) among those compared.

    The metrics are those of PLUMBER2 (doi:10.5194/bg-21-5517-2024) and Urban-PLUMBER: mean
    absolute error, |bias|, |1 - ratio of standard deviations|, 1 - r, |errors of the 5th and 95th
    percentile| and 1 - overlap. A metric in which all are equal is 0 for all. NaN for all where
    the observations do not vary, since the ratio does not exist then.

    Parameters
    ----------
    scores : by name of the model or benchmark, over the same times.
    """
    table = np.array([_metrics(s) for s in scores.values()]).reshape(len(scores), 7)
    best, worst = table.min(axis=0), table.max(axis=0)
    scaled = (table - best) / np.where(worst > best, worst - best, 1.0)
    return dict(zip(scores, scaled.mean(axis=1).tolist(), strict=True))


def _metrics(s: Score) -> list[float]:
    """The seven metrics, lower is better; a model that does not vary has r = 0."""
    nan = math.nan
    if not s.n or not s.sd_obs or s.sd_model is None:
        return [nan] * 7
    values = [
        s.mae,
        s.bias,
        s.sd_model / s.sd_obs - 1.0,
        1.0 - (s.r or 0.0),
        s.error_p05,
        s.error_p95,
        None if s.overlap is None else 1.0 - s.overlap,
    ]
    return [nan if value is None else abs(value) for value in values]
