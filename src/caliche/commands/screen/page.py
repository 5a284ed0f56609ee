"""The page and the pictures of a screening: a function of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from caliche.commands.screen.figures import caption, effects_figure, maps_figure
from caliche.commands.screen.summary import ScreeningSummary
from caliche.commands.screen.tables import SOBOL, stream_table
from caliche.files.netcdf import need_names, open_arrays
from caliche.files.whole_file import write_text
from caliche.keys.records import read_record, read_text
from caliche.report import numbers, style
from caliche.report.limits import cut_note
from caliche.report.pages import REMEDY, render_page
from caliche.report.plates import Plate
from caliche.report.wording import capital

PAGE = "screening.html"


def write_screening_page(folder: Path) -> Path:
    """Write `screening.html`, and each figure as SVG and PNG, into the folder of a screening.

    Raises
    ------
    InputError : summary.json, config.toml or screening.nc is missing or cannot be read.
    """
    folder = Path(folder)
    summary = read_record(ScreeningSummary, folder / "summary.json", REMEDY)
    config = read_text(folder / "config.toml", REMEDY)
    found = open_arrays(folder / "screening.nc", REMEDY, _arrays(summary))
    need_names(found, "stream", summary.streams, folder / "screening.nc", REMEDY)
    need_names(found, "parameter", summary.groups, folder / "screening.nc", REMEDY)
    plates = []
    for name, which, figure in _figures(summary, found):
        with mpl.rc_context({"svg.hashsalt": name}):
            _write_figure(figure, folder / f"{name}.svg")
        title = summary.streams[name.rpartition("-")[0]].long_name
        svg = style.to_svg(figure, name.replace(".", ""), f"{title}, {which}")
        plates.append(
            Plate(capital(f"{title}: {which}"), svg, caption(summary, which) + cut_note(figure))
        )
    return write_text(folder / PAGE, _render(summary, config, plates))


def _arrays(summary: ScreeningSummary) -> dict[str, tuple[str, ...]]:
    """What the maps need of screening.nc, with its dimensions."""
    needed: dict[str, tuple[str, ...]] = {"stream": ("stream",), "parameter": ("parameter",)}
    shown = ("S1", "ST") if summary.method == SOBOL else ("mu_star",)
    for kind, axis in (("course", "time"), ("cycle", "hour")):
        if any(kind in entry.outputs for entry in summary.streams.values()):
            needed |= {axis: (axis,), f"{kind}_variance": ("stream", axis)}
            needed |= {f"{kind}_{index}": ("stream", "parameter", axis) for index in shown}
    return needed


def _figures(summary: ScreeningSummary, found: xr.Dataset) -> Iterator[tuple[str, str, Figure]]:
    for stream in summary.streams:
        with style.report_style():
            yield f"{stream}-effects", "effects", effects_figure(summary, stream)
            maps = maps_figure(summary, found, stream)
            if maps is not None:
                yield f"{stream}-maps", "maps", maps


def _write_figure(figure: Figure, path: Path) -> None:
    figure.set_dpi(150)
    FigureCanvasAgg(figure).print_png(path.with_suffix(".png"))
    FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _render(summary: ScreeningSummary, config: str, plates: list[Plate]) -> str:
    tables = [stream_table(summary, stream) for stream in summary.streams]
    return render_page(
        "commands/screen/page.html.j2",
        run=summary,
        config=config,
        plates=plates,
        tables=tables,
        n=numbers,
    )
