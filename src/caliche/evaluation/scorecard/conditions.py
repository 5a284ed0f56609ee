"""The rows of a scorecard: all times of a record, days, nights, dry and wet spells, seasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from caliche.errors import InputError, nearest
from caliche.evaluation.regimes import NIGHT, regimes

MEAN, DAY, DARK, DRY, WET, SEASON = "mean", "day", "night", "dry", "wet", "season"
CONDITIONS = (MEAN, DAY, DARK, DRY, WET, SEASON)
SEASONS = {
    "winter": (12, 1, 2),
    "spring": (3, 4, 5),
    "summer": (6, 7, 8),
    "autumn": (9, 10, 11),
}
# Classes of days since rain that are wet: the day itself, and two days after.
_WET_CLASSES = 2


def conditions_of(
    local_time: np.ndarray,
    step: np.timedelta64,
    weather: Mapping[str, np.ndarray],
    wanted: Sequence[str] = CONDITIONS,
) -> dict[str, np.ndarray]:
    """Which times (time + 1,) belong to each condition that the record has.

    `season` stands for those seasons (of the northern hemisphere, by month) that the record
    touches, where it touches more than one.

    Parameters
    ----------
    local_time : (time + 1,) ends of the steps, local standard time.
    weather : forcing by name (time + 1,), SI; without sunlight there is no day and night, without
        precipitation no dry and wet.

    Raises
    ------
    InputError : an unknown condition.
    """
    for word in wanted:
        if word not in CONDITIONS:
            raise InputError(
                f"conditions that are among {', '.join(CONDITIONS)}",
                repr(word),
                nearest(word, CONDITIONS),
            )
    found = {MEAN: np.ones(len(local_time), bool)} if MEAN in wanted else {}
    if "incoming_shortwave" in weather:
        sun = weather["incoming_shortwave"]
        pair = {DAY: sun > NIGHT, DARK: sun <= NIGHT}
        found |= {word: which for word, which in pair.items() if word in wanted}
    kinds = {kind.name: kind.index for kind in regimes(local_time, step, weather)}
    if "wetness" in kinds:
        since = kinds["wetness"]
        pair = {DRY: since >= _WET_CLASSES, WET: (since >= 0) & (since < _WET_CLASSES)}
        found |= {word: which for word, which in pair.items() if word in wanted}
    if SEASON in wanted:
        month = (local_time - step // 2).astype("datetime64[M]").astype(int) % 12 + 1
        parts = {name: np.isin(month, months) for name, months in SEASONS.items()}
        there = {name: which for name, which in parts.items() if which[1:].any()}
        found |= there if len(there) > 1 else {}
    # Entry 0 ends no step of the record.
    return {word: which for word, which in found.items() if which[1:].any()}
