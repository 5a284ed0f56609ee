"""Checks of times and values at the boundary, each told with the first offending time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from caliche.errors import InputError
from caliche.variables import variable
from caliche.wording import number_of


def utc_text(time: np.datetime64 | np.ndarray) -> str:
    """A time as text, to the minute where it has no seconds: 2012-05-01T07:00Z."""
    exact = np.asarray(time).astype("datetime64[ms]")
    text = str(exact).removesuffix(".000")
    return text.removesuffix(":00") + "Z"


def word_count(number: int, word: str) -> str:
    """1 time, 2 times."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def check_time(times: np.ndarray, where: str = "the file", zone: str = "Z") -> float:
    """Check that times are increasing and regular, and return their interval in seconds.

    Parameters
    ----------
    times : (n,) datetime64, at least two.
    where : the file, for the message.
    zone : "Z" if the times are UTC, empty for the file's own clock.

    Raises
    ------
    InputError : missing, repeated or decreasing times, a gap or an irregular step.
    """
    times = np.asarray(times, dtype="datetime64[ns]")
    if times.size < 2:
        raise InputError(
            f"at least two times in {where}", f"{times.size}", "give a file with a time series"
        )
    if np.isnat(times).any():
        raise InputError(
            f"a time in every row of {where}",
            f"{number_of(int(np.isnat(times).sum()), 'row')} without one, the first row "
            f"{int(np.isnat(times).argmax()) + 1}",
            "remove these rows or write their times",
        )
    steps = np.diff(times).astype(np.int64)
    later = times[1:]

    def text(time: np.datetime64) -> str:
        return utc_text(time)[:-1] + zone

    if (steps <= 0).any():
        first = int((steps <= 0).argmax())
        word = "repeated" if steps[first] == 0 else "earlier than the row before"
        raise InputError(
            f"increasing times in {where}",
            f"{word_count(int((steps <= 0).sum()), 'time')} out of order, the first "
            f"{text(later[first])}, {word}",
            "sort the rows and remove repeated ones; a clock with daylight saving repeats an hour",
        )
    usual = int(np.median(steps))
    odd = steps != usual
    if odd.any():
        first = int(odd.argmax())
        word = "a gap" if steps[first] > usual else "a short step"
        raise InputError(
            f"a regular time step of {usual / 1e9:.12g} s in {where}",
            f"{word} of {steps[first] / 1e9:.12g} s before {text(later[first])}, after "
            f"{text(times[first])} ({word_count(int(odd.sum()), 'irregular step')} in all)",
            "write the missing rows with empty values, or remove the extra ones",
        )
    return usual / 1e9


def check_range(
    values: np.ndarray,
    stream: str,
    times: np.ndarray,
    where: str = "",
    unit: str | None = None,
    believed: Sequence[float] | None = None,
) -> None:
    """Refuse values that cannot occur on land.

    Parameters
    ----------
    values : (n,) SI; NaN is missing and passes.
    stream : canonical name, whose valid_min and valid_max bound the values.
    times : (n,) datetime64, UTC.
    where, unit : the column and file and the unit declared for it, for the message.
    believed : smallest and largest value, where the source declares them.

    Raises
    ------
    InputError : any value outside, with the count, the first time and what may be wrong.
    """
    bounds = variable(stream)
    low, high = (bounds.valid_min, bounds.valid_max) if believed is None else believed
    outside = (values < low) | (values > high)
    if not outside.any():
        return
    first = int(outside.argmax())
    number, total = int(outside.sum()), int(np.isfinite(values).sum())
    raise InputError(
        f"{stream}{' in ' + where if where else ''} between {low:g} and {high:g} {bounds.unit}",
        f"{number} of {total} values outside, the first {values[first]:.6g} {bounds.unit} "
        f"at {utc_text(times[first])}",
        _cause(values, stream, number, total, unit),
    )


def check_scale(
    values: np.ndarray,
    stream: str,
    times: np.ndarray,
    where: str = "",
    unit: str | None = None,
    ranges: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """As `check_range`, but let spikes pass: refuse only where the median itself is impossible.

    A whole column out of range is a wrong unit or a wrong column and is told on reading. A spike
    is told when a window that contains it is used, so that one in March does not stop a study of
    August.
    """
    finite = values[np.isfinite(values)]
    bounds, believed = variable(stream), (ranges or {}).get(stream)
    low, high = (bounds.valid_min, bounds.valid_max) if believed is None else believed
    if finite.size and not low <= np.median(finite) <= high:
        check_range(values, stream, times, where, unit, believed)


def _cause(values: np.ndarray, stream: str, number: int, total: int, unit: str | None) -> str:
    """What to do about values out of range."""
    kelvin = variable(stream).unit == "K" and (unit or "K").lower() in ("k", "kelvin", "degk")
    if kelvin and -60.0 <= float(np.nanmedian(values)) <= 60.0:
        return "these look like degrees Celsius: unit = 'degC'"
    bounds, key = variable(stream), f'"{stream}"' if "." in stream else stream
    ends = f"{{ {key} = [{bounds.valid_min:g}, {bounds.valid_max:g}] }}"
    ranges = (
        f"give ranges = {ends} in the source to take values outside for missing, or a wider range "
        "to accept them"
    )
    if number <= 0.01 * total:
        return f"these look like spikes: mark them missing in the file, or {ranges}"
    return f"check the unit and the column, or {ranges}"
