"""Numbers as programs write them: with Fortran's exponents, with gaps, and numbers that got lost.

Missing are blanks, null, NaN and the sentinels of `missing`. `2.5D+00` and `0.58-104` are Fortran's
2.5 and 0.58e-104. Asterisks are what Fortran writes where a number does not fit into its format.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BLANK = frozenset({"", "nan", "na", "n/a", "null", "none", "-nan"})
_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))[dDqQ]([+-]?\d+)")
_NO_LETTER = re.compile(r"([+-]?\d*\.\d*)([+-]\d{3})")  # an exponent of three digits
_WORD = re.compile(r"[A-Za-z_#%\"']")
# Columns that say when, not what.
_WHEN = frozenset(
    {"time", "date", "datetime", "timestamp", "t", "day", "hour", "step", "index", ""}
)
_WHAT = frozenset({"output", "outputs", "value", "values"})
OVERFLOW = "asterisks, which Fortran writes where a number does not fit its format"


def number(text: str, missing: Sequence[float] = ()) -> float:
    """A number from text, NaN where it is missing.

    Raises
    ------
    ValueError : what it is instead, beginning with what is the same for every such text.
    """
    text = text.strip()
    if text.lower() in _BLANK:
        return math.nan
    if text.strip("*") == "":
        raise ValueError(OVERFLOW)
    fortran = _FORTRAN.fullmatch(text) or _NO_LETTER.fullmatch(text)
    if fortran:
        text = f"{fortran[1]}e{fortran[2]}"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"text where a number is expected: {text[:40]!r}") from None
    return math.nan if value in missing else value


def outputs_of(path: Path, missing: Sequence[float] = ()) -> list[float]:
    """The outputs that a run left in a JSON or CSV file, NaN where one is missing.

    Raises
    ------
    ValueError : what is wrong with it.  OSError : it cannot be read.
    """
    text = path.read_text("utf-8-sig")
    cells = _of_json(text) if path.suffix == ".json" else _of_csv(text)
    return [_value(cell, missing) for cell in cells]


def _value(cell: Any, missing: Sequence[float]) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        return number(cell, missing)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError(f"a {type(cell).__name__} where a number is expected")
    return math.nan if cell in missing else float(cell)


def _of_json(text: str) -> list[Any]:
    if re.search(r"[\[,:\s]\*+\s*[,\]]", text):
        raise ValueError(OVERFLOW)
    try:
        values = json.loads(text)
    except ValueError:
        values = json.loads(re.sub(r"(?<=[\d.])[dD](?=[+-]?\d)", "e", text))
    if isinstance(values, dict):
        values = values.get("outputs")
    if not isinstance(values, list):
        raise ValueError('neither a list of numbers nor "outputs" with one')
    return values


def _of_csv(text: str) -> list[str]:
    """Cells of the one column of a table, with or without a header."""
    rows = rows_of(text)
    if not rows:
        return []
    header = [cell.strip("\"' ").lower() for cell in rows[0]]
    named = all(_is_name(cell) for cell in rows[0])
    rows = rows[1:] if named else rows
    column = 0
    if len(header) > 1:
        what = [k for k, name in enumerate(header) if name in _WHAT]
        what = what or [k for k, name in enumerate(header) if name not in _WHEN]
        if not named or len(what) != 1:
            raise ValueError(f"{len(header)} numbers in a line where one is expected")
        column = what[0]
    short = next((row for row in rows if len(row) != len(header)), None)
    if short is not None:
        raise ValueError("lines of different lengths")
    return [row[column] for row in rows]


def rows_of(text: str) -> list[list[str]]:
    """Rows of cells, between commas, semicolons or blanks; lines without anything are left out."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    lines[0] = lines[0].lstrip().removeprefix("#")  # a header with the mark of a comment
    last = lines[-1].strip()
    if "," in last or not re.search(r"[;\t ]", last):
        delimiter = ","
    else:
        delimiter = ";" if ";" in last else None
    if delimiter is None:
        return [line.split() for line in lines]
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in rows]


def _is_name(cell: str) -> bool:
    """Whether a cell of a first line is a name, not a number, a gap or a number that got lost."""
    try:
        number(cell)
    except ValueError as error:
        return str(error) != OVERFLOW and bool(_WORD.match(cell.strip()))
    return False


def kind_of(reason: str) -> str:
    """What is the same in reasons that differ by their numbers only."""
    head, colon, tail = reason.partition(": ")
    return head + colon + re.sub(r"'[^']*'|\"[^\"]*\"|[-+]?\d[\w.+-]*", "#", tail)
