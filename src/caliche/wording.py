"""Lists in plain English, for everything that is said to a user."""

from __future__ import annotations

from collections.abc import Iterable


def listing(items: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; `last` stands before the last one."""
    items = list(items)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def number_of(count: float, noun: str, plural: str = "") -> str:
    """`1 day`, `0.5 days`, `17,520 observations`; `plural` where it is not the noun with an s."""
    text = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{text} {noun if count == 1 else plural or f'{noun}s'}"


def agree(count: float, one: str, many: str) -> str:
    """The word that goes with a number: `agree(1, "was", "were")` is `was`."""
    return one if count == 1 else many
