"""Tables of a configuration about data: sources of towers, derived longwave."""

from __future__ import annotations

from caliche.data.longwave import METHODS, LongwaveBalance
from caliche.data.source import FLUXES, TOWERS, Fluxnet
from caliche.experiments.section import Section


def fluxnet_options(section: Section) -> Fluxnet | None:
    """What the file does not say of itself; None for another format, which has no such keys."""
    if section.table.get("format") not in TOWERS:
        return None
    return Fluxnet(
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
