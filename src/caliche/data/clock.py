"""Whether a file's clock agrees with the sun, by its shortwave radiation.

A wrong date, UTC offset, daylight saving, or stamps taken for the wrong end of the interval move a
whole record and look like physics. Two tests. What cannot be: more sunlight than there is above
the atmosphere, light while the sun is far below the horizon, darkness while it is well up. And
solar noon, from clear days.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from caliche.data.sun import solar_time, sun_over_intervals

SUSPICIOUS = 0.25  # h; half the shift that stamps of the wrong end of half an hour make
NEAR = SUSPICIOUS  # h; the tests of what cannot be allow for such an error
LONGEST = 10800.0  # s; means over more than that do not tell when noon was
# What cannot be: beyond these, in more than such a share of the steps, and of three at least.
ABOVE, MARGIN = 1.05, 20.0  # times the sunlight above the atmosphere, and W m-2 more
LIGHT, DARK = 20.0, 5.0  # W m-2
BELOW_HORIZON = np.sin(np.radians(-6.0))
WELL_UP = np.sin(np.radians(10.0))
SHARE = 0.02
FEWEST = 3
# A clear day: the share of the sunlight above the atmosphere that arrives, and how far its course
# may be from that sunlight's (root mean square, relative).
CLEAR_SKY = (0.45, 1.0)
COURSE = 0.12
MOVES = 0.6  # h between ten days and others that say that a clock jumps
BLOCK = 10  # days whose brightest values stand for a sky with few clouds
EVERY = 2  # days between the dates that are tried
MOST = 40  # blocks of ten days that are tried
ALIKE = 0.03  # courses of the day that differ by less are not told apart


@dataclass(frozen=True)
class Impossible:
    """Shares of the record that no sky can make.

    above : of the daylight steps, brighter than above the atmosphere.
    lit : of the steps with the sun more than 6 degrees below the horizon, with light.
    dark : of the times of day with the sun more than 10 degrees up, dark on ten days (three at
        least, where the record is shorter).
    """

    above: float = 0.0
    lit: float = 0.0
    dark: float = 0.0

    def __bool__(self) -> bool:
        return max(self.above, self.lit, self.dark) > 0.0


@dataclass(frozen=True)
class Cure:
    """Another clock with which the sunshine is possible.

    hours : by which the stamps are late, from clear days; where there are none, the middle of the
    `least` to `most` that are possible, else these are NaN.  days : by which the dates are early,
    with the `range` that fits as well.  middle : the date in the middle of the record, put right.
    south : latitude of the other sign, with the hours and dates as they are, is possible too.
    """

    hours: float
    days: int = 0
    range: tuple[int, int] = (0, 0)
    middle: np.datetime64 | None = None
    south: bool = False
    least: float = np.nan
    most: float = np.nan


@dataclass(frozen=True)
class ClockCheck:
    """What the sun says of a clock.

    shift : hours by which the stamps are late (early where negative), NaN without a clear day.
    spread : half the range of the middle half of the days, hours.
    days : clear days behind it.
    interval : seconds that each value averages.
    impossible : what cannot be, at the clock as declared.
    cure : a clock with which it can be; None where nothing is impossible, or nothing helps.
    too_bright : how many times brighter the course of the day is than it can be, where nothing else
        is wrong with it; 0 elsewhere.
    jump : the earliest and latest solar noon (hours late) of ten days, with their dates, where
        the clock moves within the record.
    has_sun, has_day : whether there is any light, and whether the sun rises.
    """

    shift: float = np.nan
    spread: float = np.nan
    days: int = 0
    interval: float = 0.0
    impossible: Impossible = Impossible()
    cure: Cure | None = None
    too_bright: float = 0.0
    jump: tuple[float, np.datetime64, float, np.datetime64] | None = None
    has_sun: bool = True
    has_day: bool = True

    @property
    def suspicious(self) -> bool:
        """Whether the sun contradicts the clock: what cannot be, a noon more wrong than days
        differ and than a quarter of an hour, or a noon that moves."""
        late = self.days > 0 and abs(self.shift) > max(SUSPICIOUS, self.spread)
        return bool(self.impossible) or late or self.jump is not None


@dataclass(frozen=True)
class _Record:
    """Shortwave radiation (n,) at the ends (UTC) of intervals (s), regular, and the place."""

    ends: np.ndarray
    interval: float
    values: np.ndarray
    latitude: float
    longitude: float

    @property
    def steps(self) -> int:
        """Values in a day."""
        return max(round(np.timedelta64(1, "D") / (self.ends[1] - self.ends[0])), 1)

    def clocked(self, hours: float, days: int = 0) -> _Record:
        """The record, had its stamps been late by `hours` and its dates early by `days`."""
        moved = np.timedelta64(days, "D") - np.timedelta64(round(hours * 3600.0), "s")
        return replace(self, ends=self.ends + moved)


def check_clock(
    times: np.ndarray,
    interval: float,
    shortwave: np.ndarray,
    latitude: float,
    longitude: float,
) -> ClockCheck:
    """Hold the shortwave radiation against the sun.

    The centre of a day's sunshine is its circular mean weighted by the radiation, so that it does
    not matter where a wrong clock cuts the day; on a clear day it falls on 12 h of apparent solar
    time. Clear days are told by the course of their radiation. Means over more than three hours
    tell nothing of noon. The search for another clock goes through all 24 hours and all dates.

    Parameters
    ----------
    times : (n,) datetime64, UTC, regular, end of each interval.
    interval : seconds that each value averages; where the times are closer, values are repeated.
    shortwave : (n,) incoming, W m-2, NaN where missing.
    latitude, longitude : degrees north and east.
    """
    ends, values = _own_values(times.astype("datetime64[ns]"), interval, shortwave)
    nothing = ClockCheck(interval=interval, has_sun=bool(np.nanmax(values, initial=0.0) > LIGHT))
    if len(ends) < 2 or not nothing.has_sun:
        return nothing
    record = _Record(ends, interval, values, float(latitude), float(longitude))
    sun = sun_over_intervals(ends, interval, latitude, longitude)[0]
    found = replace(nothing, impossible=_impossible(record), has_day=bool(sun.max() > 0.0))
    if interval <= LONGEST and record.steps > 1:
        dates, hours = _noons(record)
        if hours.size:
            low, middle, high = np.percentile(hours, (25, 50, 75))
            late, spread = float((middle + 12.0) % 24.0 - 12.0), float(high - low) / 2.0
            found = replace(
                found, shift=late, spread=spread, days=hours.size, jump=_jump(dates, hours)
            )
    if not found.impossible:
        return found
    return _cured(record, found)


def _own_values(
    times: np.ndarray, interval: float, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Times and values without the repetitions of a file coarser than the times."""
    if len(times) < 2:
        return times, values
    repeats = round(interval / float((times[1] - times[0]) / np.timedelta64(1, "s")))
    if repeats <= 1:
        return times, values
    # Values change after the last of their repetitions.
    change = np.flatnonzero(np.nan_to_num(np.diff(values)) != 0.0)
    last = int(np.bincount(change % repeats).argmax()) if change.size else repeats - 1
    return times[last::repeats], values[last::repeats]


