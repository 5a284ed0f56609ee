"""Parameters that vary in time: their figures, and a row each for the tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import dates as mdates
from matplotlib.axes import Axes

from caliche.report import figures, style, wording
from caliche.report.limits import axis_limits, cut_note, drawable, set_limits
from caliche.report.numbers import number, plain, scaled_unit, with_unit
from caliche.report.plates import Plate
from caliche.report.run.folder import RunFolder
from caliche.report.run.plates import power_of
from caliche.runs.run_summary import ParameterEntry
from caliche.wording import number_of

_CLOCK = re.compile(r"\d\d:\d\d")
_DAY_OF_YEAR = re.compile(r"day \d+")
_RAIN = "#7f9bb3"


def varying_plate(run: RunFolder, name: str, key: str) -> Plate | None:
    """One parameter in time, with its 95 % band, against the rain; over a day if it is a cycle."""
    values = [run.series(f"parameter_{name}{end}") for end in ("", "_lower", "_upper")]
    if not np.isfinite(values[0]).any():
        return None
    knots = run.knots[name]
    entry = next(iter(knots.values()))
    power = power_of(entry)
    unit = scaled_unit(entry.unit, power)
    label = wording.capital(parameter_name(name, entry))
    figure = style.new_figure(2.5)
    ax = figure.subplots()
    caption = "Line: the estimate, with its 95 % interval. Dots: its knots."
    if all(_CLOCK.fullmatch(knot) for knot in knots):
        _cycle(ax, run, values, knots)
        caption = "Line: the estimate over the day, with its 95 % interval. Dots: its knots."
    else:
        _course(ax, run, values, knots)
        if np.nansum(run.series("forcing_precipitation")) > 0.0:
            _rain(ax, run)
            caption += " Bars from above: rain by day (right-hand scale)."
        if run.holdout.any():
            caption += " Grey ground: hold-out."
        figures.time_axis(ax, run.local_time[0], run.local_time[-1], wording.clock(run.utc_offset))
    if any(np.isfinite(number(e.truth)) for e in knots.values()):
        caption += " Green: the truth of this twin at the knots."
    figures.scaled(ax.yaxis, power)
    ax.set_ylabel(unit or "1")
    low, high = (plain(v, 3) for v in (np.nanmin(values[0]), np.nanmax(values[0])))
    spoken = f"{label} in time, from {low} to {high}"
    return Plate(label, style.to_svg(figure, key, spoken), caption + cut_note(figure))


def varying_rows(run: RunFolder) -> list[dict[str, Any]]:
    """A row of the parameter table for each parameter that varies."""
    rows = []
    for name, knots in run.knots.items():
        entry = next(iter(knots.values()))
        values = [number(e.estimate) for e in knots.values()]
        label = wording.capital(parameter_name(name, entry))
        lows = [number((e.interval95 or (None, None))[0]) for e in knots.values()]
        highs = [number((e.interval95 or (None, None))[1]) for e in knots.values()]
        rows.append(
            {
                **vars(entry),
                "name": name,
                "label": f"{label}, {number_of(len(knots), 'knot')}",
                "estimate": f"{plain(min(values), 3)} to {plain(max(values), 3)}",
                "interval": f"{plain(min(lows), 3)} to {plain(max(highs), 3)}",
                "truth": None,
                "sd_naive": None,
                "range": entry.prior,
            }
        )
    return rows


def varying_sentences(run: RunFolder) -> list[str]:
    """One sentence for each parameter that varies: between what it moved, and how."""
    sentences = []
    for name, knots in run.knots.items():
        entry = next(iter(knots.values()))
        values = run.series(f"parameter_{name}")
        if not np.isfinite(values).any():
            values = np.array([number(e.estimate) for e in knots.values()])
        over = "over the day" if all(_CLOCK.fullmatch(knot) for knot in knots) else "in time"
        low, high = (plain(v, 3) for v in (np.nanmin(values), np.nanmax(values)))
        amount = with_unit(f"{low} to {high}", entry.unit)
        label = wording.capital(parameter_name(name, entry))
        sentences.append(f"{label} varies {over}, from {amount} ({number_of(len(knots), 'knot')}).")
    return sentences


def parameter_name(name: str, entry: ParameterEntry) -> str:
    """The words for a parameter that varies: a knot's without the knot."""
    text = wording.parameter_label(name, entry.long_name)
    return text.removesuffix(f", {entry.knot}")


def _cycle(
    ax: Axes, run: RunFolder, values: list[np.ndarray], knots: Mapping[str, ParameterEntry]
) -> None:
    midnight = run.local_time.astype("datetime64[D]")
    hour = (run.local_time - midnight).astype("timedelta64[s]").astype(float) / 3600.0
    hour, first = np.unique(hour, return_index=True)
    _line(ax, hour, [v[first] for v in values], _truth(knots))
    at = [int(k[:2]) + int(k[3:]) / 60 for k in knots]
    _dots(ax, np.array(at), knots)
    ax.set_xlim(0, 24)
    ax.set_xticks(range(0, 25, 3))
    ax.set_xlabel(f"hour, {wording.clock(run.utc_offset)}")


def _course(
    ax: Axes, run: RunFolder, values: list[np.ndarray], knots: Mapping[str, ParameterEntry]
) -> None:
    figures.shade(ax, run.local_time, run.holdout)
    _line(ax, mdates.date2num(run.local_time), values, _truth(knots))


def _truth(knots: Mapping[str, ParameterEntry]) -> np.ndarray:
    return np.array([number(e.truth) for e in knots.values()])


def _line(ax: Axes, x: np.ndarray, values: list[np.ndarray], truth: np.ndarray) -> None:
    """The estimate with its band."""
    middle, low, high = values
    limits = axis_limits([truth], [middle], [(low, high)], reach=1.5)
    ax.fill_between(
        x,
        drawable(low, limits),
        drawable(high, limits),
        color=style.BAND,
        alpha=0.45,
        lw=0,
        zorder=1.5,
    )
    ax.plot(x, drawable(middle, limits), color=style.MODELLED, lw=1.5, zorder=3)
    set_limits(ax, x, limits, values)


def _dots(ax: Axes, x: np.ndarray, knots: Mapping[str, ParameterEntry]) -> None:
    ax.plot(x, [number(e.estimate) for e in knots.values()], "o", ms=4, color=style.MODELLED)
    truth = _truth(knots)
    if np.isfinite(truth).any():
        ax.plot(x, truth, "D", ms=5, color=style.TRUTH, mec="white", mew=0.8, zorder=5)


def _rain(ax: Axes, run: RunFolder) -> None:
    """Rain by day, hanging from the top."""
    day = run.local_time.astype("datetime64[D]")
    depth = np.nan_to_num(run.series("forcing_precipitation")) * (run.step / np.timedelta64(1, "s"))
    days, where = np.unique(day, return_inverse=True)
    total = np.bincount(where, depth)
    above = ax.twinx()
    above.bar(mdates.date2num(days) + 0.5, total, width=0.9, color=_RAIN, lw=0)
    above.set_ylim(3.0 * max(total.max(), 1.0), 0.0)
    above.set_yticks([0.0, round(float(total.max()), 0)])
    above.set_ylabel("rain (mm d⁻¹)", loc="top")
    above.spines["right"].set_visible(True)
    ax.set_zorder(above.get_zorder() + 1)
    ax.patch.set_visible(False)
