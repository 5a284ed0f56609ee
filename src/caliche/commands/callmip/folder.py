"""The folder of a CalLMIP entry: its file, experiments, output, and what its calibration found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caliche.errors import InputError
from caliche.files.manifest import read_json

ENTRY, EXPERIMENTS, OUTPUT = "callmip.toml", "sites", "output"
CALIBRATION = "calibration.json"  # what the calibration found


def held_days(folder: Path) -> dict[str, np.ndarray] | None:
    """Days of each tower that a calibration in this folder did not use; None without one.

    Raises
    ------
    InputError : a damaged file.
    """
    said = read_json(folder / CALIBRATION)
    if said is None:
        return None
    try:
        return {
            site: np.array(entry["held_out"], "datetime64[D]")
            for site, entry in said["sites"].items()
            if entry["held_out"]
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(
            f"what a calibration found in {folder / CALIBRATION}", "something else", "run it again"
        ) from None
