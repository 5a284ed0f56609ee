"""What all readers share: opening a netCDF file, and putting streams together into a dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from caliche.data.missing import without_missing
from caliche.data.origin import FILLED, ORIGIN
from caliche.data.raw_netcdf import read_raw
from caliche.data.units import to_si
from caliche.errors import InputError
from caliche.variables import variable

REJECTED = "_rejected"  # suffix of the coordinate that marks values rejected by quality control
_HOUR = 3_600_000_000_000  # ns
NEXT_TO_EMPTY = 0.1  # of the values of the fullest column for a stream
# The zone after the reference time of units such as "hours since 2024-06-01 00:00:00 +06:00".
_ZONE = re.compile(
    r"since\s+-?\d+-\d+-\d+[T ]\s*\d+(?::\d+(?::\d+(?:\.\d*)?)?)?"
    r"(?:\s*(Z|UTC|GMT|[+-]\d{1,2}:\d{2}|[+-]\d{4}|[+-]\d{1,2})|\s+(\d{1,2}:\d{2}))\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Series:
    """One stream before it joins a dataset.

    values : (n,) SI.  rejected : (n,) where quality control struck.  filled : (n,) which of the
    values the file's flags call gap-filled, None if the file has no flags for them.
    """

    values: np.ndarray
    rejected: np.ndarray
    filled: np.ndarray | None = None


def check_exists(path: Path) -> None:
    """Raises InputError if there is no such file."""
    if not path.is_file():
        raise InputError(f"a data file {path.name}", f"no file at {path}", "correct the path")


def open_netcdf(path: Path) -> xr.Dataset:
    """The file in memory, times decoded.

    A scalar variable named like a dimension, which xarray refuses, becomes an attribute.

    Raises
    ------
    InputError : missing or unreadable file.
    """
    check_exists(path)
    try:
        try:
            with xr.open_dataset(path, decode_timedelta=False) as dataset:
                return dataset.load()
        except ValueError:
            raw = read_raw(path)
            scalars = {n: v for n, v in raw.variables.items() if n in raw.sizes and not v.dims}
            if not scalars:
                raise
            with xr.open_dataset(
                path, decode_timedelta=False, drop_variables=list(scalars)
            ) as dataset:
                return dataset.load().assign_attrs(
                    {n: float(v.numbers()) for n, v in scalars.items()} | dict(dataset.attrs)
                )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise InputError(
            f"a netCDF file that can be read at {path}",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "check that it is netCDF (ncdump -h) with times in a standard calendar",
        ) from None


def flat(dataset: xr.Dataset, name: str, time_dim: str, where: str) -> np.ndarray:
    """Values of a netCDF variable along time, (n,), with axes of length one dropped.

    Raises
    ------
    InputError : the variable has another axis, or none in time.
    """
    array = dataset[name].squeeze([d for d in dataset[name].dims if dataset[name].sizes[d] == 1])
    if array.dims != (time_dim,):
        raise InputError(
            f"one value per time of {name} in {where}",
            f"dimensions ({', '.join(map(str, dataset[name].dims))})",
            "write one variable per depth or tile",
        )
    return array.values


def netcdf_numbers(
    dataset: xr.Dataset, name: str, time_dim: str, where: str, missing: Sequence[float | str] = ()
) -> np.ndarray:
    """A netCDF variable along time as float64 (n,), NaN where missing.

    Raises
    ------
    InputError : as `flat`, or values that are no numbers.
    """
    values = flat(dataset, name, time_dim, where)
    if not np.issubdtype(values.dtype, np.number):
        raise InputError(
            f"numbers in {name} of {where}", f"type {values.dtype}", "name another variable"
        )
    return without_missing(values, missing)


def netcdf_unit(dataset: xr.Dataset, name: str) -> str | None:
    """The unit that a netCDF file gives a variable, None if it gives none.

    Raises
    ------
    InputError : an attribute units that is not text.
    """
    unit = dataset[name].attrs.get("units")
    if unit is not None and not isinstance(unit, str):
        raise InputError(f"text in the attribute units of {name}", repr(unit), "correct the file")
    return unit


def to_second(times: np.ndarray) -> np.ndarray:
    """Times (n,) as datetime64[ns], rounded to the second.

    Times kept as fractions of a day come back a little off, which would read as irregular.
    """
    whole = times.astype("datetime64[ns]")
    return (whole + np.timedelta64(500, "ms")).astype("datetime64[s]").astype("datetime64[ns]")


def netcdf_times(time: xr.DataArray, where: str) -> np.ndarray:
    """Times (n,) as datetime64[ns], rounded to the second; UTC if their units carry a zone.

    Raises
    ------
    InputError : the variable was not decoded to dates.
    """
    values = np.atleast_1d(time.values)
    if not np.issubdtype(values.dtype, np.datetime64):
        raise InputError(
            f"dates in the time variable of {where}",
            f"values of type {values.dtype}",
            "give it units such as 'seconds since 2012-01-01 00:00:00' in a standard calendar",
        )
    return to_second(values)


def time_zone(time: xr.DataArray) -> float | None:
    """Hours east of UTC of the zone that the units of a time variable carry, None without one."""
    match = _ZONE.search(str(time.encoding.get("units", time.attrs.get("units", ""))))
    if match is None:
        return None
    zone = (match[1] or match[2]).replace(":", "").upper()
    if zone in ("Z", "UTC", "GMT"):
        return 0.0
    sign, digits = (-1.0 if zone[0] == "-" else 1.0), zone.lstrip("+-")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    return sign * (int(hours) + int(minutes) / 60.0)


def local_times(time: xr.DataArray, where: str, utc_offset: float | None) -> np.ndarray:
    """Times (n,) on the clock that `utc_offset` (hours) declares, datetime64[ns].

    A zone in the units has been applied at decoding (CF: they are instants), so that the times are
    UTC. The declared offset has to be that of the zone, or 0.

    Raises
    ------
    InputError : no dates, or units whose zone is not the declared one.
    """
    times, zone = netcdf_times(time, where), time_zone(time)
    declared = float(utc_offset or 0.0)
    if zone is None or declared == 0.0:
        return times
    if zone != declared:
        raise InputError(
            f"times of {where} at utc_offset = {declared:g}, as declared",
            f"the zone of {time.encoding.get('units')!r} in its time units",
            f"give utc_offset = {zone:g}",
        )
    return times + np.timedelta64(round(declared * _HOUR), "ns")


def place(dataset: xr.Dataset) -> dict[str, object]:
    """Latitude and longitude (degrees) of a netCDF file, where it has one of each."""
    found: dict[str, object] = {}
    for key, short in (("latitude", "lat"), ("longitude", "lon")):
        for name in (short, key):
            if name in dataset.variables and dataset[name].size == 1:
                value = dataset[name].values.item()
                if isinstance(value, (int, float)):
                    found[key] = float(value)
            elif isinstance(dataset.attrs.get(name), (int, float, np.number)):
                found[key] = float(dataset.attrs[name])
    return found


def screen(values: np.ndarray, flags: np.ndarray | None, accept: Sequence[int]) -> Series:
    """Set values whose flag is not accepted to NaN; a missing flag is not accepted.

    Of the accepted flags 0 stands for measured, or the smallest where 0 is not accepted.
    """
    values = np.array(values, dtype=np.float64)
    if flags is None:
        return Series(values, np.zeros(values.shape, dtype=bool))
    rejected = np.isfinite(values) & ~np.isin(flags, list(accept))
    values[rejected] = np.nan
    measured = 0 if 0 in accept else min(accept, default=0)
    return Series(values, rejected, np.isfinite(values) & (flags != measured))


def in_si(series: Series, stream: str, unit: str | None, interval: float, where: str) -> Series:
    """The series converted from the file's unit. Errors as `to_si`."""
    values = to_si(series.values, unit, stream, interval, where)
    return Series(values, series.rejected, series.filled)


