"""What a PLUMBER2 weather file says of its tower beside the weather: heights, step, leaf area."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caliche.data.raw_netcdf import RawFile, dates, read_raw

LEAF_AREA = ("LAI", "LAI_alternative")
MODIS = "MODIS"


@dataclass(frozen=True)
class TowerFacts:
    """Facts of one file; None, or an empty text, where it does not have them.

    Attributes
    ----------
    site : code.  step : s, of the weather.
    reference_height : m, of wind, temperature and humidity above the ground.
    canopy_height, elevation : m.
    leaf_area : variable -> the product that it holds, as its attribute `source` says. Which of
        the two is MODIS changes from tower to tower.
    vegetation : IGBP class.
    """

    site: str
    step: float
    reference_height: float | None
    canopy_height: float | None
    elevation: float | None
    leaf_area: Mapping[str, str]
    vegetation: str

    @property
    def modis(self) -> str:
        """The variable that holds the MODIS leaf area; empty if none says so."""
        return next((name for name, s in self.leaf_area.items() if MODIS in s.upper()), "")


def plumber2_facts(path: Path) -> TowerFacts:
    """The facts of one weather file.

    Raises
    ------
    InputError : a file that cannot be read, or without times.
    """
    file = read_raw(path)
    step = 0.0
    if "time" in file.variables:
        stamps = dates(file.variables["time"], path.name)
        step = float((stamps[1] - stamps[0]) / np.timedelta64(1, "s")) if len(stamps) > 1 else 0.0
    return TowerFacts(
        str(file.attrs.get("site_code") or path.name.partition("_")[0]),
        step,
        _number(file, "reference_height"),
        _number(file, "canopy_height"),
        _number(file, "elevation"),
        {
            name: str(file.variables[name].attrs.get("source", ""))
            for name in LEAF_AREA
            if name in file.variables
        },
        _text(file, "IGBP_veg_short"),
    )


def _number(file: RawFile, name: str) -> float | None:
    """A number of the file, with the digits that single precision has."""
    variable = file.variables.get(name)
    if variable is None or variable.values.size != 1:
        return None
    if not np.issubdtype(variable.values.dtype, np.number):
        return None
    value = float(variable.numbers().reshape(-1)[0])
    return round(value, 4) if np.isfinite(value) else None


def _text(file: RawFile, name: str) -> str:
    variable = file.variables.get(name)
    if variable is None:
        return str(file.attrs.get(name, ""))
    parts = [
        p.decode("utf-8", "replace") if isinstance(p, bytes) else str(p)
        for p in variable.values.reshape(-1)
    ]
    return "".join(parts).strip("\0 ")
