"""Reader of tables, CSV or netCDF, through a declared time axis and a mapping of columns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from caliche.data.assemble import (
    Series,
    assemble,
    check_exists,
    flat,
    in_si,
    netcdf_times,
    open_netcdf,
    place,
    screen,
)
from caliche.data.quality import check_scale, check_time
from caliche.data.source import Column, Source, TimeAxis
from caliche.data.units import agreed_unit
from caliche.errors import InputError, nearest
from caliche.wording import number_of

SEPARATORS = {".csv": ",", ".tsv": "\t"}
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")
_DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_UNREADABLE = (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning)
_HOUR = 3_600_000_000_000  # ns


def read_table(source: Source) -> xr.Dataset:
    """Read a CSV or netCDF table.

    Returns
    -------
    xr.Dataset as described at `open_source`.

    Raises
    ------
    InputError : a missing or unreadable file, a missing column or unit, text where a number should
        be, times that are irregular, or values whose scale is impossible.
    """
    if source.time is None:  # Source refuses this; said again for the type checker
        raise InputError("a time axis for a table", "none", "give column, stamp and utc_offset")
    table = _open(source.path, source.time)
    local = table.times(source.time)
    interval = check_time(local, source.path.name, zone="")
    times = interval_end_utc(local, interval, source.time)
    streams = {
        stream: _stream(table, column, stream, source, interval, times)
        for stream, column in source.columns.items()
    }
    known: dict[str, object] = {
        "site": source.site,
        "utc_offset": float(source.time.utc_offset or 0),
    }
    return assemble(times, streams, source.path.name, interval, known | table.place())


def interval_end_utc(local: np.ndarray, interval: float, axis: TimeAxis) -> np.ndarray:
    """Times of the file's clock (n,) to the end of each interval in UTC, datetime64[ns].

    Parameters
    ----------
    interval : seconds.
    axis : which part of the interval the stamps mark, and local time = UTC + utc_offset.
    """
    intervals_to_end = {"start": 1.0, "middle": 0.5, "end": 0.0}[str(axis.stamp)]
    shift = round(intervals_to_end * interval * 1e9) - round(float(axis.utc_offset or 0) * _HOUR)
    return local.astype("datetime64[ns]") + np.timedelta64(shift, "ns")


def _stream(
    table: CsvTable | _NetCdf,
    column: Column,
    stream: str,
    source: Source,
    interval: float,
    times: np.ndarray,
) -> Series:
    """One column: sentinels and rejected values to NaN, in SI, its scale checked."""
    where = f"{column.name} of {source.path.name}"
    values = table.numbers(column.name)
    values[np.isin(values, list(source.missing))] = np.nan
    flags = None if column.qc is None else table.numbers(column.qc)
    accept = source.accept_qc if column.accept is None else column.accept
    unit = agreed_unit(column.unit, table.unit(column.name), stream, interval, where)
    series = in_si(screen(values, flags, accept), stream, unit, interval, where)
    check_scale(series.values, stream, times, where, unit)
    return series


def _open(path: Path, axis: TimeAxis) -> CsvTable | _NetCdf:
    """The table behind a path, told by its suffix."""
    check_exists(path)
    suffix = path.suffix.lower()
    if suffix in SEPARATORS:
        return CsvTable(path, SEPARATORS[suffix])
    if suffix in NETCDF:
        return _NetCdf(path, axis.column)
    known = ", ".join([*SEPARATORS, *NETCDF])
    raise InputError(
        f"a table with a suffix of {known}", f"{path.name}", "convert it, or correct its suffix"
    )


class CsvTable:
    """A table of text. Lines that begin with # are comments, as in AmeriFlux BASE files.

    `wanted` says by its name which column to read; None reads all.
    """

    def __init__(
        self, path: Path, separator: str, wanted: Callable[[str], bool] | None = None
    ) -> None:
        self.name = path.name
        try:
            # As text: a time such as 201205010700 must not become a number.
            with warnings.catch_warnings():
                # Rows longer than the header: a warning in pandas, here a column shifted or lost.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                self.frame = pd.read_csv(
                    path, sep=separator, dtype=str, comment="#", skipinitialspace=True,
                    encoding="utf-8-sig", index_col=False,
                    usecols=None if wanted is None else lambda name: wanted(str(name).strip()),
                )  # fmt: skip
        except (OSError, UnicodeDecodeError, *_UNREADABLE) as error:
            raise InputError(
                f"a table that can be read at {path}",
                str(error).strip().splitlines()[0],
                "check that it is text in UTF-8 with one header line and as many fields per row",
            ) from None
        self.frame.columns = [str(name).strip() for name in self.frame.columns]

    def text(self, column: str) -> pd.Series:
        """One column as text, NaN where it is empty. InputError if it is not there."""
        if column not in self.frame:
            raise InputError(
                f"a column {column!r} in {self.name}",
                f"{number_of(self.frame.shape[1], 'column')} without it",
                nearest(column, self.frame.columns),
            )
        text = self.frame[column].str.strip()
        return text.where(text != "")

    def numbers(self, column: str) -> np.ndarray:
        """One column as float64 (n,). InputError at text that is not a number."""
        text = self.text(column)
        numbers = np.array(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
        bad = np.isnan(numbers) & text.notna().to_numpy()
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"numbers in column {column} of {self.name}",
                f"{text.iloc[row]!r} in row {row + 1} below the header ({int(bad.sum())} in all)",
                "leave missing values empty, or list the number that stands for them",
            )
        return numbers

    def unit(self, column: str) -> str | None:
        """A CSV file says nothing of units."""
        return None

    def place(self) -> dict[str, object]:
        """A CSV file says nothing of its site."""
        return {}

    def times(self, axis: TimeAxis) -> np.ndarray:
        """Times of the file's own clock, datetime64[ns] (n,)."""
        text = self.text(axis.column)
        layout, given = axis.format, text.dropna()
        if layout is None and len(given) and given.str.fullmatch(r"\d+(\.0)?").all():
            text = text.str.removesuffix(".0")  # digits that went through a table of floats
            layout = _DIGITS.get(len(given.iloc[0].removesuffix(".0")), "unknown")
        parsed = pd.to_datetime(text, format=layout or "ISO8601", errors="coerce", utc=True)
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
        times = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
        return times + np.timedelta64(
            round(float(axis.utc_offset or 0) * _HOUR) if zoned else 0, "ns"
        )


