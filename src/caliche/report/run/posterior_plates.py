"""Figures of the posterior: every parameter by every method, and the bands of the streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from caliche.names import knot_of
from caliche.report import figures, style, wording
from caliche.report.limits import axis_limits, cut_note, drawable, set_limits
from caliche.report.numbers import number, pretty_unit, scaled_unit, shared_power
from caliche.report.plates import Plate
from caliche.report.run import words
from caliche.report.run.folder import RunFolder, Stream
from caliche.report.run.plates import typical_stretch
from caliche.report.run.posterior_tables import ENSEMBLES, METHODS, NORMAL_WIDTH
from caliche.wording import number_of

_COLOURS = {
    "laplace": style.MUTED,
    "profile": style.MODELLED,
    "nuts": style.BAND,
    "etki": "#E69F00",
    "eki": "#CC79A7",
    "4denvar": "#D55E00",
}
_DASHES = {"etki": (0, ()), "eki": (0, (5, 1.2)), "4denvar": (0, (1, 0.8))}
_CLOSE_UP_DAYS = 8
_LONGEST = 34  # characters of a panel's title
_LEVEL = np.exp(-0.5 * (NORMAL_WIDTH / 2.0) ** 2)  # of the relative likelihood, for 95 %


def marginals_plate(
    run: RunFolder, parameters: Mapping[str, Any], arrays: xr.Dataset, draws: xr.Dataset
) -> Plate:
    """Relative likelihood of every parameter by each method, with the 95 % intervals below."""
    columns = 2 if len(parameters) in (2, 4) else min(3, len(parameters))
    rows = -(-len(parameters) // columns)
    figure = style.new_figure(0.5 + 2.1 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, entry) in zip(axes, parameters.items(), strict=False):
        known = run.summary.parameters.get(name)
        _marginal(ax, name, entry, arrays, draws, None if known is None else known.truth)
    for ax in axes[len(parameters) :]:
        ax.set_axis_off()
    labelled = {}
    for ax in axes:
        labelled |= {text: h for h, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(labelled.values()), list(labelled), loc="outside upper right", ncols=7)
    present = [m for m in METHODS if any(entry.get(m) for entry in parameters.values())]
    said = {
        "laplace": "Dashed grey: the Gaussian from the curvature at the optimum",
        "profile": "Blue: the profile, all other parameters fitted again at every dot; its "
        "interval ends where it falls to the dotted line",
        "nuts": "Pale blue: the draws of NUTS",
    }
    texts = [said[m] for m in present if m in said]
    ensembles = [m for m in present if m in ENSEMBLES]
    if ensembles:
        names = {"etki": "ETKI orange", "eki": "EKI dashed pink", "4denvar": "4DEnVar dotted red"}
        listed = words.listing(names[m] for m in ensembles)
        texts.append(f"Members of ensembles, smoothed: {listed}")
    caption = (
        f"{'. '.join(texts)}. All are scaled to a height of one. Below: 95 % "
        "intervals in the same colours; an arrow is an end that the observations do not set, or "
        "that lies beyond the axis."
    )
    return Plate(
        "Parameters", style.to_svg(figure, "posterior", "Posterior of every parameter"), caption
    )


def _marginal(
    ax: Axes,
    name: str,
    entry: Mapping[str, Any],
    arrays: xr.Dataset,
    draws: xr.Dataset,
    truth: float | None,
) -> None:
    low, high = _limits(entry)
    x = np.linspace(low, high, 241)
    estimate = number(entry["estimate"])
    if name in draws:
        values = draws[name].values.ravel()
        edges = np.linspace(low, high, 49)
        counts, _ = np.histogram(values, edges)
        # The highest bin alone is mostly chance.
        top = max(np.sort(counts)[-5:].mean(), 1.0)
        ax.stairs(
            counts / top, edges, fill=True, color=style.BAND, alpha=0.55, label="NUTS", zorder=1
        )
    ends = [number(end) for end in (entry.get("laplace") or {}).get("interval95") or (None, None)]
    if np.isfinite(ends).all():
        # Each half with its own width: the Gaussian is one in the whitened coordinate.
        half = np.where(x < estimate, estimate - ends[0], ends[1] - estimate)
        bell = np.exp(-0.5 * ((x - estimate) / np.maximum(half, 1e-300) * NORMAL_WIDTH / 2) ** 2)
        ax.plot(x, bell, color=style.MUTED, lw=1.1, ls=(0, (4, 1.5)), label="Laplace", zorder=2)
    if "profile_value" in arrays and name in arrays["parameter"].values:
        chosen = arrays.sel(parameter=name)
        value, rise = chosen["profile_value"].values, chosen["profile_rise"].values
        usable = np.isfinite(value) & np.isfinite(rise)
        value, rise = value[usable], rise[usable]
        root = np.sign(value - estimate) * np.sqrt(np.maximum(rise, 0.0))
        inside = (x >= value[0]) & (x <= value[-1])
        height = np.exp(-0.5 * np.interp(x[inside], value, root) ** 2)
        ax.plot(x[inside], height, color=style.MODELLED, lw=1.3, label="profile", zorder=3)
        ax.plot(value, np.exp(-0.5 * root**2), ".", ms=3.5, color=style.MODELLED, zorder=3)
        ax.axhline(_LEVEL, color=style.MUTED, lw=0.7, ls=":")
    for method in ENSEMBLES:
        if entry.get(method) and f"members_{method}" in arrays:
            members = arrays[f"members_{method}"].sel(parameter=name).values
            ax.plot(
                x,
                _smoothed(members, x),
                color=_COLOURS[method],
                lw=1.2,
                ls=_DASHES[method],
                label=METHODS[method],
                zorder=2.5,
            )
    _bars(ax, entry, low, high)
    if np.isfinite(number(truth)):
        ax.plot(
            [number(truth)],
            [0],
            "D",
            ms=5,
            color=style.TRUTH,
            mec="white",
            mew=0.8,
            zorder=5,
            label="truth",
            clip_on=False,
        )
    power = shared_power([low, high])
    unit = scaled_unit(entry.get("unit", ""), power)
    title = wording.capital(wording.parameter_label(name, entry.get("long_name") or ""))
    if len(title) > _LONGEST:
        knot = f" {knot_of(name)}".rstrip()  # which is what tells its panel from the next
        title = f"{title[: _LONGEST - 1 - len(knot)].rstrip()}…{knot}"
    ax.set_title(f"{title}\n({unit})" if unit else title, fontsize=8.5)
    ax.set_xlim(low, high)
    ax.set_ylim(-0.46, 1.08)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    figures.scaled(ax.xaxis, power)


def _smoothed(members: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Density of members at x by Gaussian kernels of Silverman's width, scaled to a height of 1."""
    width = 1.06 * members.std(ddof=1) * len(members) ** -0.2
    if not width > 0.0:
        return np.zeros_like(x)
    density = np.exp(-0.5 * ((x[:, None] - members) / width) ** 2).sum(axis=1)
    return density / max(density.max(), 1e-300)


