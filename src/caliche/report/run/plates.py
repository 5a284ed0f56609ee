"""Whole figures: a run in, a plate (SVG, caption, spoken label) out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caliche.report import figures, series, style, wording
from caliche.report.limits import axis_limits, cut_note, drawable, set_limits
from caliche.report.numbers import (
    number,
    plain,
    pretty_unit,
    rounded,
    scaled_unit,
    shared_power,
    with_unit,
)
from caliche.report.plates import Plate
from caliche.report.run.energy import energy_terms
from caliche.report.run.folder import RunFolder, Stream
from caliche.report.run.words import label_of
from caliche.runs.run_summary import ParameterEntry
from caliche.wording import number_of

_STEPS_SHOWN = 2000
_CLOSE_UP_DAYS = 8
_LAGS_SHOWN = 200


def parameters_plate(run: RunFolder) -> Plate | None:
    """Every free parameter, each on its own scale."""
    if not run.free:
        return None
    figure = style.new_figure(0.75 + 0.78 * len(run.free))
    grid = figure.subplots(len(run.free), 2, squeeze=False)
    for axes, (name, entry) in zip(grid, run.free.items(), strict=True):
        power = power_of(entry)
        figures.parameter_range(axes[0], entry, power)
        figures.parameter_close_up(axes[1], entry, power)
        unit = scaled_unit(entry.unit, power)
        label = wording.capital(wording.parameter_label(name, entry.long_name))
        axes[0].set_title(f"{label} ({unit})" if unit else label, fontsize=9, pad=3)
    grid[0, 1].annotate(
        "close up",
        (1, 1),
        xycoords="axes fraction",
        ha="right",
        xytext=(0, 4),
        textcoords="offset points",
        color=style.MUTED,
    )
    has_truth = any(entry.truth is not None for entry in run.free.values())
    caption = (
        "Left: the estimate (filled dot) and the initial value (open orange dot) between the "
        "bounds (grey bar with ticks). Right: the same estimate with its 95 % interval (thin "
        "line with ends) and the naive interval that takes every observation as independent "
        "(thick pale line), on a scale of its own."
    )
    if has_truth:
        caption += " The green diamond is the true value of this twin experiment."
    label = f"Estimates and intervals of {wording.counted(len(run.free), 'parameter')}"
    return Plate("Estimates", style.to_svg(figure, "parameters", label), caption)


def stream_plate(run: RunFolder, stream: Stream, key: str) -> Plate:
    """Observed and modelled in time; a long record also as means over the whole of it."""
    time, mask = run.local_time, run.holdout
    is_long = time.size > _STEPS_SHOWN
    figure = style.new_figure(4.9 if is_long else 2.7)
    axes = figure.subplots(2 if is_long else 1, 1, squeeze=False)[:, 0]
    unit = pretty_unit(stream.unit)
    window = slice(0, time.size)
    caption = "Black: observed. Blue: the calibrated model. Dashed orange: the first guess"
    if is_long:
        name = _overview(axes[0], run, stream)
        axes[0].set_title(wording.capital(name), fontsize=9)
        window, why = _close_up(run)
        axes[1].set_title("Close up, at the run's own time step", fontsize=9)
        caption += (
            f". Above: {name} over the steps with an observation, or over all steps where a "
            f"mean has none. Below: {why}"
        )
    part = time[window]
    figures.shade(axes[-1], part, mask[window])
    figures.observed_and_modelled(
        axes[-1],
        part,
        stream.observed[window],
        stream.modelled[window],
        stream.first_guess[window],
        stream.band[window],
    )
    figures.time_axis(axes[-1], part[0], part[-1], wording.clock(run.utc_offset))
    for ax in axes:
        ax.set_ylabel(unit)
    figures.legend_above(axes[0])
    if np.isfinite(stream.band).any():
        caption += ". Pale blue: two standard deviations of the prediction from the parameters"
    if mask.any():
        caption += ". Grey ground: hold-out, not used for the estimate"
    score = run.summary.fit.get(stream.name)
    rmse = with_unit(rounded(None if score is None else score.rmse), stream.unit)
    label = f"Observed and modelled {stream.label} in time; root-mean-square error {rmse}"
    return Plate(
        _stream_title(stream), style.to_svg(figure, key, label), f"{caption}.{cut_note(figure)}"
    )


def residual_plate(run: RunFolder, stream: Stream, key: str) -> Plate:
    """Residuals of one stream in time, their distribution and their memory."""
    time, mask = run.local_time, run.holdout
    figure = style.new_figure(2.6)
    wide, middle, right = figure.subplots(1, 3, width_ratios=[2.4, 1, 1])
    unit = pretty_unit(stream.unit)
    residual, spread, name = stream.residual, None, ""
    caption = "Left: modelled minus observed; dotted lines are the declared sigma"
    figures.shade(wide, time, mask)
    if time.size > _STEPS_SHOWN:
        index, seconds, name = _bins(run)
        spread = series.bin_quantiles(residual, index, 0.05, 0.95)
        residual = series.bin_mean(residual, index)
        time = series.bin_time(time, run.step, index, seconds)
        caption += f" (line: {name}; pale: 5th to 95th percentile within each)"
    figures.residual_series(wide, time, residual, spread, stream.sigma)
    if stream.sigma > max(abs(end) for end in wide.get_ylim()):
        sigma = with_unit(plain(stream.sigma, 3), stream.unit)
        caption += f". Sigma, {sigma}, lies beyond the axis"
    figures.time_axis(wide, time[0], time[-1], wording.clock(run.utc_offset), ticks=5)
    wide.set_ylabel(f"model − obs. ({unit})" if unit else "model − obs.")
    used = np.where(mask, np.nan, stream.residual)
    figures.residual_histogram(middle, used, stream.sigma, f"residual ({unit})" if unit else "")
    residuals = run.summary.residuals.get(stream.name)
    lag1 = number(None if residuals is None else residuals.lag1_autocorrelation)
    _autocorrelation(right, run, used, lag1)
    caption += (
        ". Middle: their distribution in the fit period, beside the Gaussian that the error model "
        "declares (dashed). Right: autocorrelation in the fit period; bars beyond the grey band "
        "mean that errors last, and that neighbouring observations are not independent."
        f"{cut_note(figure)}"
    )
    label = f"Residuals of {stream.label}: series, histogram and autocorrelation"
    return Plate(_stream_title(stream), style.to_svg(figure, key, label), caption)


def search_plate(run: RunFolder) -> Plate | None:
    """Misfit by iteration, and the final misfit of every start."""
    misfit = run.by_start("misfit")
    if not np.isfinite(misfit).any():
        return None
    final, best = _final(misfit)
    lowest = np.nanmin(misfit)
    worst = np.nanmax(misfit) - lowest
    floor = max(1e-6 * abs(lowest), 1e-12 * worst, 1e-300)
    several = misfit.shape[0] > 1
    figure = style.new_figure(3.0)
    axes = figure.subplots(1, 2 if several else 1, squeeze=False)[0]
    figures.misfit_lines(axes[0], misfit - lowest, _converged(run), best, floor)
    axes[0].set_ylabel("misfit above the lowest")
    caption = (
        "Misfit above the lowest one found, by iteration, on a logarithmic scale; black is the "
        f"best start, dashed orange did not converge. Values under {plain(floor, 1)} are drawn "
        "at that value."
    )
    if several:
        figures.waterfall(axes[1], final, _converged(run))
        axes[1].set_ylabel("final misfit")
        axes[1].legend(loc="best")
        caption = (
            f"Left: {caption[0].lower()}{caption[1:]} Right: final misfit of every start, sorted; "
            "a flat beginning is one optimum found many times, steps are local optima."
        )
    starts = wording.counted(misfit.shape[0], "start")
    return Plate("Misfit", style.to_svg(figure, "misfit", f"Misfit of {starts}"), caption)


def trajectories_plate(run: RunFolder) -> Plate | None:
    """The way of every start through parameter space."""
    paths = run.by_start("trajectory")
    names = list(run.free)
    if paths.size == 0 or not names or not np.isfinite(paths).any():
        return None
    entries = names  # unless the run names its entries, some of which are knots
    if "parameter" in run.results.coords:
        entries = [str(name) for name in run.results["parameter"].values]
    if len(entries) != paths.shape[2] or not set(names) <= set(entries):
        return None
    paths = paths[:, :, [entries.index(name) for name in names]]
    columns = 2 if len(names) in (2, 4) else min(3, len(names))
    rows = -(-len(names) // columns)
    figure = style.new_figure(0.3 + 1.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    _, best = _final(run.by_start("misfit"))
    for i, name in enumerate(names):
        entry = run.free[name]
        bounds = [number(entry.lower), number(entry.upper)]
        power = power_of(entry)
        figures.trajectory_lines(axes[i], paths[:, :, i], _converged(run), best, bounds, power)
        unit = scaled_unit(entry.unit, power)
        title = wording.capital(_short(wording.parameter_label(name, entry.long_name)))
        axes[i].set_title(f"{title}\n({unit})" if unit else title, fontsize=8.5)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    for column in range(columns):
        lowest = max(i for i in range(len(names)) if i % columns == column)
        axes[lowest].set_xlabel("iteration")
        axes[lowest].tick_params(labelbottom=True)
    caption = (
        "Every parameter by iteration, one line per start; black is the best start, dashed orange "
        "did not converge, dotted grey is a bound. Lines that meet found the same value."
    )
    label = "Parameter values by iteration for every start"
    return Plate("Trajectories", style.to_svg(figure, "trajectories", label), caption)


def correlation_plate(run: RunFolder) -> Plate | None:
    """Heat map of the parameters' correlation; nothing to show for a single one."""
    correlation = run.summary.correlation
    names = correlation.names
    if len(names) < 2:
        return None
    matrix = np.array(correlation.matrix)
    labels = [_short(label_of(name, run.summary.parameters)) for name in names]
    side = min(1.5 + 0.62 * len(names), 8.0)
    figure = style.new_figure(side, width=min(side + 1.6, style.WIDTH))
    figures.correlation_map(figure.subplots(), matrix, labels)
    caption = (
        "Correlation of the errors of every two estimates. Near +1 or −1 the data constrain only "
        "a combination of the two; near 0 they tell them apart."
    )
    label = f"Correlation matrix of {len(names)} parameters"
    return Plate("Correlation", style.to_svg(figure, "correlation", label), caption)


