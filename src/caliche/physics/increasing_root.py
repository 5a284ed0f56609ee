"""The root of an increasing function of one variable: bracketed Newton, implicit derivatives.

Newton's method by itself can overshoot and end in a cycle. Here every value also narrows an
interval with the root in it, and a step that would leave that interval halves it instead, so that
it always converges where there is a root. No derivative goes through the iterations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.tangents import known

Scalar = Float[Array, ""]

# The error of Newton's method squares itself: after a step below this, it is near round-off.
LAST_STEP = 1e-6
# Beyond so many steps of Newton's method every other one halves the interval.
PATIENCE = 8
# Enough to halve 1e6 down to LAST_STEP, every other time.
MOST_ITERATIONS = 100


def solve_increasing(
    function: Callable[[Scalar], tuple[Scalar, Any]],
    guess: Scalar,
    lower: Scalar,
    upper: Scalar,
) -> tuple[Scalar, Any]:
    """Where an increasing function is zero, and what else it computes there.

    Parameters
    ----------
    function : of x, gives the value whose zero is asked for, and a pytree of arrays besides. May
        close over anything: derivatives reach it by the implicit function theorem, exact in both
        modes of differentiation.
    guess : first guess of x.
    lower, upper : bounds of x. The function is taken to be negative at the first and positive at
        the second, and is not evaluated there.

    Returns
    -------
    x and the rest of `function(x)`; NaN where there is no root within the bounds. A function that
    is not increasing everywhere has one of its upward crossings found.
    """
    converted, captured = jax.closure_convert(function, guess)
    where = (jax.lax.stop_gradient(x) for x in (guess, lower, upper))
    return _solve(converted, tuple(captured), *where)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _solve(
    function: Callable, captured: tuple, guess: Scalar, lower: Scalar, upper: Scalar
) -> tuple[Scalar, Any]:
    def unfinished(carry: tuple) -> Array:
        _, step, _, _, count = carry
        return (jnp.abs(step) > LAST_STEP) & (count < MOST_ITERATIONS)

    def again(carry: tuple) -> tuple:
        x, step, low, high, count = carry
        after = x - step
        halve = (count > PATIENCE) & (count % 2 == 0)
        inside = (after > low) & (after < high) & ~halve
        x = jnp.where(inside, after, 0.5 * (low + high))
        return narrowed(x, low, high, count)

    def narrowed(x: Scalar, low: Scalar, high: Scalar, count: Array) -> tuple:
        one = jnp.ones_like(x)
        value, slope = jax.jvp(lambda x: function(x, *captured)[0], (x,), (one,))
        below = value < 0.0
        low, high = jnp.where(below, x, low), jnp.where(below, high, x)
        return x, value / slope, low, high, count + 1

    first = narrowed(guess, lower, upper, jnp.asarray(0))
    x, step, _, _, _ = jax.lax.while_loop(unfinished, again, first)
    x = jnp.where(jnp.abs(step) <= LAST_STEP, x - step, jnp.nan)
    return x, function(x, *captured)[1]


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(function: Callable, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    captured, captured_dot = primals[0], [known(dot) for dot in tangents[0]]
    x, _ = _solve(function, *primals)
    # One linearisation at the solution: by x, and along all that moves.
    one = jnp.ones_like(x)
    (_, rest), (slope, by_x) = jax.jvp(lambda x: function(x, *captured), (x,), (one,))
    moving = [dot is not None for dot in captured_dot]
    if not any(moving):
        return (x, rest), (jnp.zeros_like(x), jax.tree.map(jnp.zeros_like, rest))

    def of_moving(*values: Array) -> tuple[Scalar, Any]:
        left = iter(values)
        every = [next(left) if m else c for m, c in zip(moving, captured, strict=True)]
        return function(x, *every)

    at = tuple(c for m, c in zip(moving, captured, strict=True) if m)
    along = tuple(dot for dot in captured_dot if dot is not None)
    _, (moved, rest_dot) = jax.jvp(of_moving, at, along)
    x_dot = -moved / slope
    return (x, rest), (x_dot, jax.tree.map(lambda a, b: a + b * x_dot, rest_dot, by_x))
