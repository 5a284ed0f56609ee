"""Saturation of air over water above freezing and over ice in frost.

Land Dynamics reads a table of the Goff-Gratch formulas, blended between 0 and -20 degC. It is here
twice: as it is (`goff_gratch_humidity`), and as polynomials without exponentials for calibration.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.constants import FREEZING_POINT
from caliche.physics.humidity import sixteenth_root
from caliche.physics.switches import smooth_step

Scalar = Float[Array, ""]

BLENDED = 20.0  # K below freezing over which water gives way to ice
# (e_ice / e_water)^(1/16) = 1 + a x + b x^2 + c x^3 at x K below freezing: fitted to Murphy and
# Koop (2005), doi:10.1256/qj.04.94, equations 7 and 10; within 0.2 % down to 70 K below freezing.
_ICE = (-5.88058018e-4, -1.66108281e-6, 3.61224041e-8)


@jax.custom_jvp
def saturation_vapour_pressure(temperature: Scalar) -> Scalar:
    """Saturation vapour pressure over water, and in frost over ice (Pa).

    Ice takes over smoothly within 20 K below freezing, the range in which Land Dynamics blends
    the two.

    Parameters
    ----------
    temperature : K, above 200 K
    """
    root = _root(temperature)
    for _ in range(4):
        root = root * root
    return root


@saturation_vapour_pressure.defjvp
def _saturation_vapour_pressure_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    root, slope = jax.jvp(_root, primals, (jnp.ones_like(primals[0]),))
    value = saturation_vapour_pressure(*primals)
    return value, 16.0 * value * slope / root * tangents[0]


def _root(temperature: Scalar) -> Scalar:
    """The 16th root of the vapour pressure."""
    frost = jnp.clip(FREEZING_POINT - temperature, 0.0, 70.0)
    a, b, c = _ICE
    deficit = frost * (a + frost * (b + frost * c))
    return sixteenth_root(temperature) * (1.0 + smooth_step(frost * (1.0 / BLENDED)) * deficit)


# -- as in Land Dynamics ------------------------------------------------------------------------

_STEAM, _ICE_POINT = 373.16, 273.16  # K, as in the formulas
_DIFFERENCE = 0.1  # K
_RATIO = 287.04 / 461.50  # of the gas constants of dry air and vapour


def _power(exponent: Scalar) -> Scalar:
    return jnp.exp(exponent * jnp.log(10.0))


def _over_water(temperature: Scalar) -> Scalar:
    x = _STEAM / temperature
    exponent = -7.90298 * (x - 1.0) + 5.02808 * jnp.log10(x)
    exponent = exponent - 1.3816e-7 * (_power(11.344 * (1.0 - 1.0 / x)) - 1.0)
    exponent = exponent + 8.1328e-3 * (_power(-3.49149 * (x - 1.0)) - 1.0)
    return 101324.6 * _power(exponent)


def _over_ice(temperature: Scalar) -> Scalar:
    x = _ICE_POINT / temperature
    exponent = -9.09718 * (x - 1.0) - 3.56654 * jnp.log10(x) + 0.876793 * (1.0 - 1.0 / x)
    return 610.71 * _power(exponent)


def goff_gratch(temperature: Scalar) -> Scalar:
    """Saturation vapour pressure (Pa) of Goff and Gratch, over water above 273.16 K.

    Over ice below 253.16 K, blended linearly in between (Smithsonian Meteorological Tables, 1951).
    """
    water = jnp.clip((temperature - _ICE_POINT + BLENDED) / BLENDED, 0.0, 1.0)
    return water * _over_water(temperature) + (1.0 - water) * _over_ice(temperature)


def _tabulated(temperature: Scalar, air_pressure: Scalar) -> Scalar:
    vapour = goff_gratch(temperature)
    return _RATIO * vapour / (air_pressure - (1.0 - _RATIO) * vapour)


@jax.custom_jvp
def goff_gratch_humidity(temperature: Scalar, air_pressure: Scalar) -> Scalar:
    """Specific humidity (kg kg-1) of saturated air from `goff_gratch`, with the original constants.

    Its derivative by temperature is a difference over 0.1 K, as there.
    """
    return _tabulated(temperature, air_pressure)


@goff_gratch_humidity.defjvp
def _goff_gratch_humidity_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    temperature, air_pressure = primals
    value = _tabulated(temperature, air_pressure)
    slope = (_tabulated(temperature + _DIFFERENCE, air_pressure) - value) / _DIFFERENCE
    _, by_pressure = jax.jvp(
        lambda p: _tabulated(temperature, p), (air_pressure,), (jnp.ones_like(air_pressure),)
    )
    return value, slope * tangents[0] + by_pressure * tangents[1]
