"""Figures of history matching: what is left, wave by wave, against its targets, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caliche.commands.history_match.arrays import dataset_of, numbers_of
from caliche.history_matching.result import Matched
from caliche.report import style
from caliche.report.numbers import plain, pretty_unit

_CELL = 1.35  # inches of a panel of the matrix
# Of intervals, one method after the other.
_INTERVALS = (style.FIRST_GUESS, style.OBSERVED, style.BAND, style.TRUTH, style.MUTED)
MOST = 8  # parameters of a matrix; the most narrowed ones


def matrix_of(found: Matched) -> Figure:
    """The matrix of what is left."""
    with style.report_style():
        return matrix_figure(numbers_of(found), dataset_of(found))


def outputs_of(found: Matched) -> Figure:
    """Metrics of what is left against their targets."""
    with style.report_style():
        return outputs_figure(numbers_of(found), dataset_of(found))


def matrix_figure(summary: Mapping[str, Any], found: xr.Dataset) -> Figure:
    """Below the diagonal the lowest implausibility, above it the share that is left, on it the
    share along one range."""
    chosen = shown(summary)
    names = [str(name) for name in found["parameter"].values]
    number = len(chosen)
    size = min(style.WIDTH, max(4.5, _CELL * number + 1.2))
    figure = style.new_figure(size * 0.92, size)
    axes = figure.subplots(number, number, squeeze=False)
    lowest = found["minimum_implausibility"].values
    depth = found["optical_depth"].values
    known = depth[~np.eye(len(names), dtype=bool)]
    top = max(float(known.max(initial=0.0)), 1e-300)
    cutoff = summary["cutoff"]
    below = above = None
    for row, i in enumerate(chosen):
        for column, j in enumerate(chosen):
            ax = axes[row][column]
            if row == column:
                _marginal(ax, depth[i, i, :, 0])
            elif row > column:
                below = ax.imshow(
                    lowest[j, i].T,
                    origin="lower",
                    extent=(0.0, 1.0, 0.0, 1.0),
                    aspect="auto",
                    cmap="viridis_r",
                    vmin=0.0,
                    vmax=2.0 * cutoff,
                )
                values = np.nan_to_num(lowest[j, i].T, nan=9e9)
                if values.min() < cutoff < values.max():
                    at = (np.arange(values.shape[0]) + 0.5) / values.shape[0]
                    ax.contour(
                        at, at, np.minimum(values, 9e9), [cutoff], colors="k", linewidths=0.7
                    )
            else:
                above = ax.imshow(
                    depth[j, i].T,
                    origin="lower",
                    extent=(0.0, 1.0, 0.0, 1.0),
                    aspect="auto",
                    cmap="Blues",
                    vmin=0.0,
                    vmax=top,
                )
            _truth(ax, summary, i, j, row == column)
            _ticks(ax, found, names, i, j, row == number - 1, column == 0 and row > 0)
    if below is not None and above is not None:
        label = "lowest implausibility (below)"
        figure.colorbar(below, ax=axes, location="right", shrink=0.6, label=label)
        figure.colorbar(
            above,
            ax=axes,
            location="right",
            shrink=0.6,
            label="share of the cell left (above)",
        )
    return figure


def shown(summary: Mapping[str, Any]) -> list[int]:
    """Numbers of the parameters in the matrix: all, or the eight most narrowed ones."""
    places = [entry["place"] for entry in summary["parameters"].values()]
    known = [1.0 if p[0] is None or np.isnan(p[0]) else p[1] - p[0] for p in places]
    order = np.argsort(known, kind="stable")[:MOST]
    return sorted(int(k) for k in order)


def _marginal(ax: Axes, share: np.ndarray) -> None:
    at = (np.arange(len(share)) + 0.5) / len(share)
    ax.bar(at, share, width=1.0 / len(share), color=style.MODELLED)
    ax.set_xlim(0.0, 1.0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _truth(ax: Axes, summary: Mapping[str, Any], i: int, j: int, diagonal: bool) -> None:
    if summary["truth"] is None:
        return
    place = summary["truth"]["place"]
    ax.axvline(place[j], color=style.TRUTH, lw=0.9)
    if not diagonal:
        ax.axhline(place[i], color=style.TRUTH, lw=0.9)


def _ticks(
    ax: Axes, found: xr.Dataset, names: list[str], i: int, j: int, bottom: bool, left: bool
) -> None:
    edges = found["edges"].values
    ax.set_xticks([0.0, 1.0], [plain(edges[j, k], 3) for k in (0, -1)] if bottom else ["", ""])
    if i != j:
        ax.set_yticks([0.0, 1.0], [plain(edges[i, k], 3) for k in (0, -1)] if left else ["", ""])
    ax.tick_params(labelsize=7)
    if bottom:
        ax.set_xlabel(_label(names[j]), fontsize=7.5)
    if left:
        ax.set_ylabel(_label(names[i]), fontsize=7.5)


def _label(name: str) -> str:
    """A name in lines of one or two words."""
    words, lines = name.split("_"), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 14:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def waves_figure(summary: Mapping[str, Any], found: xr.Dataset) -> Figure:
    """What is left along each range, wave by wave."""
    names = [str(name) for name in found["parameter"].values]
    marginal, edges = found["marginal"].values, found["edges"].values
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = style.new_figure(0.4 + 1.7 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    bins = marginal.shape[2]
    at = (np.arange(bins) + 0.5) / bins
    for k, name in enumerate(names):
        ax, number = axes[k], len(marginal)
        for wave in range(number):
            shade = 0.25 + 0.75 * (wave + 1) / number
            label = f"wave {wave + 1}" if k == 0 else None
            look = {"color": style.MODELLED, "alpha": shade, "lw": 1.2, "label": label}
            ax.step(at, marginal[wave, k] * bins, where="mid", **look)
        ax.axhline(1.0, color=style.MUTED, lw=0.7, ls=":")
        if summary["truth"] is not None:
            ax.axvline(summary["truth"]["place"][k], color=style.TRUTH, lw=0.9)
        ax.set_xlim(0.0, 1.0)
        ax.set_ylim(bottom=0.0)
        ax.set_xticks([0.0, 1.0], [plain(edges[k, 0], 3), plain(edges[k, -1], 3)])
        unit = pretty_unit(summary["parameters"][name]["unit"])
        ax.set_title(name.replace("_", " "), fontsize=7.5)
        ax.set_xlabel(unit, fontsize=7.5)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    if len(marginal) > 1:
        axes[0].legend(fontsize=7)
    return figure


def against_figure(summary: Mapping[str, Any], found: xr.Dataset) -> Figure:
    """What is left along each range, and the intervals of a run that was fitted."""
    other = summary["against"]["parameters"]
    marginal, edges = found["marginal"].values[-1], found["edges"].values
    words = list(dict.fromkeys(word for entry in other.values() for word in entry["places"]))
    columns = min(4, len(other))
    rows = -(-len(other) // columns)
    figure = style.new_figure(0.5 + (1.5 + 0.15 * len(words)) * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    at = (np.arange(marginal.shape[1]) + 0.5) / marginal.shape[1]
    for k, (name, entry) in enumerate(other.items()):
        ax = axes[k]
        share = marginal[k] / max(float(marginal[k].max()), 1e-300)
        ax.bar(at, share, width=1.0 / len(at), color=style.MODELLED, alpha=0.35)
        for line, word in enumerate(words):
            if word not in entry["places"]:
                continue
            low, high = entry["places"][word]
            y, color = -0.18 * (line + 1), _INTERVALS[line % len(_INTERVALS)]
            label = word if k == 0 else None
            ax.plot([low, high], [y, y], color=color, lw=3.0, solid_capstyle="butt", label=label)
        ax.plot(entry["place"], -0.18, "o", color=style.OBSERVED, ms=3)
        if summary["truth"] is not None:
            ax.axvline(summary["truth"]["place"][k], color=style.TRUTH, lw=0.9)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.18 * (len(words) + 1), 1.05)
        ax.set_yticks([])
        ax.set_xticks([0.0, 1.0], [plain(edges[k, 0], 3), plain(edges[k, -1], 3)])
        ax.set_title(name.replace("_", " "), fontsize=7.5)
        ax.set_xlabel(pretty_unit(summary["parameters"][name]["unit"]), fontsize=7.5)
    for ax in axes[len(other) :]:
        ax.set_visible(False)
    if words:
        figure.legend(fontsize=8, loc="outside lower center", ncols=len(words))
    return figure


def outputs_figure(summary: Mapping[str, Any], found: xr.Dataset) -> Figure:
    """Metrics of what is left, in units of their whole uncertainty, against the targets."""
    names = [str(name) for name in found["metric"].values]
    spread = np.hypot(found["error_sd"].values, found["discrepancy"].values)
    figure = style.new_figure(0.9 + 0.32 * len(names))
    ax = figure.subplots()
    cutoff = summary["cutoff"]
    ax.axvspan(-cutoff, cutoff, color=style.HOLDOUT, lw=0)
    ax.axvline(0.0, color=style.OBSERVED, lw=1.0)
    for k in range(len(names)):
        away = (found["metric_value"].values[:, k] - found["target"].values[k]) / spread[k]
        if len(away):
            low, first, middle, last, high = np.quantile(away, [0.0, 0.25, 0.5, 0.75, 1.0])
            ax.plot([low, high], [k, k], color=style.MODELLED, lw=1.0)
            ax.plot([first, last], [k, k], color=style.MODELLED, lw=5.0, solid_capstyle="butt")
            ax.plot(middle, k, "o", color="white", ms=3)
        share = found["error_sd"].values[k] / spread[k]
        ax.plot([-share, share], [k + 0.3, k + 0.3], color=style.OBSERVED, lw=1.4)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("model less target, in standard deviations of error and discrepancy together")
    return figure


def removed_figure(summary: Mapping[str, Any], found: xr.Dataset) -> Figure:
    """Share of the ranges that each metric removes, alone and in addition, wave by wave."""
    names = [str(name) for name in found["metric"].values]
    alone, added = found["removed_alone"].values, found["removed_added"].values
    figure = style.new_figure(0.9 + 0.3 * len(names))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, values, title in zip(
        axes, (alone, added), ("Removed alone", "Removed in addition to the others"), strict=True
    ):
        ax.imshow(100.0 * values.T, aspect="auto", cmap="Oranges", vmin=0.0, vmax=100.0)
        for wave in range(len(values)):
            for k in range(len(names)):
                share = 100.0 * values[wave, k]
                ax.text(
                    wave,
                    k,
                    plain(share, 2) if share else "0",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if share > 60.0 else style.OBSERVED,
                )
        ax.set_xticks(range(len(values)), [f"wave {k + 1}" for k in range(len(values))])
        ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
        ax.set_title(title)
    return figure
