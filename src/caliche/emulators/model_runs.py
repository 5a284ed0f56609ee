"""The model at many points: its predictions, exact slopes of outputs in two modes, and their cost.

Forward tangents cost a share of a run for every parameter, reverse mode a share for every output;
which is cheaper is measured, not guessed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.emulators.components import MOST_COMPONENTS, Components, Outputs, WeightedSums
from caliche.emulators.runs import Runs
from caliche.problems.inverse import InverseProblem

FORWARD, REVERSE = "forward", "reverse"
# Runs in one call, and outputs of one sweep backwards.
LANES = 8
SWEEP = 4
_BEST_OF = 3
# So many components a problem has as a rule; it decides what reverse mode is taken to cost.
USUAL_COMPONENTS = 4


@dataclass(frozen=True)
class Costs:
    """Measured milliseconds of a run: of values, and with slopes of all outputs in either mode
    (NaN where it was not measured)."""

    value: float
    forward: float = float("nan")
    reverse: float = float("nan")

    @property
    def mode(self) -> str:
        """The cheaper mode for slopes."""
        return REVERSE if self.reverse < self.forward else FORWARD

    @property
    def gradient(self) -> float:
        """Milliseconds of a run with slopes in the cheaper mode."""
        return float(np.nanmin([self.forward, self.reverse])) if self.measured else float("nan")

    @property
    def measured(self) -> bool:
        """Whether slopes were timed."""
        return bool(np.isfinite(self.forward) or np.isfinite(self.reverse))


class Runner(Protocol):
    """Runs of a model, whatever it is; see `ModelRunner`."""

    def fields(
        self, u: np.ndarray, tell: Callable[[int, int], None] | None = None
    ) -> np.ndarray: ...

    def slopes(
        self,
        outputs: Outputs,
        u: np.ndarray,
        mode: str,
        tell: Callable[[int, int], None] | None = None,
    ) -> np.ndarray: ...

    def costs(self, outputs: Outputs | None, slopes: bool) -> Costs: ...


class ModelRunner:
    """Runs of a problem's model, a few in one compiled call."""

    def __init__(self, problem: InverseProblem) -> None:
        self.problem = problem

    def fields(self, u: np.ndarray, tell: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Predictions (n, time + 1, stream) at u (n, P); NaN where a run failed."""
        return self._each(lambda block: _fields(self.problem, block), u, tell)

    def slopes(
        self,
        outputs: Outputs,
        u: np.ndarray,
        mode: str,
        tell: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Exact slopes (n, K, P) of outputs at u (n, P)."""
        k = len(outputs)
        what = outputs.sums if isinstance(outputs, Components) else outputs
        if mode == FORWARD:
            return self._each(lambda b: _forward(self.problem, what, b), u, tell)[:, :k]
        parts = []
        for rows in _sweeps(k, MOST_COMPONENTS if isinstance(outputs, Components) else k):
            found = self._each(lambda b, rows=rows: _reverse(self.problem, what, rows, b), u, tell)
            parts.append(found)
        return np.concatenate(parts, axis=1)[:, :k]

    def costs(self, outputs: Outputs | None, slopes: bool) -> Costs:
        """Measured costs of a run; compiles what it measures.

        Parameters
        ----------
        outputs : that slopes are of; of components, which are not known yet, None.
        """
        u = np.repeat(np.asarray(self.problem.space.initial())[None], LANES, axis=0)
        value = _timed(lambda b: _fields(self.problem, b), u)
        if not slopes:
            return Costs(value)
        if isinstance(outputs, Components) or outputs is None:
            seen, number, most = self.problem.mask, USUAL_COMPONENTS, MOST_COMPONENTS
            what: Any = WeightedSums(jnp.ones((most, *seen.shape)), seen)
        else:
            what, number, most = outputs, len(outputs), len(outputs)
        forward = _timed(lambda b: _forward(self.problem, what, b), u)
        rows = _sweeps(number, most)
        once = _timed(lambda b: _reverse(self.problem, what, rows[0], b), u)
        return Costs(value, forward, once * len(rows))

    def _each(self, program: Callable[[Array], Array], u: np.ndarray, tell: Any) -> np.ndarray:
        filled = np.concatenate([u, np.repeat(u[-1:], -len(u) % LANES, axis=0)])
        found = []
        for begin in range(0, len(filled), LANES):
            found.append(np.asarray(program(jnp.asarray(filled[begin : begin + LANES]))))
            if tell is not None:
                tell(min(begin + LANES, len(u)), len(u))
        return np.concatenate(found)[: len(u)]


def runs_from(
    outputs: Outputs, u: np.ndarray, fields: np.ndarray, slopes: np.ndarray | None = None
) -> Runs:
    """Runs of the outputs; those whose predictions are not finite where they count have failed."""
    return Runs(u, outputs.of_fields(fields), slopes)


def _sweeps(number: int, most: int) -> list[Array]:
    """The outputs of each sweep backwards, as rows (SWEEP, most) of an identity."""
    rows = np.zeros((-(-number // SWEEP) * SWEEP, most))
    rows[np.arange(number), np.arange(number)] = 1.0
    return [jnp.asarray(rows[k : k + SWEEP]) for k in range(0, len(rows), SWEEP)]


def _timed(program: Callable[[Array], Array], u: np.ndarray) -> float:
    """Milliseconds of one run, the best of three calls after the first."""
    at, best = jnp.asarray(u), np.inf
    jax.block_until_ready(program(at))
    for _ in range(_BEST_OF):
        began = time.perf_counter()
        jax.block_until_ready(program(at))
        best = min(best, time.perf_counter() - began)
    return 1e3 * best / len(u)


@jax.jit
def _fields(problem: InverseProblem, u: Float[Array, "run p"]) -> Float[Array, "run time stream"]:
    return jax.vmap(problem.forward)(u)


@jax.jit
def _forward(
    problem: InverseProblem, outputs: Any, u: Float[Array, "run p"]
) -> Float[Array, "run k p"]:
    def one(u: Array) -> Array:
        prediction, slopes = problem.predict_tangents(u)
        _, linear = jax.linearize(outputs, prediction)
        return jax.vmap(linear, -1, -1)(slopes)

    return jax.vmap(one)(u)


@jax.jit
def _reverse(
    problem: InverseProblem,
    outputs: Any,
    rows: Float[Array, "row k"],
    u: Float[Array, "run p"],
) -> Float[Array, "run row p"]:
    def one(u: Array) -> Array:
        _, pull = jax.vjp(lambda u: outputs(problem.forward(u)), u)
        return jax.vmap(pull)(rows)[0]

    return jax.vmap(one)(u)
