"""From a site's data to the arrays of one study: derived surface temperature, the window."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from caliche.constants import STEFAN_BOLTZMANN
from caliche.data.assemble import REJECTED, Series, attributes
from caliche.data.limits import RANGE
from caliche.data.merge import spread
from caliche.data.origin import NOTE, ORIGIN
from caliche.data.quality import check_range, utc_text
from caliche.errors import InputError, nearest
from caliche.variables import AMOUNTS, SIGMA
from caliche.wording import number_of

_SECOND = 1_000_000_000  # ns


@dataclass(frozen=True)
class _Native:
    """A stream on its own stamps: first stamp and spacing in ns; values and the rest (n,).

    believed : smallest and largest value that the source declares, or None.
    """

    name: str
    first: int
    spacing: int
    values: np.ndarray
    rejected: np.ndarray
    origin: np.ndarray
    believed: Sequence[float] | None = None

    def take(self, index: np.ndarray) -> np.ndarray:
        """Values at integer positions of any shape, NaN outside the record."""
        inside = (index >= 0) & (index < self.values.size)
        return np.where(inside, self.values[np.clip(index, 0, self.values.size - 1)], np.nan)

    def stamps(self, index: np.ndarray) -> np.ndarray:
        """Times of integer positions, datetime64[ns]."""
        return (self.first + index * self.spacing).astype("datetime64[ns]")


def derive_surface_temperature(
    dataset: xr.Dataset, emissivity: float, reflected: bool
) -> xr.Dataset:
    """Add the surface temperature that the outgoing longwave radiation implies.

        T = ((LWup - (1 - eps) LWdown) / (eps sigma))^(1/4)

    the reflected part, (1 - eps) LWdown, being taken off only where `reflected` is true (then the
    incoming longwave radiation is needed). K from W m-2; eps is broadband.

    Returns
    -------
    a new xr.Dataset with the stream "surface_temperature".

    Raises
    ------
    InputError : emissivity outside (0, 1], a stream missing, or surface_temperature there already.
    """
    if not 0.0 < emissivity <= 1.0:
        raise InputError("an emissivity above 0 and up to 1", f"{emissivity}", "give about 0.97")
    if "surface_temperature" in dataset:
        raise InputError(
            "no surface temperature beside the one to derive",
            f"one from {dataset['surface_temperature'].attrs.get('source', 'a source')}",
            "leave one of them out",
        )
    up = _native(dataset, "outgoing_longwave")
    emitted, rejected, origin = up.values, up.rejected, up.origin
    if reflected:
        down = _native(dataset, "incoming_longwave")
        if (down.spacing, down.first, down.values.size) != (up.spacing, up.first, up.values.size):
            raise InputError(
                "incoming and outgoing longwave radiation at the same times",
                f"intervals of {down.spacing / 1e9:g} and {up.spacing / 1e9:g} s, from "
                f"{utc_text(down.stamps(np.array(0)))} and {utc_text(up.stamps(np.array(0)))}",
                "take both from one file, or set reflected = false",
            )
        emitted = emitted - (1.0 - emissivity) * down.values
        rejected = rejected | down.rejected
        origin = np.maximum(origin, down.origin)
    # A negative emission becomes 0 K, which the range check refuses, not a NaN that hides it.
    values = (np.maximum(emitted, 0.0) / (emissivity * STEFAN_BOLTZMANN)) ** 0.25
    series = Series(values, rejected)
    stamps = up.stamps(np.arange(values.size))
    name, source = "surface_temperature", str(dataset["outgoing_longwave"].attrs.get("source", ""))
    attrs = attributes(name, series, source, up.spacing / 1e9, stamps)
    attrs["derived_from"] = f"outgoing longwave radiation, emissivity {emissivity:g}" + (
        ", reflected incoming longwave radiation taken off" if reflected else ""
    )
    attrs["flags"] = dataset["outgoing_longwave"].attrs.get("flags", "none")
    times = dataset["time"].values
    return dataset.assign({name: ("time", spread(values, stamps, times), attrs)}).assign_coords(
        {
            name + REJECTED: ("time", spread(rejected, stamps, times)),
            name + ORIGIN: ("time", spread(origin, stamps, times)),
        }
    )


def select_window(
    dataset: xr.Dataset,
    start: np.datetime64,
    end: np.datetime64,
    time_step: float,
    forcing: Sequence[str],
    streams: Sequence[str],
    resample: str = "mean",
) -> xr.Dataset:
    """Cut the forcing and observations of one study.

    Parameters
    ----------
    dataset : what `open_source` or `merge_sources` returned.
    start, end : UTC; `end` is a whole number of steps after `start`.
    time_step : seconds; the files' intervals divide it or are multiples of it.
    forcing : streams that must be complete.
    streams : streams to compare with; gaps are allowed.
    resample : what a longer time step makes of the file's values: their "mean" over the step
        (NaN if one is missing) or a "sample" at its end. Rain is always a mean, so that its amount
        stays.

    Returns
    -------
    xr.Dataset on the N + 1 times start, start + time_step ... end; a value holds for the interval
    that ends at its time. Row 0 describes the interval before the window: the model does not use
    it, and it may be NaN. Where the time step is shorter than a file's interval, forcing repeats
    the file's value and observations stand only at the file's stamps. attrs["interval"] of a
    stream is the time in seconds that each of its values averages; n_missing and n_rejected_by_qc
    count the file's own values in the window, row 0 left out; n_valid counts the rows returned. The
    coordinate `<stream>_origin` is the farthest from measured of the values behind a row.

    Raises
    ------
    InputError : a window that is not a whole number of steps or not in the record, intervals that
        do not fit, gaps in the forcing, values out of range, a stream without one value left.
    """
    if resample not in ("mean", "sample"):
        raise InputError(
            "resample = 'mean' or 'sample'", repr(resample), nearest(resample, ("mean", "sample"))
        )
    times = _window_times(start, end, time_step)
    out = xr.Dataset(coords={"time": times})
    for name in dict.fromkeys([*forcing, *streams]):
        row, attrs, origin = _windowed(dataset, name, times, name in forcing, resample)
        out[name] = ("time", row, attrs)
        out.coords[name + ORIGIN] = ("time", origin)
    site = {key: value for key, value in dataset.attrs.items() if key != "time_step"}
    out.attrs = site | {"time_step": float(time_step)}
    return out


def _windowed(
    dataset: xr.Dataset, name: str, times: np.ndarray, is_forcing: bool, resample: str
) -> tuple[np.ndarray, dict[str, object], np.ndarray]:
    """One stream of a window: values (N + 1,), attributes, and the origin of each value."""
    native = _native(dataset, name)
    if is_forcing:
        _check_cover(native, times)
    index = _positions(native, times, repeat=is_forcing)
    if resample == "sample" and name not in AMOUNTS:
        index = index[:, -1:]
    # The stamps say where the file's own record lies; here the coordinate says it.
    given = dataset[name].attrs.items()
    attrs: dict[str, object] = {
        str(k): v for k, v in given if k not in ("first_stamp", "last_stamp")
    }
    attrs |= _counts(native, index, str(attrs.get("source", "")))
    row = _mean(native.take(index), name)
    _check_enough(row, times, name, is_forcing, attrs)
    attrs["n_valid"] = int(np.isfinite(row[1:]).sum())
    if index.shape[1] > 1:
        attrs["interval"] = float((times[1] - times[0]) / np.timedelta64(1, "s"))
    inside = (index >= 0) & (index < native.values.size)
    origin = np.where(inside, native.origin[np.clip(index, 0, native.values.size - 1)], 0)
    return row, attrs, origin.max(axis=1).astype(np.int8)


def _mean(values: np.ndarray, name: str) -> np.ndarray:
    """Means of rows (n, values per row); the uncertainty of a mean falls with their number."""
    if name.endswith(SIGMA):
        return np.sqrt((values**2).mean(axis=1) / values.shape[1])
    return values.mean(axis=1)


def _window_times(start: np.datetime64, end: np.datetime64, time_step: float) -> np.ndarray:
    """The N + 1 times of a window, datetime64[ns]. InputError if N is not whole and positive."""
    step = round(time_step * _SECOND)
    if step <= 0:
        raise InputError("a positive time step in seconds", f"{time_step}", "give 1800 or 3600")
    first, last = (int(np.asarray(t, "datetime64[ns]").astype(np.int64)) for t in (start, end))
    if last <= first or (last - first) % step:
        raise InputError(
            f"a window of whole steps of {time_step:g} s",
            f"{utc_text(np.asarray(start))} to {utc_text(np.asarray(end))}, "
            f"{(last - first) / 1e9:g} s",
            "move the end of the window, or change the time step",
        )
    # Not arange(first, last + 1, step), which rounds the number of steps, and loses the last time
    # of windows of more than a hundred days.
    return (first + step * np.arange((last - first) // step + 1)).astype("datetime64[ns]")


def own_stamps(dataset: xr.Dataset, name: str) -> tuple[np.ndarray, int]:
    """Which times are stamps of the stream's own file, and their spacing in ns."""
    attrs = dataset[name].attrs
    times = dataset["time"].values.astype("datetime64[ns]")
    interval = attrs.get("interval") if "first_stamp" in attrs else None
    spacing = round(float(interval or dataset.attrs["time_step"]) * _SECOND)
    own = np.ones(times.size, dtype=bool)
    if "first_stamp" in attrs:
        first, last = (np.datetime64(attrs[k], "ns") for k in ("first_stamp", "last_stamp"))
        own = (times >= first) & (times <= last)
        own &= (times - first).astype(np.int64) % spacing == 0
    return own, spacing


