"""The middle of the day between sunrise and sunset, as a record of sunlight has it.

The centre of a day's radiation is early where clouds come in the afternoon, by up to 0.8 h; the
middle between the first and the last light is not. From half hours it tells a UTC offset within
0.15 h.
"""

from __future__ import annotations

import numpy as np

from caliche.data.sun import sun_over_intervals
from caliche.wording import number_of

CLOSE = 0.15  # h; what a right offset keeps
OF_INTERVAL = 0.3  # of an interval, in which clouds can hide the first or the last light
LIGHT = 10.0  # W m-2, above which it is day
HAZE = 0.6  # of the sunlight above the atmosphere arrives under a hazy sky
SPREAD = 1.5  # h from the median, beyond which a day is dark for another reason
FEWEST = 20  # days
SHORTEST, LONGEST = 5.0, 19.0  # h; other days are near a polar night or day, or broken
_HOUR = 3600.0


def middle_of_day(
    ends: np.ndarray, interval: float, shortwave: np.ndarray, latitude: float, longitude: float
) -> tuple[float, int]:
    """Hours by which the middle between sunrise and sunset is late, and the days it is known from.

    First and last light are those of whole intervals, in the record and under a hazy sky alike, so
    that what is lost in an interval is lost in both.

    Parameters
    ----------
    ends : (n,) datetime64, UTC, end of each interval, regular.
    interval : s, three hours at most.
    shortwave : (n,) incoming, W m-2, NaN where missing.
    latitude, longitude : degrees north and east.

    Returns
    -------
    the mean over days that are not far from their median, and the number of days; NaN with fewer
    than 20.
    """
    if interval > 3.0 * _HOUR or len(ends) < 2:
        return float("nan"), 0
    ends = ends.astype("datetime64[ns]")
    middle = ends - np.timedelta64(round(0.5e9 * interval), "ns")
    hazy = HAZE * sun_over_intervals(ends, interval, latitude, longitude)[0]
    by_sun = np.timedelta64(round(3600e9 * longitude / 15.0), "ns")
    day = (middle + by_sun).astype("datetime64[D]")  # from solar midnight on
    _, first, count = np.unique(day, return_index=True, return_counts=True)
    steps, found = round(24.0 * _HOUR / interval), []
    known = np.isfinite(shortwave)
    for begin, number in zip(first, count, strict=True):
        rows = slice(begin, begin + number)
        if number != steps or not known[rows].all():
            continue
        seen, right = (_middle(values[rows], interval) for values in (shortwave, hazy))
        if seen is not None and right is not None:
            found.append(seen - right)
    if len(found) < FEWEST:
        return float("nan"), len(found)
    late = np.array(found)
    near = np.abs(late - np.median(late)) < SPREAD
    return float(late[near].mean()), len(found)


def _middle(light: np.ndarray, interval: float) -> float | None:
    """Hours after the start of a day at which its light is half over; None where it has no night or
    hardly a day."""
    lit = np.flatnonzero(light > LIGHT)
    if not lit.size or lit[0] == 0 or lit[-1] == len(light) - 1:
        return None
    length = (lit[-1] - lit[0] + 1) * interval / _HOUR
    return 0.5 * (lit[0] + lit[-1]) * interval / _HOUR if SHORTEST <= length <= LONGEST else None


def offset_sentence(
    ends: np.ndarray,
    interval: float,
    shortwave: np.ndarray,
    latitude: float,
    longitude: float,
    utc_offset: float,
) -> str:
    """A sentence if sunrise and sunset contradict the declared offset by more than 0.15 h (0.3 h in
    hourly records); else nothing."""
    late, days = middle_of_day(ends, interval, shortwave, latitude, longitude)
    if not abs(late) > max(CLOSE, OF_INTERVAL * interval / _HOUR):  # NaN: not enough days to tell
        return ""
    return (
        f"sunrise and sunset of {number_of(days, 'day')} are {abs(late):.2f} h "
        f"{'late' if late > 0.0 else 'early'} with utc_offset = {utc_offset:g} as declared: it is "
        f"{utc_offset + late:.2f} by the sun, or the stamps mark another part of the interval"
    )
