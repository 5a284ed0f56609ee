"""Numbers and units as text: an estimate carries the digits its error bar allows, no more."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SUPERSCRIPT = str.maketrans("-+0123456789", "⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹")
MISSING = "–"


def number(value: float | None) -> float:
    """A float from JSON, where null stands for a value that was not finite."""
    return math.nan if value is None else float(value)


def pretty_unit(unit: str) -> str:
    """`W m-1 K-1` as W m⁻¹ K⁻¹; a dimensionless unit ("1" or "-") as nothing."""
    if unit.strip() in ("", "1", "-"):
        return ""
    words = []
    for word in unit.split():
        base = word.rstrip("-+0123456789")
        words.append(base + word[len(base) :].translate(_SUPERSCRIPT) if base else word)
    return " ".join(words)


def with_unit(text: str, unit: str) -> str:
    """The number's text followed by its unit, if it has one."""
    return f"{text} {pretty_unit(unit)}".rstrip()


def plain(value: float | None, digits: int = 4) -> str:
    """A number alone, to at most `digits` significant digits: 0.5, 12.31, 2.1 × 10⁶."""
    return _significant(value, digits, trim=True)


def rounded(value: float | None, digits: int = 3) -> str:
    """A number alone, with all of its `digits` significant digits: 0.500, 12.3, 2.10 × 10⁶."""
    return _significant(value, digits, trim=False)


def shared_power(values: list[float]) -> int:
    """The power of ten to take out of an axis that spans `values`; 0 where none is needed."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    exponent = _exponent(largest, 2) if largest else 0
    return exponent if _wants_power(exponent) else 0


def scaled_unit(unit: str, power: int) -> str:
    """The unit an axis is in once 10^power is taken out of its numbers."""
    return f"{_power(power).removeprefix(' × ') if power else ''} {pretty_unit(unit)}".strip()


def value_and_sd(value: float | None, sd: float | None) -> str:
    """An estimate with its standard deviation: two digits of the sd, the value to the same place.

    A power of ten, where one is needed, is shared: (2.100 ± 0.043) × 10⁶.
    """
    value, sd = number(value), number(sd)
    if not (math.isfinite(value) and math.isfinite(sd) and sd > 0):
        return plain(value)
    if sd < 1e-6 * abs(value):
        # All the common decimals would be a row of zeros (a twin without noise).
        return f"{plain(value, 7)} ± {plain(sd, 2)}"
    decimals, power = _places(value, sd)
    scale = 10.0**power
    text = f"{_fixed(value / scale, decimals + power)} ± {_fixed(sd / scale, decimals + power)}"
    return f"({text}){_power(power)}" if power else text


def interval(bounds: Sequence[float] | None, sd: float | None, value: float | None) -> str:
    """An interval's two ends, written to the same place as `value_and_sd(value, sd)`."""
    if bounds is None:
        return MISSING
    low, high = number(bounds[0]), number(bounds[1])
    value, sd = number(value), number(sd)
    if not (math.isfinite(sd) and sd > 0 and math.isfinite(value)) or sd < 1e-6 * abs(value):
        return f"{plain(low)} to {plain(high)}"
    decimals, power = _places(value, sd)
    ends = [_fixed(end / 10.0**power, decimals + power) for end in (low, high)]
    text = f"{ends[0]} to {ends[1]}"
    return f"({text}){_power(power)}" if power else text


def power_of_ten(value: float) -> str:
    """A whole power of ten, as on a logarithmic axis: 10⁻³."""
    return f"10{str(round(math.log10(value))).translate(_SUPERSCRIPT)}"


def percent(part: float, whole: float) -> str:
    """`part` as a percentage of `whole` in words: "5 %", "0.3 %"; "" if it means nothing."""
    if not (math.isfinite(part) and math.isfinite(whole)) or whole == 0:
        return ""
    share = abs(100.0 * part / whole)
    return f"{_fixed(share, 0 if share >= 1 else 1)} %" if share >= 0.05 else "under 0.1 %"


def _significant(value: float | None, digits: int, trim: bool) -> str:
    value = number(value)
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    exponent = _exponent(value, digits)
    power = exponent if _wants_power(exponent) else 0
    decimals = digits - 1 - exponent
    text = _fixed(value / 10.0**power, decimals + power)
    if trim and "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}{_power(power)}"


def _exponent(value: float, digits: int) -> int:
    """Power of ten of the leading digit after rounding to `digits` (0.0996 to two: -1)."""
    return int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _wants_power(exponent: int) -> bool:
    return exponent >= 5 or exponent < -3


def _places(value: float, sd: float) -> tuple[int, int]:
    """Decimals that show two digits of `sd`, and the shared power of ten (0: none)."""
    decimals = 1 - _exponent(sd, 2)
    leading = _exponent(round(max(abs(value), sd), decimals), 15)
    return decimals, leading if _wants_power(leading) else 0


def _fixed(value: float, decimals: int) -> str:
    """Fixed-point text; negative `decimals` round to tens, hundreds, and so on."""
    if not math.isfinite(value):
        return MISSING
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    # A rounded -0.00 is not negative; a real minus sign is as wide as a digit.
    return text.replace("-", "−") if float(text) != 0 else text.lstrip("-")


def _power(exponent: int) -> str:
    return f" × 10{str(exponent).translate(_SUPERSCRIPT)}" if exponent else ""


def share(part: float) -> str:
    """A share in per cent, to two digits: 0.28 %, 1.0 %, 187 %; from a thousand on, as a factor."""
    percent = 100.0 * part
    if not math.isfinite(percent):
        return "∞"
    if percent >= 1000.0:
        return f"{plain(part, 2)} times"
    return f"{rounded(percent, 2) if percent < 99.5 else f'{percent:.0f}'} %"
