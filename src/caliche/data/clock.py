"""Whether a file's clock agrees with the sun: solar noon in the shortwave radiation.

A wrong UTC offset, daylight saving or stamps taken for the wrong end of the interval shift a whole
record and look like physics: a lag between the sun and the soil.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLEAR = 0.8  # of the largest daily sum within half a month: such a day has few clouds
SUSPICIOUS = 0.25  # h; half the shift that stamps of the wrong end of half an hour make


@dataclass(frozen=True)
class ClockCheck:
    """What the sun says of a clock.

    shift : hours by which the stamps are late (early where negative).
    spread : half the range of the middle half of the days, hours.
    days : clear days behind it.
    """

    shift: float
    spread: float
    days: int

    @property
    def suspicious(self) -> bool:
        """Whether the shift is larger than days differ and than a quarter of an hour."""
        return self.days > 0 and abs(self.shift) > max(SUSPICIOUS, self.spread)


def equation_of_time(times: np.ndarray) -> np.ndarray:
    """Apparent minus mean solar time (hours) at times (datetime64, UTC).

    Spencer (1971), Search 2, 172; within about half a minute.
    """
    year = times.astype("datetime64[Y]")
    angle = 2.0 * np.pi * ((times - year) / np.timedelta64(1, "s")) / (365.2422 * 86400.0)
    minutes = 229.18 * (
        0.000075 + 0.001868 * np.cos(angle) - 0.032077 * np.sin(angle)
        - 0.014615 * np.cos(2.0 * angle) - 0.040849 * np.sin(2.0 * angle)
    )  # fmt: skip
    return minutes / 60.0


def solar_time(times: np.ndarray, longitude: float) -> np.ndarray:
    """Apparent solar time (hours of the day, 12 at noon) at times (UTC) and degrees east."""
    day = times.astype("datetime64[D]")
    hours = (times - day) / np.timedelta64(1, "s") / 3600.0
    return (hours + longitude / 15.0 + equation_of_time(times)) % 24.0


def check_clock(
    times: np.ndarray, interval: float, shortwave: np.ndarray, longitude: float
) -> ClockCheck:
    """Shift of a clock, from the middle of the sunshine on clear days.

    The centre of a day's sunshine is its circular mean weighted by the radiation, so that it does
    not matter where a wrong clock cuts the day; on a clear day it falls on 12 h of apparent solar
    time. The median over the clear days stands against mornings and afternoons with clouds.

    Parameters
    ----------
    times : (n,) datetime64, UTC, regular, end of each interval.
    interval : seconds that each value averages, up to the spacing of the times.
    shortwave : (n,) incoming, W m-2, NaN where missing; a day that misses a value is left out.
    longitude : degrees east.
    """
    if len(times) < 2:
        return ClockCheck(np.nan, np.nan, 0)
    middle = times - np.timedelta64(round(interval * 500), "ms")
    angle = 2.0 * np.pi * solar_time(middle, longitude) / 24.0
    steps = round(np.timedelta64(1, "D") / (times[1] - times[0]))
    begin = int(np.argmin(angle[:steps]))  # midnight
    days = (len(times) - begin) // steps
    if days < 1:
        return ClockCheck(np.nan, np.nan, 0)
    rows = slice(begin, begin + days * steps)
    sun = np.maximum(shortwave[rows].reshape(days, steps), 0.0)
    mean = (sun * np.exp(1j * angle[rows].reshape(days, steps))).sum(axis=1)
    total = sun.sum(axis=1)
    best = np.array([_largest(total[max(0, k - 15) : k + 16]) for k in range(days)])
    clear = (total > 0.0) & (total >= CLEAR * best)  # False where NaN
    if not clear.any():
        return ClockCheck(np.nan, np.nan, 0)
    # From noon; the days are taken around their common direction, so that 12 h late and 12 h early
    # are neighbours.
    noon = -mean[clear] / np.abs(mean[clear])
    common = noon.sum() / max(abs(noon.sum()), 1e-12)
    hours = (np.angle(common) + np.angle(noon / common)) * 24.0 / (2.0 * np.pi)
    low, typical, high = np.percentile(hours, (25, 50, 75))
    return ClockCheck(
        float((typical + 12.0) % 24.0 - 12.0), float(high - low) / 2.0, int(clear.sum())
    )


def _largest(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else np.inf


def clock_sentence(check: ClockCheck, interval: float) -> str:
    """What the check found, and what a shift of that size usually is. Empty without a clear day."""
    if not check.days:
        return ""
    found = (
        f"solar noon is {abs(check.shift):.2f} h {'late' if check.shift > 0 else 'early'} by the "
        f"stamps (median of {check.days} clear days, ± {check.spread:.2f} h)"
    )
    if not check.suspicious:
        return f"agrees with the sun: {found}"
    hours = interval / 3600.0
    if abs(abs(check.shift) - hours) <= 0.15:
        cause = "stamps may mark the other end of the interval, or utc_offset may be off"
    elif abs(abs(check.shift) - hours / 2.0) <= 0.1:
        cause = "stamps may mark the middle of the interval"
    elif abs(check.shift - round(check.shift)) <= 0.2:
        cause = (
            f"utc_offset may be {abs(round(check.shift))} h too "
            f"{'small' if check.shift > 0 else 'large'}, or the clock may follow daylight saving"
        )
    else:
        cause = "check stamp, utc_offset and longitude"
    return f"DOES NOT AGREE with the sun: {found}; {cause}"
