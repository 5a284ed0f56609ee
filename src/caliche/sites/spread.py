"""How far apart pooled values of sites are: the spread with the largest evidence.

At the optimum the misfit is close to a quadratic in the coordinates w of all sites, so that the
evidence of every spread is known in closed form without a run of the model (empirical Bayes:
MacKay 1992, doi:10.1162/neco.1992.4.3.415, for the form of the evidence). The caller fits again at
the spread found, until it settles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import minimize_scalar

from caliche.parameters.shared import SMALLEST_SPREAD, SharedSpace
from caliche.problems.joint import JointProblem

SWEEPS = 3  # over the parameters, one at a time


def best_spreads(
    problem: JointProblem,
    u: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    spreads: Mapping[str, float],
    space: Callable[[Mapping[str, float]], SharedSpace],
) -> dict[str, float]:
    """Spreads of the largest evidence.

    Parameters
    ----------
    u : (P,) the optimum.
    gradient, hessian : (P,), (P, P) of the misfit J_o (without the prior) at u.
    spreads : by parameter, where to begin.
    space : the joint space with given spreads; its entries are those of the problem.
    """
    to_w = np.linalg.inv(np.asarray(problem.mix))
    w = np.asarray(problem.mix) @ u
    misfit = w, to_w.T @ gradient, to_w.T @ hessian @ to_w
    informative = problem.space.informative
    found = dict(spreads)
    for _ in range(SWEEPS if len(found) > 1 else 1):
        for name in found:

            def loss(log_spread: float, name: str = name) -> float:
                trial = space({**found, name: float(np.exp(log_spread))})
                return -log_evidence_at(trial.mix, informative, *misfit)

            best = minimize_scalar(loss, bounds=(np.log(SMALLEST_SPREAD), 0.0), method="bounded")
            found[name] = float(np.exp(best.x))
    return found


def log_evidence_at(
    mix: np.ndarray,
    informative: np.ndarray,
    w: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
) -> float:
    """Log evidence, up to a constant, of a prior w = mix v with v ~ N(0, I).

    Parameters
    ----------
    informative : (P,) entries with a prior; the others count as without.
    w, gradient, hessian : where the misfit is expanded, and its derivatives there.
    """
    back = np.linalg.inv(mix) * informative[:, None]
    precision = back.T @ back
    whole = hessian + precision
    step = np.linalg.solve(whole, -(gradient + precision @ w))
    at = w + step
    cost = gradient @ step + 0.5 * step @ hessian @ step + 0.5 * at @ precision @ at
    root = np.linalg.slogdet(mix)[1]
    return float(-cost - 0.5 * np.linalg.slogdet(whole)[1] - root)
