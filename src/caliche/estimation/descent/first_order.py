"""First-order methods: Adam, and L-BFGS with a line search, both from optax.

They serve problems with more parameters than forward tangents can carry, and comparisons with
studies that used them. Convergence is judged as for every other method, by the Gauss-Newton step
still to go, so that "converged" means the same thing everywhere.

Optax is imported where it is used: it is not worth its import time elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.estimation.method import (
    CONVERGED,
    NOT_FINITE,
    RUNNING,
    Descent,
    Iterate,
    remaining_step,
    unjudged,
)
from caliche.problems.base import Problem


class GradientState(NamedTuple):
    """One start: where it is, and the optimiser's own state."""

    iterate: Iterate
    optimiser: Any


# (problem, u, optimiser state) -> (u, optimiser state, model runs; an adjoint counts as one)
Update = Callable[[Problem, Array, Any], tuple[Array, Any, Array]]


@dataclass(frozen=True)
class GradientMethod(Descent):
    """An optax optimiser in whitened coordinates, `inner` updates between judgements."""

    name: str
    optimiser: Any
    update: Update
    inner: int
    max_iterations: int
    tolerance: float

    def init(self, problem: Problem, u: Float[Array, " parameter"]) -> GradientState:
        return GradientState(unjudged(u), self.optimiser.init(u))

    def advance(self, problem: Problem, state: GradientState) -> GradientState:
        def update(_: Array, carry: tuple) -> tuple:
            u, optimiser, runs = carry
            # Optax mixes widths of numbers, which strict promotion would refuse.
            with jax.numpy_dtype_promotion("standard"):
                u, optimiser, cost = self.update(problem, u, optimiser)
            return u, optimiser, runs + cost

        # The first iteration only judges the start.
        inner = jnp.where(jnp.isinf(state.iterate.cost), 0, self.inner)
        carry = (state.iterate.u, state.optimiser, state.iterate.model_runs)
        u, optimiser, runs = jax.lax.fori_loop(0, inner, update, carry)
        return GradientState(self._judge(problem, u, runs), optimiser)

    def _judge(self, problem: Problem, u: Float[Array, " parameter"], runs: Array | int) -> Iterate:
        equations = problem.normal_equations(u)
        remaining = remaining_step(problem, u, equations)
        status = jnp.where(remaining < self.tolerance, CONVERGED, RUNNING)
        status = jnp.where(jnp.isfinite(equations.cost), status, NOT_FINITE)
        return Iterate(u, equations.cost, remaining, status, jnp.asarray(runs) + 1 + len(u))


@functools.cache
def adam(
    max_iterations: int = 200, tolerance: float = 1e-3, learning_rate: float = 0.05
) -> GradientMethod:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), 25 updates per recorded iteration.

    The learning rate falls a thousandfold over the run: at a constant rate Adam's steps do not
    vanish at the minimum.
    """
    import optax

    inner = 25
    schedule = optax.exponential_decay(learning_rate, inner * max_iterations, 1e-3)
    optimiser: Any = optax.adam(schedule)

    def update(problem: Problem, u: Array, state: Any) -> tuple[Array, Any, Array]:
        updates, state = optimiser.update(jax.grad(problem.cost)(u), state, u)
        return u + updates, state, jnp.asarray(2)

    return GradientMethod("adam", optimiser, update, inner, max_iterations, tolerance)


@functools.cache
def lbfgs(max_iterations: int = 200, tolerance: float = 1e-3) -> GradientMethod:
    """L-BFGS (Liu and Nocedal 1989, doi:10.1007/BF01589116) with a zoom line search.

    Five updates per recorded iteration.
    """
    import optax

    optimiser: Any = optax.lbfgs(memory_size=10)

    def update(problem: Problem, u: Array, state: Any) -> tuple[Array, Any, Array]:
        cost, gradient = optax.value_and_grad_from_state(problem.cost)(u, state=state)
        updates, state = optimiser.update(
            gradient, state, u, value=cost, grad=gradient, value_fn=problem.cost
        )
        searched = optax.tree_utils.tree_get(state, "num_linesearch_steps")
        return u + updates, state, 2 * (1 + jnp.asarray(searched))

    return GradientMethod("lbfgs", optimiser, update, 5, max_iterations, tolerance)
