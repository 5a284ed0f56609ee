"""An output file of CalLMIP as its checks see it: what its name says, and its series by day."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caliche.callmip.protocol import DIMENSIONS, OutputName, name_of
from caliche.data.callmip_flux import FILL as LARGEST
from caliche.data.callmip_flux import DailyFluxes
from caliche.data.callmip_sites import CallmipSite, callmip_sites
from caliche.data.raw_netcdf import RawFile, RawVariable, dates, read_raw
from caliche.errors import InputError


@dataclass(frozen=True)
class Opened:
    """One file.

    name : None where it is not of the protocol's form.  raw : its content.
    fluxes : what was measured at its tower, None if that is not at hand or withheld.
    """

    path: Path
    name: OutputName | None
    raw: RawFile
    fluxes: DailyFluxes | None = None

    @property
    def site(self) -> CallmipSite | None:
        """The tower of its name, None if CalLMIP has none of that code."""
        return None if self.name is None else callmip_sites().get(self.name.site)

    def laid_out(self, name: str) -> RawVariable | None:
        """A variable, if it is there with the right dimensions and numbers."""
        variable = self.raw.variables.get(name)
        if variable is None or variable.dims != DIMENSIONS:
            return None
        return variable if np.issubdtype(variable.values.dtype, np.number) else None

    def series(self, name: str) -> np.ndarray | None:
        """A variable by time (n,), NaN where missing; None if it cannot be read as such."""
        variable = self.laid_out(name)
        if variable is None or variable.values.size != variable.values.shape[0]:
            return None
        values = variable.numbers().reshape(-1)
        values[~(np.abs(values) < LARGEST)] = np.nan
        return values

    @functools.cached_property
    def stamps(self) -> np.ndarray | None:
        """Times (n,), datetime64[s]; None where they cannot be told."""
        variable = self.raw.variables.get("time")
        if variable is None or variable.dims != ("time",):
            return None
        try:
            return dates(variable, self.path.name)
        except InputError:
            return None

    @property
    def days(self) -> np.ndarray | None:
        """The local days (n,) of the series, datetime64[D]; None where they cannot be told.

        A time marks the start, the middle or the end of its day: the protocol allows all three. It
        is the end where the record of the tower begins a day before the first time.
        """
        if self.stamps is None or not len(self.stamps):
            return None
        days = self.stamps.astype("datetime64[D]")
        at_end = self.site is not None and days[0] - self.site.days[0] == np.timedelta64(1, "D")
        return days - np.timedelta64(1, "D") if at_end else days


def open_output(path: Path, fluxes: DailyFluxes | None = None) -> Opened:
    """One file in memory.

    Raises
    ------
    InputError : a file that cannot be read.
    """
    return Opened(path, name_of(path), read_raw(path), fluxes)
