"""Figures of a joint calibration: values by site, and what each calibration is worth."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.ticker import MaxNLocator

from caliche.commands.joint.summary import FITTED, JointSummary, ShareEntry
from caliche.evaluation.scores import Score
from caliche.names import site_of
from caliche.report import style
from caliche.report.figures import scaled
from caliche.report.limits import axis_limits, cut_note, drawable, set_limits
from caliche.report.numbers import number, scaled_unit, shared_power
from caliche.report.plates import Plate
from caliche.report.wording import capital
from caliche.variables import label

COLOURS = {
    "first guess": "#999999",
    "by itself": style.OBSERVED,
    "together": style.MODELLED,
    "left out": style.FIRST_GUESS,
}
MARKERS = {"first guess": "v", "by itself": "o", "together": "s", "left out": "D"}


def values_plate(summary: JointSummary) -> Plate:
    """Every parameter at every site, by itself and together, with 95 % intervals."""
    sites = list(summary.sites)
    names = list(dict.fromkeys(n for s in summary.sites.values() for n in s.together))
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = style.new_figure(0.5 + lines * (0.75 + 0.24 * len(sites)))
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for ax in grid.flat[len(names) :]:
        ax.set_visible(False)
    for ax, name in zip(grid.flat, names, strict=False):
        entries = [s.together.get(name) for s in summary.sites.values()]
        known = [e for e in entries if e is not None]
        power = shared_power([e.estimate for e in known])
        limits = _limits(summary, name)
        for kind, shift in (("by itself", -0.15), ("together", 0.15)):
            for k, site in enumerate(sites):
                p = getattr(summary.sites[site], kind.replace(" ", "_")).get(name)
                if p is None:
                    continue
                low, high = p.interval95
                if math.isfinite(low) and math.isfinite(high):
                    ends = np.array([low, high])
                    ax.plot(drawable(ends, limits), [k + shift] * 2, color=COLOURS[kind], lw=1.2)
                    set_limits(ax, np.full(1, k + shift), limits, [ends[:1], ends[1:]], "x")
                ax.plot(
                    p.estimate,
                    k + shift,
                    MARKERS[kind],
                    color=COLOURS[kind],
                    ms=4.5,
                    label=kind if k == 0 else None,
                )
        ax.set_yticks(range(len(sites)), sites)
        ax.set_ylim(len(sites) - 0.5, -0.5)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        scaled(ax.xaxis, power)
        unit = scaled_unit(known[0].unit, power)
        shared = _shared(summary.share.get(name))
        text = known[0].long_name.rpartition(", ")[0] if site_of(name) else name.replace("_", " ")
        ax.set_title(f"{text}{shared}", fontsize=8.5)
        ax.set_xlabel(unit, fontsize=8.5)
    grid[0, 0].legend(loc="best", fontsize=8)
    svg = style.to_svg(figure, "values", "Parameters of each site, by itself and together")
    return Plate(
        "Parameters of each site",
        svg,
        "Estimates with 95 % intervals: each site's own calibration, and all calibrated together."
        f"{cut_note(figure)}",
    )


def _shared(how: ShareEntry | None) -> str:
    """How a parameter is shared, as the end of a title."""
    if how is None:
        return ""
    if how.spread is not None:
        return ", pooled"
    return {"global": ", one value", "site": ""}.get(how.by, f", by {how.by}")


def _limits(summary: JointSummary, name: str) -> tuple[float, float] | None:
    """Of a parameter's axis: all estimates, and intervals that are not far wider than the rest."""
    found = [
        (p.estimate, *p.interval95)
        for site in summary.sites.values()
        for by_name in (site.by_itself, site.together)
        if (p := by_name.get(name)) is not None
    ]
    value, low, high = np.array(found).T
    return axis_limits([value], bands=[(low, high)], typical=True)


def scores_plate(summary: JointSummary) -> Plate:
    """RMSE under every calibration over that of the site's own, by site and fitted stream."""
    rows = []
    for site in summary.sites:
        for stream, entry in summary.scores["by itself"][site].items():
            if entry.fitted:
                rows.append((site, stream, entry.window))
    figure = style.new_figure(0.9 + 0.27 * len(rows))
    ax = figure.subplots()
    ax.axvline(1.0, color=COLOURS["by itself"], lw=0.8)
    for kind, by_site in summary.scores.items():
        values = []
        for site, stream, window in rows:
            own = _rmse(summary.scores["by itself"][site][stream].inside(window))
            mine = _rmse(by_site[site][stream].inside(window))
            values.append(mine / own if own > 0.0 else math.nan)
        ax.plot(
            values,
            range(len(rows)),
            MARKERS[kind],
            color=COLOURS[kind],
            ms=6,
            label=kind,
            mfc="white" if kind == "first guess" else COLOURS[kind],
        )
    for k in range(1, len(rows)):
        if rows[k][0] != rows[k - 1][0]:
            ax.axhline(k - 0.5, color="#dddddd", lw=0.6, zorder=0.5)
    names = [
        f"{site}, {label(stream)}{' (fit)' if w == FITTED else ''}" for site, stream, w in rows
    ]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xscale("log")
    ticks = [0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0]
    low, high = ax.get_xlim()
    shown = [t for t in ticks if low <= t <= high]
    ax.set_xticks(shown, [f"{t:g}" for t in shown])
    ax.minorticks_off()
    ax.set_xlabel("RMSE over that of the site's own calibration")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    svg = style.to_svg(figure, "scores", "Scores of every calibration at every site")
    return Plate(
        capital("what each calibration is worth"),
        svg,
        "Root-mean-square error over that of the site's own calibration, in the hold-out where "
        "there is one, else in the fitted window. Left out: calibrated at the other sites only.",
    )


def _rmse(found: Score | None) -> float:
    return math.nan if found is None else number(found.rmse)
