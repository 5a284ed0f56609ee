"""A table of text behind a declared time axis: CSV, TSV, and the tables of loggers and EddyPro."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from caliche.data.assemble import to_second
from caliche.data.missing import marks_of
from caliche.data.readers.csv_layout import read_layout
from caliche.data.source import TimeAxis
from caliche.data.units import known_unit
from caliche.errors import InputError, nearest
from caliche.wording import number_of

_DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_UNREADABLE = (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning)
_HOUR = 3_600_000_000_000  # ns
DATE, TIME = "date", "time"  # the two columns of EddyPro's time
MOST_NAMES = 12  # of columns, in a message


class CsvTable:
    """A table of text, its header and comments as `csv_layout` tells them.

    `wanted` says by its name which column to read; None reads all. `missing` declares texts that
    stand for a missing value beside the usual ones.
    """

    def __init__(
        self,
        path: Path,
        separator: str,
        wanted: Callable[[str], bool] | None = None,
        missing: Sequence[float | str] = (),
    ) -> None:
        self.name, self._marks = path.name, marks_of(missing)
        try:
            self._layout = read_layout(path, separator)
            self.names = self._layout.names
            every = list(range(self._layout.width))
            read = [k for k, name in enumerate(self.names) if wanted is None or wanted(name)]
            # As text: a time such as 201205010700 must not become a number.
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                self._frame = pd.read_csv(
                    path,
                    sep=separator,
                    dtype=str,
                    header=None,
                    names=every,
                    usecols=read,
                    skiprows=self._layout.skipped,
                    skipinitialspace=True,
                    keep_default_na=False,
                    encoding="utf-8-sig",
                    index_col=False,
                )
        except (OSError, UnicodeDecodeError, *_UNREADABLE) as error:
            raise InputError(
                f"a table that can be read at {path}",
                str(error).strip().splitlines()[0],
                "check that it is text in UTF-8 with one header line and as many fields per row",
            ) from None

    def text(self, column: str) -> pd.Series:
        """One column as text, "" where it is empty.

        Raises
        ------
        InputError : there is no such column, or more than one.
        """
        at = [k for k, name in enumerate(self.names) if name == column]
        if not at:
            raise self._no_column(column)
        if len(at) > 1:
            places = " and ".join(str(k + 1) for k in at)
            raise InputError(
                f"one column {column!r} in {self.name}",
                f"{len(at)}, columns {places} (blanks around a name do not count)",
                "rename all but one of them",
            )
        return self._frame[at[0]].str.strip()

    def _no_column(self, column: str) -> InputError:
        inside = self._layout.comment.lstrip("# ")
        if column in (name.strip() for name in re.split(r"[,;\t]", inside)):
            advice = "take the # away from the line of column names"
        elif len(self.names) > MOST_NAMES:
            advice = nearest(column, self.names)
            if advice.startswith("one of"):
                advice = f"one of {', '.join(self.names[:MOST_NAMES])} ..."
        else:
            advice = nearest(column, self.names)
        return InputError(
            f"a column {column!r} in {self.name}",
            f"{number_of(len(self.names), 'column')} without it",
            advice,
        )

    def numbers(self, column: str) -> np.ndarray:
        """One column as float64 (n,), NaN where missing. InputError at text that is no number."""
        text = self.text(column)
        numbers = np.array(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
        odd = np.flatnonzero(~np.isfinite(numbers) & (text != "").to_numpy())
        bad = odd[~text.iloc[odd].str.lower().isin(self._marks).to_numpy()]
        if bad.size:
            raise InputError(
                f"numbers in column {column} of {self.name}",
                f"{text.iloc[bad[0]]!r} in row {bad[0] + 1} below the header ({bad.size} in all)",
                "correct it, or list what stands for a missing value, as in "
                f"missing = [-9999, {_quoted(text.iloc[bad[0]])}]",
            )
        numbers[odd] = np.nan
        return numbers

    def unit(self, column: str) -> str | None:
        """The unit that a header line gives a column, where it has one that is known."""
        unit = self._layout.units.get(column, "")
        return unit if known_unit(unit) else None

    def place(self) -> dict[str, object]:
        """A text table says nothing of its site."""
        return {}

    def times(self, axis: TimeAxis) -> np.ndarray:
        """Times of the file's own clock, datetime64[ns] (n,), to the second."""
        text = self._time_text(axis)
        text = text.mask((text == "") | text.str.lower().isin(self._marks))
        layout, given = axis.format, text.dropna()
        if layout is None and len(given) and given.str.fullmatch(r"\d+(\.0)?").all():
            text = text.str.removesuffix(".0")  # digits that went through a table of floats
            layout = _DIGITS.get(len(given.iloc[0].removesuffix(".0")), "unknown")
        try:
            parsed = pd.to_datetime(text, format=layout or "ISO8601", errors="coerce", utc=True)
        except ValueError as error:  # of the format itself
            raise InputError(
                f"a format of the time of {self.name} as in '%d/%m/%Y %H:%M'",
                f"{axis.format!r}: {error}",
                "correct it",
            ) from None
        bad = (parsed.isna() & text.notna()).to_numpy()
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"times in column {axis.column} of {self.name} as "
                + (axis.format or "2012-05-01 07:00:00 or 201205010700"),
                f"{text.iloc[row]!r} in row {row + 1} below the header",
                "give the format of the time, for instance '%d/%m/%Y %H:%M'",
            )
        _check_zone(given, axis, self.name)
        # utc=True moved times that carry a zone to UTC; back to the clock that axis declares.
        zoned = len(given) > 0 and _ZONE.search(given.iloc[0]) is not None
        times = to_second(parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]"))
        return times + np.timedelta64(
            round(float(axis.utc_offset or 0) * _HOUR) if zoned else 0, "ns"
        )

    def _time_text(self, axis: TimeAxis) -> pd.Series:
        """The column of times; of EddyPro's columns date and time both, joined by a blank."""
        text = self.text(axis.column)
        both = axis.column in (DATE, TIME) and {DATE, TIME} <= set(self.names)
        if both and (axis.format is None or "%H" in axis.format):
            date, clock = self.text(DATE), self.text(TIME)
            if date.str.fullmatch(r"\d{4}-\d{2}-\d{2}").all():
                return date + " " + clock
        return text


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "") + '"'


_ZONE = re.compile(r"\d[T ]\d.*?\s?(Z|UTC|GMT|[+-]\d{2}:?\d{2})$")


def _check_zone(text: pd.Series, axis: TimeAxis, where: str) -> None:
    """Raises InputError if times carry their own zone and it is not the declared one."""
    match = _ZONE.search(text.iloc[0]) if len(text) else None
    if match is None:
        return
    zone = match[1].replace(":", "")
    hours = (
        0.0
        if zone in ("Z", "UTC", "GMT")
        else (int(zone[1:3]) + int(zone[3:]) / 60) * float(zone[0] + "1")
    )
    if hours != axis.utc_offset:
        raise InputError(
            f"times of {where} at utc_offset = {axis.utc_offset:g}, as declared",
            f"{text.iloc[0]!r}",
            f"give utc_offset = {hours:g}",
        )