def _impossible(record: _Record) -> Impossible:
    """What cannot be in a record, whose clock may be a quarter of an hour wrong."""
    place = record.interval, record.latitude, record.longitude
    one, two = (sun_over_intervals(record.clocked(h).ends, *place) for h in (-NEAR, NEAR))
    mean, highest = np.maximum(one[0], two[0]), np.maximum(one[2], two[2])
    lowest = np.minimum(one[1], two[1])
    values, known = record.values, np.isfinite(record.values)
    day = known & ((mean > 0.0) | (values > LIGHT))
    night = known & (highest < BELOW_HORIZON)
    brightest, low = _brightest(record, values), _brightest(record, -lowest)
    cells = (_days_of(record) >= FEWEST) & (-low > WELL_UP)
    # Ten days without any light are a broken sensor.
    cells &= np.nanmax(brightest, axis=1, initial=0.0, keepdims=True) > LIGHT
    return Impossible(
        _share(values > ABOVE * mean + MARGIN, day),
        _share(values > LIGHT, night),
        _share(brightest < DARK, cells),
    )


def _share(wrong: np.ndarray, among: np.ndarray) -> float:
    """Share of what is wrong, 0 where it is within the tolerance."""
    count, total = int((wrong & among).sum()), int(among.sum())
    share = count / max(total, 1)
    return share if count >= FEWEST and share > SHARE else 0.0


