"""Figures of an emulation: its errors on runs that it never saw, and how outputs bend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from caliche.report import style

_LIMIT = 4.0  # of standardised errors that are drawn where they are


def errors_figure(summary: Mapping[str, Any]) -> Figure:
    """Standardised errors of held-out runs, an output a row; grey is where 95 of 100 should lie."""
    outputs = summary["outputs"]
    figure = style.new_figure(0.9 + 0.32 * len(outputs))
    ax = figure.subplots()
    ax.axvspan(-2.0, 2.0, color=style.HOLDOUT, zorder=0)
    for k, entry in enumerate(outputs.values()):
        z = np.array([np.nan if v is None else v for v in entry["standardised"]], float)
        colour = style.MODELLED if entry["passed"] else style.FAILED
        shown = np.clip(z, -_LIMIT, _LIMIT)
        far = np.abs(z) > _LIMIT
        ax.plot(shown[~far], np.full((~far).sum(), k), "o", ms=3.5, color=colour, alpha=0.7)
        ax.plot(shown[far], np.full(far.sum(), k), "x", ms=5.0, color=style.FAILED)
    ax.axvline(0.0, color=style.MUTED, lw=0.7)
    ax.set_yticks(range(len(outputs)), [name.replace("_", " ") for name in outputs])
    ax.set_ylim(len(outputs) - 0.4, -0.6)
    ax.set_xlim(-_LIMIT - 0.3, _LIMIT + 0.3)
    ax.set_xlabel("Error over its standard deviation")
    return figure


def scales_figure(summary: Mapping[str, Any]) -> Figure:
    """Length-scales by output and parameter, over half the box: dark bends fast."""
    outputs = summary["outputs"]
    names = list(next(iter(outputs.values()))["scales"])
    scales = np.array([[entry["scales"][name] for name in names] for entry in outputs.values()])
    figure = style.new_figure(1.6 + 0.32 * len(outputs))
    ax = figure.subplots()
    drawn = ax.pcolormesh(-np.log10(scales), cmap="Blues", vmin=-1.8, vmax=0.7, edgecolors="white")
    for row, values in enumerate(scales):
        for column, value in enumerate(values):
            dark = -np.log10(value) > 0.0
            ax.text(
                column + 0.5,
                row + 0.5,
                f"{value:.2g}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else style.OBSERVED,
            )
    drawn.set_rasterized(False)
    ax.set_yticks(np.arange(len(outputs)) + 0.5, [name.replace("_", " ") for name in outputs])
    ax.set_xticks(np.arange(len(names)) + 0.5, [n.replace("_", "\n") for n in names], fontsize=8)
    ax.invert_yaxis()
    ax.tick_params(length=0)
    return figure