def _native(dataset: xr.Dataset, name: str) -> _Native:
    """A stream on the stamps of its own file. InputError if the dataset lacks it."""
    if name not in dataset.data_vars:
        known = [str(v) for v in dataset.data_vars]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        if name == "incoming_longwave":
            advice = (
                'map it, or rebuild it with [derive.incoming_longwave] method = "sky" or "balance"'
            )
        elif close and close[0].partition("_")[0] == name.partition("_")[0]:
            advice = f"did you mean {close[0]!r}?"
        else:
            advice = "map a column of a source to it"
        raise InputError(f"the stream {name} in the site's files", f"no {name}", advice)
    times = dataset["time"].values.astype("datetime64[ns]")
    own, spacing = own_stamps(dataset, name)
    if not own.any():
        raise InputError(f"times of {name}", "none", "give more than an empty slice of the record")
    mark = (
        dataset[name + REJECTED].values if name + REJECTED in dataset.coords else np.zeros_like(own)
    )
    origin = name + ORIGIN
    origins = dataset[origin].values if origin in dataset.coords else np.zeros(own.size, np.int8)
    return _Native(
        name,
        int(times[own][0].astype(np.int64)),
        spacing,
        dataset[name].values[own],
        mark[own],
        origins[own],
        dataset[name].attrs.get(RANGE),
    )


