"""Output files of CalLMIP Phase 1b: classic netCDF, laid out like the protocol's template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

from caliche._version import __version__
from caliche.callmip.protocol import (
    DIMENSIONS,
    FILL,
    POSTERIOR,
    UNCERTAINTY,
    VARIABLES,
    OutputName,
)
from caliche.data.callmip_sites import CallmipSite
from caliche.errors import InputError
from caliche.files.whole_file import written_aside
from caliche.wording import number_of


def write_output(
    folder: Path,
    name: OutputName,
    site: CallmipSite,
    days: np.ndarray,
    values: Mapping[str, np.ndarray],
    uncertainties: Mapping[str, np.ndarray] | None = None,
    comments: Mapping[str, str] | None = None,
) -> Path:
    """Write one file and return its path.

    It has every day of the tower's record, leap days among them; what is not given is the fill
    value. Variables that the model lacks are there and empty.

    Parameters
    ----------
    days : (n,) local standard days of the values, datetime64[D], within the record.
    values : by the protocol's name, (n,) in its unit and sign, NaN where missing.
    uncertainties : likewise, standard deviations; of a posterior run only.
    comments : by name (with `_post_unc` for an uncertainty), what is to be said of a variable.

    Raises
    ------
    InputError : a variable that the protocol does not have, days outside the record, values that
        are not one for each day, uncertainties of a prior run, or a file that cannot be written.
    """
    uncertainties, comments = uncertainties or {}, comments or {}
    record = site.days
    _check(name, record, days, values, uncertainties)
    rows = (days - record[0]).astype(int)

    def whole(series: np.ndarray) -> np.ndarray:
        """A series on all days of the record."""
        found = np.full(len(record), FILL)
        found[rows] = np.where(np.isfinite(series), series, FILL)
        return found

    path = folder / name.file
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as scratch, netcdf_file(str(scratch), "w", version=2) as file:
        for dimension, size in zip(DIMENSIONS, (len(record), 1, 1), strict=True):
            file.createDimension(dimension, size)
        _attach(file, {**name.attributes, "site": site.code, "source": f"caliche {__version__}"})
        for short, place in (("lat", site.latitude), ("lon", site.longitude)):
            scalar = file.createVariable(short, "d", ())
            scalar.data[()] = place
            long = {"lat": "latitude", "lon": "longitude"}[short]
            along = file.createVariable(long, "d", (short,))
            along[:] = place
            unit = "degrees_north" if short == "lat" else "degrees_east"
            _attach(along, {"standard_name": long, "long_name": long, "units": unit})
        time = file.createVariable("time", "d", ("time",))
        time[:] = np.arange(1.0, len(record) + 1.0)
        begin = record[0] - np.timedelta64(1, "D")
        since = {"long_name": "time", "units": f"days since {begin} 00:00", "calendar": "standard"}
        _attach(time, since)
        for key, variable in VARIABLES.items():
            series = whole(values[key]) if key in values else np.full(len(record), FILL)
            _put(file, key, series, variable.long_name, variable.unit, comments.get(key))
        for key, series in uncertainties.items():
            words = f"posterior standard deviation of {key}"
            about = comments.get(key + UNCERTAINTY)
            _put(file, key + UNCERTAINTY, whole(series), words, VARIABLES[key].unit, about)
    return path


def _put(
    file: netcdf_file, name: str, series: np.ndarray, words: str, unit: str, comment: str | None
) -> None:
    variable = file.createVariable(name, "d", DIMENSIONS)
    variable[:] = series[:, None, None]
    about = {"long_name": words, "units": unit, "coordinates": "latitude longitude"}
    if comment:
        about["comment"] = comment
    elif not (series != FILL).any():
        about["comment"] = "not computed by this model"
    variable._FillValue = np.float64(FILL)
    _attach(variable, about)


def _attach(to: object, attributes: Mapping[str, str]) -> None:
    for key, value in attributes.items():
        setattr(to, key, value.encode())  # netCDF-3 holds bytes; CF reads them as UTF-8


def _check(
    name: OutputName,
    record: np.ndarray,
    days: np.ndarray,
    values: Mapping[str, np.ndarray],
    uncertainties: Mapping[str, np.ndarray],
) -> None:
    for key in (*values, *uncertainties):
        if key not in VARIABLES:
            raise InputError(
                f"variables of the protocol ({', '.join(VARIABLES)})", key, "leave it out"
            )
    if len(days) and (days.min() < record[0] or days.max() > record[-1]):
        raise InputError(
            f"days within the record of {name.site}, {record[0]} to {record[-1]}",
            f"{days.min()} to {days.max()}",
            "leave out what lies outside",
        )
    for key, series in {**values, **uncertainties}.items():
        if np.shape(series) != days.shape:
            raise InputError(
                f"one value of {key} a day, for {number_of(len(days), 'day')}",
                f"{np.shape(series)}",
                "add it",
            )
    if uncertainties and name.stage != POSTERIOR:
        raise InputError(
            "uncertainties with a posterior run alone",
            ", ".join(uncertainties),
            "leave them out of the prior",
        )


def water_above(depth: float, thicknesses: np.ndarray, water: np.ndarray) -> np.ndarray:
    """Water (kg m-2) above a depth (m), layers cut exactly where the depth lies inside them.

    Parameters
    ----------
    thicknesses : (layer,) m, from the surface down.
    water : (..., layer) kg m-2 in each layer, taken as even within it.

    Returns
    -------
    (...), kg m-2; all of it where the depth lies below the last layer.
    """
    above = np.concatenate([[0.0], np.cumsum(thicknesses)[:-1]])
    share = np.clip((depth - above) / thicknesses, 0.0, 1.0)
    return water @ share
