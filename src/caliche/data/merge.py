"""What several files measured at one site, joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from caliche.data.assemble import REJECTED
from caliche.data.limits import without
from caliche.data.origin import ORIGIN, add_note
from caliche.errors import InputError
from caliche.variables import FORCING

PAIRED = "urban-plumber"  # the format that comes in two files with the same weather


def merge_sources(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join what several files measured at one site.

    Time becomes the union of all stamps; a stream is NaN at stamps that its own file does not
    have, and keeps the interval of its file in attrs["interval"] (s). Of the site's attributes the
    first known one holds. attrs["time_step"] is the shortest interval. Weather that stands in both
    of Urban-PLUMBER's files, the complete forcing and the clean observations, is taken from the
    forcing; the stream's note says so.

    Raises
    ------
    InputError : no dataset, or a stream in two of them.
    """
    if not datasets:
        raise InputError("at least one source", "none", "give the file that holds the forcing")
    datasets = _weather_once(datasets)
    seen: dict[str, str] = {}
    for dataset in datasets:
        for name in map(str, dataset.data_vars):
            file = str(dataset[name].attrs.get("source", "a source"))
            if name in seen:
                raise InputError(
                    "each stream from one source",
                    f"{name} from {seen[name]} and from {file}",
                    f"write leave_out = ['{name}'] in one of the two sources",
                )
            seen[name] = file
    times = np.unique(np.concatenate([dataset["time"].values for dataset in datasets]))
    merged = xr.Dataset(coords={"time": times})
    for dataset in datasets:
        for name, array in dataset.variables.items():
            if name != "time":
                values = spread(array.values, dataset["time"].values, times)
                merged[name] = ("time", values, array.attrs)
        merged.attrs = dataset.attrs | merged.attrs
    merged.attrs["time_step"] = min(float(d.attrs["time_step"]) for d in datasets)
    marks = (REJECTED, ORIGIN)
    return merged.set_coords([name for name in merged if str(name).endswith(marks)])


def _weather_once(datasets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """The datasets; of Urban-PLUMBER's two files the one with fluxes without its weather."""
    urban = [d for d in datasets if any(v.attrs.get("format") == PAIRED for v in d.values())]
    weather = [d for d in urban if set(map(str, d.data_vars)) <= set(FORCING)]
    if len(weather) != 1 or len(urban) != 2:
        return list(datasets)
    complete, found = weather[0].copy(), []
    for dataset in datasets:
        if dataset is weather[0] or not any(dataset is d for d in urban):
            found.append(complete if dataset is weather[0] else dataset)
            continue
        twice = [name for name in map(str, dataset.data_vars) if name in complete.data_vars]
        for name in twice:
            other = dataset[name].attrs.get("source", "the other file")
            own = complete[name].attrs.get("source")
            add_note(complete, name, f"taken from {own}, not from {other}, which has it too")
        found.append(without(dataset, twice))
    return found


def spread(values: np.ndarray, stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values at their stamps on a longer axis that contains these; NaN (False, 0) elsewhere."""
    empty = np.nan if np.issubdtype(values.dtype, np.floating) else 0
    out = np.full(times.size, empty, dtype=values.dtype)
    out[np.searchsorted(times, stamps)] = values
    return out
