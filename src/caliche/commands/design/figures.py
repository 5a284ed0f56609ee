"""The figure of `caliche design`: standard deviation of each parameter against a pair of depths."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from caliche.report import style
from caliche.report.numbers import number, plain, pretty_unit
from caliche.report.wording import capital

COLUMNS = 3
TITLE = 40  # letters in a line of a panel's title
MOST_LABELLED = 10  # depths beyond which cells are too small for numbers


def write_design_figure(design: Mapping[str, Any], folder: Path) -> Path | None:
    """Write sd-against-depths.svg and .png from design.json's content; the former's path.

    None where there are fewer than two depths, or no sets of two.
    """
    figure = depth_pairs(design)
    if figure is None:
        return None
    path = folder / "sd-against-depths.svg"
    with style.report_style(), mpl.rc_context({"svg.hashsalt": "design"}):
        FigureCanvasAgg(figure).print_png(path.with_suffix(".png"))
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})
    return path


def depth_pairs(design: Mapping[str, Any]) -> Figure | None:
    """One panel per parameter; on the diagonal one thermometer alone."""
    depths = {float(z): stream for z, stream in design["depths"].items()}
    sds = {frozenset(s["sensors"]): s["sd"] for s in design["sets"]}
    streams = list(depths.values())
    if len(streams) < 2 or frozenset(streams[:2]) not in sds:
        return None
    names = list(design["parameters"])
    rows = math.ceil(len(names) / COLUMNS)
    columns = min(COLUMNS, len(names))
    with style.report_style():
        figure = style.new_figure(0.5 + 3.1 * rows, width=3.2 * columns)
        figure.set_dpi(150)
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        for ax, name in zip(axes.flat, names, strict=False):
            grid = [
                [number(sds[frozenset((upper, lower))][name]) for upper in streams]
                for lower in streams
            ]
            _panel(ax, np.array(grid), list(depths), design["parameters"][name])
        beside = "beside what is there" if design["added"] else "alone"
        title = f"Standard deviation with one or two thermometers {beside}; bright is small"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
    return figure


def _panel(ax: Axes, sd: np.ndarray, depths: list[float], parameter: Mapping[str, Any]) -> None:
    ratio = parameter["ratio_scale"]
    shown = 100.0 * sd / abs(parameter["value"]) if ratio else sd
    unit = "% of the value" if ratio else pretty_unit(parameter["unit"])
    shown = np.where(np.tril(np.ones_like(sd, bool)), shown, np.nan)
    known = shown[np.isfinite(shown) & (shown > 0.0)]
    name = textwrap.fill(capital(parameter["long_name"]), TITLE)
    ax.set_title(f"{name}\n({unit})", fontsize=8.5)
    n = len(depths)
    if known.size:
        low, high = float(known.min()), float(known.max())
        norm = LogNorm(low, max(high, 1.05 * low))
        ax.imshow(shown, cmap="viridis_r", norm=norm)
        if n <= MOST_LABELLED:
            _numbers(ax, shown, norm)
    labels = [f"{100.0 * z:g}" for z in depths]
    ax.set_xticks(range(n), labels)
    ax.set_yticks(range(n), labels)
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xlabel("depth, cm")
    ax.set_ylabel("depth, cm")
    ax.tick_params(length=0)


def _numbers(ax: Axes, shown: np.ndarray, norm: LogNorm) -> None:
    """Each cell's number, dark on light and light on dark."""
    size = 7.5 if len(shown) <= 6 else 5.8
    for (row, column), value in np.ndenumerate(shown):
        if row < column:
            continue
        finite = math.isfinite(value)
        dark = finite and float(norm(value)) > 0.5
        ax.text(
            column,
            row,
            plain(value, 2) if finite else "∞",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if dark else style.OBSERVED,
        )
