"""The page of any command's folder."""

from __future__ import annotations

from pathlib import Path

from caliche.commands.registry import BY_NAME, COMMANDS
from caliche.errors import InputError
from caliche.runs.kinds import kind_of, wrong_folder

WITH_PAGE = tuple(c.name for c in COMMANDS if c.page)


def write_page(folder: Path) -> Path:
    """Write the page of a folder again, whichever command wrote the folder; returns its path.

    Raises
    ------
    InputError : a folder of a command that writes no page, one in which a command was not finished,
        or none of caliche.
    """
    kind = kind_of(folder)
    if kind is not None and kind.command not in WITH_PAGE:
        raise InputError(
            "a folder of a command that writes a page",
            f"{folder}, which caliche {kind.command} wrote",
            f"its results are in {kind.results}; caliche {kind.command} writes no page",
        )
    error = wrong_folder(folder, *WITH_PAGE)
    if error is not None:
        raise error
    return BY_NAME["estimate" if kind is None else kind.command].write_page(folder)
