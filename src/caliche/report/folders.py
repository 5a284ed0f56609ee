"""The page of any command's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from caliche.errors import InputError
from caliche.experiments.folder_kinds import kind_of, wrong_folder
from caliche.report.assimilation import write_assimilation_page
from caliche.report.html import write_report
from caliche.report.joint import write_joint_page
from caliche.report.screening import write_screening_page
from caliche.report.variants import write_variants_page

WRITERS: dict[str, Callable[[Path], Path]] = {
    "estimate": write_report,
    "train": write_report,
    "assimilate": write_assimilation_page,
    "joint": write_joint_page,
    "screen": write_screening_page,
    "variants": write_variants_page,
}


def write_page(folder: Path) -> Path:
    """Write the page of a folder again, whichever command wrote the folder; returns its path.

    Raises
    ------
    InputError : a folder of a command that writes no page, one in which a command was not finished,
        or none of caliche.
    """
    kind = kind_of(folder)
    if kind is not None and kind.command not in WRITERS:
        raise InputError(
            "a folder of a command that writes a page",
            f"{folder}, which caliche {kind.command} wrote",
            f"its results are in {kind.results}; caliche {kind.command} writes no page",
        )
    error = wrong_folder(folder, *WRITERS)
    if error is not None:
        raise error
    return WRITERS["estimate" if kind is None else kind.command](folder)
