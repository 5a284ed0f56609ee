"""The page of a joint calibration: a function of its folder."""

from __future__ import annotations

from pathlib import Path

from caliche.commands.joint.figures import scores_plate, values_plate
from caliche.commands.joint.summary import JointSummary
from caliche.commands.joint.tables import score_rows, value_rows
from caliche.files.whole_file import write_text
from caliche.keys.records import read_record, read_text
from caliche.report import style
from caliche.report.numbers import pretty_unit
from caliche.report.pages import REMEDY, render_page
from caliche.report.wording import capital

PAGE = "report.html"


def write_joint_page(folder: Path) -> Path:
    """Write `report.html` into the folder of a joint calibration.

    Raises
    ------
    InputError : summary.json or config.toml is missing or cannot be read.
    """
    folder = Path(folder)
    summary = read_record(JointSummary, folder / "summary.json", REMEDY)
    config = read_text(folder / "config.toml", REMEDY)
    with style.report_style():
        plates = [scores_plate(summary), values_plate(summary)]
    header, rows = value_rows(summary)
    rows = [[*cells, pretty_unit(unit)] for *cells, unit in rows]
    text = render_page(
        "commands/joint/page.html.j2",
        run=summary,
        reason=capital(summary.reason),
        config=config,
        plates=plates,
        values=(header, rows),
        scores=[score_rows(summary, "rmse"), score_rows(summary, "nse")],
    )
    return write_text(folder / PAGE, text)
