"""Drawing: each function takes an Axes and data, and draws one thing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, MaxNLocator, MultipleLocator, NullFormatter

from caliche.report import style
from caliche.report.limits import axis_limits, drawable, set_limits
from caliche.report.numbers import number, power_of_ten
from caliche.report.series import runs
from caliche.runs.run_summary import ParameterEntry

_DOTS_SHOWN = 700


def time_axis(
    ax: Axes, first: np.datetime64, last: np.datetime64, clock: str = "", ticks: int = 9
) -> None:
    """Dates below; the label says which year or day they are in, and on which clock."""
    locator = mdates.AutoDateLocator(minticks=2, maxticks=ticks)
    formatter = mdates.ConciseDateFormatter(
        locator,
        formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
        zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        show_offset=False,
    )
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(formatter)
    low, high = mdates.date2num(np.array([first, last]))
    margin = 0.005 * (high - low) or 0.01
    ax.set_xlim(low - margin, high + margin)
    # Ticks of months do not name their year, ticks of hours not always their day.
    unit = "D" if (last - first) <= np.timedelta64(3, "D") else "Y"
    ends = dict.fromkeys(str(end.astype(f"datetime64[{unit}]")) for end in (first, last))
    ax.set_xlabel(
        ", ".join(filter(None, ["–".join(ends) if unit == "Y" else " to ".join(ends), clock]))
    )


def scaled(axis: Axis, power: int) -> None:
    """Write an axis' numbers without 10^power, which then stands with the unit."""
    axis.set_major_formatter(_Scaled(power))


class _Scaled(Formatter):
    """Ticks divided by a power of ten, all with as many decimals as the longest needs."""

    def __init__(self, power: int) -> None:
        self._scale = 10.0**power

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Iterable[float]) -> list[str]:
        scaled_values = [float(f"{value / self._scale:.8g}") for value in values]
        decimals = max((len(f"{v:.8g}".partition(".")[2]) for v in scaled_values), default=0)
        return [f"{v:.{decimals}f}".replace("-", "−") for v in scaled_values]


def shade(ax: Axes, time: np.ndarray, mask: np.ndarray) -> None:
    """Grey over the stretches of time where `mask` holds."""
    for i, (first, last) in enumerate(runs(mask)):
        ax.axvspan(
            float(mdates.date2num(time[max(first - 1, 0)])),
            float(mdates.date2num(time[last])),
            color=style.HOLDOUT,
            zorder=0,
            lw=0,
            label="hold-out" if i == 0 else None,
        )


def observed_points(ax: Axes, time: np.ndarray, observed: np.ndarray) -> None:
    """Observations: dots, or a line with dots only on lone values where there are many."""
    x = mdates.date2num(time)
    known = np.isfinite(observed)
    if known.sum() <= _DOTS_SHOWN:
        ax.plot(
            x[known], observed[known], ".", ms=3.2, color=style.OBSERVED, label="observed", zorder=3
        )
        return
    ax.plot(x, observed, color=style.OBSERVED, lw=0.9, label="observed", zorder=2.5)
    lone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    ax.plot(x[lone], observed[lone], ".", ms=2, color=style.OBSERVED, zorder=2.5)


def observed_and_modelled(
    ax: Axes,
    time: np.ndarray,
    observed: np.ndarray,
    modelled: np.ndarray,
    first_guess: np.ndarray,
    band: np.ndarray,
) -> None:
    """Observations, and the model before and after calibration with its band of two standard
    deviations."""
    with np.errstate(invalid="ignore"):
        edges = modelled - 2 * band, modelled + 2 * band
    limits = axis_limits([observed], [modelled], [edges, (first_guess, first_guess)])
    x = mdates.date2num(time)
    low, high, guess, line = (drawable(v, limits) for v in (*edges, first_guess, modelled))
    if np.isfinite(low).any():
        ax.fill_between(
            x, low, high, color=style.BAND, alpha=0.45, lw=0, label="model ± 2 sd", zorder=1.5
        )
    if np.isfinite(guess).any():
        ax.plot(
            x,
            guess,
            color=style.FIRST_GUESS,
            lw=0.9,
            alpha=0.55,
            ls=(0, (4, 1.5)),
            label="first guess",
            zorder=2,
        )
    ax.plot(x, line, color=style.MODELLED, lw=1.3, label="calibrated model", zorder=3.2)
    observed_points(ax, time, observed)
    set_limits(ax, x, limits, [*edges, first_guess, modelled])


