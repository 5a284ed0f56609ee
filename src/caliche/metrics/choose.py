"""Which metrics a record allows, and the weights that they are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caliche.errors import InputError, nearest
from caliche.metrics import metric as kind
from caliche.metrics.metric import Made, Metric, Metrics
from caliche.variables import variable
from caliche.wording import number_of

HOUR, DAY = np.timedelta64(3600, "s"), np.timedelta64(86400, "s")
YEAR = 365.2425  # days
# What may be asked for, and what each is.
KINDS = {
    "mean": "mean over what was observed",
    "change": "change over the record, by a straight line",
    "sd": "standard deviation in time",
    "diurnal": "amplitude and phase of the first harmonic of the day",
    "seasonal": "amplitude and phase of the first harmonic of the year",
    "harmonics": "cosine and sine of the day and of the year, linear in the predictions",
    "bins": "means over bins of time",
    "patterns": "scores of the leading patterns of the means over bins",
    "bowen": "Bowen ratio: mean sensible over mean latent heat flux",
    "maximum": "mean daily maximum",
    "memory": "autocorrelation one step apart",
}
USUAL = ("mean", "diurnal", "seasonal")
# Linear in the predictions, as a likelihood of metrics wants them.
LINEAR_ONES = ("mean", "change", "harmonics")
MOST_BINS = 12
PATTERNS = 3  # at most, of each stream
FEWEST = 10  # values of a stream
_DAILY_STEP, _DAILY_LENGTH = 3 * HOUR, 2 * DAY
_SEASON = 300.0  # days that show an annual cycle
_DAY_SEEN = 0.8  # share of a day's steps that make it whole
_SENSIBLE, _LATENT = "sensible_heat_flux", "latent_heat_flux"


@dataclass(frozen=True)
class Record:
    """What was observed, and when.

    Attributes
    ----------
    streams : names.
    time : (time + 1,) local standard time at the end of each step.  step : of the model.
    values, mask : (time + 1, stream); what is masked counts for nothing.
    units : of the streams; those of their variables without.
    """

    streams: tuple[str, ...]
    time: np.ndarray
    step: np.timedelta64
    values: np.ndarray
    mask: np.ndarray
    units: tuple[str, ...] = ()

    def unit(self, k: int) -> str:
        """The unit of a stream."""
        return self.units[k] if self.units else variable(self.streams[k]).unit


def make_metrics(
    record: Record, kinds: Sequence[str] = USUAL, ensemble: np.ndarray | None = None
) -> tuple[Metrics, tuple[str, ...]]:
    """Metrics of a record, and a sentence on each that it does not allow.

    Parameters
    ----------
    kinds : keys of `KINDS`.
    ensemble : (member, time + 1, stream) predictions, from which patterns are taken.

    Raises
    ------
    InputError : an unknown kind; none that the record allows.
    """
    for name in kinds:
        if name not in KINDS:
            raise InputError(f"metrics among {', '.join(KINDS)}", repr(name), nearest(name, KINDS))
    made = Made()
    middle = record.time.astype("datetime64[s]") - record.step // 2
    for k, stream in enumerate(record.streams):
        seen = record.mask[:, k]
        if seen.sum() < FEWEST:
            made.left_out.append(
                f"{stream} has {number_of(int(seen.sum()), 'value')}, too few for metrics."
            )
            continue
        for name in kinds:
            _add(made, record, middle, k, name, ensemble)
    if "bowen" in kinds:
        _bowen(made, record)
    if not made.metrics:
        raise InputError(
            "a record that allows one of the metrics",
            " ".join(made.left_out) or "no observations",
            "ask for --metrics mean",
        )
    mask = record.mask
    day, whole = _days(middle, mask)
    scale = np.array([_sd(record, k) for k in range(len(record.streams))])
    metrics = made.metrics_of(mask, day, whole, scale)
    return metrics, tuple(made.left_out)


def _add(
    made: Made,
    record: Record,
    middle: np.ndarray,
    k: int,
    name: str,
    ensemble: np.ndarray | None,
) -> None:
    stream, seen = record.streams[k], record.mask[:, k]
    unit = record.unit(k)
    if name == "mean":
        row = made.row(made.mean(seen), k)
        made.metrics.append(Metric(f"{stream}: mean", unit, kind.LINEAR, k, (row,)))
    elif name == "change":
        row = made.row(made.change(seen), k)
        title = f"{stream}: change over the record"
        made.metrics.append(Metric(title, unit, kind.LINEAR, k, (row,)))
    elif name == "sd":
        made.metrics.append(Metric(f"{stream}: standard deviation", unit, kind.SD, k))
    elif name == "memory":
        if (seen[1:] & seen[:-1]).sum() < FEWEST:
            made.left_out.append(f"{stream} has no values one step apart.")
        else:
            made.metrics.append(Metric(f"{stream}: lag-1 autocorrelation", "1", kind.MEMORY, k))
    elif name == "maximum":
        if _has_day(record, middle, k) and _days(middle, record.mask)[1][:, k].any():
            made.metrics.append(Metric(f"{stream}: daily maximum", unit, kind.MAXIMUM, k))
        else:
            made.left_out.append(f"{stream} has no whole day.")
    elif name == "diurnal":
        if _has_day(record, middle, k):
            _harmonic(made, record, k, "diurnal", _hours(middle), 24.0, "h")
        else:
            made.left_out.append(f"{stream} does not show the hours of a day.")
    elif name == "seasonal":
        if _has_seasons(middle[seen]):
            _harmonic(made, record, k, "seasonal", _days_of_year(middle), YEAR, "d")
        else:
            made.left_out.append(f"{stream} is shorter than a year, so it shows no seasons.")
    elif name == "harmonics":
        _harmonics(made, record, middle, k)
    elif name in ("bins", "patterns"):
        _bins(made, record, middle, k, name, ensemble)


def _hours(middle: np.ndarray) -> np.ndarray:
    return (middle - middle.astype("datetime64[D]")) / HOUR


def _days_of_year(middle: np.ndarray) -> np.ndarray:
    return (middle - middle.astype("datetime64[Y]").astype("datetime64[s]")) / DAY


def _has_seasons(seen: np.ndarray) -> bool:
    return bool(np.ptp(seen) / DAY >= _SEASON)


def _sd(record: Record, k: int) -> float:
    values = record.values[record.mask[:, k], k]
    return float(values.std()) if len(values) > 1 and values.std() > 0.0 else 1.0


def _has_day(record: Record, middle: np.ndarray, k: int) -> bool:
    seen = record.mask[:, k]
    hours = ((middle - middle.astype("datetime64[D]")) // (_DAILY_STEP))[seen]
    long = np.ptp(middle[seen]) + record.step >= _DAILY_LENGTH
    return bool(record.step <= _DAILY_STEP and long and len(np.unique(hours)) >= 6)


def _waves(record: Record, k: int, at: np.ndarray, period: float) -> np.ndarray | None:
    """(2, time + 1) weights of the cosine and sine by least squares, over what is seen; None where
    gaps hide them."""
    seen = record.mask[:, k]
    turn = 2.0 * np.pi * at / period
    design = np.column_stack([np.ones(len(at)), np.cos(turn), np.sin(turn)])[seen]
    if np.linalg.cond(design) > 20.0:
        return None
    solve = np.zeros((3, len(at)))
    solve[:, seen] = np.linalg.pinv(design)
    return solve[1:]


def _harmonic(
    made: Made, record: Record, k: int, word: str, at: np.ndarray, period: float, unit: str
) -> None:
    """Amplitude and phase (time of the maximum) of a harmonic."""
    seen, stream = record.mask[:, k], record.streams[k]
    waves = _waves(record, k, at, period)
    if waves is None:
        made.left_out.append(f"Gaps of {stream} hide its {word} cycle.")
        return
    rows = made.row(waves[0], k), made.row(waves[1], k)
    cosine, sine = (float(wave[seen] @ record.values[seen, k]) for wave in waves)
    reference = math.atan2(sine, cosine) * period / (2.0 * math.pi) % period
    name = f"{stream}: {word}"
    of = record.unit(k)
    made.metrics.append(Metric(f"{name} amplitude", of, kind.AMPLITUDE, k, rows))
    made.metrics.append(Metric(f"{name} phase", unit, kind.PHASE, k, rows, period, reference))


def _harmonics(made: Made, record: Record, middle: np.ndarray, k: int) -> None:
    """Cosine and sine of the day and of the year, as far as the record shows them."""
    stream = record.streams[k]
    shown = []
    if _has_day(record, middle, k):
        shown.append(("daily", _hours(middle), 24.0))
    if _has_seasons(middle[record.mask[:, k]]):
        shown.append(("annual", _days_of_year(middle), YEAR))
    for word, at, period in shown:
        waves = _waves(record, k, at, period)
        if waves is None:
            made.left_out.append(f"Gaps of {stream} hide its {word} cycle.")
            continue
        for name, wave in zip(("cosine", "sine"), waves, strict=True):
            title = f"{stream}: {name} of the {word} cycle"
            row = made.row(wave, k)
            made.metrics.append(Metric(title, record.unit(k), kind.LINEAR, k, (row,)))


def _bins(
    made: Made,
    record: Record,
    middle: np.ndarray,
    k: int,
    name: str,
    ensemble: np.ndarray | None,
) -> None:
    seen, stream = record.mask[:, k], record.streams[k]
    first, last = middle[seen][0], middle[seen][-1]
    most = MOST_BINS if name == "bins" else 60
    width = next(
        w
        for w in (*(d * DAY for d in (1, 7, 30, 91, 365)), last - first + DAY)
        if (last - first) // w < most
    )
    which = (middle - first.astype("datetime64[D]").astype(middle.dtype)) // width
    rows = np.stack([seen & (which == b) for b in np.unique(which[seen])]).astype(float)
    rows = rows[rows.sum(axis=1) >= 0.25 * rows.sum(axis=1).max()]
    rows /= rows.sum(axis=1, keepdims=True)
    unit = record.unit(k)
    if name == "bins":
        for row in rows:
            day = middle[np.flatnonzero(row)[0]].astype("datetime64[D]")
            title = f"{stream}: mean from {day}"
            made.metrics.append(Metric(title, unit, kind.LINEAR, k, (made.row(row, k),)))
        return
    if ensemble is None or len(rows) < 2:
        made.left_out.append(f"{stream} is too short for patterns of its means over bins.")
        return
    means = np.where(record.mask[:, k], ensemble[:, :, k], 0.0) @ rows.T
    means = means[np.isfinite(means).all(axis=1)]
    _, size, patterns = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    if not size[0] > 1e-9 * _sd(record, k):
        made.left_out.append(f"{stream} does not vary among the runs, so it has no patterns.")
        return
    held = np.cumsum(size**2) / max(np.sum(size**2), 1e-300)
    number = min(PATTERNS, int(np.searchsorted(held, 0.99)) + 1, len(patterns))
    for p in range(number):
        pattern = patterns[p] * np.sign(patterns[p][np.argmax(np.abs(patterns[p]))])
        row = pattern @ rows / math.sqrt(len(rows))
        title = f"{stream}: pattern {p + 1}"
        made.metrics.append(Metric(title, unit, kind.LINEAR, k, (made.row(row, k),)))


def _bowen(made: Made, record: Record) -> None:
    """Bowen ratio over the times at which both fluxes were observed."""
    names = list(record.streams)
    if _SENSIBLE not in names or _LATENT not in names:
        made.left_out.append("A Bowen ratio needs sensible_heat_flux and latent_heat_flux.")
        return
    upper, lower = names.index(_SENSIBLE), names.index(_LATENT)
    both = record.mask[:, upper] & record.mask[:, lower]
    if both.sum() < FEWEST:
        made.left_out.append("The two turbulent fluxes were hardly observed at the same time.")
        return
    rows = made.row(made.mean(both), upper), made.row(made.mean(both), lower)
    made.metrics.append(Metric("Bowen ratio", "1", kind.RATIO, upper, rows))


def _days(middle: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the day of each time, and which days (day, stream) are seen whole."""
    days, number = np.unique(middle.astype("datetime64[D]"), return_inverse=True)
    number = number.reshape(-1)
    steps = np.bincount(number)
    counts = np.stack([np.bincount(number, column, len(days)) for column in mask.T], axis=1)
    return number, counts >= np.maximum(_DAY_SEEN * steps.max(), 1.0)
