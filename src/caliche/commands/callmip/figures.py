"""The figure of a CalLMIP entry: errors of every run and benchmark at every tower."""

from __future__ import annotations

import numpy as np

from caliche.callmip.records import CLUSTERS, ONE, POSTERIOR, PRIOR, EntryScores, TowerFlux
from caliche.commands.callmip.tables import FLUX_WORDS
from caliche.report import style
from caliche.report.plates import Plate

COLOURS = {PRIOR: "#999999", POSTERIOR: style.MODELLED, ONE: style.OBSERVED, CLUSTERS: "#6a51a3"}
MARKERS = {PRIOR: "v", POSTERIOR: "s", ONE: "|", CLUSTERS: "x"}


def errors_plate(found: EntryScores) -> Plate:
    """RMSE over the standard deviation of what was measured, by tower and flux."""
    rows = list(found.towers)
    figure = style.new_figure(0.9 + 0.27 * len(rows))
    ax = figure.subplots()
    for run, colour in COLOURS.items():
        errors = [_relative(tower, run) for tower in rows]
        if np.isfinite(errors).any():
            ax.plot(errors, range(len(rows)), MARKERS[run], color=colour, ms=6, label=run)
    ax.axvline(1.0, color="#cccccc", lw=0.8, zorder=0.5)
    names = [f"{t.site}, {FLUX_WORDS.get(t.flux, t.flux)}" for t in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(left=0.0)
    ax.set_xlabel("RMSE over the standard deviation of what was measured")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    svg = style.to_svg(figure, "errors", "Errors of every run at every tower")
    return Plate(
        "Errors by tower",
        svg,
        "Root-mean-square error of daily means over the standard deviation of the measured: at "
        "1 a model is no better than the mean. 1lin and 3km27 are regressions on the weather.",
    )


def _relative(tower: TowerFlux, run: str) -> float:
    """RMSE over the standard deviation of the observations."""
    s = tower.scores.get(run)
    if s is None or s.rmse is None or not s.sd_obs:
        return float("nan")
    return s.rmse / s.sd_obs