def legend_above(ax: Axes) -> None:
    """One row of keys above the axes, where they can hide nothing."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            handles,
            labels,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=6,
            handlelength=1.6,
            columnspacing=1.4,
            borderaxespad=0.2,
        )


def residual_series(
    ax: Axes,
    time: np.ndarray,
    residual: np.ndarray,
    spread: np.ndarray | None,
    sigma: float,
) -> None:
    """Residuals in time, with the declared sigma and, for means, the spread within a mean."""
    x = mdates.date2num(time)
    bands = [] if spread is None else [(spread[0], spread[1])]
    sides = np.full(residual.size, sigma if np.isfinite(sigma) else np.nan)
    limits = axis_limits(lines=[residual], bands=[*bands, (-sides, sides)])
    if spread is not None:
        ax.fill_between(
            x,
            drawable(spread[0], limits),
            drawable(spread[1], limits),
            color=style.BAND,
            alpha=0.4,
            lw=0,
            step="mid",
            label="5–95 %",
        )
    ax.axhline(0, color=style.MUTED, lw=0.7)
    if np.isfinite(sigma):
        for side in (-sigma, sigma):
            ax.axhline(side, color=style.MUTED, lw=0.8, ls=":", label="± σ" if side > 0 else None)
    residual = drawable(residual, limits)
    ax.plot(x, residual, color=style.MODELLED, lw=0.8)
    lone = np.isfinite(residual) & ~np.isfinite(np.r_[np.nan, residual[:-1]])
    lone &= ~np.isfinite(np.r_[residual[1:], np.nan])
    ax.plot(x[lone], residual[lone], ".", ms=2, color=style.MODELLED)
    # A declared sigma that is off the axis is off it everywhere, and in the table.
    set_limits(ax, x, limits, [residual, *(edge for band in bands for edge in band)])


def residual_histogram(ax: Axes, residual: np.ndarray, sigma: float, xlabel: str) -> None:
    """Distribution of the residuals against the Gaussian that the error model declares."""
    known = residual[np.isfinite(residual)]
    ax.set_xlabel(xlabel)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if known.size == 0:
        return
    reach = max(float(np.quantile(np.abs(known), 0.995)), 1e-12)
    # An odd number of bins, so that one is centred on zero.
    edges = np.linspace(-reach, reach, 2 * int(np.clip(np.sqrt(known.size) / 2, 3, 20)) + 2)
    edges = edges.tolist()
    ax.hist(np.clip(known, -reach, reach), edges, density=True, color=style.BAND, alpha=0.8)
    ax.axvline(0, color=style.MUTED, lw=0.7)
    if np.isfinite(sigma) and sigma > 0:
        x = np.linspace(-reach, reach, 200)
        bell = np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        ax.plot(x, bell, color=style.OBSERVED, lw=1.1, ls="--", label="declared")
        # A far too small sigma would otherwise flatten the histogram to nothing.
        tallest = max(patch.get_height() for patch in ax.patches)  # pyright: ignore
        ax.set_ylim(0, 1.1 * min(max(bell.max(), tallest), 3 * tallest))
    ax.xaxis.set_major_locator(MaxNLocator(5))


def autocorrelation_stems(
    ax: Axes, hours: np.ndarray, values: np.ndarray, limit: float, lag1: float
) -> None:
    """Autocorrelation against lag, with the band that white noise would stay in."""
    ax.axhspan(-limit, limit, color=style.HOLDOUT, lw=0, zorder=0, label="white noise")
    ax.axhline(0, color=style.MUTED, lw=0.7)
    ax.vlines(hours, 0, values, color=style.MODELLED, lw=1.0)
    ax.set_ylim(min(-0.25, np.nanmin(np.r_[values, 0.0]) * 1.1), 1.05)
    ax.set_xlim(0, hours[-1] * 1.03)
    ax.set_xlabel("lag (hours)")
    ax.xaxis.set_major_locator(MultipleLocator(12) if 24 <= hours[-1] <= 72 else MaxNLocator(5))
    if np.isfinite(lag1):
        ax.text(
            0.98,
            0.97,
            f"lag-1: {lag1:.2f}".replace("-1:", "‑1:"),
            ha="right",
            va="top",
            transform=ax.transAxes,
        )


def parameter_range(ax: Axes, entry: ParameterEntry, power: int) -> None:
    """Where the estimate lies between its bounds, and where it came from."""
    low, high = number(entry.lower), number(entry.upper)
    for bound in (low, high):
        if np.isfinite(bound):
            ax.plot([bound], [0], "|", ms=15, mew=2, color=style.MUTED, zorder=1)
    if np.isfinite(low) and np.isfinite(high):
        ax.plot([low, high], [0, 0], color=style.HOLDOUT, lw=5, zorder=0, solid_capstyle="butt")
    _markers(ax, entry, interval=False)
    ax.margins(x=0.06)
    _own_scale(ax, power)


def parameter_close_up(ax: Axes, entry: ParameterEntry, power: int) -> None:
    """The estimate with its error bars, on a scale that the error bars fill."""
    value, sd = number(entry.estimate), number(entry.sd)
    naive = number(entry.sd_naive)
    shown = [end for end in entry.interval95 or () if np.isfinite(end)]
    if len(shown) == 2:
        ax.plot(shown, [0, 0], color=style.MODELLED, lw=1.6, zorder=2)
        ax.plot(shown, [0, 0], "|", ms=8, mew=1.6, color=style.MODELLED, zorder=2)
    if np.isfinite(naive):
        ax.plot(
            [value - 1.96 * naive, value + 1.96 * naive],
            [0, 0],
            color=style.BAND,
            lw=6,
            alpha=0.8,
            solid_capstyle="butt",
            zorder=1,
        )
    _markers(ax, entry, interval=True)
    ends = [value, *shown, *([value - 3 * naive, value + 3 * naive] if np.isfinite(naive) else [])]
    ends += [value - 2 * sd, value + 2 * sd] if np.isfinite(sd) else []
    low, high = min(ends), max(ends)
    room = 0.5 * (high - low) or 0.05 * abs(value) or 1.0
    ax.set_xlim(
        *within_bounds(low - room, high + room, value, number(entry.lower), number(entry.upper))
    )
    _own_scale(ax, power)


def within_bounds(
    low: float, high: float, value: float, lower: float, upper: float
) -> tuple[float, float]:
    """Ends of an axis that go little beyond a parameter's bounds."""
    margin = 0.02 * (high - low)
    if np.isfinite(lower):
        low = max(low, min(lower, value) - margin)
    if np.isfinite(upper):
        high = min(high, max(upper, value) + margin)
    return low, high


