"""Smooth switches of finite width: exact on either side, twice differentiable in between.

Where the argument is more than `width` away from the switch, each equals the sharp function it
stands for, so that no melt, frost or drainage leaks into times that have none. Polynomials only.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def smooth_step(x: Scalar) -> Scalar:
    """0 below x = 0, 1 above x = 1; once differentiable."""
    t = jnp.clip(x, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def smooth_plus(x: Scalar, width: Scalar | float) -> Scalar:
    """max(x, 0), rounded where |x| < width (in units of x); never below it."""
    t = jnp.clip(0.5 * (x / width + 1.0), 0.0, 1.0)
    return 2.0 * width * t * t * t * (1.0 - 0.5 * t) + jnp.maximum(x - width, 0.0)


def smooth_cap(x: Scalar, width: float) -> Scalar:
    """min(x, 1), rounded where |x - 1| < width; never above it, nor above 1."""
    t = jnp.clip(0.5 * ((x - 1.0) / width + 1.0), 0.0, 1.0)
    rounded = 2.0 * width * (t - t * t * t * (1.0 - 0.5 * t))
    return jnp.minimum(x, 1.0 - width) + rounded


def capped_share(x: Scalar, width: float) -> Scalar:
    """Of x, the share that `smooth_cap` leaves: 1 where x < 1 - width, also at and below zero."""
    below = x < 0.5 * (1.0 - width)
    return jnp.where(below, 1.0, smooth_cap(x, width) / jnp.where(below, 1.0, x))


def smooth_ramp(x: Scalar, width: float) -> Scalar:
    """x between 0 and 1, held there outside; rounded within `width` of either corner."""
    return smooth_plus(x, width) - smooth_plus(x - 1.0, width)
