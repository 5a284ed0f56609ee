"""What a source declares beside its format: its place, the streams to read, ranges to believe."""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche.data.assemble import REJECTED
from caliche.data.origin import ORIGIN, add_note
from caliche.data.quality import word_count
from caliche.data.source import Source
from caliche.errors import InputError, nearest
from caliche.variables import variable

RANGE = "believed_range"  # attribute of a stream: the ends that its source declares, SI
TOTAL, PARTS = "turbulent_heat_flux", ("sensible_heat_flux", "latent_heat_flux")
ELSEWHERE = 0.5  # degrees by which a declared place may differ from the file's
# Fluxes beyond these (W m-2) happen, corrected ones above all, but are told.
USUAL = {
    "sensible_heat_flux": (-700.0, 1000.0),
    "latent_heat_flux": (-700.0, 1000.0),
    TOTAL: (-1000.0, 1500.0),
}


def as_declared(dataset: xr.Dataset, source: Source) -> xr.Dataset:
    """What a reader made of a file, as its source asks for it.

    Raises
    ------
    InputError : a stream of `variables` or `ranges` that the file has not, or a place that is not
        the file's.
    """
    dataset = _believed(_chosen(_placed(dataset, source), source), source)
    for array in dataset.values():
        array.attrs["format"] = source.format
    for name, (low, high) in USUAL.items():
        if name in dataset and name not in source.ranges:
            values = dataset[name].values
            beyond = (values < low) | (values > high)
            if beyond.any():
                largest = float(values[beyond][np.abs(values[beyond]).argmax()])
                number = word_count(int(beyond.sum()), "value")
                add_note(
                    dataset,
                    name,
                    f"{number} outside the usual {low:g} to {high:g} W m-2, "
                    f"the farthest {largest:.6g}; ranges in the source would make them missing",
                )
    return dataset


def _placed(dataset: xr.Dataset, source: Source) -> xr.Dataset:
    """With latitude and longitude of the source, where the file has none of its own."""
    for key in ("latitude", "longitude"):
        declared, own = getattr(source, key), dataset.attrs.get(key)
        if declared is None:
            continue
        if own is not None and abs((declared - float(own) + 180.0) % 360.0 - 180.0) > ELSEWHERE:
            raise InputError(
                f"{key} {declared:g} of {source.path.name}, as declared",
                f"{float(own):g} in the file",
                "leave it out, or correct the one that is wrong",
            )
        dataset.attrs.setdefault(key, float(declared))
    return dataset


def _chosen(dataset: xr.Dataset, source: Source) -> xr.Dataset:
    """The streams that the source wants."""
    streams = [str(name) for name in dataset.data_vars]
    for name in source.variables:
        if name not in streams:
            raise InputError(
                f"the streams of variables in {source.path.name}",
                f"no {name}",
                nearest(name, streams),
            )
    dropped = [name for name in streams if name != TOTAL and not source.wants(name)]
    parts_kept = not set(PARTS) & set(dropped)
    if not (TOTAL in source.variables or (parts_kept and TOTAL not in source.leave_out)):
        dropped.append(TOTAL)
    return without(dataset, dropped)


def without(dataset: xr.Dataset, names: list[str]) -> xr.Dataset:
    """The dataset without some streams and their coordinates."""
    marks = [n + suffix for n in names for suffix in (REJECTED, ORIGIN)]
    return dataset.drop_vars([n for n in [*names, *marks] if n in dataset.variables])


def _believed(dataset: xr.Dataset, source: Source) -> xr.Dataset:
    """Values outside the declared ranges made missing, and counted."""
    for name, ends in source.ranges.items():
        if name not in dataset:
            raise InputError(
                f"the streams of ranges in {source.path.name}",
                f"no {name}",
                nearest(name, map(str, dataset.data_vars)),
            )
        low, high = (float(end) for end in ends)
        values = np.array(dataset[name].values, dtype=float)
        outside = (values < low) | (values > high)
        values[outside] = np.nan
        missing = int(dataset[name].attrs.get("n_missing", 0)) + int(outside.sum())
        attrs = {**dataset[name].attrs, RANGE: [low, high], "n_missing": missing}
        dataset = dataset.assign({name: dataset[name].copy(data=values).assign_attrs(attrs)})
        if outside.any():
            add_note(
                dataset,
                name,
                f"{word_count(int(outside.sum()), 'value')} outside {low:g} to {high:g} "
                f"{variable(name).unit}, as declared in ranges, read as missing",
            )
            if name in PARTS and TOTAL in dataset:
                total = np.where(outside, np.nan, dataset[TOTAL].values)
                dataset = dataset.assign({TOTAL: dataset[TOTAL].copy(data=total)})
    return dataset
