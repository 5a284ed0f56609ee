"""Conversions between the humidities that towers report, on numpy arrays.

The formulas of `caliche.physics.humidity`, which needs JAX; the tests hold the two together.
"""

from __future__ import annotations

import numpy as np

from caliche.constants import FREEZING_POINT, WATER_AIR_MASS_RATIO


def saturation_vapour_pressure(temperature: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure over liquid water (Pa) at a temperature in K.

    Buck (1981), doi:10.1175/1520-0450(1981)020<1527:NEFCVP>2.0.CO;2.
    """
    celsius = temperature - FREEZING_POINT
    return 611.21 * np.exp(17.502 * celsius / (240.97 + celsius))


def specific_humidity(vapour_pressure: np.ndarray, air_pressure: np.ndarray) -> np.ndarray:
    """Specific humidity (kg kg-1) from vapour pressure and air pressure (Pa)."""
    ratio = WATER_AIR_MASS_RATIO
    return ratio * vapour_pressure / (air_pressure - (1.0 - ratio) * vapour_pressure)


def vapour_pressure(specific_humidity: np.ndarray, air_pressure: np.ndarray) -> np.ndarray:
    """Vapour pressure (Pa) from specific humidity (kg kg-1) and air pressure (Pa)."""
    ratio = WATER_AIR_MASS_RATIO
    return specific_humidity * air_pressure / (ratio + (1.0 - ratio) * specific_humidity)


def relative_humidity(
    specific_humidity: np.ndarray, air_pressure: np.ndarray, temperature: np.ndarray
) -> np.ndarray:
    """Relative humidity over liquid water (1), from kg kg-1, Pa and K."""
    actual = vapour_pressure(specific_humidity, air_pressure)
    return actual / saturation_vapour_pressure(temperature)
