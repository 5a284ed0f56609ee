"""Weather that a run keeps although its model does not need it: scores and benchmarks do."""

from __future__ import annotations

import xarray as xr

from caliche.data.site import select_window
from caliche.errors import InputError

COMPANIONS = (
    "air_temperature",
    "specific_humidity",
    "air_pressure",
    "wind_speed",
    "precipitation",
)


def add_companions(window: xr.Dataset, site: xr.Dataset, resample: str) -> xr.Dataset:
    """A window with the companions that the site's files have and the window has not.

    Parameters
    ----------
    window : what `select_window` returned.
    site : what it was cut from.
    resample : as for `select_window`.

    Returns
    -------
    xr.Dataset. A companion may have gaps; one without a value in the window, or with one that
    cannot be, is left out rather than told, because the model does not use it.
    """
    times, step = window["time"].values, float(window.attrs["time_step"])
    found = {}
    for name in COMPANIONS:
        if name in window or name not in site:
            continue
        try:
            cut = select_window(site, times[0], times[-1], step, [], [name], resample)
        except InputError:
            continue
        found[name] = cut[name]
    return window.assign(found)