def _bars(ax: Axes, entry: Mapping[str, Any], low: float, high: float) -> None:
    """The 95 % intervals below the curves, an arrow for an end that is not known."""
    present = [method for method in METHODS if entry.get(method)]
    step = min(0.09, 0.36 / max(len(present), 1))
    for i, method in enumerate(present):
        found = entry[method]
        if found.get("interval95") is None:
            continue
        ends = [number(end) for end in found["interval95"]]
        unknown = [
            is_open or not low <= end <= high  # NaN is not
            for is_open, end in zip(found.get("open", (False, False)), ends, strict=True)
        ]
        shown = [
            limit if lost else end
            for end, lost, limit in zip(ends, unknown, (low, high), strict=True)
        ]
        y, colour = -0.08 - step * i, _COLOURS[method]
        ax.plot(
            shown,
            [y, y],
            color=colour,
            lw=2.2 if step > 0.08 else 1.7,
            solid_capstyle="butt",
            zorder=2,
        )
        for end, lost, mark in zip(shown, unknown, ("<", ">"), strict=True):
            ax.plot([end], [y], mark if lost else "|", ms=5, color=colour, zorder=2, clip_on=False)


def _limits(entry: Mapping[str, Any]) -> tuple[float, float]:
    """What to show of a parameter's axis: the intervals and a little more, but of one that is many
    times as wide as the others only a part."""
    known = [(entry.get(method) or {}).get("interval95") for method in METHODS]
    ends = np.array([[number(end) for end in pair] for pair in known if pair])
    ends = np.where(np.isfinite(ends), ends, np.nan)
    bands = [(ends[:, 0], ends[:, 1])] if ends.size else []
    found = axis_limits([np.array([number(entry["estimate"])])], bands=bands, reach=3.0)
    low, high = found or (0.0, 1.0)
    pad = 0.2 * (high - low)
    return low - pad, high + pad


