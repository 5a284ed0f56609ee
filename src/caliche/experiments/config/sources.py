"""Tables of a configuration about data: sources of towers, derived longwave."""

from __future__ import annotations

from pathlib import Path

from caliche.data.longwave import METHODS, LongwaveBalance
from caliche.data.source import (
    FLUXES,
    MOISTURE_UNITS,
    TOWERS,
    Column,
    Fluxnet,
    Source,
    TimeAxis,
    check_place,
)
from caliche.experiments.config.section import Section

Place = tuple[float | None, float | None]  # degrees north and east


def site_place(section: Section) -> Place:
    """Latitude and longitude of a table, None where it has none."""
    latitude, longitude = (section.get(k, float, None) for k in ("latitude", "longitude"))
    check_place(latitude, longitude)
    return latitude, longitude


def source(section: Section, site: str | None, place: Place) -> Source:
    """One table of [sources]; the site's place stands in where the source gives none."""
    columns = {}
    for stream, part in section.sections("columns").items():
        accept = part.whole_numbers("accept", None)
        columns[stream] = Column(
            part.get("name", str), part.get("unit", str, None), part.get("qc", str, None), accept
        )
        part.finish()
    time = None
    if "time" in section.table:
        part = section.section("time")
        time = TimeAxis(
            part.get("column", str),
            part.get("stamp", str, None),
            part.get("utc_offset", float, None),
            part.get("format", str, None),
        )
        part.finish()
    section.get("time", dict, {})
    ranges = section.section("ranges", {})
    own = site_place(section)
    result = Source(
        path=Path(section.get("path", str)),
        format=section.get("format", str),
        time=time,
        columns=columns,
        accept_qc=section.whole_numbers("accept_qc", [0]) or [],
        site=site,
        missing=section.marks("missing"),
        fluxnet=fluxnet_options(section),
        latitude=place[0] if own[0] is None else own[0],
        longitude=place[1] if own[1] is None else own[1],
        variables=section.texts("variables"),
        leave_out=section.texts("leave_out"),
        ranges={stream: ranges.numbers(stream) for stream in ranges.table},
    )
    section.finish()
    return result


def fluxnet_options(section: Section) -> Fluxnet | None:
    """What the file does not say of itself; None for another format, which has no such keys."""
    if section.table.get("format") not in TOWERS:
        return None
    prefer = section.section("prefer", {})
    return Fluxnet(
        prefer={stream: prefer.get(stream, str) for stream in prefer.table},
        utc_offset=section.get("utc_offset", float, None),
        accept_forcing=section.whole_numbers("accept_forcing", None),
        fluxes=section.choice("fluxes", FLUXES, "measured"),
        soil_depths=section.numbers("soil_depths"),
        moisture_depths=section.numbers("moisture_depths"),
        plate_depth=section.get("plate_depth", float, None),
        latitude=section.get("latitude", float, None),
        longitude=section.get("longitude", float, None),
        least_measured=section.get("least_measured", float, 0.5),
        stamp=section.get("stamp", str, None),
        moisture_unit=section.choice("moisture_unit", MOISTURE_UNITS, "%"),
    )


def longwave_balance(top: Section) -> LongwaveBalance | None:
    """[derive.incoming_longwave], None where it is not asked for."""
    outer = top.section("derive", {})
    if "incoming_longwave" not in outer.table:
        return None
    section = outer.section("incoming_longwave")
    result = LongwaveBalance(
        section.get("emissivity", float, None),
        section.get("surface", str, None),
        section.get("albedo", float, None),
        section.choice("method", METHODS, "balance"),
    )
    section.finish()
    return result


def parse_derive(top: Section) -> tuple[float, bool] | None:
    outer = top.section("derive", {})
    outer.get("surface_temperature", dict, {})
    outer.get("incoming_longwave", dict, {})
    if "surface_temperature" not in outer.table:
        outer.finish()
        return None
    section = outer.section("surface_temperature")
    result = section.get("emissivity", float), section.get("reflected", bool, True)
    section.finish()
    outer.finish()
    return result
