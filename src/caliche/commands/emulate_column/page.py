"""The page of an emulated column: a function of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from caliche.commands.emulate_column import figures
from caliche.commands.emulate_column.summary import ColumnSummary
from caliche.commands.emulate_column.tables import cost_table, drift_table, seed_table, step_table
from caliche.files.whole_file import write_text
from caliche.keys.records import read_checked, read_table, read_text
from caliche.report import numbers, style
from caliche.report.pages import REMEDY, render_page
from caliche.report.plates import Plate
from caliche.wording import number_of

PAGE = "column.html"


def write_column_page(folder: Path) -> Path:
    """Write `column.html` into the folder of an emulated column.

    Raises
    ------
    InputError : summary.json, network.json or config.toml is missing or cannot be read.
    """
    folder = Path(folder)
    summary = read_checked(ColumnSummary, folder / "summary.json", REMEDY)
    plates = [
        _plate(
            summary,
            "jacobian",
            "Jacobian of a step",
            figures.jacobian_figure,
            "Rows are what a step gives, increments first and then fluxes; columns what it is "
            "given: state, weather, parameters. In standard deviations of both, at the held-out "
            "point with the median error; the difference is the root mean square over "
            f"{number_of(summary['jacobian']['points'], 'point')}. Same colours throughout.",
        ),
        _plate(
            summary,
            "eigenvalues",
            "Eigenvalues of the state Jacobian",
            figures.eigenvalues_figure,
            "An error along an eigenvector is multiplied by its eigenvalue in every step: at 1 it "
            "stays, above 1 it grows.",
        ),
        _plate(
            summary,
            "drift",
            "Drift of long runs",
            figures.drift_figure,
            "Root mean square error of each state over its spread, from the surface (light) down; "
            f"{number_of(summary['drift']['runs'], 'run')} with weather and parameters that were "
            "held out.",
        ),
        _plate(
            summary,
            "learning",
            "How it learned",
            figures.learning_figure,
            "Loss by epoch. Runs of several steps join what is learned from when half of the "
            "epochs are over; the held-out loss counts them from the start.",
        ),
    ]
    tables = [
        ("Drift", *drift_table(summary)),
        ("Single steps", *step_table(summary)),
        ("Cost", *cost_table(summary)),
        ("Networks", *seed_table(summary)),
    ]
    return write_text(
        folder / PAGE,
        render_page(
            "commands/emulate_column/page.html.j2",
            run=summary,
            config=read_text(folder / "config.toml", REMEDY),
            facts=read_table(folder / "network.json", REMEDY),
            plates=plates,
            tables=tables,
            n=numbers,
        ),
    )


def _plate(
    summary: Mapping[str, Any],
    key: str,
    title: str,
    draw: Callable[[Mapping[str, Any]], Figure],
    caption: str,
) -> Plate:
    with style.report_style():
        return Plate(title, style.to_svg(draw(summary), key, title), caption)