def filled_in(parts: Sequence[Series]) -> np.ndarray | None:
    """Where any of the parts of a derived stream was gap-filled; None unless all have flags."""
    marks = [part.filled for part in parts if part.filled is not None]
    return np.logical_or.reduce(marks) if len(marks) == len(parts) else None


def summed(one: Series, other: Series) -> Series:
    """Sum of two series, missing where either is."""
    return Series(one.values + other.values, one.rejected | other.rejected, filled_in((one, other)))


def attributes(
    stream: str, series: Series, source: str, interval: float, times: np.ndarray
) -> dict[str, object]:
    """The attributes that travel with a stream."""
    meta = variable(stream)
    attrs: dict[str, object] = {
        "units": meta.unit,
        "long_name": meta.long_name,
        "source": source,
        "interval": float(interval),
        "first_stamp": str(times[0].astype("datetime64[s]")),
        "last_stamp": str(times[-1].astype("datetime64[s]")),
        "flags": "none" if series.filled is None else "flags",
        "n_rejected_by_qc": int(series.rejected.sum()),
        "n_missing": int((np.isnan(series.values) & ~series.rejected).sum()),
    }
    if meta.standard_name:
        attrs["standard_name"] = meta.standard_name
    if meta.depth is not None:
        attrs["depth"] = meta.depth
    return attrs