_ZONE = re.compile(r"\d[T ]\d.*(Z|[+-]\d{2}:?\d{2})$")


def _check_zone(text: pd.Series, axis: TimeAxis, where: str) -> None:
    """Raises InputError if times carry their own zone and it is not the declared one."""
    match = _ZONE.search(text.iloc[0]) if len(text) else None
    if match is None:
        return
    zone = match[1].replace(":", "")
    hours = 0.0 if zone == "Z" else (int(zone[1:3]) + int(zone[3:]) / 60) * float(zone[0] + "1")
    if hours != axis.utc_offset:
        raise InputError(
            f"times of {where} at utc_offset = {axis.utc_offset:g}, as declared",
            f"{text.iloc[0]!r}",
            f"give utc_offset = {hours:g}",
        )


class _NetCdf:
    """A table in netCDF: one variable per column, along one time axis."""

    def __init__(self, path: Path, time: str) -> None:
        self.name = path.name
        self.dataset = open_netcdf(path)
        self._require(time)
        dims = self.dataset[time].dims
        if len(dims) != 1:
            raise InputError(
                f"a time variable with one axis in {self.name}",
                f"{time} with dimensions {dims}",
                "name the variable that holds the times",
            )
        self.time_dim = str(dims[0])

    def _require(self, name: str) -> None:
        if name not in self.dataset.variables:
            known = [str(v) for v in self.dataset.variables]
            raise InputError(
                f"a variable {name!r} in {self.name}",
                f"{len(known)} variables without it",
                nearest(name, known),
            )

    def numbers(self, name: str) -> np.ndarray:
        """One variable as float64 (n,)."""
        self._require(name)
        values = flat(self.dataset, name, self.time_dim, self.name)
        if not np.issubdtype(values.dtype, np.number):
            raise InputError(
                f"numbers in {name} of {self.name}", f"type {values.dtype}", "name another variable"
            )
        return values.astype(np.float64)

    def unit(self, name: str) -> str | None:
        """The unit that the file gives a variable."""
        self._require(name)
        return self.dataset[name].attrs.get("units")

    def place(self) -> dict[str, object]:
        """Latitude and longitude (degrees), where the file has one of each."""
        return place(self.dataset)

    def times(self, axis: TimeAxis) -> np.ndarray:
        """Times of the file's own clock, datetime64[ns] (n,)."""
        return netcdf_times(self.dataset[axis.column].values, self.name)
