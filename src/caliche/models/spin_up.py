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
# Singular values below this share of the largest belong to what the period does not restore, such
# as a bottom of given temperature: there the state stays as it was.
NOT_RESTORED = 1e-10


def periodic_state(advance: Callable[[Any], Any], guess: Any) -> Any:
    """The state that `advance`, a run over one period, gives back unchanged.

    Newton's method on all of the state, so that slow deep layers cost no more than fast ones; the
    derivatives of the state by all that `advance` depends on are those of the fixed point, and no
    derivative goes through the iterations. A part of the state that the period does not restore
    keeps the value of the guess. Where there is no periodic state near the guess, what is returned
    is where the iteration stopped.

    Parameters
    ----------
    advance : state at the end of the period as a function of that at its start.
    guess : state to start from.
    """
    start, unravel = ravel_pytree(guess)

    def change(x: Float[Array, " state"]) -> Float[Array, " state"]:
        return ravel_pytree(advance(unravel(x)))[0] - x

    def solve(function: Callable, x: Float[Array, " state"]) -> Float[Array, " state"]:
        def unfinished(carry: tuple) -> Array:
            _, last, count = carry
            return (jnp.max(jnp.abs(last)) > UNCHANGED) & (count < MOST_ITERATIONS)

        def iterate(carry: tuple) -> tuple:
            x, last, count = carry
            x = x - _least(jax.jacfwd(function)(x), last)
            return x, function(x), count + 1

        return jax.lax.while_loop(unfinished, iterate, (x, function(x), jnp.asarray(0)))[0]

    def tangent_solve(linear: Callable, right: Float[Array, " state"]) -> Float[Array, " state"]:
        return _least(jax.jacfwd(linear)(jnp.zeros_like(right)), right)

    # The guess enters only where nothing is restored; there the root moves with it.
    return unravel(jax.lax.custom_root(change, start, solve, tangent_solve))


def _least(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """The shortest solution, which leaves alone what the matrix does not reach."""
    return jnp.linalg.pinv(matrix, rtol=NOT_RESTORED) @ right
