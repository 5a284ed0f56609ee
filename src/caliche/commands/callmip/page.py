"""The page of a CalLMIP entry's scores: a function of scores.json."""

from __future__ import annotations

from pathlib import Path

from caliche.callmip.records import EntryScores
from caliche.commands.callmip.figures import errors_plate
from caliche.commands.callmip.tables import (
    HEADER,
    gain_rows,
    score_rows,
    season_rows,
    vegetation_rows,
)
from caliche.files.whole_file import write_text
from caliche.keys.records import read_record
from caliche.report import style
from caliche.report.pages import REMEDY, render_page

SCORES, PAGE = "scores.json", "scores.html"


def write_scores_page(folder: Path) -> Path:
    """Write `scores.html` into a folder from its `scores.json`.

    Raises
    ------
    InputError : scores.json is missing or cannot be read.
    """
    found = read_record(EntryScores, folder / SCORES, REMEDY)
    with style.report_style():
        plates = [errors_plate(found)]
    text = render_page(
        "commands/callmip/page.html.j2",
        found=found,
        plates=plates,
        periods=sorted({tower.period for tower in found.towers}),
        trained=sorted({tower.trained for tower in found.towers if tower.trained}),
        gains=gain_rows(found),
        scores=(HEADER, score_rows(found)),
        seasons=season_rows(found),
        vegetation=vegetation_rows(found),
    )
    return write_text(folder / PAGE, text)
