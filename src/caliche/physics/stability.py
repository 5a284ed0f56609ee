"""Monin-Obukhov similarity: turbulent transfer between a rough surface and a height above it.

With zeta = z / L (L the Obukhov length), roughness lengths z0m of momentum and z0h of heat, and
phi the dimensionless gradients, the integrals f = int phi / zeta dzeta from zeta z0 / z to zeta
give the transfer coefficients and the bulk Richardson number,

    C_M = (k / f_m)^2,   C_H = k^2 / (f_m f_h),   Ri_b = zeta f_h / f_m^2.

Unstable: phi_m = (1 - 16 zeta)^(-1/4), phi_h = (1 - 16 zeta)^(-1/2) (Dyer 1974,
doi:10.1007/BF00240838). Stable: phi = 1 + zeta (5 + b zeta) / (1 + zeta) with b = 1 / Ri_c and
Ri_c = 2, as in GFDL's Land Dynamics model (Milly and Shmakin 2002,
doi:10.1175/1525-7541(2002)003<0283:GMOLWA>2.0.CO;2). Everything is continuous at neutral stability,
where the two branches differ in slope.

Roughness enters as `log_momentum` = ln(z / z0m) and `log_heat` = ln(z / z0h). zeta is unique for
every Ri_b where log_momentum >= 3 and 0 <= ln(z0m / z0h) <= 6, and for lower ratios where
log_momentum is smaller (2 where it is above 1).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.constants import GRAVITY, VON_KARMAN
from caliche.physics.tangents import along, kept_for_reverse

Scalar = Float[Array, ""]

_UNSTABLE = 16.0
_FAR = 1.0 / 2.0  # b: slope of phi in very stable air, 1 / Ri_c
_NEAR = 5.0 - _FAR
CRITICAL_RICHARDSON_NUMBER = 1.0 / _FAR

# g times the greatest excess of a surface's temperature over the air's, relative, that may occur:
# Ri_b = -this z / U^2 is below what any weather brings, m s-2.
RICHARDSON_PER_HEIGHT = 0.2 * GRAVITY

LEAST_TRANSFER = 1e-5  # floor of both coefficients, as in the Land Dynamics code
# Both coefficients are below a tenth of the floor there: beyond it, zeta is not followed.
MOST_STABLE = 1000.0
# On either side of the Richardson number that belongs to it, as a share, zeta bends to a constant.
_BEND = 0.02
# From the first guess to round-off, over the roughness lengths above.
_STEPS = 6


# arctan(u) / u in u^2 up to tan(pi / 8): interpolated at Chebyshev points, to round-off.
_TAN = np.tan(np.pi / 8.0)
_ARCTANGENT = np.polynomial.Chebyshev.interpolate(
    lambda v: np.arctan(np.sqrt(v)) / np.sqrt(v), 10, (0.0, _TAN**2)
).convert(kind=np.polynomial.Polynomial)


class Similarity(NamedTuple):
    """Integrated profiles f and their derivatives by zeta."""

    momentum: Scalar
    heat: Scalar
    momentum_slope: Scalar
    heat_slope: Scalar


class TransferCoefficients(NamedTuple):
    """Bulk transfer coefficients of momentum, and of heat and moisture alike (1)."""

    momentum: Scalar
    heat: Scalar


def bulk_richardson_number(
    height: float | Scalar,
    air_temperature: Scalar,
    surface_temperature: Scalar,
    wind_speed: Scalar,
    gravity: float = GRAVITY,
) -> Scalar:
    """Bulk Richardson number g z (theta_a - theta_s) / (theta_s U^2), positive if stable.

    Parameters
    ----------
    height : of the air above the displacement height, m.
    air_temperature, surface_temperature : virtual potential temperatures, K.
    wind_speed : m s-1, above 0.
    """
    excess = air_temperature - surface_temperature
    return (gravity * height) * excess / (surface_temperature * wind_speed**2)


def neutral_transfer_coefficients(log_momentum: Scalar, log_heat: Scalar) -> TransferCoefficients:
    """k^2 / ln(z / z0m)^2 and k^2 / [ln(z / z0m) ln(z / z0h)]."""
    squared = VON_KARMAN**2 / log_momentum
    return TransferCoefficients(squared / log_momentum, squared / log_heat)


def similarity(zeta: Scalar, log_momentum: Scalar, log_heat: Scalar) -> Similarity:
    """f_m, f_h and their slopes by zeta = z / L; the slopes are (phi(zeta) - phi(zeta0)) / zeta."""
    low_m, low_h = jnp.exp(-log_momentum), jnp.exp(-log_heat)
    span_m, span_h = 1.0 - low_m, 1.0 - low_h
    stable = zeta >= 0.0
    rise = jnp.where(stable, zeta, 0.0)

    # x = (1 - 16 zeta)^(1/4) at the height, at z0m (y) and at z0h (w); all 1 if stable.
    fall = _UNSTABLE * jnp.where(stable, 0.0, -zeta)
    xx, yy, ww = (jnp.sqrt(1.0 + fall * low) for low in (1.0, low_m, low_h))
    x, y = jnp.sqrt(xx), jnp.sqrt(yy)
    turn = 2.0 * _arctangent((x - y) / (1.0 + x * y))
    # One logarithm serves both sides: what belongs to the other one is 1 in its argument.
    near, near_m, near_h = 1.0 + rise, 1.0 + rise * low_m, 1.0 + rise * low_h
    rounder = (1.0 + x) ** 2 * (1.0 + xx) / ((1.0 + y) ** 2 * (1.0 + yy))
    lift = jnp.where(stable, _NEAR, -1.0) * jnp.log(rounder * near / near_m)
    lift_heat = jnp.where(stable, _NEAR, -2.0) * jnp.log((1.0 + xx) * near / ((1.0 + ww) * near_h))
    momentum = log_momentum + lift + turn + _FAR * span_m * rise
    heat = log_heat + lift_heat + _FAR * span_h * rise

    # Differences of phi with the factor zeta divided out, so that neutral air is no exception.
    slope_m = jnp.where(
        stable,
        span_m * (_FAR + _NEAR / (near * near_m)),
        _UNSTABLE * span_m / ((x + y) * (xx + yy) * x * y),
    )
    slope_h = jnp.where(
        stable,
        span_h * (_FAR + _NEAR / (near * near_h)),
        _UNSTABLE * span_h / ((xx + ww) * xx * ww),
    )
    return Similarity(momentum, heat, slope_m, slope_h)


def greatest_richardson_number(log_momentum: Scalar, log_heat: Scalar) -> Scalar:
    """The bulk Richardson number at zeta = MOST_STABLE."""

    def integral(log: Scalar) -> Scalar:  # `similarity`, of its stable side alone
        low = MOST_STABLE * jnp.exp(-log)
        return log + _NEAR * jnp.log((1.0 + MOST_STABLE) / (1.0 + low)) + _FAR * (MOST_STABLE - low)

    return MOST_STABLE * integral(log_heat) / integral(log_momentum) ** 2


def stability_parameter(richardson: Scalar, log_momentum: Scalar, log_heat: Scalar) -> Scalar:
    """zeta = z / L that belongs to a bulk Richardson number, at most MOST_STABLE.

    What approaches that limit is bent to it, so that the derivative does not jump. Newton's method,
    a fixed number of steps; the derivative, in both modes, by the implicit function theorem. At
    Ri_b = 0 it is that of the stable side.
    """
    greatest = greatest_richardson_number(log_momentum, log_heat)
    return _solve(_bent(richardson, greatest), log_momentum, log_heat)


@jax.custom_jvp
def _bent(richardson: Scalar, greatest: Scalar) -> Scalar:
    width = _BEND * greatest
    beyond = _beyond(richardson, greatest)
    return jnp.minimum(richardson, greatest + width) - width * beyond * beyond


def _beyond(richardson: Scalar, greatest: Scalar) -> Scalar:
    """How far into the bend a Richardson number is: 0 before it, 1 behind it."""
    return jnp.clip((0.5 / _BEND) * (richardson / greatest - 1.0) + 0.5, 0.0, 1.0)


def _bent_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    richardson, greatest = primals
    bent, slope = _bent(*primals), 1.0 - _beyond(*primals)
    # At another limit it has the same shape.
    by_greatest = (bent - slope * richardson) / greatest
    return bent, along([slope, by_greatest], tangents, bent)


_bent.defjvp(_bent_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _solve(richardson: Scalar, log_momentum: Scalar, log_heat: Scalar) -> Scalar:
    # zeta = neutral * ratio: the ratio is 1 in neutral air and never far from it elsewhere.
    neutral = richardson * log_momentum**2 / log_heat
    stable = richardson >= 0.0
    rise = jnp.where(stable, richardson, 0.0)
    saturating = jnp.maximum(1.0 - _FAR * rise, 0.02)
    ratio = (1.0 + 4.0 * rise / (1.0 + 0.3 * rise)) / saturating

    def newton(_: Array, ratio: Scalar) -> Scalar:
        f = similarity(neutral * ratio, log_momentum, log_heat)
        # Trial over given Richardson number, and the inverse slope of their logarithms.
        excess = ratio * log_momentum**2 * f.heat / (log_heat * f.momentum**2)
        inverse = f.heat / _denominator(neutral * ratio, f)
        # Newton's step in 1 / zeta if stable, else (to second order) in the logarithm of zeta:
        # the variables in which the Richardson number is nearest to linear.
        reciprocal = 1.0 / jnp.maximum(1.0 + (excess - 1.0) * inverse, 0.1)
        more, less = 1.0 + inverse, 1.0 - inverse
        logarithmic = (more + less * excess) / jnp.maximum(less + more * excess, 0.1)
        return ratio * jnp.where(stable, reciprocal, jnp.clip(logarithmic, 0.1, 10.0))

    # A loop rather than its steps written out: a third of the time to compile.
    return neutral * jax.lax.fori_loop(0, _STEPS, newton, ratio)


def _denominator(zeta: Scalar, f: Similarity) -> Scalar:
    """f_m^2 times the derivative of the Richardson number by zeta."""
    return f.heat + zeta * (f.heat_slope - 2.0 * f.heat / f.momentum * f.momentum_slope)


class _Slopes(NamedTuple):
    """Of zeta by the Richardson number and both logarithms, each times `over`; and of f_m and f_h
    by their own logarithm: phi at the roughness length, which is phi(zeta) - zeta f'(zeta)."""

    zeta: tuple[Scalar, Scalar, Scalar]
    over: Scalar
    momentum: Scalar
    heat: Scalar


