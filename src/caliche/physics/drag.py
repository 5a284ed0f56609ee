"""Transfer coefficients between surface and air: neutral, or after Monin and Obukhov.

Stability functions of Land Dynamics: Dyer's for unstable air; for stable air
phi = 1 + zeta (5 + b zeta) / (1 + zeta) with b = 1 / Ri_c.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.switches import smooth_cap, smooth_plus

Scalar = Float[Array, ""]

VON_KARMAN = 0.40
GRAVITY = 9.80665  # m s-2; CGPM 1901, exact
CRITICAL = 2.0  # Richardson number beyond which stable air does not exchange
FLOOR = 1e-5  # of either coefficient
_SLOPE = 1.0 / CRITICAL
# Richardson number that counts as the greatest; the coefficients have all but reached their floor.
_MOST_STABLE = 1.7
_ITERATIONS = 3


def neutral(log_momentum: Scalar, log_heat: Scalar) -> tuple[Scalar, Scalar]:
    """Coefficients C_M, C_H from ln(z / z0) and ln(z / z0h) (1)."""
    return (VON_KARMAN / log_momentum) ** 2, VON_KARMAN**2 / (log_momentum * log_heat)


def bulk_richardson(
    height: float, surface: Scalar, air: Scalar, wind: Scalar, gravity: float = GRAVITY
) -> Scalar:
    """Bulk Richardson number from virtual potential temperatures (K), height (m), wind (m s-1)."""
    return gravity * height * (air - surface) / (surface * (wind * wind + 1e-4))


def monin_obukhov(
    richardson: Scalar, log_momentum: Scalar, log_heat: Scalar, sharp: bool = False
) -> tuple[Scalar, Scalar]:
    """Coefficients C_M and C_H at a bulk Richardson number, continuous and not below 1e-5.

    Derivatives are those of the solution, by the implicit function theorem.

    Parameters
    ----------
    log_momentum, log_heat : ln(z / z0) and ln(z / z0h).
    sharp : as in the original, coefficients jump to 1e-5 at 0.95 of the critical number.
    """
    if sharp:
        most = 0.95 * CRITICAL
        capped = jnp.minimum(richardson, most)
    else:
        most = _MOST_STABLE
        capped = most * smooth_cap(richardson / most, 0.05)
    momentum, heat = _solved(capped, log_momentum, log_heat)
    if sharp:
        floor = jnp.sqrt(FLOOR)
        momentum, heat = (jnp.maximum(VON_KARMAN / f, floor) for f in (momentum, heat))
        stuck = richardson >= most
        kept = [jnp.where(stuck, FLOOR, c) for c in (momentum * momentum, momentum * heat)]
        return kept[0], kept[1]
    values = VON_KARMAN**2 / (momentum * momentum), VON_KARMAN**2 / (momentum * heat)
    floored = [FLOOR + smooth_plus(c - FLOOR, 0.5 * FLOOR) for c in values]
    return floored[0], floored[1]


def _solved(richardson: Scalar, log_momentum: Scalar, log_heat: Scalar) -> tuple[Scalar, Scalar]:
    """f_m and f_h where zeta = z / L is the root of zeta f_h / f_m^2 = Ri."""
    fixed = jax.lax.stop_gradient((richardson, log_momentum, log_heat))
    zeta = _first_guess(*fixed)
    for _ in range(_ITERATIONS):
        zeta = zeta - _newton(zeta, *fixed)[0]
    # One more step at the root, which moves f_m and f_h along their tangents. The derivatives of
    # its residual are those that the implicit function theorem asks for.
    step, (momentum, heat), (by_momentum, by_heat) = _newton(
        zeta, richardson, log_momentum, log_heat
    )
    return momentum - by_momentum * step, heat - by_heat * step


def _newton(
    zeta: Scalar, richardson: Scalar, log_momentum: Scalar, log_heat: Scalar
) -> tuple[Scalar, tuple[Scalar, Scalar], tuple[Scalar, Scalar]]:
    """Newton's step down from zeta; the integrals there and their slopes."""
    (momentum, heat), (by_momentum, by_heat) = jax.jvp(
        lambda x: _integrals(x, log_momentum, log_heat), (zeta,), (jnp.ones_like(zeta),)
    )
    inverse = 1.0 / momentum
    unsolved = zeta * heat * inverse * inverse - richardson
    slope = (heat + zeta * (by_heat - 2.0 * heat * by_momentum * inverse)) * inverse * inverse
    return unsolved / jax.lax.stop_gradient(slope), (momentum, heat), (by_momentum, by_heat)


