"""Tables, headlines and notes on the terminal or in a pipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caliche.runs.run_summary import ScoreEntry

GAP = "   "  # between the columns of a table


WIDEST = 100  # characters of a line of text, and of one in a pipe, which has no width


def terminal_width() -> int | None:
    """Columns of the terminal; None in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, first: str = "", rest: str = "  ", width: int | None = None) -> str:
    """A text in lines, the first of which begins with `first` and all others with `rest`.

    A number stays with its percent sign. `width` is by default the terminal's, up to `WIDEST`.
    """
    filled = textwrap.fill(
        text.replace(" %", "\u00a0%"),
        width or min(terminal_width() or WIDEST, WIDEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace("\u00a0%", " %")


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str] = ()
) -> None:
    """A plain table, in a pipe as wide as it needs to be; a cell may have several lines.

    On a terminal too narrow for it the columns `drop` are left out, one after the other; if that
    is not enough, each row becomes a block of lines.
    """
    limit = terminal_width()
    table = [list(header), *map(list, rows)]
    dropping = list(drop)
    while limit and table_width(table) > limit and dropping:
        column = table[0].index(dropping.pop(0))
        table = [row[:column] + row[column + 1 :] for row in table]
    if limit and table_width(table) > limit:
        table = [list(header), *map(list, rows)]
        _print_blocks(table, limit)
        return
    widths = _widths(table)
    table.insert(1, ["─" * width for width in widths])
    for number, row in enumerate(table):
        cells = [cell.split("\n") for cell in row]
        height = max(map(len, cells))
        for k in range(height):
            above = [height - len(lines) if number == 0 else 0 for lines in cells]  # of a heading
            parts = [_line(lines, k - n) for lines, n in zip(cells, above, strict=True)]
            print(GAP.join(p.ljust(width) for p, width in zip(parts, widths, strict=True)).rstrip())


def _line(lines: Sequence[str], k: int) -> str:
    return lines[k] if 0 <= k < len(lines) else ""


def table_width(table: Sequence[Sequence[str]]) -> int:
    """Characters of a table, its heading among the rows."""
    widths = _widths(table)
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(len(t) for cell in column for t in cell.split("\n"))
        for column in zip(*table, strict=True)
    ]


def _print_blocks(table: Sequence[Sequence[str]], limit: int) -> None:
    """Each row as a heading and its named entries, wrapped."""
    header, *rows = table
    label = max(len(name) for name in header[1:])
    for number, row in enumerate(rows):
        print(("\n" if number else "") + row[0])
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                begin = f"  {name.ljust(label)}{GAP}"
                print(wrapped(cell, begin, " " * len(begin), limit))


def print_headline(title: str, headline: str) -> None:
    """The first line: how it ended, and what a careful referee would say first."""
    text = f"{title}: {headline}"
    width = terminal_width()
    print(f"\n{wrapped(text, rest='', width=width) if width else text}\n")


def print_notes(sentences: Iterable[str]) -> None:
    """What a careful reader should know, a paragraph each."""
    for text in sentences:
        print(f"\nNote: {text}")


def print_scores(title: str, scores: Mapping[str, ScoreEntry]) -> None:
    """One line per stream."""
    print(title)
    rows = [
        [
            name + ("" if s.fitted else " (not fitted)"),
            str(s.n),
            *("-" if value is None else f"{value:.3g}" for value in (s.rmse, s.bias, s.r, s.nse)),
        ]
        for name, s in scores.items()
    ]
    print_table(["stream", "n", "RMSE", "bias", "r", "NSE"], rows)


def without_empty(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without columns that say the same of every row: flat priors have no shrinkage."""
    kept = [k for k in range(len(header)) if {row[k] for row in rows} not in ({""}, {"flat"})]
    return [header[k] for k in kept], [[row[k] for k in kept] for row in rows]