def _markers(ax: Axes, entry: ParameterEntry, interval: bool) -> None:
    initial, truth = number(entry.initial), number(entry.truth)
    ax.plot([entry.estimate], [0], "o", ms=7, color=style.MODELLED, zorder=4)
    if not interval and np.isfinite(initial):
        ax.plot([initial], [0], "o", ms=7, mfc="white", mec=style.FIRST_GUESS, mew=1.5, zorder=3)
    if np.isfinite(truth):
        ax.plot([truth], [0], "D", ms=5, color=style.TRUTH, mec="white", mew=0.8, zorder=5)


def _own_scale(ax: Axes, power: int) -> None:
    ax.set_ylim(-1, 1)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    scaled(ax.xaxis, power)


def misfit_lines(ax: Axes, gap: np.ndarray, converged: np.ndarray, best: int, floor: float) -> None:
    """Misfit above the lowest one, by iteration, for every start."""
    many = gap.shape[0] > 12
    for i in _drawing_order(gap.shape[0], best):
        ax.plot(np.maximum(gap[i], floor), **_start_look(bool(converged[i]), i == best, many))
    log_scale(ax)
    ax.set_xlabel("iteration")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def waterfall(ax: Axes, final: np.ndarray, converged: np.ndarray) -> None:
    """Final misfit of every start, sorted: a flat beginning is one optimum found many times."""
    order = np.argsort(final, kind="stable")
    rank = np.arange(1, final.size + 1)
    for state, colour, shape, label in (
        (True, style.MODELLED, "o", "converged"),
        (False, style.FAILED, "x", "not converged"),
    ):
        chosen = converged[order] == state
        if chosen.any():
            ax.plot(rank[chosen], final[order][chosen], shape, ms=4.5, color=colour, label=label)
    ax.set_xlabel("start, best first")
    ax.set_xlim(0.3, final.size + 0.7)
    low, high = np.nanmin(final), np.nanmax(final)
    if low > 0 and high > 100 * low:
        log_scale(ax)
    else:
        # Differences far below what matters must not fill the axis.
        pad = max(0.06 * (high - low), 0.01 * abs(low))
        ax.set_ylim(low - pad, high + pad)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def trajectory_lines(
    ax: Axes,
    paths: np.ndarray,
    converged: np.ndarray,
    best: int,
    bounds: Sequence[float],
    power: int,
) -> None:
    """One parameter's value by iteration, for every start."""
    many = paths.shape[0] > 12
    for i in _drawing_order(paths.shape[0], best):
        ax.plot(paths[i], **_start_look(bool(converged[i]), i == best, many))
    known = paths[np.isfinite(paths)]
    if known.size:
        low, high = known.min(), known.max()
        for bound in bounds:
            if low - 0.1 * (high - low) <= bound <= high + 0.1 * (high - low):
                ax.axhline(bound, color=style.MUTED, lw=0.8, ls=":")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    scaled(ax.yaxis, power)


