"""Figures of an emulated column: its Jacobian, its eigenvalues, its drift, and how it learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from caliche.report import style

_SHORT = {
    "soil_temperature": "T",
    "surface_temperature": "T surface",
    "incoming_": "in ",
    "outgoing_": "out ",
    "_heat_flux": "",
    "_": " ",
}


def short(name: str) -> str:
    """A name that fits beside a row."""
    for long, brief in _SHORT.items():
        name = name.replace(long, brief)
    return name


def jacobian_figure(summary: Mapping[str, Any]) -> Figure:
    """Rows outputs, columns inputs: the network, the model, and their difference."""
    j = summary["jacobian"]
    maps = {
        "network": np.array(j["emulated"], float),
        "exact model": np.array(j["exact"], float),
        "difference (rms)": np.array(j["difference"], float),
    }
    rows = [*summary["states"], *summary["fluxes"]]
    columns = [*summary["states"], *summary["weather"], *summary["parameters"]]
    # Beyond this colours saturate: the surface's own row is far larger than all others.
    most = float(np.quantile(np.abs(maps["exact model"]), 0.97)) or 1.0
    figure = style.new_figure(3 * (0.8 + 0.15 * len(rows)))
    axes = figure.subplots(3, 1, sharex=True)
    for ax, (title, values) in zip(axes, maps.items(), strict=True):
        drawn = ax.pcolormesh(values, cmap="RdBu_r", vmin=-most, vmax=most)
        drawn.set_rasterized(False)
        ax.set_yticks(np.arange(len(rows)) + 0.5, [short(n) for n in rows], fontsize=6)
        ax.set_xticks(
            np.arange(len(columns)) + 0.5, [short(n) for n in columns], fontsize=6, rotation=90
        )
        ax.axvline(len(summary["states"]), color=style.MUTED, lw=0.7)
        ax.axvline(len(summary["states"]) + len(summary["weather"]), color=style.MUTED, lw=0.7)
        ax.axhline(len(summary["states"]), color=style.MUTED, lw=0.7)
        ax.set_title(title, fontsize=9, loc="left")
        ax.invert_yaxis()
        ax.tick_params(length=0)
        figure.colorbar(drawn, ax=ax, pad=0.01, aspect=12)
    return figure


def eigenvalues_figure(summary: Mapping[str, Any]) -> Figure:
    """Moduli of the eigenvalues of the state Jacobian, largest first."""
    j = summary["jacobian"]
    figure = style.new_figure(2.4)
    ax = figure.subplots()
    for key, colour, label, mark in (
        ("exact_eigenvalues", style.OBSERVED, "exact model", "o"),
        ("eigenvalues", style.MODELLED, "network", "x"),
    ):
        values = np.array(j[key], float)
        ax.plot(np.arange(1, len(values) + 1), values, mark, color=colour, label=label, ms=5)
    ax.axhline(1.0, color=style.MUTED, lw=0.7)
    ax.set_xlabel("Eigenvalue, by size")
    ax.set_ylabel("Modulus")
    ax.legend(frameon=False)
    return figure


def drift_figure(summary: Mapping[str, Any]) -> Figure:
    """Errors of long runs over the spread of each state."""
    drift = summary["drift"]
    days = np.array(drift["days"], float)
    errors = np.array(
        [[np.nan if v is None else v for v in row] for row in drift["errors"]], float
    ) / np.where(np.array(drift["spread"], float) > 0.0, drift["spread"], 1.0)
    figure = style.new_figure(2.8)
    ax = figure.subplots()
    for k, name in enumerate(summary["states"]):
        shade = 0.25 + 0.75 * k / max(len(summary["states"]) - 1, 1)
        ax.plot(days, 100.0 * errors[:, k], "-o", ms=3, color=style.MODELLED, alpha=shade)
        if k in (0, len(summary["states"]) - 1) and np.isfinite(errors[-1, k]):
            ax.annotate(
                short(name),
                (days[-1], 100.0 * errors[-1, k]),
                xytext=(4, 0),
                fontsize=7,
                textcoords="offset points",
                va="center",
            )
    ax.set_xscale("log")
    ax.set_xticks(days, [f"{d:g}" for d in days])
    ax.minorticks_off()
    ax.set_xlabel("Days")
    ax.set_ylabel("Error (% of spread)")
    return figure


def learning_figure(summary: Mapping[str, Any]) -> Figure:
    """Loss by epoch, learned from and held out."""
    history = np.array(
        [[np.nan if v is None else v for v in row] for row in summary["history"]], float
    )
    figure = style.new_figure(2.4)
    ax = figure.subplots()
    for k, colour, label in ((0, style.MUTED, "learned from"), (1, style.MODELLED, "held out")):
        ax.plot(np.arange(len(history)), history[:, k], color=colour, label=label)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Epoch")
    ax.set_ylabel("Loss")
    ax.legend(frameon=False)
    return figure
