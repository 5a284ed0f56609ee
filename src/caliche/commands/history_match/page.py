"""The page of history matching: a function of its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from caliche.commands.history_match import tables
from caliche.commands.history_match.figures import (
    MOST,
    against_figure,
    matrix_figure,
    outputs_figure,
    removed_figure,
    waves_figure,
)
from caliche.commands.history_match.summary import MatchSummary
from caliche.files.netcdf import need_names, open_arrays
from caliche.files.whole_file import write_text
from caliche.keys.records import read_checked, read_text
from caliche.report import numbers, style
from caliche.report.pages import REMEDY, render_page
from caliche.report.plates import Plate

PAGE = "history-match.html"
_CELLS = ("parameter", "other_parameter", "bin", "other_bin")
_ARRAYS = {
    "position": ("member", "parameter"),
    "metric_value": ("member", "metric"),
    "target": ("metric",),
    "error_sd": ("metric",),
    "discrepancy": ("metric",),
    "edges": ("parameter", "edge"),
    "marginal": ("wave", "parameter", "bin"),
    "removed_alone": ("wave", "metric"),
    "removed_added": ("wave", "metric"),
    "minimum_implausibility": _CELLS,
    "optical_depth": _CELLS,
}


def write_match_page(folder: Path) -> Path:
    """Write `history-match.html` into a folder of history matching, and return its path.

    Raises
    ------
    InputError : summary.json, config.toml or result.nc is missing or cannot be read.
    """
    folder = Path(folder)
    summary = read_checked(MatchSummary, folder / "summary.json", REMEDY)
    config = read_text(folder / "config.toml", REMEDY)
    found = open_arrays(folder / "result.nc", REMEDY, _ARRAYS)
    need_names(found, "parameter", summary["parameters"], folder / "result.nc", REMEDY)
    need_names(found, "metric", summary["metrics"], folder / "result.nc", REMEDY)
    plates = [
        Plate(title, style.to_svg(figure, key, title), caption)
        for key, title, caption, figure in _figures(summary, found)
    ]
    some = [
        ("Metrics", tables.metrics_table(summary)),
        ("Discrepancy", tables.factors_table(summary)),
        ("Waves", tables.waves_table(summary)),
        ("Audit", tables.audit_table(summary)),
        ("What excludes what", tables.conflict_table(summary)),
    ]
    text = render_page(
        "commands/history_match/page.html.j2",
        run=summary,
        config=config,
        plates=plates,
        ranges=tables.ranges_table(summary),
        tables=[(title, *table) for title, table in some if table is not None],
        n=numbers,
    )
    return write_text(folder / PAGE, text)


def _figures(
    summary: Mapping[str, Any], found: xr.Dataset
) -> Iterator[tuple[str, str, str, Figure]]:
    truth = " Green: the truth of the twin." if summary["truth"] is not None else ""
    with style.report_style():
        few = len(summary["parameters"]) > MOST
        yield (
            "matrix",
            "What is left",
            "Below the diagonal: the lowest implausibility that was met in a cell of two ranges, "
            "whatever the other parameters are; the line is the cut-off. It comes from the points "
            "of the search, so that a cell may hold lower ones. Above: the share of each cell that "
            "is left. On the diagonal: the same along one range."
            + (f" The {MOST} most narrowed parameters are shown." if few else "")
            + truth,
            matrix_figure(summary, found),
        )
        yield (
            "outputs",
            "What is left, against the targets",
            "Metrics of the points that are left, less their targets, over observation error and "
            "discrepancy together: whole range, quartiles and median. Grey: within the cut-off. "
            "Black bars: the observation error alone.",
            outputs_figure(summary, found),
        )
        yield (
            "removed",
            "What removes the rest",
            "Share of all ranges that each metric removes by itself, and that would be left "
            "without it, in per cent.",
            removed_figure(summary, found),
        )
        yield (
            "waves",
            "Along each range",
            "Density of what is left along each range, wave by wave; the dotted line is that of "
            "the whole range." + truth,
            waves_figure(summary, found),
        )
        if summary.get("against") is not None:
            run = summary["against"]["run"]
            yield (
                "against",
                f"Beside the fit of {run}",
                "Filled: density of what is left along each range, its highest value at the top. "
                f"Below it: the 95 % intervals of {run}, on the same axis, and its estimate as a "
                "point. Intervals say where values are that fit the whole record, errors as "
                "declared or found; what is left is all that the metrics do not rule out, model "
                "discrepancy included." + truth,
                against_figure(summary, found),
            )