def log_scale(ax: Axes) -> None:
    """Powers of ten in the page's own face; the default sets them as formulas in another."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: power_of_ten(value))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _drawing_order(count: int, best: int) -> list[int]:
    return [i for i in range(count) if i != best] + [best]


def _start_look(converged: bool, is_best: bool, many: bool) -> dict[str, Any]:
    if is_best:
        return {"color": style.OBSERVED, "lw": 1.6, "zorder": 4}
    look = {"lw": 0.7 if many else 1.0, "alpha": 0.55 if many else 0.8}
    if converged:
        return {"color": style.MODELLED, **look}
    return {"color": style.FAILED, "ls": (0, (4, 1.5)), **look}


def correlation_map(ax: Axes, matrix: np.ndarray, labels: Sequence[str]) -> None:
    """Correlation of every pair of parameters, coloured and written."""
    count = len(labels)
    # The diagonal says nothing, so it gets no colour.
    matrix = np.where(np.eye(count, dtype=bool), np.nan, matrix)
    ax.set_facecolor(style.HOLDOUT)
    # Cells rather than an image: they stay sharp in print and are a few bytes each.
    ax.pcolormesh(
        np.arange(count + 1),
        np.arange(count + 1),
        matrix,
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        edgecolors="white",
        linewidth=1.0,
        alpha=0.9,
    )
    for i in range(count):
        for j in range(count):
            r = matrix[i, j]
            if np.isfinite(r):
                ax.text(
                    j + 0.5,
                    i + 0.5,
                    f"{r:.2f}".replace("-", "−"),
                    ha="center",
                    va="center",
                    fontsize=9 if count <= 8 else 6.5,
                    color="white" if abs(r) > 0.6 else "#222222",
                    weight="bold" if abs(r) > 0.95 else "normal",
                )
    ticks = np.arange(count) + 0.5
    ax.set_xticks(ticks, labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, labels)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def diurnal_cycle(ax: Axes, modelled: np.ndarray, observed: np.ndarray) -> None:
    """Mean day, modelled and observed, by local hour."""
    hour = np.arange(24) + 0.5
    ax.axhline(0, color=style.MUTED, lw=0.7)
    ax.plot(hour, modelled, color=style.MODELLED, lw=1.5, label="calibrated model")
    if np.isfinite(observed).any():
        ax.plot(hour, observed, "o", ms=3.2, color=style.OBSERVED, label="observed")
    ax.set_xlim(0, 24)
    ax.set_xticks([0, 6, 12, 18, 24])
