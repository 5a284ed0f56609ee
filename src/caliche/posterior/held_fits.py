"""Fits with some parameters held: Levenberg-Marquardt on all others, many fits in one call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.method import CONVERGED, RUNNING, at_bound, settled
from caliche.observations import Observations
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem

# Fits that share vector instructions in one call.
TOGETHER = 32
# Bytes of residuals and Jacobians that one call may hold, where they cannot be summed up.
LARGEST_CALL = 5e8
# Iterations of one fit.
MAX_ITERATIONS = 120


class Fit(NamedTuple):
    """Where the others ended with one parameter held."""

    u: np.ndarray
    cost: float
    converged: bool
    held: np.ndarray


class Held(Problem):
    """Any problem with some entries of u held where they are: they have no gradient."""

    problem: Problem
    hold: Array

    def normal_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        cost, gradient, hessian = self.problem.normal_equations(u)
        free = ~self.hold
        identity = jnp.diag(self.hold.astype(hessian.dtype))
        hessian = jnp.where(free[:, None] & free[None, :], hessian, identity)
        return NormalEquations(cost, jnp.where(free, gradient, 0.0), hessian)

    @property
    def space(self) -> ParameterSpace:
        return self.problem.space

    @property
    def observations(self) -> Observations:
        return self.problem.observations

    @property
    def mask(self) -> Array:
        return self.problem.mask

    @property
    def stream_names(self) -> tuple[str, ...]:
        return self.problem.stream_names

    @property
    def pointwise(self) -> bool:
        return self.problem.pointwise

    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        return self.problem.forward(u)

    def predict_tangents(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        return self.problem.predict_tangents(u)

    def misfit(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        return self.problem.misfit(u, segments)

    def misfit_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        return self.problem.misfit_equations(u)

    def background(self, u: Float[Array, " parameter"]) -> Float[Array, " background"]:
        return self.problem.background(u)

    def derived(self, u: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        return self.problem.derived(u)

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return self.problem.derived_labels

    def for_block(self) -> Held:
        return Held(self.problem.for_block(), self.hold)


@functools.partial(jax.jit, static_argnums=0)
def _fit_others(
    method: LevenbergMarquardt, problem: Problem, hold: Array, starts: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Fits (row,) from starts (row, P) with the entries `hold` (row, P) held."""
    advance = jax.vmap(lambda mask, state: method.advance(Held(problem, mask), state))

    def more(carry: tuple[Array, Any]) -> Array:
        iteration, state = carry
        return (iteration < method.max_iterations) & jnp.any(state.iterate.status == RUNNING)

    def step(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        iteration, state = carry
        running = state.iterate.status == RUNNING
        new = advance(hold, state)

        def keep(old: Array, after: Array) -> Array:
            return jnp.where(running.reshape(-1, *[1] * (old.ndim - 1)), after, old)

        return iteration + 1, settled(jax.tree.map(keep, state, new))

    init = settled(jax.vmap(lambda start: method.init(problem, start))(starts))
    _, state = jax.lax.while_loop(more, step, (jnp.asarray(0), init))
    final = state.iterate
    held = jax.vmap(lambda u, g: at_bound(problem.space, u, g))(final.u, state.equations.gradient)
    return final.u, final.cost, final.status, held & ~hold, jnp.sum(final.model_runs)


class Fits:
    """Runs fits in calls of one size, so that there is one program to compile."""

    def __init__(self, problem: Problem, callback: Callable[[int, int], None] | None) -> None:
        self.problem, self._callback = problem, callback
        self.n_model_runs, self._done, self._known = 0, 0, 0
        self._size = TOGETHER
        if not problem.pointwise:
            row = 8.0 * problem.observations.values.size * (len(problem.space.names) + 2)
            self._size = int(np.clip(LARGEST_CALL / row, 1, TOGETHER))

    def evaluate(self, u: np.ndarray) -> Fit:
        """The misfit at u, by the same sums as everywhere else."""
        everything = np.ones((1, len(u)), bool)
        return self._call(everything, u[None])[0]

    def run(self, held: np.ndarray, starts: np.ndarray) -> list[Fit]:
        """One fit a row, from starts (row, P) with entry `held` (row,) held."""
        hold = np.arange(starts.shape[1])[None, :] == held[:, None]
        self._known += len(starts)
        found = []
        for first in range(0, len(starts), self._size):
            part = slice(first, first + self._size)
            found += self._call(hold[part], starts[part])
            self._done += len(starts[part])
            if self._callback is not None:
                self._callback(self._done, self._known)
        return found

    def _call(self, hold: np.ndarray, starts: np.ndarray) -> list[Fit]:
        n, missing = len(starts), self._size - len(starts)
        # Members that only fill the call up are held altogether, and are done at once.
        hold = np.concatenate([hold, np.ones((missing, hold.shape[1]), bool)])
        starts = np.concatenate([starts, np.repeat(starts[:1], missing, axis=0)])
        method = LevenbergMarquardt(max_iterations=MAX_ITERATIONS)
        u, cost, status, held, runs = jax.device_get(
            _fit_others(method, self.problem, jnp.asarray(hold), jnp.asarray(starts))
        )
        self.n_model_runs += int(runs) - missing * (1 + starts.shape[1])
        cost = np.where(np.isfinite(cost), cost, np.inf)
        return [Fit(u[i], float(cost[i]), bool(status[i] == CONVERGED), held[i]) for i in range(n)]
