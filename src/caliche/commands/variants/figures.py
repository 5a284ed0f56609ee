"""One figure for each parameter: its estimate and standard deviation under every variant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from caliche.report import style, wording
from caliche.report.figures import scaled, within_bounds
from caliche.report.numbers import MISSING, number, scaled_unit, shared_power
from caliche.report.plates import Plate

# From Okabe and Ito's palette, like the other colours of the report.
COLOURS = {
    "base": style.OBSERVED,
    "numerics": "#56B4E9",
    "physics": "#0072B2",
    "prescribed": "#CC79A7",
    "data": "#E69F00",
    "own": "#009E73",
}
KEYS = {
    "numerics": "numerics",
    "physics": "physics",
    "prescribed": "prescribed value",
    "data": "window",
    "own": "own",
}
ROW = 0.19  # inches
BAR_REACH = 3.0  # a bar is drawn at most so many base sd beyond the outermost estimate
FAR = 12.0  # an estimate further away than so many base sd is drawn at the edge


def signed(value: float | None) -> str:
    """A number with its sign to one decimal; large ones as whole numbers."""
    if value is None:
        return MISSING
    text = f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"
    return text.replace("-", "−") if float(text) else text[1:]


def parameter_plate(
    name: str,
    entry: Mapping[str, Any],
    base: Mapping[str, Any],
    variants: Sequence[Mapping[str, Any]],
    truth: float | None,
) -> Plate:
    """Estimate ± sd of a parameter under all variants, the base's as a band behind them."""
    rows = [(v, v["shifts"][name]) for v in variants if v["shifts"][name]]
    centre, sd = number(entry["estimate"]), number(entry["sd"])
    low, high = _limits(centre, sd, [number(e["estimate"]) for _, es in rows for e in es], truth)
    low, high = within_bounds(low, high, centre, number(entry["lower"]), number(entry["upper"]))
    power = shared_power([low, high])
    figure = style.new_figure(0.95 + ROW * (len(rows) + 1))
    ax = figure.subplots()
    ax.set_xlim(low, high)
    if math.isfinite(sd):
        ax.axvspan(centre - sd, centre + sd, color=style.HOLDOUT, lw=0, zorder=0)
    ax.axvline(centre, color=style.OBSERVED, lw=0.8, zorder=1)
    if truth is not None:
        ax.axvline(truth, color=style.TRUTH, lw=1.2, ls=(0, (4, 1.5)), zorder=1.5, label="truth")
    _draw(ax, 0.0, {"estimate": centre, "sd": sd}, "base", True)
    family, labels = None, ["base"]
    for k, (variant, entries) in enumerate(rows, start=1):
        if family is not None and variant["family"] != family:
            ax.axhline(k - 0.5, color="#dddddd", lw=0.6, zorder=0.5)
        family = variant["family"]
        labels.append(variant["name"])
        spread = 0.17 if len(entries) > 1 else 0.0
        for j, each in enumerate(entries):
            y = k + spread * (2 * j - (len(entries) - 1))
            _draw(ax, y, each, variant["kind"], variant["status"] == "converged")
        _shift(ax, k, entries)
    ax.axhline(0.5, color="#999999", lw=0.7)
    ax.set_ylim(len(rows) + 0.6, -0.7)
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(7))
    scaled(ax.xaxis, power)
    unit = scaled_unit(entry["unit"], power)
    label = wording.capital(wording.parameter_label(name, entry.get("long_name") or ""))
    ax.set_xlabel(f"{label} ({unit})" if unit else label)
    _legend(ax, [v["kind"] for v, _ in rows])
    caption = (
        "Dot and bar: estimate and one standard deviation; open: at its bound or not converged; "
        "square: fixed; arrow: further out. Line and grey band: the base. On the right the shift "
        "in standard deviations of the base, bold beyond one"
    )
    if any(len(entries) > 1 for _, entries in rows):
        caption += "; of several layers from the uppermost down"
    if truth is not None:
        caption += ". Dashed green: the true value of this twin experiment"
    spoken = f"{label} under {wording.counted(len(rows), 'variant')}"
    return Plate(label, style.to_svg(figure, f"variants-{name}", spoken), f"{caption}.")


def _limits(
    centre: float, sd: float, estimates: Sequence[float], truth: float | None
) -> tuple[float, float]:
    """Ends of the axis: all estimates that are not too far out, and room for the bars."""
    reach = FAR * sd if math.isfinite(sd) else math.inf
    known = [centre, *(e for e in estimates if math.isfinite(e) and abs(e - centre) <= reach)]
    known += [] if truth is None else [truth]
    low, high = min(known), max(known)
    room = BAR_REACH * sd if math.isfinite(sd) else 0.0
    # Where estimates lie far apart, bars of one sd of the base need no more than a third.
    room = min(room, max(0.35 * (high - low), 1.6 * sd)) if math.isfinite(sd) else 0.0
    room = room or 0.1 * (high - low) or 0.1 * abs(centre) or 1.0
    return low - room, high + room


def _draw(ax: Axes, y: float, entry: Mapping[str, Any], kind: str, settled: bool) -> None:
    value, sd = number(entry["estimate"]), number(entry["sd"])
    if not math.isfinite(value):
        return
    low, high = ax.get_xlim()
    colour = COLOURS[kind]
    if not low <= value <= high:  # an arrow at the edge
        inset = 0.008 * (high - low)
        edge, shape = (high - inset, ">") if value > high else (low + inset, "<")
        ax.plot([edge], [y], shape, ms=6, color=colour, zorder=4)
        return
    if math.isfinite(sd) and settled:
        ends = max(value - sd, low), min(value + sd, high)
        ax.plot(ends, [y, y], color=colour, lw=2.2, alpha=0.75, zorder=2, solid_capstyle="butt")
    shape = "s" if entry.get("fixed") else "o"
    full = settled and not entry.get("at_bound")
    ax.plot(
        [value],
        [y],
        shape,
        ms=5.2,
        mfc=colour if full else "white",
        mec=colour,
        mew=1.3,
        zorder=4,
        clip_on=False,
    )


def _shift(ax: Axes, y: float, entries: Sequence[Mapping[str, Any]]) -> None:
    told = [e["shift"] for e in entries if e["shift"] is not None]
    if told:
        big = any(abs(shift) > 1.0 for shift in told)
        ax.annotate(
            ", ".join(signed(shift) for shift in told),
            (1.0, y),
            xycoords=("axes fraction", "data"),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            fontsize=8.5,
            weight="bold" if big else "normal",
            color=style.OBSERVED if big else style.MUTED,
        )


def _legend(ax: Axes, kinds: Sequence[str]) -> None:
    for kind in dict.fromkeys(kinds):
        ax.plot([], [], "o", ms=5.2, color=COLOURS[kind], label=KEYS[kind])
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles,
        labels,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=6,
        handlelength=1.4,
        columnspacing=1.4,
        borderaxespad=0.2,
    )
