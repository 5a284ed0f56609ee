"""What is said of a clock that the sun was asked about."""

from __future__ import annotations

import numpy as np

from caliche.data.clock import LONGEST, SUSPICIOUS, ClockCheck, Cure, Impossible
from caliche.wording import number_of

# h from the sun's mean time: no country keeps a clock further away than this.
FURTHEST = 4.0
ROUND = 0.2  # h; how close a shift has to be to a cause of a known size


def clock_sentence(check: ClockCheck, longitude: float, utc_offset: float | None = None) -> str:
    """What the check found, and what a clock that is so wrong usually is.

    Parameters
    ----------
    longitude : degrees east, as declared.
    utc_offset : hours, of the file's stamps, as declared; None where it is not known.
    """
    if not check.has_sun:
        return "cannot be told: the record has no sunshine"
    if check.suspicious:
        return f"DOES NOT AGREE with the sun: {_contradiction(check, longitude, utc_offset)}"
    if check.interval > LONGEST:
        return (
            f"cannot be told from means over {check.interval / 3600.0:g} h: solar noon needs "
            "values over 3 h or less"
        )
    if check.days:
        return f"agrees with the sun: {_noon(check)}; no light where there can be none"
    if not check.has_day:
        return "cannot be told: the sun does not rise in this record, and it is dark"
    return (
        "cannot be told: no clear day to find solar noon by; no light where there can be none, "
        "which an error of an hour or two leaves so"
    )


def _contradiction(check: ClockCheck, longitude: float, utc_offset: float | None) -> str:
    if not check.impossible:
        return _noon_alone(check, longitude, utc_offset)
    found, cure = _impossible(check.impossible), check.cure
    if check.jump is not None and (cure is None or not cure.days):
        return f"{found}; {_jump(check.jump)}"
    if check.too_bright:
        return (
            f"{found}; the course of the day is that of the sun, but {check.too_bright:.2f} times "
            "as bright as above the atmosphere: check the unit and the calibration of the "
            "incoming shortwave radiation"
        )
    if cure is None:
        return (
            f"{found}; no UTC offset (all 24 hours were tried) and no date of the year makes it "
            "possible: check the column, its unit and the time stamps"
        )
    if np.isfinite(cure.least):
        return (
            f"{found}; stamps that are {_hours(cure.least)} to {_hours(cure.most)} are possible, "
            "and no clear day tells it better: check utc_offset, stamp and longitude"
        )
    if not cure.days:
        noon = f"; {_noon(check)}" if check.days else ""
        return f"{found}{noon}; {_causes(cure.hours, check.interval, longitude, utc_offset)}"
    return f"{found}; {_date(check, cure)}"


def _date(check: ClockCheck, cure: Cure) -> str:
    first, last = cure.range
    if first > 0:
        text = f"the dates are {first} to {number_of(last, 'day')} early"
    elif last < 0:
        text = f"the dates are {-last} to {number_of(-first, 'day')} late"
    else:
        side = "early" if cure.days > 0 else "late"
        text = f"the dates are about {number_of(abs(cure.days), 'day')} {side}"
    text = f"the DATE is wrong, whatever the UTC offset: {text}"
    if cure.middle is not None:
        apart = np.timedelta64(1, "D")
        dates = [cure.middle + (days - cure.days) * apart for days in cure.range]
        text += f" (such sunshine belongs between {dates[0]} and {dates[1]})"
    if cure.south:
        text += ", or latitude has the wrong sign"
    text += "; correct this first"
    if check.interval <= LONGEST and abs(cure.hours) > SUSPICIOUS:
        text += (
            f", then the hours: with such dates solar noon is {_hours(cure.hours)} by the stamps"
        )
    return text


def _noon_alone(check: ClockCheck, longitude: float, utc_offset: float | None) -> str:
    if check.jump is not None:
        return _jump(check.jump)
    return f"{_noon(check)}; {_causes(check.shift, check.interval, longitude, utc_offset)}"


def _jump(jump: tuple[float, np.datetime64, float, np.datetime64]) -> str:
    low, first, high, second = jump
    return (
        f"solar noon is {_hours(low)} by the stamps near {first} and {_hours(high)} near {second}: "
        "the clock may follow daylight saving, or was set within the record"
    )


def _noon(check: ClockCheck) -> str:
    days = "1 clear day" if check.days == 1 else f"median of {check.days} clear days"
    spread = f", ± {check.spread:.2f} h" if check.days > 1 else ""
    return f"solar noon is {_hours(check.shift)} by the stamps ({days}{spread})"


def _hours(shift: float) -> str:
    return f"{abs(shift):.2f} h {'late' if shift > 0 else 'early'}"


def _impossible(found: Impossible) -> str:
    parts = []
    if found.above:
        parts.append(
            f"{_percent(found.above)} of the daylight values are above the sunlight that "
            "there is above the atmosphere"
        )
    if found.lit:
        parts.append(f"{_percent(found.lit)} of the night (sun more than 6 degrees down) has light")
    if found.dark:
        parts.append(f"{_percent(found.dark)} of the day (sun more than 10 degrees up) is dark")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share < 0.995 else "100 %"


def _causes(shift: float, interval: float, longitude: float, utc_offset: float | None) -> str:
    """What a shift of that size usually is."""
    hours, found = interval / 3600.0, []
    if abs(abs(shift) - hours) <= min(0.15, 0.3 * hours):
        found.append("stamps may mark the other end of the interval")
    elif abs(abs(shift) - hours / 2.0) <= min(0.1, 0.2 * hours):
        found.append("stamps may mark the middle of the interval")
    if abs(_wrapped(shift - 2.0 * longitude / 15.0)) <= ROUND:
        found.append(f"longitude may have the wrong sign ({-longitude:g} instead of {longitude:g})")
    half = round(2.0 * shift) / 2.0
    if half and abs(shift - half) <= ROUND:
        found += _offsets(half, longitude, utc_offset)
    if abs(shift - 1.0) <= ROUND:
        found.append("the clock may follow daylight saving")
    if not found:
        return "check stamp, utc_offset and longitude"
    return ", or ".join(found)


def _offsets(half: float, longitude: float, utc_offset: float | None) -> list[str]:
    """The UTC offset that takes a shift away, where a clock can have it."""
    if utc_offset is None:
        return [f"utc_offset may be {abs(half):g} h too {'small' if half > 0 else 'large'}"]
    right = utc_offset + half
    if not -12.0 <= right <= 14.0:
        right -= 24.0 * np.sign(right)
    if right and abs(_wrapped(right - longitude / 15.0)) > FURTHEST:
        return []
    note = " (its sign)" if right == -utc_offset else " (UTC)" if right == 0.0 else ""
    return [f"utc_offset may be {right:g} instead of {utc_offset:g}{note}"]


def _wrapped(hours: float) -> float:
    return (hours + 12.0) % 24.0 - 12.0
