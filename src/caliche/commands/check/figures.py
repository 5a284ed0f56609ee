"""The figure of `caliche check --figure`: what the prior predicts, beside the observations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import dates as mdates
from matplotlib.backends.backend_agg import FigureCanvasAgg

from caliche.report import figures, series, style
from caliche.report.limits import axis_limits, drawable, set_limits
from caliche.report.numbers import pretty_unit
from caliche.report.wording import capital
from caliche.variables import label, variable

if TYPE_CHECKING:
    from caliche.evaluation.prior_check import PriorCheck

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
MOST_STEPS = 2000
BANDS_REACH = 3.0  # a prior is meant to reach further than the observations


def write_prior_figure(check: PriorCheck, path: Path) -> None:
    """Each stream in time and over the mean day: bands of the prior's predictions, observations."""
    with style.report_style():
        figure = style.new_figure(0.4 + 2.5 * len(check.streams))
        FigureCanvasAgg(figure)
        rows = figure.subplots(len(check.streams), 2, squeeze=False, width_ratios=[2.4, 1])
        for k, name in enumerate(check.streams):
            _in_time(rows[k, 0], check, k)
            _mean_day(rows[k, 1], check, k)
            rows[k, 0].set_title(f"{capital(label(name))}: {verdict(check, k)}", fontsize=9)
            rows[k, 0].set_ylabel(pretty_unit(variable(name).unit))
        handles, names = rows[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=len(names))
        figure.savefig(path, dpi=150)


def verdict(check: PriorCheck, k: int) -> str:
    """`12 % outside, in conflict with the prior`."""
    share = f"{100.0 * check.draws.outside[k]:.0f} % outside"
    return f"{share}, in conflict with the prior" if check.draws.conflict[k] else share


def _in_time(ax, check: PriorCheck, k: int) -> None:
    time, observed = check.local_time, check.observed[:, k]
    members = check.draws.predictions[:, :, k]
    if time.size > MOST_STEPS:
        seconds = series.bin_length(time)
        index = series.bin_index(time, check.step, seconds)
        seen = np.isfinite(observed)
        members = np.stack(
            [series.bin_mean(np.where(seen, m, np.nan), index, needed=0.0) for m in members]
        )
        observed = series.bin_mean(observed, index, needed=0.0)
        time = series.bin_time(time, check.step, index, seconds)
        ax.set_xlabel(series.BIN_NAMES[seconds])
    _bands(ax, time, members, observed)
    figures.observed_points(ax, time, observed)
    figures.time_axis(ax, time[0], time[-1])


def _mean_day(ax, check: PriorCheck, k: int) -> None:
    if check.step >= np.timedelta64(43200, "s"):
        ax.set_axis_off()
        return
    observed = check.observed[:, k]
    seen, time, step = np.isfinite(observed), check.local_time, check.step
    members = np.stack(
        [
            series.diurnal_mean(np.where(seen, m, np.nan), time, step)
            for m in check.draws.predictions[:, :, k]
        ]
    )
    hours = np.arange(24) + 0.5
    observed = series.diurnal_mean(observed, time, step)
    _bands(ax, hours, members, observed)
    ax.plot(hours, observed, "o", ms=3, color=style.OBSERVED)
    ax.set_xticks(range(0, 25, 6))
    ax.set_xlabel("hour of day, mean day")


def _bands(ax, x: np.ndarray, members: np.ndarray, observed: np.ndarray) -> None:
    known = np.isfinite(members).all(axis=0)
    found = np.full((len(QUANTILES), members.shape[1]), np.nan)
    found[:, known] = np.quantile(members[:, known], QUANTILES, axis=0)
    limits = axis_limits([observed], [found[2]], [(found[0], found[4])], reach=BANDS_REACH)
    drawn = [drawable(edge, limits) for edge in found]
    ax.fill_between(
        x, drawn[0], drawn[4], color=style.BAND, alpha=0.25, lw=0, label="95 % of the draws"
    )
    ax.fill_between(x, drawn[1], drawn[3], color=style.BAND, alpha=0.45, lw=0, label="50 %")
    ax.plot(x, drawn[2], color=style.MODELLED, lw=1.0, label="median")
    at = mdates.date2num(x) if np.issubdtype(x.dtype, np.datetime64) else x
    set_limits(ax, at, limits, list(found))
