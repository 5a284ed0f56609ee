"""Tables, headlines and notes on the terminal or in a pipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

GAP = "   "  # between the columns of a table


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str] = ()
) -> None:
    """A plain table, in a pipe as wide as it needs to be.

    On a terminal too narrow for it the columns `drop` are left out, one after the other; if that
    is not enough, each row becomes a block of lines.
    """
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    table = [list(header), *map(list, rows)]
    dropping = list(drop)
    while limit and _width(table) > limit and dropping:
        column = table[0].index(dropping.pop(0))
        table = [row[:column] + row[column + 1 :] for row in table]
    if limit and _width(table) > limit:
        table = [list(header), *map(list, rows)]
        _print_blocks(table, limit)
        return
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    table.insert(1, ["─" * width for width in widths])
    for row in table:
        print(GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _width(table: Sequence[Sequence[str]]) -> int:
    columns = range(len(table[0]))
    return sum(max(len(row[k]) for row in table) for k in columns) + len(GAP) * (len(columns) - 1)


def _print_blocks(table: Sequence[Sequence[str]], limit: int) -> None:
    """Each row as a heading and its named entries, wrapped."""
    header, *rows = table
    label = max(len(name) for name in header[1:])
    for number, row in enumerate(rows):
        print(("\n" if number else "") + row[0])
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                begin = f"  {name.ljust(label)}{GAP}"
                print(
                    textwrap.fill(
                        cell,
                        limit,
                        initial_indent=begin,
                        subsequent_indent=" " * len(begin),
                        break_long_words=False,
                        break_on_hyphens=False,
                    )
                )


def print_headline(summary: Mapping[str, Any]) -> None:
    """The first line: how it ended, and what a careful referee would say first."""
    text = f"{summary['title']}: {summary['verdict']['headline']}"
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    print(f"\n{text}\n")


def print_notes(sentences: Iterable[str]) -> None:
    """What a careful reader should know, a paragraph each."""
    for text in sentences:
        print(f"\nNote: {text}")


def print_scores(title: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """One line per stream."""
    print(title)
    rows = [
        [
            name + ("" if s.get("fitted") else " (not fitted)"),
            str(s["n"]),
            *(
                "-" if s.get(key) is None else f"{s[key]:.3g}"
                for key in ("rmse", "bias", "r", "nse")
            ),
        ]
        for name, s in scores.items()
    ]
    print_table(["stream", "n", "RMSE", "bias", "r", "NSE"], rows)


def without_empty(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without columns that say the same of every row: flat priors have no shrinkage."""
    kept = [k for k in range(len(header)) if {row[k] for row in rows} not in ({""}, {"flat"})]
    return [header[k] for k in kept], [[row[k] for k in kept] for row in rows]


def wrapped(text: str) -> str:
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, 100)
    return textwrap.fill(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
