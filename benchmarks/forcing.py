"""Synthetic weather: half-hourly forcing of as many sites and years as asked for.

Plausible rather than real: a seasonal and a daily cycle, clouds and air masses that change from
day to day, wind that rises by day. The same numbers every time.
"""

from __future__ import annotations

import numpy as np

STEP = 1800.0  # s
STEPS_PER_DAY = 48
STEPS_PER_YEAR = 17520
NAMES = (
    "incoming_shortwave",
    "incoming_longwave",
    "air_temperature",
    "wind_speed",
    "specific_humidity",
)


def site_forcing(steps: int, site: int = 0) -> dict[str, np.ndarray]:
    """Forcing of one site: name -> (steps + 1,), SI units.

    Sites differ in climate (between 35 and 55 degrees north, say) and in weather.
    """
    random = np.random.default_rng([2026, site])
    climate = random.uniform(-1.0, 1.0, 4) if site else np.zeros(4)
    day = np.arange(steps + 1) / STEPS_PER_DAY
    season = -np.cos(2.0 * np.pi * (day - 15.0) / 365.0)  # -1 in mid-January, 1 in mid-July
    hour_angle = 2.0 * np.pi * (day % 1.0 - 0.5)

    cloud = np.clip(0.45 + 0.3 * _weather(random, day), 0.0, 1.0)
    latitude = np.deg2rad(45.0 + 10.0 * climate[0])
    declination = np.deg2rad(23.44) * season
    elevation = np.sin(latitude) * np.sin(declination) + (
        np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    )
    shortwave = 1000.0 * np.maximum(elevation, 0.0) ** 1.15 * (1.0 - 0.65 * cloud)

    swing = (4.0 + 2.0 * season) * (1.0 - 0.5 * cloud)
    air = 283.0 + 4.0 * climate[1] + (10.0 + 2.0 * climate[2]) * season
    air = air + 3.0 * _weather(random, day) + swing * np.cos(hour_angle - 0.7)
    wind = (3.0 + climate[3]) * np.exp(0.4 * _weather(random, day))
    wind = np.maximum(0.3, wind * (1.0 + 0.3 * np.cos(hour_angle - 0.5)))
    wind = np.maximum(0.3, wind + 0.3 * random.standard_normal(steps + 1))

    celsius = air - 273.15
    saturation = 0.622e-5 * 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))  # kg kg-1, 1000 hPa
    relative = np.clip(0.65 + 0.15 * _weather(random, day) - 0.03 * swing, 0.2, 1.0)
    humidity = relative * saturation * np.exp(-0.06 * swing * np.cos(hour_angle - 0.7))
    longwave = (0.72 + 0.2 * cloud) * 5.67e-8 * air**4
    columns = (shortwave, longwave, air, wind, humidity)
    return dict(zip(NAMES, columns, strict=True))


def _weather(random: np.random.Generator, day: np.ndarray) -> np.ndarray:
    """A standardised series that remembers the day before, linear between noons."""
    days = int(np.ceil(day[-1])) + 2
    noise = random.standard_normal(days)
    values = np.empty(days)
    values[0] = noise[0]
    for k in range(1, days):
        values[k] = 0.7 * values[k - 1] + np.sqrt(1.0 - 0.7**2) * noise[k]
    return np.interp(day, np.arange(days), values)