def assemble(
    times: np.ndarray,
    streams: dict[str, Series],
    source: str,
    interval: float,
    attrs: dict[str, object],
) -> xr.Dataset:
    """The dataset that a reader returns.

    The turbulent heat flux is added where both its parts are there. Each stream has the coordinates
    `<stream>_rejected` (bool) and `<stream>_origin` (int8, see `caliche.data.origin`), so that a
    window can count its own.

    Parameters
    ----------
    times : (n,) datetime64[ns], UTC, end of each interval.
    streams : SI series by canonical name.
    source : name of the file.
    interval : seconds.
    attrs : what is known of the site; entries that are None are left out.
    """
    parts = ("sensible_heat_flux", "latent_heat_flux")
    if all(part in streams for part in parts) and "turbulent_heat_flux" not in streams:
        streams = {**streams, "turbulent_heat_flux": summed(*(streams[part] for part in parts))}
    dataset = xr.Dataset(
        {
            name: ("time", series.values, attributes(name, series, source, interval, times))
            for name, series in streams.items()
        },
        coords={
            "time": times,
            **{name + REJECTED: ("time", series.rejected) for name, series in streams.items()},
            **{name + ORIGIN: ("time", _origin(series)) for name, series in streams.items()},
        },
        attrs={key: value for key, value in attrs.items() if value is not None},
    )
    dataset.attrs["time_step"] = float(interval)
    return dataset


def _origin(series: Series) -> np.ndarray:
    """Origin of each value (n,), int8: measured unless the file's flags say that it was filled."""
    filled = np.zeros(series.values.shape, bool) if series.filled is None else series.filled
    return np.where(filled, FILLED, 0).astype(np.int8)


def first_with_values(
    names: Sequence[str], values: Callable[[str], np.ndarray], where: str
) -> tuple[str | None, str]:
    """The first of several columns for one stream that is not next to empty in the record.

    Next to empty has less than a tenth of the values of the fullest one.

    Parameters
    ----------
    names : those that the file has, in the order of preference.
    values : reads one (n,), NaN where missing.
    where : the file, for the sentence.

    Returns
    -------
    Its name (the first if all are empty, None if there is none), and a sentence to note, "" if it
    is the first.
    """
    if not names:
        return None, ""
    shares = [float(np.isfinite(values(names[0])).mean())]
    if len(names) == 1 or shares[0] >= NEXT_TO_EMPTY:
        return names[0], ""
    shares += [float(np.isfinite(values(name)).mean()) for name in names[1:]]
    found = next(k for k, share in enumerate(shares) if share >= NEXT_TO_EMPTY * max(shares))
    if found == 0:
        return names[0], ""
    if any(shares[:found]):
        state = f"next to empty ({100.0 * max(shares[:found]):.2g} % of its rows have values)"
    else:
        state = "empty"
    verb = "are" if found > 1 else "is"
    before = " and ".join(names[:found])
    return names[found], f"{before} of {where} {verb} {state}, so {names[found]} was read"
