"""Weather that is made up, for twin experiments."""

from __future__ import annotations

import numpy as np


def huang_forcing(hours: np.ndarray) -> dict[str, np.ndarray]:
    """Idealised clear days of Huang et al. (2026), arXiv:2505.02979, at these hours (time,).

    SWdown = 800 cos(theta) W m-2 between sunrise (7 h) and sunset (21 h) with theta running from
    -pi/2 to pi/2, LWdown = 100 W m-2 (as in the paper; low for the Earth), Tair = 296 K.
    """
    sunrise, sunset = 7.0, 21.0
    clock = hours % 24.0
    theta = np.pi / 2.0 * (2.0 * clock - sunrise - sunset) / (sunset - sunrise)
    day = (clock > sunrise) & (clock < sunset)
    return {
        "incoming_shortwave": np.where(day, 800.0 * np.cos(theta), 0.0),
        "incoming_longwave": np.full(hours.shape, 100.0),
        "air_temperature": np.full(hours.shape, 296.0),
    }


def showers(hours: np.ndarray) -> dict[str, np.ndarray]:
    """Clear days with a shower every fourth afternoon: all that Land Dynamics needs.

    Made up. Sun, warmth and wind follow the day; the humidity is that of 12 mbar of vapour; a
    shower brings 12 mm in two hours, and clouds that halve the sun of that afternoon.
    """
    clock, day = hours % 24.0, np.floor(hours / 24.0)
    afternoon = (day % 4.0 == 2.0) & (clock > 13.0) & (clock <= 19.0)
    shower = afternoon & (clock > 15.0) & (clock <= 17.0)
    sun = np.maximum(np.cos(2.0 * np.pi * (clock - 12.0) / 24.0), 0.0)
    warmth = np.cos(2.0 * np.pi * (clock - 15.0) / 24.0)
    return {
        "incoming_shortwave": 850.0 * sun * np.where(afternoon, 0.5, 1.0),
        "incoming_longwave": 320.0 + 15.0 * warmth + np.where(afternoon, 40.0, 0.0),
        "air_temperature": 290.0 + 6.0 * warmth,
        "specific_humidity": np.full(hours.shape, 0.0075),
        "air_pressure": np.full(hours.shape, 1.0e5),
        "wind_speed": 3.0 + 1.5 * warmth,
        "precipitation": np.where(shower, 12.0 / 7200.0, 0.0),
    }


FORCINGS = {"huang-2026": huang_forcing, "showers": showers}
