"""Arrays in netCDF files of finished runs, looked at before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from caliche.errors import InputError
from caliche.wording import number_of

Dimensions = Mapping[str, Sequence[str]]
LARGEST = 1e100  # beyond which no quantity in SI units lies, and its square is still a number


def open_arrays(
    path: Path,
    remedy: str,
    needed: Dimensions | None = None,
    known: Dimensions | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """The arrays of a file, in memory.

    Parameters
    ----------
    remedy : what to do about a file that is damaged; begins with a verb.
    needed : dimensions of variables that must be there.
    known : of those that may be there.
    group : of the file; by default its root.

    Raises
    ------
    InputError : a file that is missing or cannot be read, lacks what is needed, or has it in
        another shape or as text; a time that is no time.
    """
    if not path.is_file():
        raise InputError(f"the file {path}", "no such file", remedy)
    try:
        with xr.open_dataset(path, engine="h5netcdf", group=group) as opened:
            found = opened.load()
    except Exception as error:  # h5py and xarray have one for every way in which a file is damaged
        raise _unreadable(path, error, remedy) from error
    absent = [name for name in needed or {} if name not in found.variables]
    if absent:
        inside = f" in the group {group}" if group else ""
        raise InputError(f"{' and '.join(absent)} in {path}", f"none{inside}", remedy)
    for name, dims in {**(known or {}), **(needed or {})}.items():
        if name in found.variables:
            check_array(found, name, dims, path, remedy)
    if "time" in found.variables:
        _check_time(found["time"], path, remedy)
    return found


def groups_of(path: Path, remedy: str) -> tuple[str, ...]:
    """Names of the groups in a file.

    Raises
    ------
    InputError : a file that cannot be read.
    """
    try:
        with h5netcdf.File(path, "r") as file:
            return tuple(file.groups)
    except Exception as error:  # as above
        raise _unreadable(path, error, remedy) from error


def _unreadable(path: Path, error: Exception, remedy: str) -> InputError:
    told = str(error).partition("\n")[0].strip() or type(error).__name__
    return InputError("a netCDF file that can be read", f"{told}, in {path}", remedy)


def check_array(found: xr.Dataset, name: str, dims: Sequence[str], path: Path, remedy: str) -> None:
    """Refuse a variable of other dimensions, and numbers that are none.

    Raises
    ------
    InputError : see above.
    """
    array = found[name]
    if array.dims != tuple(dims):
        got = f"({', '.join(map(str, array.dims))})"
        raise InputError(f"{name} ({', '.join(dims)}) in {path}", got, remedy)
    if name in dims:
        return  # names of entries, or times
    if array.dtype.kind not in "biuf":
        raise InputError(f"numbers for {name} in {path}", f"{array.dtype}", remedy)
    values = array.values
    if values.dtype.kind == "f" and (np.abs(values[np.isfinite(values)]) > LARGEST).any():
        got = f"{np.nanmax(np.abs(values)):g}"
        raise InputError(f"numbers below {LARGEST:g} for {name} in {path}", got, remedy)


def need_names(found: xr.Dataset, dim: str, names: Iterable[str], path: Path, remedy: str) -> None:
    """Refuse a coordinate that lacks an entry of some names.

    Raises
    ------
    InputError : see above.
    """
    there = {str(name) for name in found[dim].values}
    if absent := [name for name in names if name not in there]:
        raise InputError(f"{absent[0]} among the entries of {dim} in {path}", "none", remedy)


def _check_time(time: xr.DataArray, path: Path, remedy: str) -> None:
    if time.dtype.kind != "M" or time.ndim != 1 or time.size == 0:
        raise InputError(
            f"times in {path}", f"{number_of(time.size, 'value')} of {time.dtype}", remedy
        )
    if not (np.diff(time.values) > np.timedelta64(0)).all() or np.isnat(time.values).any():
        raise InputError(f"times that increase in {path}", "others", remedy)
