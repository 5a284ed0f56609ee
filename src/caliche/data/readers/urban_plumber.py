"""Reader of Urban-PLUMBER tower files (Lipson et al. 2022, doi:10.5194/essd-14-5157-2022).

The format fixes what a table must declare: ALMA names and units, UTC, stamps at the end of the
interval, quality flags 0 observed, 1 filled from nearby observations, 2 filled from ERA5,
3 missing. Values masked at night stay missing.
"""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from caliche.data.assemble import (
    Series,
    assemble,
    filled_in,
    in_si,
    netcdf_numbers,
    netcdf_times,
    netcdf_unit,
    open_netcdf,
    place,
    screen,
    summed,
    time_zone,
)
from caliche.data.quality import check_scale, check_time
from caliche.data.source import Source
from caliche.errors import InputError
from caliche.variables import stream_name, variable

# ALMA name in the file -> canonical name. Wind, rain and soil temperature are put together below.
VARIABLE_MAP = {
    "SWdown": "incoming_shortwave",
    "LWdown": "incoming_longwave",
    "Tair": "air_temperature",
    "Qair": "specific_humidity",
    "PSurf": "air_pressure",
    "SWup": "outgoing_shortwave",
    "LWup": "outgoing_longwave",
    "Rnet": "net_radiation",
    "Qh": "sensible_heat_flux",
    "Qle": "latent_heat_flux",
    "AvgSurfT": "surface_temperature",
}


class _File:
    """An open file, its times, and how one of its variables becomes a series."""

    def __init__(self, source: Source) -> None:
        self.dataset = open_netcdf(source.path)
        self.name = source.path.name
        self.source = source
        if "time" not in self.dataset:
            raise InputError(
                f"a variable time in {self.name}",
                f"variables {', '.join(map(str, self.dataset.variables))}",
                "read it as a table, naming its time variable",
            )
        zone = str(self.dataset.attrs.get("time_shown_in", "UTC"))
        if zone.upper() != "UTC":
            raise InputError(
                f"times in UTC in the Urban-PLUMBER file {self.name}",
                f"time_shown_in = {zone!r}",
                "read it as a table with its utc_offset",
            )
        if time_zone(self.dataset["time"]) not in (None, 0.0):
            raise InputError(
                f"times in UTC in the Urban-PLUMBER file {self.name}",
                f"time units {self.dataset['time'].encoding.get('units')!r}",
                "read it as a table with its utc_offset",
            )
        self.times = netcdf_times(self.dataset["time"], self.name)
        self.interval = check_time(self.times, self.name)

    def raw(self, name: str) -> np.ndarray:
        """One variable in its own unit (n,), NaN where missing."""
        return netcdf_numbers(self.dataset, name, "time", self.name, self.source.missing)

    def unchecked(self, name: str, stream: str) -> Series:
        """One variable, flags applied, in the SI unit of `stream`."""
        values = self.raw(name)
        flag, flags = f"{name}_qc", None
        if flag in self.dataset:
            flags = netcdf_numbers(self.dataset, flag, "time", self.name)
        return in_si(
            screen(values, flags, self.source.accept_qc),
            stream,
            netcdf_unit(self.dataset, name) or variable(stream).unit,
            self.interval,
            f"{name} of {self.name}",
        )

    def series(self, name: str, stream: str) -> Series:
        """As `unchecked`, refused if its scale is impossible."""
        series = self.unchecked(name, stream)
        where = f"{name} of {self.name}"
        check_scale(series.values, stream, self.times, where, ranges=self.source.ranges)
        return series


def read_urban_plumber(source: Source) -> xr.Dataset:
    """Read an Urban-PLUMBER file.

    Returns
    -------
    xr.Dataset as described at `open_source`, with site, utc_offset, latitude and longitude in its
    attributes where the file has them.

    Raises
    ------
    InputError : a file that cannot be read, has no time, or none of the format's variables.
    """
    file = _File(source)
    streams = {
        stream: file.series(name, stream)
        for name, stream in VARIABLE_MAP.items()
        if name in file.dataset and source.wants(stream)
    }
    if source.wants("wind_speed"):
        streams |= _wind(file)
    if source.wants("precipitation"):
        streams |= _precipitation(file)
    streams |= _soil_temperature(file)
    if not streams:
        raise InputError(
            f"Urban-PLUMBER variables such as {', '.join(list(VARIABLE_MAP)[:4])} in {file.name}",
            f"variables {', '.join(map(str, file.dataset.variables))}",
            "read it as a table, naming its columns",
        )
    attrs = file.dataset.attrs
    known: dict[str, object] = {
        "site": source.site or attrs.get("sitename"),
        "utc_offset": _number(attrs.get("local_utc_offset_hours")),
    }
    return assemble(file.times, streams, file.name, file.interval, known | place(file.dataset))


def _wind(file: _File) -> dict[str, Series]:
    """Speed of the mean wind vector, or the file's own speed where it has that instead."""
    if "Wind_N" in file.dataset and "Wind_E" in file.dataset:
        # Components are signed, so the range of a speed does not hold for them.
        north, east = (file.unchecked(name, "wind_speed") for name in ("Wind_N", "Wind_E"))
        speed = np.hypot(north.values, east.values)
        wind = Series(speed, north.rejected | east.rejected, filled_in((north, east)))
        if np.isfinite(speed).any() or "Wind" not in file.dataset:
            return {"wind_speed": wind}
    return {"wind_speed": file.series("Wind", "wind_speed")} if "Wind" in file.dataset else {}


def _precipitation(file: _File) -> dict[str, Series]:
    """Rain, and snow where it was measured at all: towers without snow carry an empty Snowf."""
    if "Rainf" not in file.dataset:
        return {}
    rain = file.series("Rainf", "precipitation")
    if "Snowf" not in file.dataset or not np.isfinite(file.raw("Snowf")).any():
        return {"precipitation": rain}
    return {"precipitation": summed(rain, file.series("Snowf", "precipitation"))}


def _soil_temperature(file: _File) -> dict[str, Series]:
    """Soil temperature, named by the depth (m) that its attribute gives."""
    if "SoilTemp" not in file.dataset:
        return {}
    text = str(file.dataset["SoilTemp"].attrs.get("depth", ""))
    match = re.match(r"^\s*(\d+(?:\.\d+)?)\s*(m|cm)?\s*$", text)
    if not match:
        raise InputError(
            f"the depth of SoilTemp of {file.name} in its attribute depth, as in '0.02 m'",
            repr(text) if text else "no such attribute",
            "read the file as a table, with the depth in the name of the stream",
        )
    depth = float(match[1]) / (100.0 if match[2] == "cm" else 1.0)
    stream = stream_name("soil_temperature", depth)
    return {stream: file.series("SoilTemp", stream)}


def _number(value: object) -> float | None:
    """An attribute as a number, None where it is none."""
    array = np.asarray(value)
    one = array.size == 1 and np.issubdtype(array.dtype, np.number)
    return float(array.item()) if one else None
