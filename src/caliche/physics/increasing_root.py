"""The root of an increasing function of one variable: bracketed Newton, implicit derivatives.

Newton's method by itself can overshoot and end in a cycle. Here every value also narrows an
interval with the root in it, and a step that would leave that interval halves it instead, so that
it always converges where there is a root. No derivative goes through the iterations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.tangents import kept_for_reverse, known

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
    def unfinished(now: _Search) -> Array:
        return (jnp.abs(now.step) > LAST_STEP) & (now.steps < MOST_ITERATIONS)

    def again(now: _Search) -> _Search:
        halve = (now.steps > PATIENCE) & (now.steps % 2 == 0)
        inside = (now.after > now.low) & (now.after < now.high) & ~halve
        x = jnp.where(inside | (now.steps == 0), now.after, 0.5 * (now.low + now.high))
        one = jnp.ones_like(x)
        value, slope = jax.jvp(lambda x: function(x, *captured)[0], (x,), (one,))
        below, step = value < 0.0, value / slope
        low, high = jnp.where(below, x, now.low), jnp.where(below, now.high, x)
        return _Search(x - step, step, low, high, now.steps + 1)

    # All steps are in the loop, the first one too: the function is compiled in it once.
    begin = _Search(guess, jnp.full_like(guess, jnp.inf), lower, upper, jnp.asarray(0))
    found = jax.lax.while_loop(unfinished, again, begin)
    x = jnp.where(jnp.abs(found.step) <= LAST_STEP, found.after, jnp.nan)
    return x, function(x, *captured)[1]


class _Search(NamedTuple):
    """Where a search stands: the root is from `low` to `high`, and next looked for `after`."""

    after: Scalar
    step: Scalar
    low: Scalar
    high: Scalar
    steps: Array


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(function: Callable, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    captured, captured_dot = primals[0], [known(dot) for dot in tangents[0]]
    x = kept_for_reverse(_solve(function, *primals)[0])
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
