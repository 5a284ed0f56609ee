"""Daily fluxes of CalLMIP Phase 1: `*_daily_aggregated_*_Flux.nc`, and what they do not say.

Means of FLUXNET2015's half hours over local standard days, stamped at the start of the day. A day
is missing where more than a quarter of it was gap-filled or nothing is known of its uncertainty.
Three things are not as they look, and are told in `notes`: the uncertainty of the heat fluxes
belongs to the fluxes corrected for closure while the values are not; it is added up as if the
errors of half hours were independent; and NEE is positive upwards although its standard_name says
downward.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caliche.data.callmip_sites import WHERE_FLUX
from caliche.data.raw_netcdf import RawFile, RawVariable, dates, read_raw
from caliche.errors import InputError
from caliche.wording import number_of

NEE, LATENT, SENSIBLE = "nee", "latent_heat_flux", "sensible_heat_flux"
# Flux -> variable of its values, its uncertainty, and the unit of both.
VARIABLES = {
    NEE: ("NEE_daily", "NEE_uc_daily", "gC/m2/d"),
    LATENT: ("Qle_daily", "Qle_uc_daily", "W/m2"),
    SENSIBLE: ("Qh_daily", "Qh_uc_daily", "W/m2"),
}
PATTERN = "{site}_daily_aggregated_*_Flux.nc"
UNITS = {
    "gC/m2/d": ("gC/m2/d", "gC m-2 d-1", "gC m-2 day-1", "gC/m2/day"),
    "W/m2": ("W/m2", "W m-2", "W/m^2"),
}
FILL = 1e19  # the files fill with 1e20 in single precision, whatever their attribute says
DAY = 86400.0  # s


@dataclass(frozen=True)
class DailyFluxes:
    """The daily fluxes of one tower.

    Attributes
    ----------
    site : its code.  latitude, longitude : degrees north and east.
    days : (n,) local standard days without a gap, datetime64[D].
    values : flux -> (n,), NaN where missing: W m-2 upwards; NEE in gC m-2 d-1, upwards.
    sigma : flux -> (n,), the uncertainty of each value, NaN where that is missing.
    notes : flux -> sentences on what the file does not say.
    """

    site: str
    latitude: float
    longitude: float
    days: np.ndarray
    values: Mapping[str, np.ndarray]
    sigma: Mapping[str, np.ndarray]
    notes: Mapping[str, tuple[str, ...]]

    def valid(self, flux: str) -> int:
        """Days with a value of a flux."""
        return int(np.isfinite(self.values[flux]).sum()) if flux in self.values else 0


def find_fluxes(site: str, folder: Path) -> Path:
    """The flux file of a tower in a folder.

    Raises
    ------
    InputError : none, or several.
    """
    found = sorted(folder.glob(PATTERN.format(site=site))) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"one file {PATTERN.format(site=site)} in {folder}",
        "none" if not found else ", ".join(path.name for path in found),
        f"put it there: {WHERE_FLUX}" if not found else "keep the newest",
    )


def read_daily_fluxes(path: Path) -> DailyFluxes:
    """Read one file, of Phase 1a or 1b.

    Raises
    ------
    InputError : a file that cannot be read, has none of the fluxes, or whose days are not whole,
        consecutive local days.
    """
    file = read_raw(path)
    days = _days(file)
    values, sigma, notes = {}, {}, {}
    for flux, (name, uncertainty, unit) in VARIABLES.items():
        if name not in file.variables:
            continue
        series = _series(file, name, unit, len(days))
        error = np.full(len(days), np.nan)
        if uncertainty in file.variables:
            error = _series(file, uncertainty, unit, len(days))
        error[~(error > 0.0)] = np.nan
        values[flux] = np.where(np.isfinite(error), series, np.nan)
        sigma[flux] = np.where(np.isfinite(values[flux]), error, np.nan)
        lost = int((np.isfinite(series) & ~np.isfinite(error)).sum())
        notes[flux] = _notes(file, flux, uncertainty, lost)
    if not values:
        raise InputError(
            f"daily fluxes ({', '.join(v[0] for v in VARIABLES.values())}) in {path.name}",
            ", ".join(file.variables) or "no variables",
            f"take a file {PATTERN.format(site='SITE')}: {WHERE_FLUX}",
        )
    site = str(file.attrs.get("site_code") or path.name.partition("_")[0])
    return DailyFluxes(
        site, _place(file, "latitude"), _place(file, "longitude"), days, values, sigma, notes
    )


def _days(file: RawFile) -> np.ndarray:
    """The local days (n,) of a file, from the stamps of their starts."""
    name = file.path.name
    if "time" not in file.variables:
        raise InputError(f"a variable time in {name}", "none", "take a file as it was published")
    stamps = dates(file.variables["time"], name)
    days = stamps.astype("datetime64[D]")
    if len(days) == 0 or (days != stamps).any() or (np.diff(days) != np.timedelta64(1, "D")).any():
        raise InputError(
            f"the start of every local day, one after the other, as the times of {name}",
            f"{len(days)} times" + (f" from {stamps[0]} to {stamps[-1]}" if len(days) else ""),
            "take a file as it was published",
        )
    return days


def _series(file: RawFile, name: str, unit: str, n: int) -> np.ndarray:
    """A variable along time (n,), NaN where filled; axes of length one are dropped."""
    variable = file.variables[name]
    said = str(variable.attrs.get("units", unit)).strip()
    if said not in UNITS[unit]:
        raise InputError(f"{name} of {file.path.name} in {unit}", said, "convert it")
    values = _flat(variable)
    if values.shape != (n,):
        raise InputError(
            f"one value of {name} a day in {file.path.name}",
            f"dimensions ({', '.join(variable.dims)})",
            "take a file as it was published",
        )
    values[~(np.abs(values) < FILL)] = np.nan
    return values


def _flat(variable: RawVariable) -> np.ndarray:
    return np.squeeze(variable.numbers()).reshape(-1) if variable.values.size else np.array([])


def _place(file: RawFile, name: str) -> float:
    for found in (name, name[:3]):
        if found in file.variables and file.variables[found].values.size == 1:
            return float(file.variables[found].numbers().reshape(-1)[0])
    return float("nan")


def _notes(file: RawFile, flux: str, uncertainty: str, lost: int) -> tuple[str, ...]:
    """What has to be said of a flux and its uncertainty."""
    found = []
    if lost:
        found.append(
            f"{number_of(lost, 'day')} with a value and without an uncertainty, taken as missing"
        )
    about = file.variables[uncertainty].attrs if uncertainty in file.variables else {}
    said = f"{about.get('Fluxnet_name', '')} {about.get('long_name', '')}"
    if flux != NEE and re.search(r"_CORR_|_cor\b", said):
        found.append(
            "the uncertainty in the file is that of the flux corrected for energy closure "
            f"({about.get('Fluxnet_name', 'LE_CORR_JOINTUNC')}), while the values are not corrected"
        )
    if "root sum of squares" in str(file.attrs.get("processing_description", "")):
        found.append(
            "the uncertainty of a day is added up as if the errors of its half hours were "
            "independent, so it is too small where they persist"
        )
    if flux == NEE:
        found.append("positive upwards, whatever its standard_name says; nep = -NEE")
    return tuple(found)