def energy_plate(run: RunFolder) -> Plate | None:
    """Mean day of every term of the energy balance."""
    terms = energy_terms(run)
    if not terms:
        return None
    figure = style.new_figure(2.6 if len(terms) <= 3 else 4.6)
    columns = min(3, len(terms)) if len(terms) != 4 else 2
    rows = -(-len(terms) // columns)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    days = []
    for term in terms:
        seen = np.isfinite(term.observed)
        modelled = np.where(seen, term.modelled, np.nan) if seen.any() else term.modelled
        parts = modelled, term.observed
        days.append([series.diurnal_mean(p, run.local_time, run.step) for p in parts])
    limits = axis_limits([observed for _, observed in days], [modelled for modelled, _ in days])
    for ax, term, (modelled, observed) in zip(axes, terms, days, strict=False):
        figures.diurnal_cycle(ax, drawable(modelled, limits), observed)
        set_limits(ax, np.arange(24) + 0.5, limits, [modelled])
        ax.set_title(term.title, fontsize=9)
    for i, ax in enumerate(axes):
        ax.set_axis_off() if i >= len(terms) else ax.set_xlabel("hour of day")
        if i % columns == 0:
            ax.set_ylabel("W m⁻²")
    shown = [i for i, term in enumerate(terms) if np.isfinite(term.observed).any()]
    handles, names = axes[shown[0] if shown else 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=2)
    caption = (
        f"Mean day by hour in {wording.clock(run.utc_offset)}. Where a flux was observed (dots), "
        "the model (line) is averaged over the same steps; otherwise over all."
        f"{cut_note(figure)}"
    )
    label = "Mean diurnal cycle of the terms of the surface energy balance"
    return Plate("Mean day", style.to_svg(figure, "energy", label), caption)


def _overview(ax, run: RunFolder, stream: Stream) -> str:
    """The whole record as means; returns what kind of means."""
    index, seconds, name = _bins(run)
    time = series.bin_time(run.local_time, run.step, index, seconds)

    def mean(values: np.ndarray) -> np.ndarray:
        paired = series.bin_mean(np.where(np.isfinite(stream.observed), values, np.nan), index)
        return np.where(np.isfinite(paired), paired, series.bin_mean(values, index))

    figures.shade(ax, run.local_time, run.holdout)
    # No band: the mean's own uncertainty is not the mean of the steps' uncertainties.
    figures.observed_and_modelled(
        ax,
        time,
        series.bin_mean(stream.observed, index),
        mean(stream.modelled),
        mean(stream.first_guess),
        np.full(time.size, np.nan),
    )
    figures.time_axis(ax, run.local_time[0], run.local_time[-1])
    return name


def _bins(run: RunFolder) -> tuple[np.ndarray, int, str]:
    seconds = series.bin_length(run.local_time)
    return (
        series.bin_index(run.local_time, run.step, seconds),
        seconds,
        series.BIN_NAMES[seconds],
    )


def _close_up(run: RunFolder) -> tuple[slice, str]:
    """One window for all streams, so that they can be read against each other, and how it was
    chosen."""
    fitted = [s for s in run.streams if s.fitted] or run.streams
    length = int(_CLOSE_UP_DAYS * 86400 / run.step.astype(int))
    return typical_stretch(run, fitted, min(max(length, 100), _STEPS_SHOWN))


def typical_stretch(run: RunFolder, streams: Sequence[Stream], length: int) -> tuple[slice, str]:
    """So many steps of the fit period, if there is one, in which the streams fit as they mostly do,
    and the words for how they were chosen."""
    used = np.ones(run.local_time.size, bool) if run.holdout.all() else ~run.holdout
    known = np.sum([np.isfinite(s.observed) & used for s in streams], axis=0)
    squares = [np.where(used, s.residual, np.nan) ** 2 for s in streams]
    sizes = [np.nanmean(part) if np.isfinite(part).any() else np.nan for part in squares]
    parts = [part / size for part, size in zip(squares, sizes, strict=True) if size > 0.0]
    misfit = np.full(run.local_time.size, np.nan)
    if parts:
        seen = np.isfinite(parts).any(axis=0)
        misfit[seen] = np.nanmean(np.array(parts)[:, seen], axis=0)
    window = series.close_up(known, misfit, length)
    days = (window.stop - window.start) * run.step / np.timedelta64(1, "D")
    long = number_of(round(float(days), 1), "day")
    where = "in the fit period " if run.holdout.any() and not run.holdout.all() else ""
    return window, (
        f"of all stretches of {long} {where}with nearly "
        "all observations, the one "
        "whose misfit is nearest the median"
    )


def _autocorrelation(ax, run: RunFolder, residual: np.ndarray, lag1: float) -> None:
    hours_per_step = run.step.astype(int) / 3600
    longest = max(1, min(int(48 / hours_per_step), residual.size // 4))
    lags = np.unique(np.linspace(1, longest, min(longest, _LAGS_SHOWN)).astype(int))
    values = series.autocorrelation(residual, lags)
    count = max(int(np.isfinite(residual).sum()), 1)
    if not np.isfinite(lag1):
        lag1 = float(values[0])
    figures.autocorrelation_stems(ax, lags * hours_per_step, values, 1.96 / np.sqrt(count), lag1)
    ax.set_ylabel("autocorrelation")


def _converged(run: RunFolder) -> np.ndarray:
    starts = run.results.sizes.get("start", 0)
    if "start_converged" not in run.results:
        return np.full(starts, bool(run.summary.converged))
    return run.series("start_converged") > 0.5


def _final(misfit: np.ndarray) -> tuple[np.ndarray, int]:
    """Last known misfit of every start, and which start has the lowest."""
    if misfit.size == 0:
        return np.full(misfit.shape[0], np.nan), 0
    known = np.isfinite(misfit)
    last = misfit.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    final = np.where(known.any(axis=1), misfit[np.arange(misfit.shape[0]), last], np.nan)
    return final, int(np.nanargmin(final)) if np.isfinite(final).any() else 0


def _stream_title(stream: Stream) -> str:
    return f"{wording.capital(stream.label)} ({'fitted' if stream.fitted else 'only scored'})"


def _short(text: str) -> str:
    return text if len(text) <= 34 else f"{text[:33]}…"


def power_of(entry: ParameterEntry) -> int:
    """The power of ten to take out of a parameter's axes."""
    return shared_power(
        [number(v) for v in (entry.estimate, entry.initial, entry.lower, entry.upper)]
    )
