"""How well a modelled series matches an observed one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """Scores of one stream over the times where it was observed.

    n values; root-mean-square error and bias (model minus observation) in the stream's unit; r2
    the squared linear correlation; nse the Nash-Sutcliffe efficiency
    (doi:10.1016/0022-1694(70)90255-6); the two standard deviations in the stream's unit. None
    where a score does not exist (no variance, too few values).
    """

    n: int
    rmse: float | None
    bias: float | None
    r2: float | None
    nse: float | None
    sd_obs: float | None
    sd_model: float | None


def score(observed: np.ndarray, modelled: np.ndarray) -> Score:
    """Score of a modelled against an observed series; NaN marks what is missing in either."""
    both = np.isfinite(observed) & np.isfinite(modelled)
    y, m = observed[both], modelled[both]
    if len(y) == 0:
        return Score(0, None, None, None, None, None, None)
    error = m - y
    sd_obs, sd_model = float(y.std()), float(m.std())
    varies = len(y) > 1 and sd_obs > 0.0
    r2 = None
    if varies and sd_model > 0.0:
        r2 = float(np.corrcoef(y, m)[0, 1] ** 2)
    nse = float(1.0 - np.mean(error**2) / sd_obs**2) if varies else None
    return Score(
        len(y), float(np.sqrt(np.mean(error**2))), float(error.mean()), r2, nse, sd_obs, sd_model
    )
