"""Spin-up to a periodic state, differentiated by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

# Largest change over a period that counts as none, in the units of the state (K, kg m-2).
UNCHANGED = 1e-9
MOST_ITERATIONS = 30
# A state that a period still changes by more than this is not periodic.
PERIODIC = 1e-3
# Singular values below this share of the largest belong to what the period does not restore.
NOT_RESTORED = 1e-10


def periodic_state(advance: Callable[[Any], Any], guess: Any) -> Any:
    """The state that `advance`, a run over one period, gives back unchanged.

    Newton's method on all of the state, so that slow deep layers cost no more than fast ones; the
    derivatives of the state by all that `advance` depends on are those of the fixed point, and no
    derivative goes through the iterations. What the period does not restore, such as a bottom of
    given temperature or all of a water that cannot leave, stays as it is in the guess. Where no
    periodic state is found the state is NaN, and a run from it counts as failed.

    Parameters
    ----------
    advance : state at the end of the period as a function of that at its start.
    guess : state to start from.
    """
    start, unravel = ravel_pytree(guess)

    def change(x: Float[Array, " state"]) -> Float[Array, " state"]:
        return ravel_pytree(advance(unravel(x)))[0] - x

    kept = jax.lax.stop_gradient(_not_restored(jax.jacfwd(change)(start)))

    def equation(x: Float[Array, " state"]) -> Float[Array, " state"]:
        return change(x) + kept @ (x - start)

    def solve(function: Callable, x: Float[Array, " state"]) -> Float[Array, " state"]:
        def unfinished(carry: tuple) -> Array:
            _, last, count = carry
            return (jnp.max(jnp.abs(last)) > UNCHANGED) & (count < MOST_ITERATIONS)

        def iterate(carry: tuple) -> tuple:
            x, last, count = carry
            x = x - jnp.linalg.solve(jax.jacfwd(function)(x), last)
            return x, function(x), count + 1

        first = (x, function(x), jnp.asarray(0))
        x, last, _ = jax.lax.while_loop(unfinished, iterate, first)
        return jnp.where(jnp.max(jnp.abs(last)) <= PERIODIC, x, jnp.nan)

    def tangent_solve(linear: Callable, right: Float[Array, " state"]) -> Float[Array, " state"]:
        return jnp.linalg.solve(jax.jacfwd(linear)(jnp.zeros_like(right)), right)

    return unravel(jax.lax.custom_root(equation, start, solve, tangent_solve))


def _not_restored(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Projection on the combinations of the state that never change over a period: those that the
    derivative of the change, multiplied from the left, makes zero."""
    left, size, _ = jnp.linalg.svd(matrix)
    left = jnp.where(size <= NOT_RESTORED * size[0], left, 0.0)
    return left @ left.T