def _slopes(richardson: Scalar, zeta: Scalar, f: Similarity) -> _Slopes:
    phi_m, phi_h = _gradients(zeta)
    low_m, low_h = phi_m - zeta * f.momentum_slope, phi_h - zeta * f.heat_slope
    by = f.momentum**2, 2.0 * richardson * f.momentum * low_m, -zeta * low_h
    return _Slopes(by, _denominator(zeta, f), low_m, low_h)


def _solve_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    zeta = kept_for_reverse(_solve(*primals))
    by = _slopes(primals[0], zeta, similarity(zeta, *primals[1:]))
    return zeta, along(by.zeta, tangents, zeta) / by.over


_solve.defjvp(_solve_jvp, symbolic_zeros=True)


def _arctangent(tangent: Scalar) -> Scalar:
    """arctan, from half the angle, for tangents of 0 to 1.

    `jnp.arctan` of arrays is wrong on processors with wide vectors in jaxlib 0.10.2
    (https://github.com/jax-ml/jax/issues/39352).
    """
    half = tangent / (1.0 + jnp.sqrt(1.0 + tangent * tangent))
    total = jnp.zeros_like(half)
    for coefficient in _ARCTANGENT.coef[::-1].tolist():
        total = total * (half * half) + coefficient
    return 2.0 * half * total


