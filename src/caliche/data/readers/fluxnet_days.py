"""FLUXNET tables of days (DD) and weeks (WW), laid out over days.

A week's mean of the weather drives each of its days. A week's mean of anything else stands at its
last day, to be compared with the mean of the model's days; the last week of a year, which has 8 or
9 days, has none. In these files a `_QC` is the share of measured (or well filled) half hours, and
precipitation is mm per day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caliche.data.assemble import Series
from caliche.data.readers.csv_table import CsvTable
from caliche.data.source import TimeAxis
from caliche.errors import InputError
from caliche.wording import number_of

DAY = np.timedelta64(1, "D")
LENGTHS = (1, 7)  # days
MOSTLY = 0.5  # share of measured half hours above which a mean counts as measured


@dataclass(frozen=True)
class Days:
    """The days that the rows of a file span.

    times : (n,) end of each local day, UTC, datetime64[ns].
    row : (n,) which row of the file it belongs to.
    last : (n,) whether it is the last day of a row of the usual length.
    length : that length, s.
    """

    times: np.ndarray
    row: np.ndarray
    last: np.ndarray
    length: float

    def repeated(self, series: Series) -> Series:
        """Each row's value on all of its days."""
        filled = None if series.filled is None else series.filled[self.row]
        return Series(series.values[self.row], series.rejected[self.row], filled)

    def at_end(self, series: Series) -> Series:
        """Each row's value on its last day."""
        values = np.where(self.last, series.values[self.row], np.nan)
        filled = None if series.filled is None else series.filled[self.row] & self.last
        return Series(values, series.rejected[self.row] & self.last, filled)


def read_days(table: CsvTable, utc_offset: float | None) -> Days:
    """The days of a table with TIMESTAMP (DD), or with first and last days (WW).

    Raises
    ------
    InputError : neither days nor weeks, rows that do not follow one another.
    """
    names = [n for n in ("TIMESTAMP_START", "TIMESTAMP_END", "TIMESTAMP") if n in table.names]
    first, last = (
        table.times(TimeAxis(name, "start", utc_offset)).astype("datetime64[D]")
        for name in (names[0], names[1] if len(names) > 1 else names[0])
    )
    if len(first) < 2 or np.isnat(first).any() or np.isnat(last).any():
        raise InputError(
            f"at least two rows in {table.name}, with a time in each",
            number_of(len(first), "row"),
            "give a file with a time series",
        )
    counts = ((last - first) / DAY).astype(int) + 1
    usual = int(np.median(counts))
    if usual not in LENGTHS:
        raise InputError(
            f"half hours, hours, days or weeks in {table.name}",
            f"intervals of {usual * 24} h",
            "give the half-hourly file (HH or HR)",
        )
    if (counts < 1).any() or (first[1:] - last[:-1] != DAY).any():
        raise InputError(
            f"rows of {table.name} that follow one another",
            "a gap, or rows out of order",
            "write the missing rows with empty values",
        )
    days = np.arange(first[0], last[-1] + DAY)
    shift = np.timedelta64(round(float(utc_offset or 0.0) * 3600), "s")
    times = (days + DAY).astype("datetime64[ns]") - shift
    row = np.repeat(np.arange(len(counts)), counts)
    return Days(times, row, (days == last[row]) & (counts[row] == usual), usual * 86400.0)


def screen_share(values: np.ndarray, share: np.ndarray | None, least: float) -> Series:
    """Values of which at least this share was measured; below a half they count as filled."""
    values = np.array(values, dtype=np.float64)
    if share is None:
        return Series(values, np.zeros(values.shape, dtype=bool))
    rejected = np.isfinite(values) & ~(share >= least)
    values[rejected] = np.nan
    return Series(values, rejected, np.isfinite(values) & ~(share >= MOSTLY))