def band_plate(
    run: RunFolder,
    stream: Stream,
    arrays: xr.Dataset,
    covered: Mapping[str, Any],
    key: str,
    method: str = "nuts",
) -> Plate:
    """Observations of a stream in the bands of a method's draws, as differences from the calibrated
    model: a stretch of a long record."""
    steps = int(_CLOSE_UP_DAYS * 86400 / run.step.astype(int))
    window, why = slice(0, run.local_time.size), ""
    if run.local_time.size > 2 * steps:
        window, why = typical_stretch(run, [stream], max(steps, 100))
    time = run.local_time[window]
    x = mdates.date2num(time)
    figure = style.new_figure(2.5)
    ax = figure.subplots()
    figures.shade(ax, time, run.holdout[window])
    modelled = stream.modelled[window]
    caption = (
        "All minus the calibrated model. Black: observed. Blue: 95 % band of the prediction by "
        f"{METHODS[method]}, from the parameters alone"
    )
    bands = {}
    for what in ("_noisy", ""):
        low, high = (
            arrays[f"{stream.name}_{side}{what}"].values[window] - modelled
            for side in ("lower", "upper")
        )
        bands[what] = low, high
    left = stream.observed[window] - modelled
    limits = axis_limits([left], bands=list(bands.values()))
    for what, colour, alpha, text in (
        ("_noisy", style.BAND, 0.3, "of an observation"),
        ("", style.MODELLED, 0.75, "of the model"),
    ):
        low, high = (drawable(edge, limits) for edge in bands[what])
        if np.isfinite(low).any():
            ax.fill_between(x, low, high, color=colour, alpha=alpha, lw=0, label=text)
            caption += ". Pale: with the errors of an observation" if what else ""
    figures.observed_points(ax, time, left)
    edges = [edge for band in bands.values() for edge in band]
    set_limits(ax, x, limits, edges)
    figures.time_axis(ax, time[0], time[-1], wording.clock(run.utc_offset))
    unit = pretty_unit(stream.unit)
    ax.set_ylabel(f"− model ({unit})" if unit else "− model")
    figures.legend_above(ax)
    share = number(covered.get("covered"))
    if np.isfinite(share):
        caption += (
            f". The pale band contains {100 * share:.1f} % of "
            f"{number_of(covered['n'], 'observation')} of "
            "the whole record"
        )
    if window.stop - window.start < run.local_time.size:
        caption += f". Shown: {why}"
    label = f"Predictive bands of {stream.label} in time"
    return Plate(
        f"{wording.capital(stream.label)}: predictive bands",
        style.to_svg(figure, key, label),
        f"{caption}.{cut_note(figure)}",
    )
