"""A collection of sites: one dataset over site and time, of which a slice is read at a time."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from caliche.data.assemble import netcdf_times, netcdf_unit
from caliche.data.missing import without_missing
from caliche.data.quality import check_time, utc_text
from caliche.data.units import conversion
from caliche.errors import InputError
from caliche.variables import variable

SITE, TIME = "site", "time"


@dataclass(frozen=True)
class Column:
    """Where a stream stands in the dataset: SI value = scale * value + offset."""

    variable: str
    scale: float
    offset: float


@dataclass(frozen=True)
class Collection:
    """Sites with data on one time axis, read a slice at a time.

    Attributes
    ----------
    dataset : lazily read.
    where : its name for messages.
    names : (site,) names of the sites.
    times : (time + 1,) of the fitted window, datetime64[ns], UTC.
    rows : where the window lies on the dataset's time axis.
    columns : by stream.
    """

    dataset: xr.Dataset
    where: str
    names: np.ndarray
    times: np.ndarray
    rows: slice
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, stream: str, first: int, last: int, only_start: bool = False) -> np.ndarray:
        """One stream (time + 1, site) of the sites first ... last - 1, SI; NaN where missing.

        `only_start` reads the first row alone.

        Raises
        ------
        InputError : the file cannot be read there.
        """
        column = self.columns[stream]
        rows = slice(self.rows.start, self.rows.start + 1) if only_start else self.rows
        try:
            part = self.dataset[column.variable].isel({SITE: slice(first, last), TIME: rows})
            values = np.asarray(part.transpose(TIME, SITE).values, dtype=np.float64)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"values of {column.variable} that can be read from {self.where}",
                f"{type(error).__name__}: {error}",
                "check that the file is whole",
            ) from None
        return np.ascontiguousarray(column.scale * without_missing(values) + column.offset)

    def fingerprint(self) -> str:
        """A hash of the sites' names, the window, the columns, and the data of two sites."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(f"{name}\n".encode())
        digest.update(self.times[[0, -1]].tobytes() + bytes(str(len(self.times)), "ascii"))
        for stream, column in sorted(self.columns.items()):
            digest.update(f"{stream} {column}".encode())
            for site in {0, len(self) - 1}:
                digest.update(self.read(stream, site, site + 1).tobytes())
        return digest.hexdigest()


def open_collection(
    source: str | Path | xr.Dataset,
    streams: Sequence[str],
    time_step: float,
    start: np.datetime64 | None = None,
    end: np.datetime64 | None = None,
) -> Collection:
    """Open a collection and check what concerns all sites.

    Parameters
    ----------
    source : a netCDF file, a zarr store, or a dataset (lazily read, or of dask arrays).
    streams : those that must be there, by their names in caliche, or for those without a depth
        by their ALMA names (SWdown).
    time_step : seconds.
    start, end : the window (UTC), both included; None for the ends of the time axis.

    Raises
    ------
    InputError : a file that cannot be read, no dimension site or time, a variable or unit that is
        missing or not known, times that are irregular, at another step, or outside the window.
    """
    where = "the collection" if isinstance(source, xr.Dataset) else Path(source).name
    dataset = source if isinstance(source, xr.Dataset) else _open(Path(source))
    for dimension in (SITE, TIME):
        if dataset.sizes.get(dimension, 0) == 0:
            raise InputError(
                f"a dimension {dimension} in {where}",
                "dimensions " + ", ".join(f"{d} ({n})" for d, n in dataset.sizes.items()),
                f"rename the dimension of the {'sites' if dimension == SITE else 'times'}",
            )
    if TIME not in dataset.coords:
        raise InputError(f"a coordinate time in {where}", "none", "write the times beside the data")
    every = netcdf_times(dataset[TIME], where)
    interval = check_time(every, where)
    if abs(interval - time_step) > 1e-6:
        raise InputError(
            f"the experiment's time step of {time_step:g} s in {where}",
            f"{interval:g} s",
            f"--set window.time_step={interval:g}, or resample the collection",
        )
    rows = _window(every, start, end, where)
    columns = {stream: _column(dataset, stream, interval, where) for stream in streams}
    return Collection(dataset, where, _names(dataset, where), every[rows], rows, columns)


def _open(path: Path) -> xr.Dataset:
    """A file or store, lazily."""
    if not path.exists():
        raise InputError(f"a collection at {path}", "nothing there", "correct the path")
    zarr = path.is_dir()
    if zarr and importlib.util.find_spec("zarr") is None:
        raise InputError(
            f"the package zarr, to read the store {path.name}",
            "no such package",
            "pip install zarr, or write the collection as netCDF",
        )
    try:
        engine = "zarr" if zarr else "h5netcdf"
        return xr.open_dataset(path, engine=engine, cache=False, decode_timedelta=False)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        text = str(error).strip().splitlines()
        raise InputError(
            f"a netCDF-4 file or a zarr store that can be read at {path}",
            text[0] if text else type(error).__name__,
            "check it with ncdump -h; netCDF-3 files have to be converted",
        ) from None


def _window(
    times: np.ndarray, start: np.datetime64 | None, end: np.datetime64 | None, where: str
) -> slice:
    """The rows of the window. InputError if its ends are not on the axis or in order."""
    ends = [times[0] if start is None else start, times[-1] if end is None else end]
    found = [np.flatnonzero(times == moment) for moment in ends]
    for key, moment, index in zip(("start", "end"), ends, found, strict=True):
        if not len(index):
            raise InputError(
                f"sites.{key} on the times of {where}, {utc_text(times[0])} to "
                f"{utc_text(times[-1])}",
                utc_text(moment),
                "leave it out for the whole record",
            )
    first, last = (int(index[0]) for index in found)
    if last <= first:
        raise InputError(
            "sites.start before sites.end",
            f"{utc_text(ends[0])} and {utc_text(ends[1])}",
            "put them in order",
        )
    return slice(first, last + 1)


def _names(dataset: xr.Dataset, where: str) -> np.ndarray:
    """Names of the sites, which must differ."""
    n = dataset.sizes[SITE]
    if SITE not in dataset.coords:
        return np.array([f"site {k}" for k in range(n)])
    names = np.array([str(name) for name in dataset[SITE].values])
    unique, counts = np.unique(names, return_counts=True)
    if len(unique) < n:
        twice = unique[counts.argmax()]
        raise InputError(
            f"a name of its own for each site of {where}",
            f"{twice!r} {counts.max()} times",
            "rename the coordinate site",
        )
    return names


def _column(dataset: xr.Dataset, stream: str, interval: float, where: str) -> Column:
    """The variable of a stream. InputError if there is none, or one of other shape or unit."""
    entry = variable(stream)
    candidates = [stream] if entry.depth is not None or not entry.alma else [stream, entry.alma]
    name = next((c for c in candidates if c in dataset.data_vars), None)
    if name is None:
        raise InputError(
            f"a variable {' or '.join(candidates)} in {where}",
            f"variables {', '.join(map(str, dataset.data_vars)) or 'of no kind'}",
            "rename the variable that holds it",
        )
    if set(dataset[name].dims) != {SITE, TIME}:
        raise InputError(
            f"dimensions (site, time) of {name} in {where}",
            f"({', '.join(map(str, dataset[name].dims))})",
            "write one variable per depth or tile",
        )
    unit = netcdf_unit(dataset, name) or entry.unit
    scale, offset = conversion(unit, stream, interval, f"{name} of {where}")
    return Column(name, scale, offset)
