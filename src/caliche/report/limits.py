"""Where an axis ends: set by the data and the central predictions, never by one absurd band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caliche.report import style

# Bands, and first guesses, are shown as far beyond data and model as so many times their range.
BANDS_REACH = 1.0
# Single values of the model itself are shown as far beyond the rest as so many times its range.
LINES_REACH = 2.0
# What reaches further is cut, unless so large a share of its values would be lost.
FEW = 0.05
MARGIN = 0.05
# A range below this share of the values themselves is that of a constant.
CONSTANT = 1e-6
MOST_MARKS = 12
_MARK = "_beyond the axis"  # with the underscore it stays out of legends

CUT = (
    "Small triangles at the edge mark where a line or a band leaves the axis, which is set by the "
    "data and the model"
)

Band = tuple[np.ndarray, np.ndarray]


def axis_limits(
    data: Sequence[np.ndarray] = (),
    lines: Sequence[np.ndarray] = (),
    bands: Sequence[Band] = (),
    reach: float = BANDS_REACH,
    typical: bool = False,
) -> tuple[float, float] | None:
    """Both ends of an axis; None where nothing is known.

    Parameters
    ----------
    data : whole on the axis: observations.
    lines : central predictions; whole unless few of their values lie far off the rest.
    bands : lower and upper edges, NaN where unknown and infinite where unbounded; a first guess is
        a band without width. They widen the axis by at most `reach` times the range of data and
        lines, and not at all where only few of their values go further than that.
    typical : the median width of the bands counts as range too, for estimates that hardly differ.
    """
    seen, modelled = _known(data), _known(lines)
    lower, upper = (_flat([band[k] for band in bands]) for k in (0, 1))
    lower, upper = np.fmin(lower, upper), np.fmax(lower, upper)
    known = ~np.isnan(lower)
    edges = np.r_[lower[known], upper[known]]
    core = seen
    if modelled.size:  # without one value at least on either side, if it lies far off
        usual = [
            np.quantile(modelled, 0.01, method="higher"),
            np.quantile(modelled, 0.99, method="lower"),
        ]
        core = np.r_[seen, usual]
    if _constant(core):
        core = np.r_[core, modelled]
    finite = edges[np.isfinite(edges)]
    if core.size == 0 and finite.size:
        core = np.quantile(finite, (FEW, 1.0 - FEW))
    if core.size == 0:
        return None
    low, high = float(core.min()), float(core.max())
    span = 0.0 if _constant(core) else high - low
    if typical or span == 0.0:
        span = max([span, *(_width(band) for band in bands)])
    ends = [low, high]
    for below, above, far in (
        (modelled, modelled, LINES_REACH),
        (lower[known], upper[known], reach),
    ):
        ends[0] = min(ends[0], low - _shown(low - below, far * span))
        ends[1] = max(ends[1], high + _shown(above - high, far * span))
    pad = MARGIN * (ends[1] - ends[0]) or 0.01 * abs(ends[0]) or 1.0
    return ends[0] - pad, ends[1] + pad


def set_limits(
    ax: Axes,
    at: np.ndarray,
    limits: tuple[float, float] | None,
    drawn: Sequence[np.ndarray],
    direction: str = "y",
) -> None:
    """Set an axis, and mark at its edges where what is drawn leaves it.

    at : positions on the other axis of the values of every array in `drawn`.
    """
    if limits is None:
        return
    set_limit = ax.set_ylim if direction == "y" else ax.set_xlim
    set_limit(*limits)
    for edge, inward, away in zip(limits, (1.0, -1.0), ("v", "^"), strict=True):
        outside = np.zeros(len(at), bool)
        for values in drawn:
            outside |= inward * (edge - values) > 0.0  # NaN is not
        marked = _middles(outside)
        if marked.size == 0:
            continue
        inside = np.full(marked.size, edge + 0.02 * inward * (limits[1] - limits[0]))
        xy = (at[marked], inside) if direction == "y" else (inside, at[marked])
        shape = away if direction == "y" else {"v": "<", "^": ">"}[away]
        ax.plot(*xy, shape, ms=4, color=style.MUTED, mew=0, zorder=6, label=_MARK)


def cut_note(figure: Figure) -> str:
    """A sentence, with a space before it, on a figure's marks; empty where it has none."""
    drawn = (line.get_label() for ax in figure.axes for line in ax.lines)
    return f" {CUT}." if _MARK in drawn else ""


def drawable(values: np.ndarray, limits: tuple[float, float] | None) -> np.ndarray:
    """Values to draw: those far off, or infinite, end a little beyond the axis."""
    if limits is None:
        return np.where(np.isfinite(values), values, np.nan)
    room = 0.5 * (limits[1] - limits[0])
    return np.clip(values, limits[0] - room, limits[1] + room)


def _shown(beyond: np.ndarray, most: float) -> float:
    """How far an axis goes for values so far beyond its end."""
    if beyond.size == 0 or beyond.max() <= 0.0:
        return 0.0
    if beyond.max() <= most:
        return float(beyond.max())
    usual = float(np.quantile(np.minimum(beyond, 2.0 * most), 1.0 - FEW, method="lower"))
    return float(np.clip(usual, 0.0, most))


def _width(band: Band) -> float:
    with np.errstate(invalid="ignore"):
        width = np.asarray(band[1], float) - np.asarray(band[0], float)
    width = width[np.isfinite(width)]
    return float(np.median(width)) if width.size else 0.0


def _constant(values: np.ndarray) -> bool:
    return values.size == 0 or np.ptp(values) <= CONSTANT * np.abs(values).max()


def _known(arrays: Sequence[np.ndarray]) -> np.ndarray:
    values = _flat(arrays)
    return values[np.isfinite(values)]


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(a, float).ravel() for a in arrays]) if arrays else np.empty(0)


def _middles(mask: np.ndarray) -> np.ndarray:
    """The middle of every stretch of True; of many stretches, some."""
    edges = np.diff(np.r_[0, mask.astype(int), 0])
    middles = (np.flatnonzero(edges == 1) + np.flatnonzero(edges == -1) - 1) // 2
    if middles.size > MOST_MARKS:
        middles = middles[np.linspace(0, middles.size - 1, MOST_MARKS).astype(int)]
    return middles
