"""Tables of a configuration about data: sources of towers, and what is derived from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caliche.data.longwave import LongwaveBalance
from caliche.data.memory import as_table
from caliche.data.missing import NUMBERS
from caliche.data.source import (
    FLUXES,
    FORMATS,
    MOISTURE_UNITS,
    STAMPS,
    TOWERS,
    Column,
    Fluxnet,
    Source,
    TimeAxis,
    check_place,
)
from caliche.errors import InputError
from caliche.experiments.config.window import SiteTable
from caliche.keys.declare import key, keys_of
from caliche.variables import variable


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """One file and how to read it."""

    path: Path = key("path, relative to this file or to the folder that CALICHE_DATA names")
    format: str = key("format of the file", choices=FORMATS, checked=False)
    time: TimeAxis | None = key("the time axis of a table", None)
    columns: Mapping[str, Column] = key("columns of a table by stream", {}, names=variable)
    accept_qc: tuple[int, ...] = key(
        "accepted quality flags, unless a column has its own", (0,), example="[0, 1]"
    )
    missing: tuple[float | str, ...] = key(
        "numbers and texts that stand for a missing value, beside "
        + ", ".join(f"{n:g}" for n in NUMBERS)
        + " and the usual texts",
        (),
    )
    latitude: float | None = key("latitude, instead of the site's", None, unit="degrees north")
    longitude: float | None = key("longitude, instead of the site's", None, unit="degrees east")
    variables: tuple[str, ...] = key("streams to read, and no others", ())
    leave_out: tuple[str, ...] = key("streams not to read", ())
    ranges: Mapping[str, tuple[float, ...]] = key(
        "by stream, the smallest and the largest value (SI) to believe", {}, names=variable
    )

    def check(self, where: str) -> None:
        check_place(self.latitude, self.longitude)


@dataclass(frozen=True, kw_only=True)
class TowerTable(SourceTable):
    """A file of FLUXNET, AmeriFlux or PLUMBER2, and what it does not say of itself."""

    utc_offset: float | None = key("local standard time = UTC + utc_offset", None, unit="hours")
    stamp: str | None = key(
        "part of the interval that times mark, for plumber2", None, choices=STAMPS
    )
    fluxes: str = key(
        "turbulent fluxes as measured, or corrected for closure", "measured", choices=FLUXES
    )
    prefer: Mapping[str, str] = key(
        "by stream, the column to read instead of the format's first", {}, names=variable
    )
    accept_forcing: tuple[int, ...] | None = key(
        "accepted quality flags of the weather, instead of accept_qc", None, example="[0, 1, 2]"
    )
    soil_depths: tuple[float, ...] = key(
        "depths of the soil temperatures, in the order of their columns", (), unit="m"
    )
    moisture_depths: tuple[float, ...] = key(
        "depths of the soil moistures, in the order of their columns", (), unit="m"
    )
    plate_depth: float | None = key("depth of the soil heat flux", None, unit="m")
    moisture_unit: str = key("unit of soil moisture in the file", "%", choices=MOISTURE_UNITS)
    least_measured: float = key(
        "share of a day or week that has to be measured for its mean to count",
        0.5,
        least=0,
        most=1,
        checked=False,
    )


@dataclass(frozen=True, kw_only=True)
class SurfaceTemperatureTable:
    """The stream surface_temperature, from the longwave radiation of the tower."""

    emissivity: float = key("emissivity of the surface")
    reflected: bool = key("whether reflected longwave radiation is taken off", True)


@dataclass(frozen=True, kw_only=True)
class DeriveTable:
    """Streams that are computed from others."""

    surface_temperature: SurfaceTemperatureTable | None = key(
        "surface temperature as a stream to fit or score", None
    )
    incoming_longwave: LongwaveBalance | None = key(
        "incoming longwave radiation that the tower did not measure", None
    )


def source_form(own: Mapping[str, Any], around: Mapping[str, Any]) -> type:
    """Which keys a source has."""
    return TowerTable if own.get("format") in TOWERS else SourceTable


def make_source(table: SourceTable, site: SiteTable, name: str, data: Mapping[str, Any]) -> Source:
    """A source; the site's place stands in where it gives none, `data` for its file."""
    said = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    fluxnet = None
    if isinstance(table, TowerTable):
        own = keys_of(TowerTable).keys() - keys_of(SourceTable).keys()
        options = {name: said.pop(name) for name in own}
        fluxnet = Fluxnet(**options, latitude=table.latitude, longitude=table.longitude)
    said["latitude"] = site.latitude if table.latitude is None else table.latitude
    said["longitude"] = site.longitude if table.longitude is None else table.longitude
    source = Source(**said, site=site.name, fluxnet=fluxnet)
    if name not in data:
        return source
    if source.time is None:
        raise InputError(
            f"format = 'table' for {name}, whose data are in memory",
            repr(source.format),
            "leave format out, or name a file",
        )
    offset = source.time.utc_offset or 0.0
    held = as_table(data[name], name, source.time.column, offset)
    return dataclasses.replace(source, data=held)
