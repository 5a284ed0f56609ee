"""Runs of a problem for Bayesian optimisation: few at a time, with slopes, or as ingredients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.curvature import linearised
from caliche.estimation.ensemble.batches import Batch
from caliche.optimisation.composite import Objective
from caliche.problems.base import Problem


class OneByOne:
    """Runs of a problem, few at a time: runs are dear where this method is used."""

    def __init__(self, problem: Problem, width: int, slopes: bool) -> None:
        self._problem, self._width, self._slopes = problem, width, slopes
        self._batch = Batch(problem)
        mask = np.asarray(problem.mask).ravel()
        self._seen, self._size = np.flatnonzero(mask), mask.size
        self._prior = int(np.asarray(problem.space.informative).sum())

    def run(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Residuals (k, n), and slopes and curvature (k, 1 + P, P) of J where asked for."""
        if not self._slopes:
            parts = [
                self._batch.residuals(u[k : k + self._width]) for k in range(0, len(u), self._width)
            ]
            return np.concatenate(parts), None
        rows, slopes = [], []
        for one in u:
            residual, jacobian = linearised(self._problem, one)
            term = residual[self._size + self._prior :]  # what observations tell of directions
            rows.append(np.concatenate([residual[self._seen], term]))
            slopes.append(np.stack([jacobian.T @ residual, *(jacobian.T @ jacobian)]))
        return np.array(rows), np.array(slopes)


class Predictions:
    """Runs of a problem as the ingredients of an objective."""

    def __init__(self, problem: Problem, objective: Objective) -> None:
        self._problem, self._objective = problem, objective

    def run(self, u: np.ndarray) -> tuple[np.ndarray, None]:
        """Ingredients (k, K), NaN where a run failed."""
        seen = (np.asarray(_forward(self._problem, jnp.asarray(one))) for one in u)
        return np.array([self._objective.ingredients(prediction) for prediction in seen]), None


@jax.jit
def _forward(problem: Problem, u: Float[Array, " p"]) -> Float[Array, "time stream"]:
    return problem.forward(u)
