"""The lines of a text table before anything is read: its header, comments, and every row's width.

Tables of Campbell loggers (TOA5, TOACI1) and EddyPro's full output have several header lines; they
are told by the first field. A comment is a whole line that begins with #.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from caliche.data.missing import SPREADSHEET
from caliche.errors import InputError

# First field -> number of header lines, the one with the names, the one with the units.
KINDS: dict[str, tuple[int, int, int | None]] = {
    "TOA5": (4, 1, 2),
    "TOACI1": (2, 1, None),
    "file_info": (3, 1, 2),
}
_BRACKETS = re.compile(r"\[.*\]")


@dataclass(frozen=True)
class Layout:
    """What the lines of a text table are.

    names : of the columns, in their order, without blanks around them; they may repeat.
    units : by column name, where a header line has them.
    skipped : numbers of the lines that are no data, from 0.
    width : fields of the longest row; those beyond the names are empty.
    comment : the last comment before the header, "" if there is none.
    """

    names: tuple[str, ...]
    units: dict[str, str]
    skipped: list[int]
    width: int
    comment: str


def read_layout(path: Path, separator: str) -> Layout:
    """The layout of a text table in UTF-8.

    Raises
    ------
    InputError : no header, fields separated by something else, a row that is shorter or longer.
    OSError, UnicodeDecodeError : as `open`.
    """
    heads: list[list[str]] = []
    skipped: list[int] = []
    comment, (needed, at_names, at_units), expected, width, rows = "", (1, 0, None), 0, 0, 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(_logical_lines(file, path)):
            text = line.strip()
            if not text or _is_comment(text):
                comment = text if text and not heads else comment
                skipped.append(number)
            elif len(heads) < needed:
                heads.append(_fields(line, separator))
                if len(heads) == 1:
                    needed, at_names, at_units = KINDS.get(heads[0][0].strip(), (1, 0, None))
                if len(heads) == needed:
                    expected = width = len(heads[at_names])
                    _check_separator(heads[at_names], separator, path.name)
                skipped.append(number)
            elif not rows and len(heads) == needed and _is_units(_fields(line, separator)):
                at_units = needed
                heads.append(_fields(line, separator))
                skipped.append(number)
            else:
                rows += 1
                if '"' in line or line.count(separator) + 1 != expected:
                    fields = _fields(line, separator)
                    _check_width(fields, expected, path.name, number + 1)
                    width = max(width, len(fields))
    if len(heads) < needed:
        raise InputError(
            f"a table that can be read at {path}",
            "no line of column names",
            f"write {needed} header line{'s' if needed > 1 else ''} and the rows below",
        ) from None
    names = tuple(name.strip() for name in heads[at_names])
    units = {} if at_units is None else dict(zip(names, heads[at_units], strict=False))
    plain = {name: _plain(unit) for name, unit in units.items()}
    return Layout(names, plain, skipped, width, comment)


def _is_units(fields: list[str]) -> bool:
    """Whether every field of a row is a unit in brackets, or empty."""
    filled = [field.strip() for field in fields if field.strip()]
    return bool(filled) and all(_BRACKETS.fullmatch(field) for field in filled)


def _logical_lines(file: Iterable[str], path: Path) -> Iterator[str]:
    """Lines, those joined that a quoted field spans."""
    parts: list[str] = []
    is_open = False
    for line in file:
        parts.append(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            yield "".join(parts)
            parts = []
    if parts:
        raise InputError(
            f"a table that can be read at {path}",
            f"a quote that is never closed: {parts[0]!r}",
            "close it, or take it away",
        ) from None


def _is_comment(text: str) -> bool:
    """Whether a line is a comment; a row whose first cell is #N/A or the like is not."""
    return text.startswith("#") and not text.lower().startswith(SPREADSHEET)


def _fields(line: str, separator: str) -> list[str]:
    if '"' in line:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return line.rstrip("\r\n").split(separator)


def _check_width(fields: list[str], expected: int, where: str, line: int) -> None:
    """Raises InputError at a row with fewer fields than names, or with values beyond them."""
    if len(fields) == expected or (len(fields) > expected and not any(fields[expected:])):
        return
    raise InputError(
        f"as many fields per row of {where} as it has column names, {expected}",
        f"{len(fields)} in line {line}",
        "correct that row: an empty field between separators is a missing value",
    )


def _check_separator(names: list[str], separator: str, where: str) -> None:
    """Raises InputError if the names are separated by something else."""
    if len(names) > 1:
        return
    others = ((";", "semicolons"), ("\t", "tabs"), (",", "commas"), (" ", "blanks"))
    for other, word in others:
        if other != separator and other in "".join(names):
            own = "tabs" if separator == "\t" else "commas"
            raise InputError(
                f"fields separated by {own} in {where}",
                word,
                "save it with commas and decimal points"
                + (", or give it the suffix .tsv" if other == "\t" else ""),
            )


def _plain(unit: str) -> str:
    """A unit without EddyPro's brackets and plus signs: [W+1m-2] is W m-2."""
    return unit.strip().strip("[]").replace("+1", " ").strip()
