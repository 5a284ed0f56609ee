"""Wording that every page shares: counts, moments, labels, sentences."""

from __future__ import annotations

import numpy as np

_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def counted(count: int, noun: str) -> str:
    """`one start`, `17,520 observations`."""
    text = _SMALL[count] if 0 <= count < len(_SMALL) else f"{count:,}"
    return f"{text} {noun}{'' if count == 1 else 's'}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def clock(utc_offset: float) -> str:
    """Which clock a time is read on: `UTC`, or `local standard time (UTC−7)`."""
    if utc_offset == 0:
        return "UTC"
    hours, minutes = divmod(round(abs(utc_offset) * 60), 60)
    sign = "−" if utc_offset < 0 else "+"
    return f"local standard time (UTC{sign}{hours}{f':{minutes:02d}' if minutes else ''})"


def moment(time: np.datetime64) -> str:
    """A time to the minute: 2012-05-01 00:30."""
    return str(time.astype("datetime64[m]")).replace("T", " ")


def parameter_label(name: str, long_name: str = "") -> str:
    """A parameter in words: its long name, or its name where it has none."""
    return long_name or name.replace("_", " ")


def sentence(text: str) -> str:
    """The text with a full stop; it may come without one."""
    text = text.strip() or "no reason was recorded"
    return text if text.endswith((".", "!", "?")) else f"{text}."
