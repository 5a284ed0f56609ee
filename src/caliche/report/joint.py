"""The page of a joint calibration: a function of its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from caliche.errors import InputError
from caliche.report import style
from caliche.report.joint_figures import scores_plate, values_plate
from caliche.report.joint_tables import score_rows, value_rows
from caliche.report.words import capital

PAGE = "report.html"


def write_joint_page(folder: Path) -> Path:
    """Write `report.html` into the folder of a joint calibration.

    Raises
    ------
    InputError : summary.json or config.toml is missing or cannot be read.
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        config = (folder / "config.toml").read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(
            "a folder that caliche joint wrote", f"{type(error).__name__} in {folder}: {error}",
            "give the command that began it again",
        ) from error  # fmt: skip
    with style.report_style():
        plates = [scores_plate(summary), values_plate(summary)]
    environment = Environment(
        loader=PackageLoader("caliche.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    text = environment.get_template("joint.html.j2").render(
        run=summary, reason=capital(summary["reason"]), config=config, plates=plates,
        values=value_rows(summary),
        scores=[score_rows(summary, key) for key in ("rmse", "nse")],
    )  # fmt: skip
    scratch = folder / f".{PAGE}.{os.getpid()}"
    try:
        scratch.write_text(text, "utf-8", newline="\n")
        return scratch.replace(folder / PAGE)
    finally:
        scratch.unlink(missing_ok=True)
