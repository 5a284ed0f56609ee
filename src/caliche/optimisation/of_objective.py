"""Where a search by another objective than J ended, with the misfit J that its runs have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.ensemble.core import Verdict
from caliche.estimation.ensemble.engine import Engine
from caliche.estimation.method import CONVERGED, RUNNING, History, Outcome, ended
from caliche.problems.base import Problem


def outcome_of_objective(problem: Problem, engines: list[Engine]) -> Outcome:
    """The best runs by another objective, with the misfit J that they have."""
    longest = max(len(engine.misfits) for engine in engines)
    ways = np.stack([longer(np.array(e.controls), longest) for e in engines])
    known: dict[bytes, float] = {}

    def misfit(u: np.ndarray) -> float:
        if not np.isfinite(u).all():
            return np.nan
        if u.tobytes() not in known:
            known[u.tobytes()] = float(_misfit(problem, jnp.asarray(u)))
        return known[u.tobytes()]

    verdicts = [engine.verdict or Verdict(False, "") for engine in engines]
    ends = np.stack([engine.estimate for engine in engines])
    history = np.array([[misfit(u) for u in way] for way in ways])
    return Outcome(
        ended(
            ends,
            np.array([misfit(u) for u in ends]),
            np.full(len(ends), np.nan),
            np.array([CONVERGED if v.converged else RUNNING for v in verdicts]),
            np.array([engine.runs for engine in engines]),
        ),
        History(history, ways),
        longest,
        tuple(
            f"the scorecard's objective fell to {engine.misfits[-1]:.4g}, from 0 of the control "
            f"run: {verdict.reason}"
            for engine, verdict in zip(engines, verdicts, strict=True)
        ),
        sum(sum(engine.failed) for engine in engines),
    )


@jax.jit
def _misfit(problem: Problem, u: Float[Array, " p"]) -> Float[Array, ""]:
    return problem.cost(u)


def longer(rows: np.ndarray, length: int) -> np.ndarray:
    """Rows (n, ...), filled up with NaN."""
    return np.concatenate([rows, np.full((length - len(rows), *rows.shape[1:]), np.nan)])
