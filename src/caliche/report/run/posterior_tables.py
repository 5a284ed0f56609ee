"""Intervals and skill of a posterior as text, for the report and for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caliche.cards.methods import MEMBER_METHODS
from caliche.constants import NORMAL_QUANTILE
from caliche.report.numbers import MISSING, interval, number, plain, pretty_unit, rounded
from caliche.variables import variable

# Names of the methods in posterior.json -> what a column says.
ENSEMBLES = ("etki", "eki", "4denvar")
METHODS = {"laplace": "Laplace", "profile": "profile", "nuts": "NUTS"}
METHODS |= {name: MEMBER_METHODS[name].label for name in ENSEMBLES}
SKILL_HEADER = ["stream", "draws of", "n", "RMSE", "CRPS", "in 95 % band", "width of band", "unit"]
SKILL_TITLE = {
    "holdout": "Hold-out, as each method's draws foresee it",
    "fit": "Fitted observations, as each method's draws foresee them",
}
NORMAL_WIDTH = 2.0 * NORMAL_QUANTILE  # of a 95 % interval, in standard deviations


def interval_text(entry: Mapping[str, Any], method: str) -> str:
    """A parameter's 95 % interval by one method; an end that the data do not set says so."""
    found = entry.get(method)
    if not found or found.get("interval95") is None:
        return MISSING
    low, high = (number(end) for end in found["interval95"])
    open_low, open_high = found.get("open", (False, False))
    if (open_low or not np.isfinite(low)) and (open_high or not np.isfinite(high)):
        return "not bounded"
    if open_low or not np.isfinite(low):
        return f"below {plain(high)}"
    if open_high or not np.isfinite(high):
        return f"above {plain(low)}"
    # As many digits as the width deserves.
    return interval([low, high], (high - low) / NORMAL_WIDTH, number(entry["estimate"]))


def skill_window(summary: Mapping[str, Any]) -> str:
    """The window whose skill is shown: the hold-out if anything was observed there."""
    held_out = any(found.get("holdout") for found in (summary.get("skill") or {}).values())
    return "holdout" if held_out else "fit"


def skill_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Cells of `SKILL_HEADER` for every stream and method with draws."""
    skill, window = summary.get("skill") or {}, skill_window(summary)
    methods = [method for method in METHODS if method in skill]
    streams = dict.fromkeys(name for method in methods for name in skill[method].get(window, {}))
    rows = []
    for stream in streams:
        for method in methods:
            found = skill[method][window].get(stream)
            if found is None:
                continue
            covered = number(found["covered"])
            rows.append(
                [
                    stream,
                    METHODS[method],
                    f"{found['n']:,}",
                    *(rounded(found[key]) for key in ("rmse", "crps")),
                    f"{100.0 * covered:.1f} %" if np.isfinite(covered) else MISSING,
                    rounded(found["width"]),
                    pretty_unit(variable(stream).unit),
                ]
            )
    return rows
