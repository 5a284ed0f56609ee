"""C_H as a function of the bulk Richardson number alone, at given roughness lengths.

`stability.transfer_coefficients` takes hundreds of nanoseconds, and a surface energy balance asks
several times in every step. Roughness lengths are parameters, known before the time loop: here a
polynomial for either side of neutral is laid through exact values once, and evaluated without a
logarithm ever after. Derivatives are those of the polynomial, exact in both modes, and continue
through the exact values to the roughness lengths.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.physics import stability

Scalar = Float[Array, ""]

_TERMS = 16
# Nodes (-1 to 1, ends included) and what makes coefficients of values there.
_NODES = -np.cos(np.pi * np.arange(_TERMS) / (_TERMS - 1))
_FROM_VALUES = np.linalg.inv(np.vander(_NODES, increasing=True))

# Variables in which the curves are smooth: Ri / (Ri + width) if stable, else
# (1 - slope zeta_n)^(1/4) of zeta_n = Ri ln(z / z0m)^2 / ln(z / z0h).
_WIDTH, _SLOPE = 0.4, 16.0
# Within about this Richardson number of neutral the kink of C_H is rounded: a hundredth of a degree
# in a breeze. Left as it is, it would keep a calibration from converging to the last digits.
_ROUNDING = 4e-4
_SLOPE_AT_NEUTRAL = np.arange(_TERMS) * (-1.0) ** (np.arange(_TERMS) - 1)
# Relative to the neutral coefficient if stable, to the coefficient itself if not; the bound holds
# for ln(z / z0m) from 3 to 11, ln(z0m / z0h) from 0 to 6, and Ri_b from -100.
POLYNOMIAL_ERROR = 5e-4


class HeatTransfer(eqx.Module):
    """C_H of a surface; `at` evaluates it.

    Attributes
    ----------
    neutral : C_H in neutral air.
    lowest, highest : Richardson numbers beyond which C_H no longer changes.
    scale : zeta over Richardson number in neutral air.
    ends : the unstable variable at `lowest`, less 1, and the stable one at `highest`.
    kink : how much more C_H grows with the Richardson number above neutral than below.
    unstable, stable : coefficients (term,) on either side, of C_H without a floor.
    """

    neutral: Scalar
    lowest: Scalar
    highest: Scalar
    scale: Scalar
    ends: tuple[Scalar, Scalar]
    kink: Scalar
    unstable: Float[Array, " term"]
    stable: Float[Array, " term"]

    @staticmethod
    def build(log_momentum: Scalar, log_heat: Scalar, lowest: float) -> HeatTransfer:
        """From ln(z / z0m), ln(z / z0h) and the least Richardson number that occurs."""
        neutral = stability.neutral_transfer_coefficients(log_momentum, log_heat).heat
        highest = stability.greatest_richardson_number(log_momentum, log_heat)
        scale = log_momentum**2 / log_heat
        unstable_end = (1.0 - _SLOPE * lowest * scale) ** 0.25 - 1.0
        stable_end = highest / (highest + _WIDTH)
        part = jnp.asarray(0.5 * (_NODES + 1.0))
        unstable, stable = 1.0 + unstable_end * part, stable_end * part
        richardson = jnp.concatenate(
            [(1.0 - unstable**4) / (_SLOPE * scale), _WIDTH * stable / (1.0 - stable)]
        )
        exact = jax.vmap(
            lambda number: stability.unlimited_coefficients(number, log_momentum, log_heat).heat
        )(richardson)
        fit, slope = jnp.asarray(_FROM_VALUES), jnp.asarray(_SLOPE_AT_NEUTRAL)
        below, above = fit @ exact[:_TERMS], fit @ exact[_TERMS:]
        kink = (2.0 / (stable_end * _WIDTH)) * jnp.sum(slope * above)
        kink = kink + (0.5 * _SLOPE * scale / unstable_end) * jnp.sum(slope * below)
        return HeatTransfer(
            neutral,
            jnp.asarray(lowest),
            highest,
            scale,
            (unstable_end, stable_end),
            kink,
            below,
            above,
        )

    def at(self, richardson: Scalar) -> Scalar:
        """C_H at a bulk Richardson number, with the smooth floor of `stability.with_floor`."""
        is_stable = richardson >= 0.0
        rise = jnp.where(is_stable, jnp.minimum(richardson, self.highest), 0.0)
        fall = jnp.where(is_stable, 0.0, jnp.maximum(richardson, self.lowest))
        unstable_end, stable_end = self.ends
        above = (2.0 / stable_end) * rise / (rise + _WIDTH)
        below = (2.0 / unstable_end) * (
            jnp.sqrt(jnp.sqrt(1.0 - (_SLOPE * self.scale) * fall)) - 1.0
        )
        variable = jnp.where(is_stable, above, below) - 1.0
        coefficients = jnp.where(is_stable, self.stable, self.unstable)
        distance = rise - fall
        rounding = 0.5 * (jnp.sqrt(distance * distance + _ROUNDING**2) - distance)
        return stability.with_floor(_polynomial(coefficients, variable) + self.kink * rounding)


def _polynomial(coefficients: Float[Array, " term"], x: Scalar) -> Scalar:
    """The polynomial, by halves: fewer operations wait for one another than in Horner's scheme."""
    powers = [x]
    while 2 ** len(powers) < len(coefficients):
        powers.append(powers[-1] * powers[-1])
    for power in reversed(powers):
        half = len(coefficients) // 2
        coefficients = coefficients[:half] + power * coefficients[half:]
    return coefficients[0]
