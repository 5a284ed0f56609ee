"""What all readers share: opening a netCDF file, and putting streams together into a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from caliche.data.units import to_si
from caliche.errors import InputError
from caliche.variables import variable

REJECTED = "_rejected"  # suffix of the coordinate that marks values rejected by quality control


@dataclass(frozen=True)
class Series:
    """One stream before it joins a dataset: SI values (n,) and where quality control struck."""

    values: np.ndarray
    rejected: np.ndarray


def check_exists(path: Path) -> None:
    """Raises InputError if there is no such file."""
    if not path.is_file():
        raise InputError(f"a data file {path.name}", f"no file at {path}", "correct the path")


def open_netcdf(path: Path) -> xr.Dataset:
    """The file in memory, times decoded.

    Raises
    ------
    InputError : missing or unreadable file.
    """
    check_exists(path)
    try:
        with xr.open_dataset(path, decode_timedelta=False) as dataset:
            return dataset.load()
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


def netcdf_times(values: np.ndarray, where: str) -> np.ndarray:
    """Times (n,) as datetime64[ns], rounded to the second.

    Times kept as fractions of a day come back a little off, which would read as irregular.

    Raises
    ------
    InputError : the variable was not decoded to dates.
    """
    if not np.issubdtype(values.dtype, np.datetime64):
        raise InputError(
            f"dates in the time variable of {where}",
            f"values of type {values.dtype}",
            "give it units such as 'seconds since 2012-01-01 00:00:00' in a standard calendar",
        )
    whole = values.astype("datetime64[ns]")
    return (whole + np.timedelta64(500, "ms")).astype("datetime64[s]").astype("datetime64[ns]")


def place(dataset: xr.Dataset) -> dict[str, object]:
    """Latitude and longitude (degrees) of a netCDF file, where it has one of each."""
    found: dict[str, object] = {}
    for key, short in (("latitude", "lat"), ("longitude", "lon")):
        for name in (short, key):
            if name in dataset.variables and dataset[name].size == 1:
                found[key] = float(dataset[name].values.item())
            elif isinstance(dataset.attrs.get(name), (int, float, np.number)):
                found[key] = float(dataset.attrs[name])
    return found


def screen(values: np.ndarray, flags: np.ndarray | None, accept: Sequence[int]) -> Series:
    """Set values whose flag is not accepted to NaN; a missing flag is not accepted."""
    values = np.array(values, dtype=np.float64)
    rejected = np.zeros(values.shape, dtype=bool)
    if flags is not None:
        rejected = np.isfinite(values) & ~np.isin(flags, list(accept))
        values[rejected] = np.nan
    return Series(values, rejected)


def in_si(series: Series, stream: str, unit: str | None, interval: float, where: str) -> Series:
    """The series converted from the file's unit. Errors as `to_si`."""
    return Series(to_si(series.values, unit, stream, interval, where), series.rejected)


def summed(one: Series, other: Series) -> Series:
    """Sum of two series, missing where either is."""
    return Series(one.values + other.values, one.rejected | other.rejected)


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

    The turbulent heat flux is added where both its parts are there. Each stream has a boolean
    coordinate `<stream>_rejected`, so that a window can count its own rejections.

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
        },
        attrs={key: value for key, value in attrs.items() if value is not None},
    )
    dataset.attrs["time_step"] = float(interval)
    return dataset
