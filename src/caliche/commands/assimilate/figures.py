"""Figures of an assimilation: parameters from window to window, and how windows were forecast."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caliche.commands.assimilate.summary import AssimilationSummary
from caliche.report import series, style
from caliche.report.figures import legend_above, log_scale, time_axis
from caliche.report.limits import axis_limits, drawable, set_limits
from caliche.report.numbers import number, scaled_unit, shared_power
from caliche.variables import label

_BARS = 40  # windows of which each has an error bar of its own; beyond it is a band


def parameters_figure(summary: AssimilationSummary, found: xr.Dataset, clock: str) -> Figure:
    """Every parameter over the windows, with its 95 % interval, and the truth of a twin."""
    names = list(summary.parameters)
    figure = style.new_figure(0.5 + 1.35 * len(names))
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    start, end = _ends(summary, found)
    middle = start + (end - start) // 2
    for ax, name in zip(axes, names, strict=True):
        entry, here = summary.parameters[name], found.sel(parameter=name)
        estimate = here["estimate"].values
        known = np.isfinite(here["sd"].values)
        low = np.where(known, here["interval95_lower"].values, np.nan)
        high = np.where(known, here["interval95_upper"].values, np.nan)
        power = shared_power([*estimate, *low[known], *high[known]])
        scale = 10.0**power
        truth = np.array([number(entry.truth) / scale])
        estimate, low, high = estimate / scale, low / scale, high / scale
        limits = axis_limits([truth], [estimate], [(low, high)], typical=True)
        low, high = drawable(low, limits), drawable(high, limits)
        if len(estimate) > _BARS:
            ax.fill_between(middle, low, high, color=style.BAND, alpha=0.35, lw=0)
        else:
            ax.vlines(middle, low, high, color=style.MODELLED, lw=1.4)
        ax.plot(middle, estimate, "o-", ms=3.5, lw=0.8, color=style.MODELLED)
        lost = ~known
        ax.plot(middle[lost], estimate[lost], "o", ms=5, mfc="white", color=style.FAILED)
        set_limits(ax, middle, limits, [estimate, low, high])
        if entry.truth is not None:
            ax.axhline(float(truth[0]), color=style.TRUTH, lw=1.0, zorder=0)
        unit = scaled_unit(entry.unit, power)
        text = entry.long_name
        text = text[:1].upper() + text[1:]
        ax.set_title(f"{text} ({unit})" if unit else text, fontsize=9, pad=3)
    time_axis(axes[-1], start[0], end[-1], clock)
    return figure


def forecast_figure(summary: AssimilationSummary, found: xr.Dataset, clock: str) -> Figure:
    """Of every stream: error of forecast and analysis by window, and chi-square over freedom."""
    names = list(summary.streams)
    figure = style.new_figure(0.7 + 1.55 * len(names))
    grid = figure.subplots(len(names), 2, sharex=True, squeeze=False)
    start, end = _ends(summary, found)
    middle = start + (end - start) // 2
    for (left, right), name in zip(grid, names, strict=True):
        here = found.sel(stream=name)
        forecast = here["innovation_rmse"].values
        analysis = _analysis_rmse(found, name, len(middle))
        limits = axis_limits(
            [np.zeros(1)], [analysis], [(forecast, forecast)], reach=3.0, typical=True
        )
        left.plot(
            middle,
            drawable(forecast, limits),
            "o-",
            ms=3.5,
            lw=0.8,
            color=style.FIRST_GUESS,
            label="forecast",
        )
        left.plot(
            middle,
            drawable(analysis, limits),
            "o-",
            ms=3.5,
            lw=0.8,
            color=style.MODELLED,
            label="analysis",
        )
        set_limits(left, middle, limits, [forecast, analysis])
        left.set_ylim(bottom=0.0)
        entry = summary.streams[name]
        unit = scaled_unit(entry.unit, 0)
        left.set_title(
            f"{_label(name)}: RMSE ({unit})" if unit else f"{_label(name)}: RMSE", fontsize=9, pad=3
        )
        _chi_square(right, middle, here)
        right.set_title("χ² of the innovations over their freedom", fontsize=9, pad=3)
    legend_above(grid[0, 0])
    for ax in grid[-1]:
        time_axis(ax, start[0], end[-1], clock, ticks=5)
    return figure


def series_figure(summary: AssimilationSummary, found: xr.Dataset, clock: str) -> Figure:
    """Observations, forecasts and analyses over the record."""
    names = list(summary.streams)
    figure = style.new_figure(0.7 + 1.7 * len(names))
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    shift = np.timedelta64(round(summary.utc_offset * 3600), "s")
    time = found["time"].values.astype("datetime64[s]") + shift
    step = np.diff(time).min()
    seconds = series.bin_length(time)
    binned = seconds > step.astype(int)
    index = series.bin_index(time, step, seconds)
    at = series.bin_time(time, step, index, seconds) if binned else time
    looks = (
        ("observed", style.OBSERVED, 1.0),
        ("forecast", style.FIRST_GUESS, 0.9),
        ("analysis", style.MODELLED, 0.9),
    )
    for ax, name in zip(axes, names, strict=True):
        drawn = {}
        for kind, _, _ in looks:
            values = found[f"{name}_{kind}"].values
            drawn[kind] = series.bin_mean(values, index, needed=0.5) if binned else values
        forecast = drawn["forecast"]
        limits = axis_limits([drawn["observed"]], [drawn["analysis"]], [(forecast, forecast)])
        set_limits(ax, at, limits, list(drawn.values()))
        for kind, colour, width in looks:
            dots = kind == "observed"
            ax.plot(
                at,
                drawable(drawn[kind], limits),
                "." if dots else "-",
                ms=3.0,
                lw=width,
                color=colour,
                label=kind,
                zorder=2 if dots else 1,
            )
        for end in _ends(summary, found)[1][:-1]:
            ax.axvline(end, color="#d8d8d8", lw=0.6, zorder=0)
        unit = scaled_unit(summary.streams[name].unit, 0)
        what = f", {series.BIN_NAMES[seconds]}" if binned else ""
        ax.set_title(f"{_label(name)} ({unit}){what}", fontsize=9, pad=3)
    legend_above(axes[0])
    time_axis(axes[-1], time[0], time[-1], clock)
    return figure


def _ends(summary: AssimilationSummary, found: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of the windows on the local clock."""
    shift = np.timedelta64(round(summary.utc_offset * 3600), "s")
    start, end = (found[f"window_{e}"].values.astype("datetime64[s]") for e in ("start", "end"))
    return start + shift, end + shift


def _chi_square(ax: Axes, middle: np.ndarray, here: xr.Dataset) -> None:
    freedom = here["innovation_freedom"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(freedom > 0, here["innovation_chi_square"].values / freedom, np.nan)
    ax.axhline(1.0, color=style.MUTED, lw=0.8, ls="--")
    ax.plot(middle, ratio, "o-", ms=3.5, lw=0.8, color=style.FIRST_GUESS)
    known = ratio[np.isfinite(ratio)]
    if known.size and known.max() > 20.0 and known.min() > 0.0:
        log_scale(ax)
    else:
        ax.set_ylim(bottom=0.0)


def _analysis_rmse(found: xr.Dataset, name: str, n: int) -> np.ndarray:
    time = found["time"].values
    error = found[f"{name}_analysis"].values - found[f"{name}_observed"].values
    rmse = np.full(n, np.nan)
    for k, (start, end) in enumerate(
        zip(found["window_start"].values, found["window_end"].values, strict=True)
    ):
        own = error[(time > start) & (time <= end)]
        own = own[np.isfinite(own)]
        if own.size:
            rmse[k] = np.sqrt(np.mean(own**2))
    return rmse


def _label(name: str) -> str:
    text = label(name)
    return text[:1].upper() + text[1:]
