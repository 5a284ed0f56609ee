"""Short gaps of the forcing: filled by a straight line, rain taken as dry; counted and marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from caliche.data.assemble import REJECTED
from caliche.data.origin import FILLED, INTERPOLATED, ORIGIN, REBUILT
from caliche.data.quality import word_count
from caliche.data.site import own_stamps
from caliche.variables import AMOUNTS
from caliche.wording import number_of


def fill_short_gaps(dataset: xr.Dataset, names: Sequence[str], hours: float) -> xr.Dataset:
    """The dataset with gaps of these streams up to so many hours filled.

    They are interpolated in time, but precipitation is an amount and taken as 0: a line between
    two showers would make rain. Longer gaps, and those at the ends of the record, stay. What was
    filled is marked in the coordinate `<stream>_origin`.
    """
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
        between = np.interp(index[short], known, record[known])
        record[short] = 0.0 if name in AMOUNTS else between
        values[own] = record
        dataset = dataset.assign({name: dataset[name].copy(data=values)})
        dataset = dataset.assign_coords(_marked(dataset, name, np.flatnonzero(own)[short]))
    return dataset


def _marked(dataset: xr.Dataset, name: str, filled: np.ndarray) -> dict[str, tuple]:
    """The coordinates of a stream, with these positions filled by caliche and not rejected."""
    empty = np.zeros(dataset.sizes["time"], np.int8)
    marks = {}
    for suffix, value, kind in ((ORIGIN, INTERPOLATED, np.int8), (REJECTED, False, bool)):
        known = dataset[name + suffix].values if name + suffix in dataset.coords else empty
        marks[name + suffix] = ("time", np.array(known, dtype=kind))
        marks[name + suffix][1][filled] = value
    return marks


def filled_lines(window: xr.Dataset, names: Sequence[str]) -> Iterator[str]:
    """What was filled or rebuilt of the forcing in a window, one sentence a line.

    Parameters
    ----------
    window : what `select_window` returned.
    names : streams of the forcing.
    """
    for name in names:
        if name + ORIGIN not in window.coords:
            continue
        origin = window[name + ORIGIN].values[1:]
        count = {k: int((origin == k).sum()) for k in (FILLED, INTERPOLATED, REBUILT)}
        share = 100.0 / max(origin.size, 1)
        if number := count[INTERPOLATED]:
            yield (
                _dry(window, name)
                if name in AMOUNTS
                else (
                    f"{word_count(number, 'value')} of {name} interpolated over short gaps"
                    f" ({number * share:.2g} %)"
                )
            )
        if number := count[FILLED]:
            yield (
                f"{word_count(number, 'value')} of {name} gap-filled by the file's own flags"
                f" ({number * share:.2g} %)"
            )
        if number := count[REBUILT]:
            how = str(window[name].attrs.get("derived_from", "")).partition(" from ")[2]
            yield f"{number} of {number_of(origin.size, 'value')} of {name} rebuilt from {how}"


def _dry(window: xr.Dataset, name: str) -> str:
    """How many steps of rain were missing and taken as dry, and how much rain the window has."""
    step = float(window.attrs["time_step"])
    rain, taken = window[name].values[1:], window[name + ORIGIN].values[1:] == INTERPOLATED
    edges = np.flatnonzero(np.diff(np.concatenate([[0], taken.astype(int), [0]])))
    beside = 0
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        around = rain[[k for k in (first - 1, end) if 0 <= k < rain.size]]
        beside += int(end - first) if (around > 0.0).any() else 0
    wet = f", {beside} of them in gaps beside rain, which may hide some" if beside else ""
    return (
        f"{word_count(int(taken.sum()), 'step')} of {name} missing and taken as dry{wet}; "
        f"{np.nansum(rain) * step:.4g} mm fall in the rest of the window"
    )


def first_from_second(values: np.ndarray) -> np.ndarray:
    """Forcing with entry 0, which drives no step and may be missing, made finite."""
    values = np.array(values, dtype=float)
    if not np.isfinite(values[0]):
        values[0] = values[1]
    return values
