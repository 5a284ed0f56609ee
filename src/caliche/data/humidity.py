"""Conversions between the humidities that towers report, on numpy arrays.

The formulas of `caliche.physics.humidity`, which needs JAX; the tests hold the two together.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche.constants import FREEZING_POINT, WATER_AIR_MASS_RATIO
from caliche.wording import number_of

CONTRADICTION = 0.05  # of relative humidity; sensors and roundings differ by 0.02


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


def contradiction(dataset: xr.Dataset, reported: np.ndarray, used: str, other: str) -> str:
    """A sentence if a relative humidity beside the humidity that was used says something else.

    Parameters
    ----------
    dataset : with specific humidity, pressure and air temperature, SI.
    reported : (n,) relative humidity of another column, from 0 to 1.
    used, other : the two columns, for the sentence.

    Returns
    -------
    "" if the median of the difference is at most 0.05, or no two values can be compared. Below
    freezing, where relative humidity may be that over ice, nothing is compared.
    """
    names = ("specific_humidity", "air_pressure", "air_temperature")
    if not set(names) <= set(dataset.data_vars):
        return ""
    humidity, pressure, temperature = (dataset[name].values for name in names)
    own = relative_humidity(humidity, pressure, temperature)
    difference = (reported - own)[(temperature > FREEZING_POINT) & np.isfinite(reported - own)]
    gap = float(np.median(np.abs(difference))) if difference.size else 0.0
    if gap <= CONTRADICTION:
        return ""
    return (
        f"{other} contradicts {used}: the relative humidities differ by {100.0 * gap:.0f} % "
        f"(median of {number_of(difference.size, 'value')}); {used} was used"
    )