def _positions(native: _Native, times: np.ndarray, repeat: bool) -> np.ndarray:
    """Positions in the native record of the values that make each row, (N + 1, values per row).

    -1 marks a row without a value: an observation between the stamps of a coarser file. `repeat`
    is true for forcing, where the file's value holds for all rows in its interval.

    Raises
    ------
    InputError : neither interval is a multiple of the other, or the stamps do not meet.
    """
    stamps = times.astype(np.int64)
    step, spacing = int(stamps[1] - stamps[0]), native.spacing
    after = stamps - native.first
    if step % spacing and spacing % step:
        raise InputError(
            f"a time step that divides, or is a multiple of, the {spacing / 1e9:g} s of "
            f"{native.name}",
            f"{step / 1e9:g} s",
            f"give {spacing / 1e9:g} s",
        )
    if after[0] % min(step, spacing):
        raise InputError(
            f"a window whose times meet the stamps of {native.name}, every {spacing / 1e9:g} s "
            f"from {utc_text(native.stamps(np.array(0)))}",
            f"times every {step / 1e9:g} s from {utc_text(times[0])}",
            "move the start of the window, or correct the stamp or utc_offset of the file",
        )
    if spacing <= step:
        count = step // spacing
        return (after // spacing)[:, None] + np.arange(1 - count, 1)
    if repeat:
        return -(-after // spacing)[:, None]  # rounded up: the interval that contains the row
    return np.where(after % spacing == 0, after // spacing, -1)[:, None]


def _counts(native: _Native, index: np.ndarray, source: str) -> dict[str, int]:
    """Missing and rejected among the file's values behind the window's rows, row 0 left out.

    Raises
    ------
    InputError : one of these values is out of range.
    """

    def found(rows: np.ndarray) -> np.ndarray:
        used = np.unique(rows)
        return used[(used >= 0) & (used < native.values.size)]

    every, used = found(index), found(index[1:])
    stamps = native.stamps(every)
    check_range(native.values[every], native.name, stamps, source, believed=native.believed)
    lost, rejected = np.isnan(native.values[used]), native.rejected[used]
    return {
        "n_rejected_by_qc": int((lost & rejected).sum()),
        "n_missing": int((lost & ~rejected).sum()),
    }


def _check_cover(native: _Native, times: np.ndarray) -> None:
    """Raises InputError if the record of a forcing does not contain the window."""
    record = native.stamps(np.array([-1, native.values.size - 1]))
    if times[0] < record[0] or times[-1] > record[1]:
        raise InputError(
            f"a window within the record of {native.name}, "
            f"{utc_text(record[0])} to {utc_text(record[1])}",
            f"{utc_text(times[0])} to {utc_text(times[-1])}, which it does not cover",
            "shorten or move the window",
        )


def _check_enough(
    row: np.ndarray, times: np.ndarray, name: str, is_forcing: bool, attrs: dict[str, object]
) -> None:
    """Raises InputError at a gap in forcing, or where no observation is left. Row 0 is not used."""
    gap = np.isnan(row[1:])
    flagged, missing = attrs["n_rejected_by_qc"], attrs["n_missing"]
    lost = f"in the file: {flagged} rejected by quality control, {missing} missing"
    if "derived_from" in attrs:
        lost = f"derived: {attrs['derived_from']}"
    note = str(attrs.get(NOTE, "")).partition("\n")[0]
    if note and note != attrs.get("quality"):
        lost += f"; {note}"
    if is_forcing and gap.any():
        moment = utc_text(times[1:][gap.argmax()])
        raise InputError(
            f"{name} at every step of the window",
            f"{int(gap.sum())} of {number_of(gap.size, 'step')} without a value, the first "
            f"{moment} ({lost})",
            _advice(bool(gap.all()), bool(flagged)),
        )
    if not is_forcing and gap.all():
        raise InputError(
            f"at least one value of {name} in the window {utc_text(times[0])} to "
            f"{utc_text(times[-1])}",
            f"none ({lost})",
            "choose another window or stream"
            + (", or accept more quality flags (accept_qc)" if flagged else ""),
        )


def _advice(all_missing: bool, flagged: bool) -> str:
    """What to do about gaps of the forcing."""
    options = ["choose another window"]
    if all_missing:
        options.append("take the stream from another column or file")
    else:
        options.append("fill short gaps with fill_gaps_hours in [window]")
    if flagged:
        options.append("accept more quality flags (accept_qc, accept_forcing)")
    return ", or ".join(options)
