"""Covariances of a Gaussian process and of its derivatives, for the two kernels of the emulators.

A radial kernel k(x, x') = g(s) with s = sum_i (d_i / l_i)^2, d = x - x', one length-scale l_i an
input. With w_i = d_i / l_i^2 and primes on g for derivatives by s,

    cov(f, df'/dx'_j) = -2 g' w_j
    cov(df/dx_i, f') = 2 g' w_i
    cov(df/dx_i, df'/dx'_j) = -4 g'' w_i w_j - 2 g' delta_ij / l_i^2

(Rasmussen and Williams 2006, section 9.4, ISBN 0-262-18253-X; Solak et al. 2003). Written with g,
g' and g'' nothing is divided by zero where two points meet.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

MATERN, SQUARED = "matern52", "squared-exponential"
KERNELS = (MATERN, SQUARED)
# Added to s under the root: the slope by a length-scale is then zero where points meet, not NaN.
_MEET = 1e-30


class Profile(NamedTuple):
    """g(s), g'(s) and g''(s) of a kernel, all of the shape of s."""

    g: Array
    first: Array
    second: Array


def profile(kernel: str, s: Array) -> Profile:
    """The kernel and its two derivatives by the squared scaled distance s."""
    if kernel == SQUARED:
        g = jnp.exp(-0.5 * s)
        return Profile(g, -0.5 * g, 0.25 * g)
    # The factor of r, so that g has the derivative g' also where r is guarded.
    root = jnp.sqrt(5.0) * jnp.sqrt(s + _MEET)
    fall = jnp.exp(-root)
    return Profile(
        (1.0 + root + 5.0 / 3.0 * s) * fall, -5.0 / 6.0 * (1.0 + root) * fall, 25.0 / 12.0 * fall
    )


def slope_variance(kernel: str) -> float:
    """Variance of a slope of a process of variance 1 and length-scale 1: -2 g'(0)."""
    return 1.0 if kernel == SQUARED else 5.0 / 3.0


def covariance(
    kernel: str,
    scales: Float[Array, " p"],
    first: Float[Array, "n p"],
    first_slopes: Float[Array, "a p"],
    second: Float[Array, "m p"],
    second_slopes: Float[Array, "b p"],
) -> Float[Array, "row column"]:
    """Covariance (n + a P, m + b P), for a process of variance 1.

    Rows are values at `first`, then the slopes at `first_slopes`, those of one point together;
    columns are alike.

    Parameters
    ----------
    scales : length-scales (P,).
    """
    a, b, p = len(first_slopes), len(second_slopes), len(scales)
    inverse = 1.0 / scales
    values = profile(kernel, _apart(first, second, inverse)[0]).g
    top, left, corner = [values], None, None
    if b:
        s, w = _apart(first, second_slopes, inverse)
        cross = -2.0 * profile(kernel, s).first[:, :, None] * w
        top.append(cross.reshape(len(first), b * p))
    if a:
        s, w = _apart(first_slopes, second, inverse)
        cross = 2.0 * profile(kernel, s).first[:, :, None] * w
        left = cross.transpose(0, 2, 1).reshape(a * p, len(second))
    if a and b:
        s, w = _apart(first_slopes, second_slopes, inverse)
        shape = profile(kernel, s)
        bend = -4.0 * shape.second[:, :, None, None] * w[:, :, :, None] * w[:, :, None, :]
        own = -2.0 * shape.first[:, :, None, None] * jnp.diag(inverse**2)[None, None]
        corner = (bend + own).transpose(0, 2, 1, 3).reshape(a * p, b * p)
    rows = [jnp.concatenate(top, axis=1)]
    if left is not None:
        rows.append(left if corner is None else jnp.concatenate([left, corner], axis=1))
    return jnp.concatenate(rows, axis=0)


def _apart(
    first: Float[Array, "n p"], second: Float[Array, "m p"], inverse: Float[Array, " p"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m p"]]:
    """Squared scaled distances, and w = d / l^2."""
    scaled = (first[:, None, :] - second[None, :, :]) * inverse[None, None, :]
    return jnp.sum(scaled**2, axis=-1), scaled * inverse[None, None, :]
