"""The page of an assimilation window by window: a function of its folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import xarray as xr

from caliche.commands.assimilate.figures import forecast_figure, parameters_figure, series_figure
from caliche.commands.assimilate.summary import (
    AssimilationSummary,
    LastEstimate,
    StreamEntry,
    WindowEntry,
)
from caliche.errors import InputError
from caliche.files.netcdf import need_names, open_arrays
from caliche.files.whole_file import write_text
from caliche.keys.records import read_record, read_text
from caliche.report import numbers, style, wording
from caliche.report.limits import cut_note
from caliche.report.pages import REMEDY, render_page
from caliche.report.plates import Plate
from caliche.variables import label
from caliche.wording import number_of

PAGE = "assimilation.html"
NEEDED = {
    **dict.fromkeys(
        ("estimate", "sd", "interval95_lower", "interval95_upper"), ("window", "parameter")
    ),
    **dict.fromkeys(
        ("innovation_rmse", "innovation_chi_square", "innovation_freedom"), ("window", "stream")
    ),
    "time": ("time",),
    "window": ("window",),
    "parameter": ("parameter",),
    "stream": ("stream",),
}
ROWS = 60  # windows in the table; of more, the first and the last


def write_assimilation_page(folder: Path) -> Path:
    """Write `assimilation.html` into the folder of `caliche assimilate`, and return its path.

    Raises
    ------
    InputError : summary.json, config.toml or result.nc is missing or cannot be read.
    """
    folder = Path(folder)
    summary = read_record(AssimilationSummary, folder / "summary.json", REMEDY)
    config = read_text(folder / "config.toml", REMEDY)
    path = folder / "result.nc"
    kinds = ("observed", "forecast", "analysis")
    series = [f"{stream}_{kind}" for stream in summary.streams for kind in kinds]
    found = open_arrays(path, REMEDY, {**NEEDED, **dict.fromkeys(series, ("time",))})
    need_names(found, "parameter", summary.parameters, path, REMEDY)
    need_names(found, "stream", summary.streams, path, REMEDY)
    if found.sizes["window"] != len(summary.windows):
        expected = f"{number_of(len(summary.windows), 'window')} in {path}"
        raise InputError(expected, f"{found.sizes['window']}", REMEDY)
    for end in ("window_start", "window_end"):
        if end not in found or found[end].dims != ("window",) or found[end].dtype.kind != "M":
            raise InputError(f"times for {end} in {path}", "others", REMEDY)
    return write_text(folder / PAGE, render(summary, config, found))


def render(summary: AssimilationSummary, config: str, found: xr.Dataset) -> str:
    """The whole page as text."""
    with style.report_style():
        plates = _plates(summary, found)
    windows = summary.windows
    shown = windows if len(windows) <= ROWS else [*windows[: ROWS // 2], *windows[-ROWS // 2 :]]
    lost = [w for w in windows if not w.converged]
    return render_page(
        "commands/assimilate/page.html.j2",
        run=summary,
        config=config,
        n=numbers,
        plates=plates,
        sentences=[_pretty(text, summary) for text in summary.sentences],
        alarm=""
        if not lost
        else f"{wording.counted(len(lost), 'window')} did not converge: what stands from window "
        f"{lost[0].number} on is where the search stopped.",
        parameters=[_parameter(name, p) for name, p in summary.parameters.items()],
        streams=[_stream(name, s) for name, s in summary.streams.items()],
        windows=[_window(w, list(summary.parameters)) for w in shown],
        columns=[
            wording.capital(name.replace("_", " ")) + _in_brackets(p.unit)
            for name, p in summary.parameters.items()
        ],
        left_out=len(windows) - len(shown),
    )


def _pretty(text: str, summary: AssimilationSummary) -> str:
    """A sentence with units as the page writes them."""
    known = [*summary.streams.values(), *summary.parameters.values()]
    for unit in sorted({entry.unit for entry in known} - {"1"}, key=len, reverse=True):
        end = r"(?=[;,.]| |$)"
        text = re.sub(rf" {re.escape(unit)}{end}", f"\u00a0{numbers.pretty_unit(unit)}", text)
    return text


def _plates(summary: AssimilationSummary, found: xr.Dataset) -> list[Plate]:
    clock = wording.clock(summary.utc_offset)
    truth = any(p.truth is not None for p in summary.parameters.values())
    plates = []
    for title, draw, caption in (
        (
            "Parameters from window to window",
            parameters_figure,
            "Estimate of each window with its 95 % interval, from its own observations and all "
            "that was handed to it. Open orange dots have no error bar: a bound holds them, or no "
            "observation bears on them." + (" Green: the truth." if truth else ""),
        ),
        (
            "One window ahead",
            forecast_figure,
            "Left: error of the forecast, made with what was known before the window, and of the "
            "analysis. Right: the size of the innovations against what declared errors and "
            "parameters allow for, which is 1 (dashed) on average if both are right. The first "
            "forecast is the first guess.",
        ),
        (
            "Observed, forecast and analysed",
            series_figure,
            "Grey lines are the ends of windows. The state is carried across them.",
        ),
    ):
        key = draw.__name__.removesuffix("_figure")
        figure = draw(summary, found, clock)
        svg = style.to_svg(figure, f"windows-{key}", title)
        plates.append(Plate(title, svg, caption + cut_note(figure)))
    return plates


def _in_brackets(unit: str) -> str:
    text = numbers.pretty_unit(unit)
    return f" ({text})" if text else ""


def _parameter(name: str, entry: LastEstimate) -> dict[str, Any]:
    truth = entry.truth
    return {
        "name": name,
        "label": wording.capital(wording.parameter_label(name, entry.long_name)),
        "unit": numbers.pretty_unit(entry.unit),
        "estimate": numbers.value_and_sd(entry.estimate, entry.sd),
        "interval": numbers.interval(entry.interval, entry.sd, entry.estimate),
        "truth": "" if truth is None else numbers.plain(truth),
        "initial": numbers.plain(entry.initial),
        "prior": entry.prior,
    }


def _stream(name: str, entry: StreamEntry) -> dict[str, Any]:
    keys = ("forecast_rmse", "forecast_bias", "analysis_rmse", "chi_square_ratio")
    return {
        "label": wording.capital(label(name)) + _in_brackets(entry.unit),
        "n": f"{entry.n:,}",
        **{key: numbers.plain(getattr(entry, key), 3) for key in keys},
    }


def _window(entry: WindowEntry, names: list[str]) -> dict[str, Any]:
    chi = sum(i.chi_square for i in entry.innovations.values())
    freedom = sum(i.freedom for i in entry.innovations.values())
    return {
        "number": entry.number,
        "end": entry.end.replace("T", " "),
        "n": f"{entry.observations:,}",
        "chi": numbers.plain(chi / freedom, 3) if freedom > 0 else numbers.MISSING,
        "cells": [
            numbers.value_and_sd(p.estimate, p.sd)
            for p in (entry.parameters[name] for name in names)
        ],
        "note": "" if entry.converged and entry.observations else entry.reason,
    }