def _first_guess(richardson: Scalar, log_momentum: Scalar, log_heat: Scalar) -> Scalar:
    """Unstable: Ri ln^2(z / z0) / ln(z / z0h). Stable: the root if the logarithm in f were known.

    Four steps of Newton's method from here leave less than 1e-12 of it.
    """
    positive, low = jnp.maximum(richardson, 0.0), jnp.exp(-log_momentum)
    slope_m, slope_h = _SLOPE * (1.0 - low), _SLOPE * (1.0 - jnp.exp(-log_heat))

    def root(more: Scalar | float) -> Scalar:
        momentum, heat = log_momentum + more, log_heat + more
        bend = slope_h - positive * slope_m * slope_m
        middle = heat - 2.0 * positive * slope_m * momentum
        last = positive * momentum * momentum
        return 2.0 * last / (middle + jnp.sqrt(middle * middle + 4.0 * bend * last))

    first = root(0.0)
    stable = root((5.0 - _SLOPE) * jnp.log((1.0 + first) / (1.0 + low * first)))
    unstable = richardson * log_momentum * log_momentum / log_heat
    return jnp.where(richardson > 0.0, stable, unstable)


def _integrals(zeta: Scalar, log_momentum: Scalar, log_heat: Scalar) -> tuple[Scalar, Scalar]:
    """f_m and f_h: integrals of phi / zeta from the roughness length to the height.

    One logarithm serves both sides: its argument on the side where zeta is not, is 1.
    """
    low_m, low_h = jnp.exp(-log_momentum), jnp.exp(-log_heat)
    is_stable = zeta >= 0.0
    unstable, stable = jnp.where(is_stable, 0.0, zeta), jnp.where(is_stable, zeta, 0.0)
    y, y_m, y_h = (jnp.sqrt(1.0 - 16.0 * low * unstable) for low in (1.0, low_m, low_h))
    x, x_m = jnp.sqrt(y), jnp.sqrt(y_m)
    above, below_m, below_h = 1.0 + stable, 1.0 + low_m * stable, 1.0 + low_h * stable
    angle = 2.0 * _arctan((x - x_m) / (1.0 + x * x_m))
    tilted = (1.0 + x) * (1.0 + x) * (1.0 + y) * above
    log_m = jnp.log(tilted / ((1.0 + x_m) * (1.0 + x_m) * (1.0 + y_m) * below_m))
    log_h = jnp.log((1.0 + y) * above / ((1.0 + y_h) * below_h))
    rising = 5.0 - _SLOPE
    momentum = jnp.where(is_stable, rising, -1.0) * log_m + angle
    heat = jnp.where(is_stable, rising, -2.0) * log_h
    return (
        log_momentum + momentum + _SLOPE * stable * (1.0 - low_m),
        log_heat + heat + _SLOPE * stable * (1.0 - low_h),
    )


# Of arctan(t) / t in t^2, for t up to tan(pi / 8): Chebyshev interpolation of degree 8.
_ARCTAN = (
    0.9999999999999745,
    -0.3333333333087284,
    0.19999999613364464,
    -0.1428569081805377,
    0.11110394059222084,
    -0.09078504028073683,
    0.07564474229822775,
    -0.05877268977107355,
    0.030702703926526288,
)


def _arctan(t: Scalar) -> Scalar:
    """arctan of 0 <= t <= 1, within 3e-14 of it.

    A polynomial after halving the angle: JAX 0.10.2 returns wrong values for vectors of 50 numbers
    and more (jax-ml/jax issue 39352), and this is faster.
    """
    half = t / (1.0 + jnp.sqrt(1.0 + t * t))
    square = half * half
    ratio = jnp.asarray(_ARCTAN[-1])
    for coefficient in _ARCTAN[-2::-1]:
        ratio = coefficient + square * ratio
    return 2.0 * half * ratio
