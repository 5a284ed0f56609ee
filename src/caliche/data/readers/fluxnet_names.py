"""The names of columns in FLUXNET and AmeriFlux tables: positions _H_V_R, profiles of sensors."""

from __future__ import annotations

import re
from collections.abc import Sequence

SOIL = ("TS_F_MDS", "TS")
POSITION = re.compile(r"_(\d+)_(\d+)_(\d+)$")


def position(column: str) -> tuple[int, ...]:
    """Horizontal, vertical and replicate number of a column."""
    match = POSITION.search(column)
    return (0, 0, 0) if match is None else tuple(int(part) for part in match.groups())


def sensor(column: str) -> str:
    """What the columns of one sensor, or of sensors in one place, have in common."""
    match = POSITION.search(column)
    return column[: match.start(3)] if match else column.replace("_F_MDS", "")


def soil_profiles(columns: Sequence[str], bases: Sequence[str] = SOIL) -> list[list[str]]:
    """All such profiles in the order of preference, one for each horizontal position."""
    found = []
    for base in bases:
        numbered = [c for c in columns if re.fullmatch(rf"{base}_\d+", c)]
        if numbered:
            found.append(sorted(numbered, key=lambda c: int(c.rpartition("_")[2])))
        placed = sorted(
            (c for c in columns if POSITION.sub("", c) == base and c != base), key=position
        )
        for horizontal in dict.fromkeys(position(c)[0] for c in placed):
            profile = {position(c)[1]: c for c in reversed(placed) if position(c)[0] == horizontal}
            found.append([profile[vertical] for vertical in sorted(profile)])
    return found
