"""Where the sun is: solar time, its height, and the sunlight above the atmosphere.

Declination, distance and equation of time: Spencer (1971), Search 2, 172.
"""

from __future__ import annotations

import numpy as np

SOLAR_CONSTANT = 1361.0  # W m-2
YEAR = 365.2422  # days
_INSTANT = 600.0  # s; means over an interval are made of instants about so far apart


def equation_of_time(times: np.ndarray) -> np.ndarray:
    """Apparent minus mean solar time (hours) at times (datetime64, UTC).

    Spencer (1971), Search 2, 172; within about half a minute.
    """
    angle = _season(times)
    minutes = 229.18 * (
        0.000075
        + 0.001868 * np.cos(angle)
        - 0.032077 * np.sin(angle)
        - 0.014615 * np.cos(2.0 * angle)
        - 0.040849 * np.sin(2.0 * angle)
    )
    return minutes / 60.0


def solar_time(times: np.ndarray, longitude: float) -> np.ndarray:
    """Apparent solar time (hours of the day, 12 at noon) at times (UTC) and degrees east."""
    day = times.astype("datetime64[D]")
    hours = (times - day) / np.timedelta64(1, "s") / 3600.0
    return (hours + longitude / 15.0 + equation_of_time(times)) % 24.0


def sine_of_elevation(times: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Sine of the height of the sun above the horizon, at instants (UTC)."""
    angle = _season(times)
    declination = (
        0.006918
        - 0.399912 * np.cos(angle)
        + 0.070257 * np.sin(angle)
        - 0.006758 * np.cos(2.0 * angle)
        + 0.000907 * np.sin(2.0 * angle)
        - 0.002697 * np.cos(3.0 * angle)
        + 0.00148 * np.sin(3.0 * angle)
    )
    hour = 2.0 * np.pi * (solar_time(times, longitude) - 12.0) / 24.0
    north = np.radians(latitude)
    height = np.sin(north) * np.sin(declination)
    return height + np.cos(north) * np.cos(declination) * np.cos(hour)


def potential_shortwave(times: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Sunlight on a horizontal plane above the atmosphere (W m-2), at instants (UTC)."""
    return _sunlight(times, sine_of_elevation(times, latitude, longitude))


def sun_over_intervals(
    ends: np.ndarray, interval: float, latitude: float, longitude: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sunlight above the atmosphere averaged over intervals, and the sun's lowest and highest sine
    in each of them.

    Parameters
    ----------
    ends : datetime64, UTC, any shape.
    interval : seconds before each end.

    Returns
    -------
    three arrays of the shape of `ends`: W m-2, 1, 1.
    """
    count = int(np.clip(np.ceil(interval / _INSTANT), 3, 48))
    mean = np.zeros(ends.shape)
    lowest, highest = np.full(ends.shape, np.inf), np.full(ends.shape, -np.inf)
    for k in range(count):
        before = interval * (k + 0.5) / count
        instants = ends - np.timedelta64(round(before * 1e9), "ns")
        sine = sine_of_elevation(instants, latitude, longitude)
        mean += _sunlight(instants, sine) / count
        lowest, highest = np.minimum(lowest, sine), np.maximum(highest, sine)
    return mean, lowest, highest


def _season(times: np.ndarray) -> np.ndarray:
    """Angle of the year, radians, 0 at the start of January."""
    year = times.astype("datetime64[Y]")
    return 2.0 * np.pi * ((times - year) / np.timedelta64(1, "s")) / (YEAR * 86400.0)


def _sunlight(times: np.ndarray, sine: np.ndarray) -> np.ndarray:
    angle = _season(times)
    distance = 1.00011 + 0.034221 * np.cos(angle) + 0.00128 * np.sin(angle)
    return SOLAR_CONSTANT * distance * np.maximum(sine, 0.0)
