"""Figures of a screening: effects of each parameter, and how they change over time and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caliche.commands.screen.summary import Kind, OutputEntry, ScreeningSummary, Triple
from caliche.commands.screen.tables import OF, SOBOL, ordered
from caliche.keys.records import Known
from caliche.report import style
from caliche.report.figures import time_axis
from caliche.report.limits import axis_limits, drawable, set_limits
from caliche.report.numbers import pretty_unit

ROW = 0.24  # inches of a parameter
TITLES: dict[Kind, str] = {
    "course": "Over time",
    "cycle": "By hour of the day",
    "rmse": "Root-mean-square error",
    "mean": "Mean of the window",
}
NO_SPREAD: Triple = (Known(0.0), Known(0.0), Known(0.0))  # of effects that were not told
INDICES = {"S1": "Main effect S1", "ST": "Total effect ST", "mu_star": "Mean absolute effect μ*"}


def effects_figure(summary: ScreeningSummary, stream: str) -> Figure:
    """Bars of S1 and ST (Sobol'), or mu* against sigma (Morris)."""
    entry = summary.streams[stream]
    names = ordered(summary, stream)
    if summary.method == SOBOL:
        kinds: list[Kind] = [kind for kind in OF if kind in entry.outputs]
        figure = style.new_figure(0.75 + ROW * 1.25 * len(names))
        axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for ax, kind in zip(axes, kinds, strict=True):
            _bars(ax, entry.outputs[kind], names)
            ax.set_title(TITLES[kind], fontsize=9)
        axes[0].set_yticks(range(len(names)), [_label(name) for name in names])
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        axes[-1].legend(loc="lower right", fontsize=8)
        return figure
    kinds: list[Kind] = ["mean", "rmse"]
    kinds = [kind for kind in kinds if kind in entry.outputs]
    figure = style.new_figure(3.6)
    for ax, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        _scatter(ax, entry.outputs[kind], names, pretty_unit(entry.unit))
        ax.set_title(TITLES[kind], fontsize=9)
    return figure


def _label(name: str) -> str:
    return name.replace("_", " ")


def _bars(ax: Axes, output: OutputEntry, names: Sequence[str]) -> None:
    looks = (("ST", style.BAND, 0.72, "total effect"), ("S1", style.MODELLED, 0.34, "main effect"))
    for index, colour, height, label in looks:
        for k, name in enumerate(names):
            numbers = getattr(output.parameters[name], index)
            if numbers is None:
                continue
            value, low, high = numbers
            ax.barh(
                k, max(value, 0.0), height, color=colour, label=label if k == 0 else None, zorder=1
            )
            y = k + (0.25 if index == "ST" else 0.0)
            ax.plot([low, high], [y, y], color=style.OBSERVED, lw=0.9, zorder=3)
    ax.set_xlim(0.0, 1.0)
    ax.tick_params(axis="y", length=0)


def _scatter(ax: Axes, output: OutputEntry, names: Sequence[str], unit: str) -> None:
    found = {name: output.parameters[name] for name in names}
    shown = {name: (e.mu_star, e.sigma or NO_SPREAD) for name, e in found.items() if e.mu_star}
    reach = max([x[2] for x, _ in shown.values()] or [1.0]) or 1.0
    high = max([y[2] for _, y in shown.values()] or [0.0])
    for x, y in shown.values():
        ax.plot(x[1:], [y[0], y[0]], color=style.BAND, lw=1.6, zorder=1)
        ax.plot([x[0], x[0]], y[1:], color=style.BAND, lw=1.6, zorder=1)
        ax.plot(x[0], y[0], "s" if y is NO_SPREAD else "o", ms=5, color=style.MODELLED, zorder=2)
    top = max(1.15 * high, 0.05 * reach)
    ax.set_xlim(0.0, 1.15 * reach)
    ax.set_ylim(-0.03 * top, top)
    for slope, text in ((0.1, "0.1"), (0.5, "0.5"), (1.0, "σ = μ*")):
        end = min(1.15 * reach, top / slope)
        ax.plot([0.0, end], [0.0, slope * end], color="#cccccc", lw=0.8, zorder=0)
        above = end < 1.15 * reach
        ax.annotate(
            text,
            (end, slope * end),
            xytext=(0, 2) if above else (3, 0),
            textcoords="offset points",
            color=style.MUTED,
            fontsize=7.5,
            ha="center" if above else "left",
            va="bottom" if above else "center",
        )
    _name_dots(ax, shown)
    ax.set_xlabel(f"mean absolute effect μ* ({unit})" if unit else "mean absolute effect μ*")
    ax.set_ylabel("standard deviation of effects σ")


def _name_dots(ax: Axes, shown: Mapping[str, tuple[Triple, Triple]]) -> None:
    """Names beside the dots, in the nearest place that is free; what has next to no effect is left
    without a name."""
    width, (low, top) = ax.get_xlim()[1], ax.get_ylim()
    told = [
        (float(y[0]), float(x[0]), name) for name, (x, y) in shown.items() if x[0] > 0.02 * width
    ]
    taken: list[tuple[float, float, float]] = []
    for y, x, name in sorted(told, reverse=True):
        length = 0.0155 * len(name) * width  # about, of the letters at this size
        right = x >= 0.45 * width
        left = x - 0.015 * width - length if right else x + 0.015 * width
        steps = [sign * (0.033 + 0.052 * k) for k in range(9) for sign in (1.0, -1.0)]
        places = [y + step * (top - low) for step in steps]
        free = [
            h
            for h in places
            if low + 0.03 * (top - low) < h < top
            and not any(
                abs(h - other) < 0.05 * (top - low) and left < end and begin < left + length
                for begin, end, other in taken
            )
        ]
        height = (free or places)[0]
        taken.append((left, left + length, height))
        ax.text(
            left + length if right else left,
            height,
            _label(name),
            fontsize=8,
            va="center",
            ha="right" if right else "left",
            zorder=4,
        )


def maps_figure(summary: ScreeningSummary, found: xr.Dataset, stream: str) -> Figure | None:
    """Parameter against time and hour of the day, the spread of the output above."""
    names = ordered(summary, stream)
    kinds: list[Kind] = ["course", "cycle"]
    kinds = [kind for kind in kinds if kind in summary.streams[stream].outputs]
    kinds = [kind for kind in kinds if f"{kind}_variance" in found]
    shown = ["S1", "ST"] if summary.method == SOBOL else ["mu_star"]
    if not kinds:
        return None
    one = found.sel(stream=stream)
    figure = style.new_figure(1.3 + (0.35 + ROW * len(names)) * len(shown))
    axes = figure.subplots(
        1 + len(shown),
        len(kinds),
        squeeze=False,
        sharex="col",
        width_ratios=[2.0, 1.0][: len(kinds)],
        height_ratios=[0.75, *([0.25 + ROW * len(names)] * len(shown))],
    )
    unit = pretty_unit(summary.streams[stream].unit)
    sds = {kind: np.sqrt(np.maximum(one[f"{kind}_variance"].values, 0.0)) for kind in kinds}
    limits = axis_limits([np.zeros(1)], list(sds.values())) or (0.0, 1.0)
    tops = {name: _top(one, kinds, name) for name in shown}
    for column, kind in enumerate(kinds):
        edges = _edges(found, kind)
        ax = axes[0, column]
        ax.stairs(drawable(sds[kind], limits), edges, color=style.OBSERVED, lw=1.0, baseline=None)
        set_limits(ax, 0.5 * (edges[1:] + edges[:-1]), limits, [sds[kind]])
        ax.set_ylim(bottom=0.0)
        spread = ": standard deviation over the priors" if column == 0 else ""
        ax.set_title(f"{TITLES[kind]}{spread}", fontsize=8.5)
        image = None
        for ax, name in zip(axes[1:, column], shown, strict=True):
            values = one[f"{kind}_{name}"].sel(parameter=names).values
            ax.set_facecolor(style.HOLDOUT)
            image = ax.pcolormesh(
                edges,
                np.arange(len(names) + 1) - 0.5,
                np.clip(values, 0.0, None),
                cmap="viridis",
                vmin=0.0,
                vmax=tops[name],
                rasterized=True,
            )
            ax.set_title(INDICES[name], fontsize=8.5)
            ax.set_ylim(len(names) - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
            labels = [_label(n) for n in names] if column == 0 else [""] * len(names)
            ax.set_yticks(range(len(names)), labels)
            if column == len(kinds) - 1:
                figure.colorbar(image, ax=ax, pad=0.02, aspect=12)
        _x_axis(axes[-1, column], found, kind)
    axes[0, 0].set_ylabel(unit, fontsize=8.5)
    return figure


def _top(one: xr.Dataset, kinds: Sequence[str], name: str) -> float:
    """The upper end of the colours: 1 for shares of a variance."""
    if name != "mu_star":
        return 1.0
    values = [one[f"{kind}_{name}"].values.ravel() for kind in kinds]
    # One absurd time would leave all others in one colour.
    found = axis_limits([np.zeros(1)], values)
    return found[1] if found else 1.0


def _edges(found: xr.Dataset, kind: str) -> np.ndarray:
    if kind == "cycle":
        return np.append(found.hour.values, found.hour.values[-1] + 1).astype(float)
    starts = mdates.date2num(found.time.values)
    width = starts[-1] - starts[-2] if len(starts) > 1 else 1.0
    return np.append(starts, starts[-1] + width)


def _x_axis(ax: Axes, found: xr.Dataset, kind: str) -> None:
    if kind == "cycle":
        ax.set_xticks([0, 6, 12, 18, 24])
        ax.set_xlim(found.hour.values[0], found.hour.values[-1] + 1)
        ax.set_xlabel("hour")
        return
    ends = mdates.num2date(_edges(found, kind)[[0, -1]])
    first, last = (np.datetime64(end.replace(tzinfo=None), "s") for end in ends)
    time_axis(ax, first, last, ticks=7)


def caption(summary: ScreeningSummary, which: str) -> str:
    """How to read a figure."""
    if which == "maps":
        sobol = summary.method == SOBOL
        what = "share of the variance at that time" if sobol else "in the unit of the stream"
        return (
            "Above: how much the output varies over the priors; where that is little, the colours "
            f"below mean little. Colours: {what}; grey where nothing varies."
        )
    if summary.method == SOBOL:
        return (
            "Dark: main effect, the share of the variance that the parameter explains by itself. "
            "Pale: total effect, with its interactions. Lines: 95 % intervals."
        )
    return (
        "Each point is a parameter; effects are for a change over the central 95 % of its prior. "
        "Right: a strong effect. High: nonlinear or interacting with others. Lines: 95 % "
        "intervals. Squares: groups."
    )
