"""Smooth switches of finite width: exact on either side, twice differentiable in between.

Where the argument is more than `width` away from the switch, each equals the sharp function it
stands for, so that no melt, frost or drainage leaks into times that have none. Polynomials only.

Their slopes are written out: each is a polynomial as short as the switch itself, in both modes of
differentiation, where the rule of products would be several times as long.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.tangents import along

Scalar = Float[Array, ""]


@jax.custom_jvp
def smooth_step(x: Scalar) -> Scalar:
    """0 below x = 0, 1 above x = 1; once differentiable."""
    t = jnp.clip(x, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@smooth_step.defjvp
def _smooth_step_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    t = jnp.clip(primals[0], 0.0, 1.0)
    return smooth_step(primals[0]), 6.0 * t * (1.0 - t) * tangents[0]


@jax.custom_jvp
def smooth_plus(x: Scalar, width: Scalar | float) -> Scalar:
    """max(x, 0), rounded where |x| < width (in units of x); never below it."""
    t = jnp.clip(0.5 * (x / width + 1.0), 0.0, 1.0)
    return 2.0 * width * t * t * t * (1.0 - 0.5 * t) + jnp.maximum(x - width, 0.0)


def _smooth_plus_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    x, width = primals
    value, slope = smooth_plus(x, width), smooth_step(0.5 * (x / width + 1.0))
    # With another width it has the same shape.
    by_width = (value - x * slope) / width
    return value, along([slope, by_width], tangents, value)


smooth_plus.defjvp(_smooth_plus_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def smooth_cap(x: Scalar, width: float) -> Scalar:
    """min(x, 1), rounded where |x - 1| < width; never above it, nor above 1."""
    t = jnp.clip((0.5 / width) * (x - 1.0) + 0.5, 0.0, 1.0)
    rounded = 2.0 * width * (t - t * t * t * (1.0 - 0.5 * t))
    return jnp.minimum(x, 1.0 - width) + rounded


@smooth_cap.defjvp
def _smooth_cap_jvp(width: float, primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    (x,), (x_dot,) = primals, tangents
    return smooth_cap(x, width), _slope_of_cap(x, width) * x_dot


def _slope_of_cap(x: Scalar, width: float) -> Scalar:
    return smooth_step(0.5 - (0.5 / width) * (x - 1.0))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def capped_share(x: Scalar, width: float) -> Scalar:
    """Of x, the share that `smooth_cap` leaves: 1 where x < 1 - width, also at and below zero."""
    below = x < 0.5 * (1.0 - width)
    return jnp.where(below, 1.0, smooth_cap(x, width) / jnp.where(below, 1.0, x))


@capped_share.defjvp
def _capped_share_jvp(width: float, primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    (x,), (x_dot,) = primals, tangents
    share = capped_share(x, width)
    slope = (_slope_of_cap(x, width) - share) / jnp.where(x < 0.5 * (1.0 - width), 1.0, x)
    return share, slope * x_dot


def smooth_ramp(x: Scalar, width: float) -> Scalar:
    """x between 0 and 1, held there outside; rounded within `width` of either corner."""
    return smooth_plus(x, width) - smooth_plus(x - 1.0, width)
