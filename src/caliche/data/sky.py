"""Longwave radiation of the sky from humidity, temperature and how cloudy the sun says it is.

For towers without any longwave or trustworthy net radiation. Clear sky: Brutsaert (1975), Water
Resour. Res. 11, 742, doi:10.1029/WR011i005p00742. Clouds emit like black bodies over the share of
sunlight that they take: Crawford and Duchon (1999), J. Appl. Meteorol. 38, 474,
doi:10.1175/1520-0450(1999)038<0474:AIPFEE>2.0.CO;2; here over 24 hours, so that nights have clouds.
"""

from __future__ import annotations

import numpy as np

from caliche.constants import STEFAN_BOLTZMANN

CLEAR_QUANTILE = 0.95  # of 24-hour transmissivities, which counts as that of a clear sky
LEAST_SEEN = 0.5  # of the potential sunlight of 24 hours that has to be measured


def cloudiness(shortwave: np.ndarray, potential: np.ndarray, per_day: int) -> np.ndarray:
    """Share of a clear sky's sunlight that clouds take (0 to 1), over 24 hours about each value.

    NaN where less than half of the sunlight of these hours was measured. How much a clear sky lets
    through comes from the record itself, so that a biased sensor makes no clouds.
    """
    seen = np.isfinite(shortwave)
    window = np.ones(per_day)

    def over_a_day(values: np.ndarray) -> np.ndarray:
        return np.convolve(values, window, "same")[: values.size]

    arrived = over_a_day(np.where(seen, np.maximum(shortwave, 0.0), 0.0))
    could = over_a_day(np.where(seen, potential, 0.0))
    enough = could > LEAST_SEEN * over_a_day(potential)
    through = np.full(shortwave.shape, np.nan)
    through[enough] = arrived[enough] / could[enough]
    if not enough.any():
        return through
    return np.clip(1.0 - through / np.nanquantile(through, CLEAR_QUANTILE), 0.0, 1.0)


def sky_longwave(
    air_temperature: np.ndarray, vapour_pressure: np.ndarray, clouds: np.ndarray
) -> np.ndarray:
    """Incoming longwave radiation (W m-2) from K, Pa, and the cloudiness (0 to 1)."""
    clear = 1.24 * (0.01 * vapour_pressure / air_temperature) ** (1.0 / 7.0)
    emissivity = clouds + (1.0 - clouds) * clear
    return emissivity * STEFAN_BOLTZMANN * air_temperature**4
