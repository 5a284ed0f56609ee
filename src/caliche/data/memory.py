"""Data that are in memory already: a pandas DataFrame or an xarray Dataset in place of a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from caliche.errors import InputError
from caliche.wording import number_of


def as_table(data: Any, name: str, time: str, utc_offset: float) -> xr.Dataset:
    """Data as the dataset that a netCDF file would hold, one variable per column.

    Parameters
    ----------
    data : a pandas DataFrame, whose index of dates stands for the column `time` if it has none of
        that name; or an xarray Dataset.
    name : of the source, for errors.
    time : the column of times. Times with a zone become times of the declared clock.
    utc_offset : hours, local time = UTC + utc_offset, of that clock.

    Raises
    ------
    InputError : neither a DataFrame nor a Dataset, or columns without a name.
    """
    if isinstance(data, xr.Dataset):
        return data
    if not isinstance(data, pd.DataFrame):
        raise InputError(
            f"a pandas DataFrame or an xarray Dataset as the data of {name}",
            type(data).__name__,
            "convert it, or write it to a file and name that",
        )
    columns = {str(label): column for label, column in data.items()}
    if len(columns) < data.shape[1]:
        raise InputError(
            f"columns of different names in the data of {name}",
            f"{number_of(data.shape[1], 'column')} with {number_of(len(columns), 'name')}",
            "rename them",
        )
    if time not in columns and isinstance(data.index, pd.DatetimeIndex):
        columns[time] = data.index.to_series()
    values = {label: _numpy(column, utc_offset) for label, column in columns.items()}
    return xr.Dataset({label: ("row", array) for label, array in values.items()})


def _numpy(column: pd.Series, utc_offset: float) -> np.ndarray:
    """A column as numbers, dates or whatever it is; gaps of whole numbers become NaN."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        local = column.dt.tz_convert("UTC").dt.tz_localize(None) + pd.Timedelta(hours=utc_offset)
        return local.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    return column.to_numpy()