def _gradients(zeta: Scalar) -> tuple[Scalar, Scalar]:
    """The dimensionless gradients phi_m and phi_h."""
    stable = zeta >= 0.0
    rise, fall = jnp.where(stable, zeta, 0.0), jnp.where(stable, 0.0, -zeta)
    root = jnp.sqrt(1.0 + _UNSTABLE * fall)
    above = 1.0 + rise * (5.0 + _FAR * rise) / (1.0 + rise)
    return jnp.where(stable, above, 1.0 / jnp.sqrt(root)), jnp.where(stable, above, 1.0 / root)


def with_floor(coefficient: Scalar) -> Scalar:
    """(C + sqrt(C^2 + 4 floor^2)) / 2: above LEAST_TRANSFER, and C itself to 1e-4 from 1e-3 on.

    Smooth, where the original code has max(C, floor) and a jump to the floor at 0.95 Ri_c.
    """
    return 0.5 * (coefficient + jnp.sqrt(coefficient**2 + 4.0 * LEAST_TRANSFER**2))


def transfer_coefficients(
    richardson: Scalar,
    log_momentum: Scalar,
    log_heat: Scalar,
    greatest: Scalar | None = None,
) -> TransferCoefficients:
    """C_M and C_H at a bulk Richardson number, with a smooth floor (`with_floor`).

    Parameters
    ----------
    log_momentum, log_heat : ln(z / z0m) and ln(z / z0h).
    greatest : `greatest_richardson_number` of these, where it is known already.
    """
    c = unlimited_coefficients(richardson, log_momentum, log_heat, greatest)
    return TransferCoefficients(with_floor(c.momentum), with_floor(c.heat))


