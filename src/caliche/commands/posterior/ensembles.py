"""Ensemble posteriors beside the others: members, intervals, and what to think of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caliche.constants import NORMAL_QUANTILE
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.density import physical
from caliche.estimation.ensemble.prior import normal_prior
from caliche.estimation.ensemble.result import member_intervals
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem

# Methods and the options with which each goes as far as it need: the posterior's place to a
# twentieth of its width.
ENSEMBLES: Mapping[str, Mapping[str, Any]] = {
    "etki": {},
    "eki": {},
    "4denvar": {"iterated": True, "tolerance": 0.05},
}
QUANTILES = {"interval68": 0.994457883209753, "interval95": NORMAL_QUANTILE}


def ensemble_posterior(
    problem: InverseProblem, method: str, members: int, seed: int
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Members u (N, P) of a method, and what is said of them; None if it could not run."""
    try:
        result = estimate(problem, method, seed=seed, members=members, **ENSEMBLES[method])
    except InputError as error:
        return None, {"usable": False, "verdict": f"it could not run. {error}"}
    assert result.ensemble is not None
    u = result.ensemble.u
    if method == "etki":
        u = remixed(problem.space, u, seed)
    said = {
        "members": len(u),
        "seed": seed,
        "n_model_runs": result.n_model_runs,
        "seconds": dict(result.seconds),
        "usable": result.converged,
        "verdict": f"{len(u)} members, {result.n_model_runs:,} model runs; {result.reason}",
    }
    return u, said


def remixed(space: ParameterSpace, u: np.ndarray, seed: int) -> np.ndarray:
    """Members u (N, P) mixed among each other at random, their mean and covariance in v the same.

    What ETKI determines is these two. Its deterministic transform of a curved model leaves a few
    members far out and the others too close together (Lawson and Hansen 2004,
    doi:10.1175/1520-0493(2004)132<1966:IOSADF>2.0.CO;2); a rotation that keeps the mean (Sakov and
    Oke 2008, doi:10.1175/2007MWR2021.1) gives them back the shape of a sample.
    """
    prior = normal_prior(space, "etki")
    v = prior.from_u(u)
    n, mean = len(v), v.mean(axis=0)
    # The first column of the basis is along (1, ..., 1), and stays.
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    normal = np.random.default_rng([seed, 3]).standard_normal((n - 1, n - 1))
    rotation = np.linalg.qr(normal)[0]
    return prior.to_u(mean + basis @ rotation @ (basis.T @ (v - mean)))


def ensemble_entries(
    problem: InverseProblem, method: str, u: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Intervals, mean and sd of every parameter, from members u (N, P)."""
    space = problem.space
    values = physical(space, u)
    ends = {name: member_intervals(space, method, u, q) for name, q in QUANTILES.items()}
    return {
        name: {
            **{which: [float(low[k]), float(high[k])] for which, (low, high) in ends.items()},
            "mean": float(values[:, k].mean()),
            "sd": float(values[:, k].std(ddof=1)),
        }
        for k, name in enumerate(space.names)
    }
