"""Reducing long series to what a page can show. NaN marks a gap throughout."""

from __future__ import annotations

import numpy as np

_BINS_SHOWN = 1000
_BIN_SECONDS = (600, 1800, 3600, 86400, 7 * 86400, 28 * 86400)
BIN_NAMES = {
    600: "ten-minute means",
    1800: "half-hourly means",
    3600: "hourly means",
    86400: "daily means",
    7 * 86400: "weekly means",
    28 * 86400: "four-week means",
}


def bin_length(time: np.ndarray) -> int:
    """The shortest bin (s) that covers the record with about a thousand of them."""
    span = (time[-1] - time[0]).astype(int)
    fits = [seconds for seconds in _BIN_SECONDS if span / seconds <= _BINS_SHOWN]
    return fits[0] if fits else _BIN_SECONDS[-1]


def bin_index(time: np.ndarray, step: np.timedelta64, seconds: int) -> np.ndarray:
    """The bin of each step, counted from the first; an interval belongs where its middle lies."""
    middle = time.astype("datetime64[s]").astype(int) - step.astype(int) // 2
    index = middle // seconds
    return index - index[0]


def bin_mean(values: np.ndarray, index: np.ndarray, needed: float = 0.75) -> np.ndarray:
    """Mean per bin; NaN where less than the share `needed` of a whole bin's steps has a value."""
    size = int(index[-1]) + 1
    known = np.isfinite(values)
    count = np.bincount(index[known], minlength=size)
    total = np.bincount(index[known], weights=values[known], minlength=size)
    # Measured by the fullest bin: the half day at either end is no daily mean.
    steps = np.bincount(index).max()
    enough = (count > 0) & (count >= needed * steps)
    return np.where(enough, total / np.maximum(count, 1), np.nan)


def bin_time(time: np.ndarray, step: np.timedelta64, index: np.ndarray, seconds: int) -> np.ndarray:
    """Middle of each bin."""
    first = (time[0].astype("datetime64[s]").astype(int) - step.astype(int) // 2) // seconds
    middles = (first + np.arange(int(index[-1]) + 1)) * seconds + seconds // 2
    return middles.astype("datetime64[s]")


def bin_quantiles(values: np.ndarray, index: np.ndarray, low: float, high: float) -> np.ndarray:
    """Two quantiles of the values in each bin, shape (2, bins)."""
    found = np.full((2, int(index[-1]) + 1), np.nan)
    edges = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    for start, chunk in zip(edges, np.split(values, edges[1:]), strict=True):
        chunk = chunk[np.isfinite(chunk)]
        if chunk.size:
            found[:, index[start]] = np.quantile(chunk, (low, high))
    return found


def close_up(known: np.ndarray, misfit: np.ndarray, length: int) -> slice:
    """A typical window of `length` steps: of those with nearly the most known values, the one whose
    mean misfit is nearest the median of theirs; of equals, the most central.

    known : (time,) number of values at each step.  misfit : (time,) of them, NaN where unknown.
    """
    size = known.size
    if size <= length:
        return slice(0, size)
    count, seen, total = (
        np.convolve(values, np.ones(length), "valid")
        for values in (known.astype(float), np.isfinite(misfit) * 1.0, np.nan_to_num(misfit))
    )
    full = np.flatnonzero(count >= 0.98 * count.max())
    mean = total[full] / np.maximum(np.round(seen[full]), 1.0)
    away = np.abs(mean - np.median(mean))
    equal = full[away <= away.min() + 1e-9 * np.abs(mean).max()]
    start = int(equal[np.argmin(np.abs(equal - (size - length) / 2))])
    return slice(start, start + length)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of every stretch of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(int), [0]]))
    return [
        (int(first), int(last))
        for first, last in zip(
            np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True
        )
    ]


def autocorrelation(residual: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Autocorrelation at the given lags, over the pairs whose two members are both known."""
    centred = residual - _mean(residual)
    variance = _mean(centred**2)
    if not variance > 0:
        return np.full(lags.size, np.nan)
    pairs = (centred[: centred.size - lag] * centred[lag:] for lag in lags)
    return np.array([_mean(product) for product in pairs]) / variance


def diurnal_mean(values: np.ndarray, time: np.ndarray, step: np.timedelta64) -> np.ndarray:
    """Mean for each hour of the day on the clock of `time`, shape (24,)."""
    middle = time.astype("datetime64[s]").astype(int) - step.astype(int) // 2
    hour = middle % 86400 // 3600
    known = np.isfinite(values)
    count = np.bincount(hour[known], minlength=24)
    total = np.bincount(hour[known], weights=values[known], minlength=24)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan
