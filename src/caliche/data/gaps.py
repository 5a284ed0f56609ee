"""Short gaps of the forcing, filled by a straight line, and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from caliche.data.site import own_stamps

FILLED = "n_filled"


def fill_short_gaps(dataset: xr.Dataset, names: Sequence[str], hours: float) -> xr.Dataset:
    """The dataset with gaps of these streams up to so many hours interpolated in time.

    Longer gaps, and those at the ends of the record, stay. attrs["n_filled"] of a stream counts
    the values that were made up.
    """
    filled = {}
    for name in names:
        if name not in dataset:
            continue
        own, spacing = own_stamps(dataset, name)
        values = np.array(dataset[name].values, dtype=float)
        record = values[own]
        index = np.arange(len(record))
        known = np.flatnonzero(np.isfinite(record))
        if len(known) < 2:
            continue
        missing = np.flatnonzero(~np.isfinite(record))
        right = np.searchsorted(known, missing)
        inside = (right > 0) & (right < len(known))
        missing, right = missing[inside], right[inside]
        length = (known[right] - known[right - 1] - 1) * spacing / 3.6e12
        short = missing[length <= hours + 1e-9]
        record[short] = np.interp(index[short], known, record[known])
        values[own] = record
        attrs = {**dataset[name].attrs, FILLED: len(short)}
        filled[name] = dataset[name].copy(data=values).assign_attrs(attrs)
    return dataset.assign(filled)
