"""The page of a scorecard: the matrix, what it says, and every cell as a table."""

from __future__ import annotations

from pathlib import Path

from caliche.evaluation.scorecard.card import Scorecard
from caliche.files.whole_file import write_text
from caliche.report.pages import render_page
from caliche.report.scorecard import row_label, scorecard_plate, sentences, table_rows


def write_scorecard_page(path: Path, card: Scorecard, title: str, against: str) -> Path:
    """Write the page of a scorecard into a file."""
    header, rows = table_rows(card)
    shown = [[row_label(row[0]), *row[1:]] for row in rows]
    page = render_page(
        "commands/score/page.html.j2",
        title=title,
        against=against,
        sentences=sentences(card, against),
        plate=scorecard_plate(card, against),
        header=header,
        rows=shown,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_text(path, page)
