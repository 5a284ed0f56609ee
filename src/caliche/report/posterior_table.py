"""The intervals of a posterior as text, for the report and for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caliche.constants import NORMAL_QUANTILE
from caliche.report.numbers import MISSING, interval, number, plain

# Names of the methods in posterior.json -> what a column says.
METHODS = {"laplace": "Laplace", "profile": "profile", "nuts": "NUTS"}
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