def transfer_coefficients_with_jump(
    richardson: Scalar,
    log_momentum: Scalar,
    log_heat: Scalar,
    greatest: Scalar | None = None,
) -> TransferCoefficients:
    """As the original code has them: k / f not below the floor's root, and a jump at 0.95 Ri_c."""
    c = unlimited_coefficients(richardson, log_momentum, log_heat, greatest)
    floor = LEAST_TRANSFER**0.5
    momentum = jnp.sqrt(c.momentum)
    heat = jnp.maximum(c.heat / momentum, floor)
    momentum = jnp.maximum(momentum, floor)
    calm = richardson >= 0.95 * CRITICAL_RICHARDSON_NUMBER
    values = (jnp.where(calm, LEAST_TRANSFER, momentum * f) for f in (momentum, heat))
    return TransferCoefficients(*values)


def unlimited_coefficients(
    richardson: Scalar,
    log_momentum: Scalar,
    log_heat: Scalar,
    greatest: Scalar | None = None,
) -> TransferCoefficients:
    """C_M and C_H without a floor, constant beyond zeta = MOST_STABLE."""
    if greatest is None:
        greatest = greatest_richardson_number(log_momentum, log_heat)
    return _coefficients(_bent(richardson, greatest), log_momentum, log_heat)


def _profiles(
    richardson: Scalar, log_momentum: Scalar, log_heat: Scalar
) -> tuple[Scalar, Similarity]:
    zeta = kept_for_reverse(_solve(richardson, log_momentum, log_heat))
    f = similarity(zeta, log_momentum, log_heat)
    momentum, heat = kept_for_reverse((f.momentum, f.heat))
    return zeta, f._replace(momentum=momentum, heat=heat)


@jax.custom_jvp
def _coefficients(
    richardson: Scalar, log_momentum: Scalar, log_heat: Scalar
) -> TransferCoefficients:
    return _transfer(_profiles(richardson, log_momentum, log_heat)[1])


def _transfer(f: Similarity) -> TransferCoefficients:
    scaled = VON_KARMAN**2 / f.momentum
    return TransferCoefficients(scaled / f.momentum, scaled / f.heat)


def _coefficients_jvp(
    primals: tuple, tangents: tuple
) -> tuple[TransferCoefficients, TransferCoefficients]:
    # By each argument one slope, a number: however many tangents there are, it is found once.
    zeta, f = _profiles(*primals)
    by, found = _slopes(primals[0], zeta, f), _transfer(f)
    # Relative slopes of f_m and f_h, times `by.over`.
    momentum = [f.momentum_slope / f.momentum * z for z in by.zeta]
    heat = [f.heat_slope / f.heat * z for z in by.zeta]
    momentum[1] = momentum[1] + by.over * by.momentum / f.momentum
    heat[2] = heat[2] + by.over * by.heat / f.heat

    def moved(value: Scalar, *relative: list[Scalar]) -> Scalar:
        slopes = [-value * sum(parts[1:], parts[0]) for parts in zip(*relative, strict=True)]
        return along(slopes, tangents, value) / by.over

    return found, TransferCoefficients(
        moved(found.momentum, momentum, momentum), moved(found.heat, momentum, heat)
    )


_coefficients.defjvp(_coefficients_jvp, symbolic_zeros=True)
