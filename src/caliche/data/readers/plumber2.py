"""Reader of PLUMBER2 tower files (Ukkola et al. 2022, doi:10.5194/essd-14-449-2022).

NetCDF with ALMA names, the weather in one file (`_Met.nc`) and the fluxes in another (`_Flux.nc`),
as FluxnetLSM writes them. Times are those of the tower, local standard time, and the file does not
say of what part of the interval: `utc_offset` and `stamp` are declared. Flags: 0 measured, 1 to 3
filled, 4 from a reanalysis, 5 filled by statistics.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche.data.assemble import (
    Series,
    assemble,
    first_with_values,
    in_si,
    local_times,
    netcdf_numbers,
    netcdf_unit,
    open_netcdf,
    place,
)
from caliche.data.assemble import screen as accept_flags
from caliche.data.daylight import offset_sentence
from caliche.data.humidity import contradiction
from caliche.data.origin import add_note
from caliche.data.quality import check_scale, check_time
from caliche.data.readers.table import interval_end_utc
from caliche.data.source import Fluxnet, Source, TimeAxis
from caliche.errors import InputError
from caliche.variables import FORCING, SIGMA, stream_name, variable

# Stream -> names in the order they are looked for; the older ALMA spelling stands last.
VARIABLE_MAP: dict[str, tuple[str, ...]] = {
    "incoming_shortwave": ("SWdown",),
    "incoming_longwave": ("LWdown",),
    "air_temperature": ("Tair",),
    "specific_humidity": ("Qair",),
    "air_pressure": ("Psurf", "PSurf"),
    "wind_speed": ("Wind",),
    "precipitation": ("Precip", "Rainf"),
    "outgoing_shortwave": ("SWup",),
    "outgoing_longwave": ("LWup",),
    "net_radiation": ("Rnet",),
    "sensible_heat_flux": ("Qh",),
    "latent_heat_flux": ("Qle",),
}
CORRECTED = {"sensible_heat_flux": "Qh_cor", "latent_heat_flux": "Qle_cor"}
GROUND = "Qg"


class _File:
    """An open file, its times, and how one of its variables becomes a series."""

    def __init__(self, source: Source, options: Fluxnet) -> None:
        axis = TimeAxis("time", options.stamp, options.utc_offset)  # checks both
        self.source, self.options, self.name = source, options, source.path.name
        self.dataset = open_netcdf(source.path)
        if "time" not in self.dataset:
            raise InputError(
                f"a variable time in {self.name}", "none", "read it as a table, naming its time"
            )
        local = local_times(self.dataset["time"], self.name, options.utc_offset)
        self.interval = check_time(local, self.name, zone="")
        self.times = interval_end_utc(local, self.interval, axis)

    def find(self, names: tuple[str, ...]) -> tuple[str | None, str]:
        """The first of the names that has values in the file, and a sentence if one was empty."""
        there = [name for name in names if name in self.dataset]
        return first_with_values(there, self.raw, self.name)

    def raw(self, name: str) -> np.ndarray:
        """One variable in its own unit (n,), NaN where missing."""
        return netcdf_numbers(self.dataset, name, "time", self.name, self.source.missing)

    def series(self, name: str, stream: str, flag: str | None = None) -> Series:
        """One variable in SI, flags applied, its scale checked."""
        flag, flags = flag or f"{name}_qc", None
        if flag in self.dataset:
            flags = netcdf_numbers(self.dataset, flag, "time", self.name)
        weather = self.options.accept_forcing
        mine = weather if stream in FORCING and weather is not None else self.source.accept_qc
        unit = netcdf_unit(self.dataset, name) or variable(stream).unit
        where = f"{name} of {self.name}"
        screened = accept_flags(self.raw(name), flags, mine)
        result = in_si(screened, stream, unit, self.interval, where)
        check_scale(result.values, stream, self.times, where, unit, self.source.ranges)
        return result


def read_plumber2(source: Source) -> xr.Dataset:
    """Read a PLUMBER2 file of the weather or of the fluxes.

    Returns
    -------
    xr.Dataset as described at `open_source`. Corrected fluxes have their joint uncertainty beside
    them as `<stream>_sigma` (W m-2), where the file has it.

    Raises
    ------
    InputError : no stamp or utc_offset, a file that cannot be read or has none of the variables.
    """
    options = source.fluxnet
    if options is None:  # Source refuses this; said again for the type checker
        raise InputError("stamp and utc_offset of a PLUMBER2 file", "none", "give both")
    file, streams, notes = _File(source, options), {}, {}
    for stream, names in VARIABLE_MAP.items():
        (name, note), flag = file.find(names), None
        if name is None or not source.wants(stream):
            continue
        notes[stream] = note
        if options.fluxes == "corrected" and stream in CORRECTED:
            name, flag = _corrected(file, stream), f"{name}_qc"  # corrected ones have none
            if f"{name}_uc" in file.dataset:
                streams[stream + SIGMA] = file.series(f"{name}_uc", stream + SIGMA, flag)
        streams[stream] = file.series(name, stream, flag)
    if GROUND in file.dataset and options.plate_depth is not None:
        stream = stream_name("ground_heat_flux", options.plate_depth)
        streams[stream] = file.series(GROUND, stream)
    if not streams:
        raise InputError(
            f"PLUMBER2 variables such as SWdown, Tair and Qle in {file.name}",
            f"{', '.join(map(str, file.dataset.variables))}",
            "read it as a table, naming its columns",
        )
    attrs = file.dataset.attrs
    known: dict[str, object] = {
        "site": source.site or attrs.get("site_code"),
        "utc_offset": float(options.utc_offset or 0.0),
        "latitude": options.latitude,
        "longitude": options.longitude,
    }
    known |= {key: value for key, value in place(file.dataset).items() if known[key] is None}
    dataset = assemble(file.times, streams, file.name, file.interval, known)
    placed = {"latitude", "longitude"} <= dataset.attrs.keys()
    if placed and "incoming_shortwave" in dataset:
        said = offset_sentence(
            file.times,
            file.interval,
            dataset["incoming_shortwave"].values,
            float(dataset.attrs["latitude"]),
            float(dataset.attrs["longitude"]),
            float(options.utc_offset or 0.0),
        )
        notes["incoming_shortwave"] = "\n".join(
            part for part in (notes.get("incoming_shortwave", ""), said) if part
        )
    notes["specific_humidity"] = notes.get("specific_humidity") or _against_rh(file, dataset)
    for stream, note in notes.items():
        if note:
            add_note(dataset, stream, note)
    return dataset


def _against_rh(file: _File, dataset: xr.Dataset) -> str:
    """A sentence if the file's relative humidity is not that of its specific humidity."""
    if "RH" not in file.dataset or netcdf_unit(file.dataset, "RH") not in ("%", "percent"):
        return ""
    return contradiction(dataset, 0.01 * file.raw("RH"), "Qair", f"RH of {file.name}")


def _corrected(file: _File, stream: str) -> str:
    """Name of the flux corrected for energy closure. InputError if the file has none."""
    name, _ = file.find((CORRECTED[stream],))
    if name is None:
        raise InputError(
            f"the corrected flux {CORRECTED[stream]} in {file.name}",
            "no such variable",
            "set fluxes = 'measured'",
        )
    return name