def _blocks(record: _Record, values: np.ndarray) -> np.ndarray:
    """Values (block, day, step of the day) in blocks of ten days, NaN after the end."""
    steps = record.steps
    blocks = -(-len(values) // (BLOCK * steps))
    padded = np.full(blocks * BLOCK * steps, np.nan)
    padded[: len(values)] = values
    return padded.reshape(blocks, BLOCK, steps)


def _brightest(record: _Record, values: np.ndarray) -> np.ndarray:
    """Largest values (block, step of the day) of every ten days, NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing measured
        return np.nanmax(_blocks(record, values), axis=1)


def _days_of(record: _Record) -> np.ndarray:
    """Days (block, step of the day) with a value, of every ten."""
    return np.isfinite(_blocks(record, record.values)).sum(axis=1)


def _angles(record: _Record) -> np.ndarray:
    """Solar time at the middle of the intervals, radians."""
    middle = record.ends - np.timedelta64(round(record.interval * 500), "ms")
    return 2.0 * np.pi * solar_time(middle, record.longitude) / 24.0


def _noons(record: _Record) -> tuple[np.ndarray, np.ndarray]:
    """Dates and shifts (hours) of the clear days, all within half a day of their common shift."""
    steps, angle = record.steps, _angles(record)
    begin = int(np.argmin(angle[:steps]))  # midnight
    if len(angle) < begin + steps:
        begin = 0
    days = (len(angle) - begin) // steps
    if days < 1:
        return np.array([], "datetime64[D]"), np.array([])
    rows = slice(begin, begin + days * steps)
    sun = np.maximum(record.values[rows].reshape(days, steps), 0.0)
    ends = record.ends[rows].reshape(days, steps)
    mean = (sun * np.exp(1j * angle[rows].reshape(days, steps))).sum(axis=1)
    some = np.abs(mean) > 0.0  # False where NaN
    sun, ends, noon = sun[some], ends[some], -mean[some] / np.abs(mean[some])
    hours = np.angle(noon) * 24.0 / (2.0 * np.pi)
    late = np.round(hours * 3600.0).astype("timedelta64[s]")
    place = record.latitude, record.longitude
    could = sun_over_intervals(ends - late[:, None], record.interval, *place)[0]
    power = np.maximum((could**2).sum(axis=1), 1e-12)
    share = (sun * could).sum(axis=1) / power
    off = np.sqrt(((sun - share[:, None] * could) ** 2).sum(axis=1) / power)
    clear = (share > CLEAR_SKY[0]) & (share < CLEAR_SKY[1]) & (off < COURSE * share)
    clear &= could.min(axis=1) < 0.7 * could.max(axis=1)  # near a pole there is no noon
    if not clear.any():
        return np.array([], "datetime64[D]"), np.array([])
    # The days are taken around their common direction, so that 12 h late and 12 h early are
    # neighbours.
    noon, dates = noon[clear], ends[clear, steps // 2].astype("datetime64[D]")
    common = noon.sum() / max(abs(noon.sum()), 1e-12)
    return dates, (np.angle(common) + np.angle(noon / common)) * 24.0 / (2.0 * np.pi)


def _jump(
    dates: np.ndarray, hours: np.ndarray
) -> tuple[float, np.datetime64, float, np.datetime64] | None:
    """Earliest and latest noon of ten days, where they are far apart."""
    block = ((dates - dates[0]) // np.timedelta64(BLOCK, "D")).astype(int)
    found = [
        (float(np.median(hours[block == k])), dates[block == k][0])
        for k in np.unique(block)
        if (block == k).sum() >= FEWEST
    ]
    if not found:
        return None
    (early, first), (late, second) = min(found), max(found)
    return (early, first, late, second) if late - early > MOVES else None


def _cured(record: _Record, found: ClockCheck) -> ClockCheck:
    """The check with what would make the record possible: hours, then dates, then the scale."""
    coarse = found.interval > LONGEST
    rough = 0.0 if coarse else _rough_shift(record)
    if found.days and abs(found.shift) > SUSPICIOUS:
        if not _impossible(record.clocked(found.shift)):
            return replace(found, cure=Cure(found.shift))
    elif not coarse and not found.days:
        tried = rough + np.arange(-3.0, 3.25, 0.5)
        possible = [h for h in tried if not _impossible(record.clocked(h))]
        if possible:
            least, most = float(min(possible)), float(max(possible))
            return replace(found, cure=Cure(0.5 * (least + most), least=least, most=most))
    days, misfits, scale = _course_by_date(record, rough)
    best = int(misfits.argmin())
    alike = misfits <= misfits[best] + ALIKE
    if alike[days == 0][0] and scale > CLEAR_SKY[1]:
        return replace(found, too_bright=scale)
    before = after = 0  # the year is a circle
    while before < len(days) - 1 and alike[best - before - 1]:
        before += 1
    while after < len(days) - 1 and alike[(best + after + 1) % len(days)]:
        after += 1
    moved = int(days[best])
    other = record.clocked(0.0, moved)
    late = 0.0 if coarse else _rough_shift(other)
    if not moved or _impossible(other.clocked(late)):
        return found
    if not coarse:
        hours = _noons(other)[1]
        late = float((np.median(hours) + 12.0) % 24.0 - 12.0) if hours.size else late
    middle = other.ends[len(other.ends) // 2].astype("datetime64[D]")
    south = not _impossible(replace(record, latitude=-record.latitude))
    span = moved - EVERY * before, moved + EVERY * after
    return replace(found, cure=Cure(late, moved, span, middle, south))


def _rough_shift(record: _Record) -> float:
    """Hours by which the middle of the sunshine of all days is late, clouds and all."""
    brightest = _brightest(record, np.maximum(record.values, 0.0))
    angle = np.resize(_angles(record), brightest.shape[1])
    mean = np.nansum(brightest * np.exp(1j * angle))
    return float(np.angle(-mean)) * 24.0 / (2.0 * np.pi) if abs(mean) > 0.0 else 0.0


def _course_by_date(record: _Record, late: float) -> tuple[np.ndarray, np.ndarray, float]:
    """How far the course of the brightest days is from the sun's, for dates moved by every number
    of days: days, misfit (relative), and the scale at the dates as they are."""
    brightest = _brightest(record, record.values)
    steps = record.steps
    rows = np.arange(brightest.shape[0])[:, None] * BLOCK * steps + np.arange(steps)
    spacing = record.ends[1] - record.ends[0]
    half = min(BLOCK, -(-len(record.values) // steps)) // 2
    ends = record.ends[0] + (rows + half * steps) * spacing
    if len(rows) > MOST:
        some = np.linspace(0, len(rows) - 1, MOST).astype(int)
        brightest, ends = brightest[some], ends[some]
    known = np.isfinite(brightest)
    seen = np.where(known, brightest, 0.0)
    days = np.arange(-182, 183, EVERY)
    stamps = replace(record, ends=ends).clocked(late).ends
    stamps = stamps + days[:, None, None] * np.timedelta64(1, "D")
    could = sun_over_intervals(stamps, record.interval, record.latitude, record.longitude)[0]
    could = np.where(known, could, 0.0)
    power = np.maximum((could**2).sum(axis=(1, 2)), 1e-12)
    free = (seen * could).sum(axis=(1, 2)) / power
    # At the dates as they are the scale may be anything; at others it may not.
    scale = np.where(days == 0, free, np.minimum(free, CLEAR_SKY[1]))[:, None, None]
    off = ((seen - scale * could) ** 2).sum(axis=(1, 2))
    return days, np.sqrt(off / max((seen**2).sum(), 1e-12)), float(free[days == 0][0])
