"""What stands for a missing value in the files of towers, as a number and as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NUMBERS = (-9999.0, -6999.0, -999.0)
# Of loggers (NAN), databases and spreadsheets; compared without regard to case.
MARKS = frozenset(
    {
        "nan",
        "-nan",
        "na",
        "n/a",
        "<na>",
        "null",
        "none",
        "inf",
        "+inf",
        "-inf",
        "nan(ind)",
        "-nan(ind)",
        "1.#qnan",
        "-1.#qnan",
        "1.#ind",
        "-1.#ind",
        "#na",
        "#n/a",
        "#n/a n/a",
        "#div/0!",
        "#num!",
        "#value!",
        "#ref!",
        "#name?",
        "#null!",
    }
)
SPREADSHEET = tuple(sorted(mark for mark in MARKS if mark.startswith("#")))
FILL = 9e35  # netCDF fills what was never written with 9.97e36


def marks_of(missing: Sequence[float | str]) -> frozenset[str]:
    """Texts, in lower case, that are read as missing: the usual ones and those declared."""
    return MARKS | {m.strip().lower() for m in missing if isinstance(m, str)}


def without_missing(values: np.ndarray, missing: Sequence[float | str] = ()) -> np.ndarray:
    """A copy of values (any shape) as float64, NaN where they stand for a missing value.

    -9999, -6999 and -999 always do, as does the fill value of netCDF; `missing` adds to them.
    """
    values = np.array(values, dtype=np.float64)
    numbers = [*NUMBERS, *(m for m in missing if not isinstance(m, str))]
    values[np.isin(values, numbers) | ~(np.abs(values) < FILL)] = np.nan
    return values
