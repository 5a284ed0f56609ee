"""Humidity of air over a water surface."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.constants import FREEZING_POINT, WATER_AIR_MASS_RATIO


def saturation_vapour_pressure(temperature: Float[Array, ""]) -> Float[Array, ""]:
    """Saturation vapour pressure over liquid water (Pa).

    Magnus form e* = 611.21 exp(17.502 t / (240.97 + t)), t in degrees Celsius, within 0.2 % of
    Wexler between -30 and 50 degC. Buck (1981), J. Appl. Meteorol. 20, 1527,
    doi:10.1175/1520-0450(1981)020<1527:NEFCVP>2.0.CO;2.

    Parameters
    ----------
    temperature : K
    """
    celsius = temperature - FREEZING_POINT
    return 611.21 * jnp.exp(17.502 * celsius / (240.97 + celsius))


def specific_humidity(
    vapour_pressure: Float[Array, ""], air_pressure: Float[Array, ""]
) -> Float[Array, ""]:
    """Specific humidity q = eps e / (p - (1 - eps) e) (kg kg-1), from pressures in Pa."""
    eps = WATER_AIR_MASS_RATIO
    return eps * vapour_pressure / (air_pressure - (1.0 - eps) * vapour_pressure)


def vapour_pressure(
    specific_humidity: Float[Array, ""], air_pressure: Float[Array, ""]
) -> Float[Array, ""]:
    """Vapour pressure e = q p / (eps + (1 - eps) q) (Pa): the inverse of `specific_humidity`."""
    eps = WATER_AIR_MASS_RATIO
    return specific_humidity * air_pressure / (eps + (1.0 - eps) * specific_humidity)


def saturation_specific_humidity(
    temperature: Float[Array, ""], air_pressure: Float[Array, ""]
) -> Float[Array, ""]:
    """Saturation specific humidity over liquid water (kg kg-1), T in K and p in Pa."""
    return specific_humidity(saturation_vapour_pressure(temperature), air_pressure)
