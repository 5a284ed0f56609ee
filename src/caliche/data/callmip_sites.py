"""The towers of CalLMIP Phase 1b: which calibrate, which validate, what their files leave open.

The flux and weather files say neither their UTC offset nor whether a tower is one to calibrate on.
The offsets cannot be had from the longitude: FR-Pue, NL-Loo, RU-Fyo and US-MMS keep another one.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

import numpy as np

from caliche.errors import InputError, nearest

CALIBRATION, VALIDATION = "calibration", "validation"
WHERE = (
    "participants get it from modelevaluation.org (experiment CalLMIP Phase 1b, a free login) or "
    "from the PLUMBER2 collection"
)
WHERE_FLUX = "participants get it from the folder Data/Phase1b of github.com/callmip-org/Phase1"
# IGBP class -> in words, and the cover type of LaD that stands for it (which has no shrubs).
VEGETATION = {
    "ENF": ("evergreen needleleaf forest", "needleleaf_evergreen"),
    "EBF": ("evergreen broadleaf forest", "broadleaf_evergreen"),
    "DBF": ("deciduous broadleaf forest", "broadleaf_deciduous"),
    "GRA": ("grassland", "grass"),
    "CSH": ("closed shrubland", "grass"),
    "OSH": ("open shrubland", "desert"),
    "WSA": ("woody savanna", "grass"),
}


@dataclass(frozen=True)
class CallmipSite:
    """One tower.

    Attributes
    ----------
    role : calibration or validation.
    latitude, longitude : degrees north and east.  elevation : m, None where not known.
    utc_offset : h, local standard time = UTC + utc_offset.
    step : s, of its weather and fluxes.
    reference_height : m above the ground, of wind, temperature and humidity.
    lai : the variable of its weather file that holds the MODIS product; empty if not known.
    years : first and last, whole ones.
    vegetation : IGBP class.  soil : soil type of LaD; empty if not known.
    """

    code: str
    role: str
    latitude: float
    longitude: float
    elevation: float | None
    utc_offset: float
    step: float
    reference_height: float
    lai: str
    years: tuple[int, int]
    vegetation: str
    soil: str

    @property
    def days(self) -> np.ndarray:
        """The local standard days of its record (n,), datetime64[D], leap days among them."""
        first, last = self.years
        return np.arange(f"{first}-01-01", f"{last + 1}-01-01", dtype="datetime64[D]")

    @property
    def hourly(self) -> bool:
        """Whether its files are hourly."""
        return self.step == 3600.0

    @property
    def vegetation_words(self) -> str:
        """The vegetation in words."""
        return VEGETATION[self.vegetation][0]


@functools.cache
def callmip_sites() -> dict[str, CallmipSite]:
    """Every tower by its code: 21 that calibrate, then 10 that validate."""
    text = (
        resources.files("caliche.data.published").joinpath("callmip-sites.csv").read_text("utf-8")
    )
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {
        row["site"]: CallmipSite(
            row["site"],
            row["role"],
            float(row["latitude"]),
            float(row["longitude"]),
            float(row["elevation"]) if row["elevation"] else None,
            float(row["utc_offset"]),
            float(row["step"]),
            float(row["reference_height"]),
            row["lai"],
            (int(row["first_year"]), int(row["last_year"])),
            row["vegetation"],
            row["soil"],
        )
        for row in csv.DictReader(lines)
    }


def callmip_site(code: str) -> CallmipSite:
    """One tower by its code.

    Raises
    ------
    InputError : no tower of CalLMIP Phase 1b.
    """
    known = callmip_sites()
    if code not in known:
        raise InputError("a tower of CalLMIP Phase 1b", repr(code), nearest(code, known))
    return known[code]
