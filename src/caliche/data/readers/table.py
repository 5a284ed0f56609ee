"""Reader of tables, CSV or netCDF, through a declared time axis and a mapping of columns."""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche.data.assemble import (
    Series,
    assemble,
    check_exists,
    in_si,
    local_times,
    netcdf_numbers,
    netcdf_unit,
    open_netcdf,
    place,
    screen,
)
from caliche.data.missing import without_missing
from caliche.data.quality import check_scale, check_time
from caliche.data.readers.csv_table import CsvTable
from caliche.data.source import Column, Source, TimeAxis
from caliche.data.units import agreed_unit
from caliche.errors import InputError, nearest

SEPARATORS = {".csv": ",", ".tsv": "\t", ".dat": ",", ".txt": ","}
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")
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
    table = _open(source, source.time)
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
    values = without_missing(table.numbers(column.name), source.missing)
    flags = None if column.qc is None else table.numbers(column.qc)
    accept = source.accept_qc if column.accept is None else column.accept
    unit = agreed_unit(column.unit, table.unit(column.name), stream, interval, where)
    series = in_si(screen(values, flags, accept), stream, unit, interval, where)
    check_scale(series.values, stream, times, where, unit, source.ranges)
    return series


def _open(source: Source, axis: TimeAxis) -> CsvTable | _NetCdf:
    """The table behind a path, told by its suffix."""
    path = source.path
    if source.data is not None:
        return _NetCdf(source.data, path.name, axis.column)
    check_exists(path)
    suffix = path.suffix.lower()
    if suffix in SEPARATORS:
        return CsvTable(path, SEPARATORS[suffix], missing=source.missing)
    if suffix in NETCDF:
        return _NetCdf(open_netcdf(path), path.name, axis.column)
    known = ", ".join([*SEPARATORS, *NETCDF])
    raise InputError(
        f"a table with a suffix of {known}", f"{path.name}", "convert it, or correct its suffix"
    )


class _NetCdf:
    """A table in netCDF: one variable per column, along one time axis."""

    def __init__(self, dataset: xr.Dataset, name: str, time: str) -> None:
        self.name, self.dataset = name, dataset
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
        return netcdf_numbers(self.dataset, name, self.time_dim, self.name)

    def unit(self, name: str) -> str | None:
        """The unit that the file gives a variable."""
        self._require(name)
        return netcdf_unit(self.dataset, name)

    def place(self) -> dict[str, object]:
        """Latitude and longitude (degrees), where the file has one of each."""
        return place(self.dataset)

    def times(self, axis: TimeAxis) -> np.ndarray:
        """Times of the file's own clock, datetime64[ns] (n,)."""
        return local_times(self.dataset[axis.column], self.name, axis.utc_offset)
