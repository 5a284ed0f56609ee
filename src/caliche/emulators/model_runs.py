"""The model at many points: its predictions, exact slopes of outputs in two modes, and their cost.

Forward tangents cost a share of a run for every parameter, reverse mode a share for every output;
which is cheaper is measured, not guessed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.emulators.functionals import MOST_COMPONENTS, Functionals
from caliche.emulators.runs import Runs
from caliche.problems.inverse import InverseProblem

FORWARD, REVERSE = "forward", "reverse"
# Runs in one call, and outputs of one sweep backwards.
LANES = 8
SWEEP = 4
_BEST_OF = 3


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


class ModelRunner:
    """Runs of a problem's model, a few in one compiled call."""

    def __init__(self, problem: InverseProblem) -> None:
        self.problem = problem

    def fields(self, u: np.ndarray, tell: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Predictions (n, time + 1, stream) at u (n, P); NaN where a run failed."""
        return self._each(lambda block: _fields(self.problem, block), u, tell)

    def slopes(
        self,
        functionals: Functionals,
        u: np.ndarray,
        mode: str,
        tell: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Exact slopes (n, K, P) of outputs at u (n, P)."""
        k = len(functionals.names)
        weights = np.asarray(functionals.weights)
        if mode == FORWARD:
            wide = _filled(weights, max(MOST_COMPONENTS, k))
            found = self._each(lambda b: _forward(self.problem, functionals.seen, wide, b), u, tell)
            return found[:, :k]
        parts = []
        for begin in range(0, k, SWEEP):
            part = _filled(weights[begin : begin + SWEEP], SWEEP)
            parts.append(
                self._each(
                    lambda b, part=part: _reverse(self.problem, functionals.seen, part, b), u, tell
                )
            )
        return np.concatenate(parts, axis=1)[:, :k]

    def costs(self, outputs: int, slopes: bool) -> Costs:
        """Measured costs of a run, of so many outputs; compiles what it measures."""
        u = np.repeat(np.asarray(self.problem.space.initial())[None], LANES, axis=0)
        seen = self.problem.mask
        value = _timed(lambda b: _fields(self.problem, b), u)
        if not slopes:
            return Costs(value)
        shape = seen.shape
        wide = jnp.ones((max(MOST_COMPONENTS, outputs), *shape))
        forward = _timed(lambda b: _forward(self.problem, seen, wide, b), u)
        part = jnp.ones((SWEEP, *shape))
        once = _timed(lambda b: _reverse(self.problem, seen, part, b), u)
        return Costs(value, forward, once * -(-outputs // SWEEP))

    def _each(self, program: Callable[[Array], Array], u: np.ndarray, tell: Any) -> np.ndarray:
        filled = np.concatenate([u, np.repeat(u[-1:], -len(u) % LANES, axis=0)])
        found = []
        for begin in range(0, len(filled), LANES):
            found.append(np.asarray(program(jnp.asarray(filled[begin : begin + LANES]))))
            if tell is not None:
                tell(min(begin + LANES, len(u)), len(u))
        return np.concatenate(found)[: len(u)]


def runs_from(
    functionals: Functionals, u: np.ndarray, fields: np.ndarray, slopes: np.ndarray | None = None
) -> Runs:
    """Runs of the outputs; those whose predictions are not finite where they count have failed."""
    values = functionals.of_fields(fields)
    return Runs(u, values, slopes)


def _filled(weights: np.ndarray, size: int) -> Array:
    more = np.zeros((size - len(weights), *weights.shape[1:]))
    return jnp.asarray(np.concatenate([weights, more]))


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
    problem: InverseProblem,
    seen: Array,
    weights: Float[Array, "k time stream"],
    u: Float[Array, "run p"],
) -> Float[Array, "run k p"]:
    def one(u: Array) -> Array:
        _, slopes = problem.predict_tangents(u)
        return jnp.tensordot(weights, jnp.where(seen[..., None], slopes, 0.0), 2)

    return jax.vmap(one)(u)


@jax.jit
def _reverse(
    problem: InverseProblem,
    seen: Array,
    weights: Float[Array, "k time stream"],
    u: Float[Array, "run p"],
) -> Float[Array, "run k p"]:
    def outputs(u: Array) -> Array:
        return jnp.tensordot(weights, jnp.where(seen, problem.forward(u), 0.0), 2)

    return jax.vmap(jax.jacrev(outputs))(u)
