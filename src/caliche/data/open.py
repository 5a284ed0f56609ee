"""The door to a site's data: the reader of the format that a source declares."""

from __future__ import annotations

import xarray as xr

from caliche.data.limits import as_declared
from caliche.data.readers.callmip import read_callmip
from caliche.data.readers.fluxnet import read_fluxnet
from caliche.data.readers.plumber2 import read_plumber2
from caliche.data.readers.table import read_table
from caliche.data.readers.urban_plumber import read_urban_plumber
from caliche.data.source import Source


def open_source(source: Source) -> xr.Dataset:
    """Read one file.

    Returns
    -------
    xr.Dataset of float64 streams with canonical names and SI units on the coordinate `time`
    (datetime64[ns], UTC, end of each interval); NaN is missing. attrs["time_step"] in seconds;
    "latitude" and "longitude" in degrees where they are known.

    Raises
    ------
    InputError : the file cannot be read as declared.
    """
    readers = {
        "urban-plumber": read_urban_plumber,
        "fluxnet": read_fluxnet,
        "plumber2": read_plumber2,
        "callmip": read_callmip,
        "table": read_table,
    }
    return as_declared(readers[source.format](source), source)
