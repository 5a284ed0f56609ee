"""A netCDF file as it is written: dimensions, variables and attributes, without any convention.

xarray refuses a file with a scalar variable named like a dimension, such as `lat` beside the
dimension `lat`, which CalLMIP's template has. netCDF allows it, and so does this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.errors import InputError

CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
_SINCE = re.compile(
    r"^\s*(seconds?|hours?|days?)\s+since\s+(\d{1,4}-\d{1,2}-\d{1,2})"
    r"(?:[T ]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d*)?)?)?\s*(?:Z|UTC|\+?00:?00)?\s*$"
)
_SECONDS = {"second": 1.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True)
class RawVariable:
    """One variable. values : an array whose axes are `dims`; fill values are left in."""

    dims: tuple[str, ...]
    values: np.ndarray
    attrs: Mapping[str, Any]

    @property
    def fill(self) -> float | None:
        """The declared fill value, None if there is none that is a number."""
        found = self.attrs.get("_FillValue", self.attrs.get("missing_value"))
        return float(found) if isinstance(found, int | float | np.number) else None

    def numbers(self) -> np.ndarray:
        """Values as float64, NaN where they are the fill value (or as large as netCDF's)."""
        values = np.array(self.values, dtype=np.float64)
        if self.fill is not None:
            fill = np.float64(self.values.dtype.type(self.fill))
            values[values == fill] = np.nan
        values[np.abs(values) >= 9e35] = np.nan
        return values


@dataclass(frozen=True)
class RawFile:
    """A file in memory. sizes : by dimension.  attrs : global attributes."""

    path: Path
    sizes: Mapping[str, int]
    attrs: Mapping[str, Any]
    variables: Mapping[str, RawVariable]


def read_raw(path: Path) -> RawFile:
    """The file in memory, classic netCDF or netCDF-4 without groups.

    Raises
    ------
    InputError : no such file, or not netCDF.
    """
    if not path.is_file():
        raise InputError(f"a data file {path.name}", f"no file at {path}", "correct the path")
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    try:
        return _classic(path) if classic else _hdf5(path)
    except Exception as error:  # scipy and h5py raise whatever a damaged file leads them to
        said = str(error).strip().splitlines()
        raise InputError(
            f"a netCDF file that can be read at {path}",
            said[0] if said else type(error).__name__,
            "check that it is netCDF (ncdump -h)",
        ) from None


def _classic(path: Path) -> RawFile:
    from scipy.io import netcdf_file

    with netcdf_file(str(path), "r", mmap=False) as file:
        records = next((v.shape[0] for v in file.variables.values() if v.isrec), 0)
        sizes = {k: records if n is None else int(n) for k, n in file.dimensions.items()}
        variables = {
            name: RawVariable(
                tuple(v.dimensions),
                np.array(v.data, dtype=v.data.dtype.newbyteorder("=")).reshape(v.shape),
                {k: _plain(a) for k, a in v._attributes.items()},
            )
            for name, v in file.variables.items()
        }
        return RawFile(path, sizes, {k: _plain(a) for k, a in file._attributes.items()}, variables)


def _hdf5(path: Path) -> RawFile:
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        sizes = {str(name): int(d.size) for name, d in file.dimensions.items()}
        variables = {
            str(name): RawVariable(
                tuple(map(str, v.dimensions)),
                np.asarray(v[...]),
                {str(k): _plain(a) for k, a in v.attrs.items()},
            )
            for name, v in file.variables.items()
        }
        return RawFile(path, sizes, {str(k): _plain(a) for k, a in file.attrs.items()}, variables)


def _plain(value: Any) -> Any:
    """An attribute as text or a number, where it is one."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _plain(value.item())
    return value


def dates(variable: RawVariable, where: str) -> np.ndarray:
    """Times (n,) of a variable with CF units, datetime64[s].

    Raises
    ------
    InputError : units that are no time since a date, a calendar without leap days, no numbers.
    """
    units, calendar = variable.attrs.get("units"), variable.attrs.get("calendar", "standard")
    match = _SINCE.match(units) if isinstance(units, str) else None
    if match is None:
        raise InputError(
            f"time units such as 'days since 1997-01-01 00:00' in {where}",
            repr(units),
            "write the units so",
        )
    if str(calendar).lower() not in CALENDARS:
        raise InputError(
            f"the standard calendar in {where}",
            repr(calendar),
            "write calendar = 'standard', with the days of leap years",
        )
    if not np.issubdtype(variable.values.dtype, np.number):
        raise InputError(f"numbers in the time of {where}", f"{variable.values.dtype}", "write so")
    year, month, day = (int(part) for part in match[2].split("-"))
    clock = [int(part or 0) for part in match.groups()[2:5]]
    try:
        begin = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "s")
    except ValueError:
        raise InputError(
            f"a date in the time units of {where}", repr(match[2]), "correct it"
        ) from None
    begin = begin + np.timedelta64(3600 * clock[0] + 60 * clock[1] + clock[2], "s")
    values = variable.numbers()
    if not np.isfinite(values).all():
        raise InputError(f"a time for every value of {where}", "missing ones", "fill them in")
    seconds = np.round(values * _SECONDS[match[1].rstrip("s")])
    return begin + seconds.astype("timedelta64[s]")
