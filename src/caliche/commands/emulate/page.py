"""The page of an emulation: a function of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from caliche.commands.emulate.figures import errors_figure, scales_figure
from caliche.commands.emulate.summary import EmulationSummary
from caliche.commands.emulate.tables import cost_table, output_table
from caliche.files.whole_file import write_text
from caliche.keys.records import read_checked, read_text
from caliche.report import numbers, style
from caliche.report.pages import REMEDY, render_page
from caliche.report.plates import Plate

PAGE = "emulation.html"


def write_emulation_page(folder: Path) -> Path:
    """Write `emulation.html` into the folder of an emulation.

    Raises
    ------
    InputError : summary.json or config.toml is missing or cannot be read.
    """
    folder = Path(folder)
    summary = read_checked(EmulationSummary, folder / "summary.json", REMEDY)
    config = read_text(folder / "config.toml", REMEDY)
    plates = [
        _plate(
            summary,
            "errors",
            "Errors on runs that it never saw",
            errors_figure,
            "A point for each held-out run: the error of the emulator over the standard deviation "
            "that it gave. Of 20 points 19 should lie in the grey band; crosses lie beyond 4.",
        ),
        _plate(
            summary,
            "scales",
            "How fast outputs bend along each parameter",
            scales_figure,
            "Length-scales over half the side of the box: well below 1 an output wiggles along a "
            "parameter, far above it the output is all but a straight line.",
        ),
    ]
    return write_text(
        folder / PAGE,
        render_page(
            "commands/emulate/page.html.j2",
            run=summary,
            config=config,
            plates=plates,
            tables=[("What it costs", *cost_table(summary)), ("Outputs", *output_table(summary))],
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
