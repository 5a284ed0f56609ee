"""The names of everything that is measured or modelled, with units, signs and plausible ranges.

One table serves the readers, the observation operator, the run folder and the report. Names are
the field's words spelled out; the ALMA and CF names are kept beside them for input and output.
Signs: radiation and ground heat flux as named (incoming, outgoing) or positive downwards,
turbulent fluxes positive upwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from caliche.errors import InputError, nearest
from caliche.names import site_of, without_site


@dataclass(frozen=True)
class Variable:
    """One measured or modelled quantity.

    `valid_min` and `valid_max` bound what can occur on land (ALMA/FluxnetLSM ranges, rounded);
    a value outside is refused at the boundary. `is_state` separates a value that holds at the end
    of a time step (a temperature) from one that holds over it (a flux). `depth` is in metres,
    positive downwards.
    """

    name: str
    unit: str
    alma: str
    standard_name: str
    long_name: str
    valid_min: float
    valid_max: float
    is_state: bool = False
    has_depth: bool = False
    depth: float | None = None


_TABLE = [
    # name, unit, ALMA, CF standard_name, long_name, valid_min, valid_max
    Variable(
        "incoming_shortwave",
        "W m-2",
        "SWdown",
        "surface_downwelling_shortwave_flux_in_air",
        "incoming shortwave radiation",
        -20.0,
        1500.0,
    ),
    Variable(
        "incoming_longwave",
        "W m-2",
        "LWdown",
        "surface_downwelling_longwave_flux_in_air",
        "incoming longwave radiation",
        50.0,
        750.0,
    ),
    Variable(
        "air_temperature",
        "K",
        "Tair",
        "air_temperature",
        "air temperature",
        200.0,
        333.0,
    ),
    Variable(
        "specific_humidity",
        "kg kg-1",
        "Qair",
        "specific_humidity",
        "specific humidity",
        0.0,
        0.1,
    ),
    Variable(
        "air_pressure",
        "Pa",
        "PSurf",
        "surface_air_pressure",
        "air pressure",
        4.5e4,
        1.1e5,
    ),
    Variable("wind_speed", "m s-1", "Wind", "wind_speed", "wind speed", -0.5, 75.0),
    Variable(
        "precipitation",
        "kg m-2 s-1",
        "Rainf",
        "precipitation_flux",
        "precipitation",
        0.0,
        0.1,
    ),
    Variable(
        "outgoing_shortwave",
        "W m-2",
        "SWup",
        "surface_upwelling_shortwave_flux_in_air",
        "outgoing shortwave radiation",
        -20.0,
        1300.0,
    ),
    Variable(
        "outgoing_longwave",
        "W m-2",
        "LWup",
        "surface_upwelling_longwave_flux_in_air",
        "outgoing longwave radiation",
        50.0,
        1000.0,
    ),
    Variable(
        "net_radiation",
        "W m-2",
        "Rnet",
        "surface_net_downward_radiative_flux",
        "net radiation, positive downwards",
        -500.0,
        1300.0,
    ),
    Variable(
        "sensible_heat_flux",
        "W m-2",
        "Qh",
        "surface_upward_sensible_heat_flux",
        "sensible heat flux, positive upwards",
        -1000.0,
        1500.0,
    ),
    Variable(
        "latent_heat_flux",
        "W m-2",
        "Qle",
        "surface_upward_latent_heat_flux",
        "latent heat flux, positive upwards",
        -1000.0,
        1500.0,
    ),
    Variable(
        "turbulent_heat_flux",
        "W m-2",
        "",
        "",
        "sensible plus latent heat flux, positive upwards",
        -1500.0,
        2000.0,
    ),
    Variable(
        "surface_temperature",
        "K",
        "AvgSurfT",
        "surface_temperature",
        "surface (skin) temperature",
        200.0,
        360.0,
        is_state=True,
    ),
    Variable(
        "soil_temperature",
        "K",
        "SoilTemp",
        "soil_temperature",
        "soil temperature",
        200.0,
        350.0,
        is_state=True,
        has_depth=True,
    ),
    Variable(
        "ground_heat_flux",
        "W m-2",
        "Qg",
        "downward_heat_flux_in_soil",
        "ground heat flux, positive downwards",
        -500.0,
        700.0,
        has_depth=True,
    ),
    Variable(
        "soil_moisture",
        "m3 m-3",
        "",
        "volume_fraction_of_condensed_water_in_soil",
        "volumetric soil moisture",
        0.0,
        1.0,
        is_state=True,
        has_depth=True,
    ),
    Variable(
        "evaporation",
        "kg m-2 s-1",
        "Evap",
        "water_evapotranspiration_flux",
        "evaporation, positive upwards",
        -3e-4,
        4e-4,
    ),
    Variable(
        "snowmelt",
        "kg m-2 s-1",
        "Qsm",
        "surface_snow_melt_flux",
        "snow melt",
        0.0,
        0.1,
    ),
    Variable(
        "drainage",
        "kg m-2 s-1",
        "Qrec",
        "",
        "drainage from the root zone to the groundwater, positive downwards",
        -0.01,
        0.1,
    ),
    Variable(
        "groundwater_outflow",
        "kg m-2 s-1",
        "Qsb",
        "subsurface_runoff_flux",
        "outflow from the groundwater",
        0.0,
        0.1,
    ),
    Variable(
        "runoff",
        "kg m-2 s-1",
        "",
        "runoff_flux",
        "runoff, from ground and snow",
        0.0,
        0.1,
    ),
    Variable(
        "snow_water_equivalent",
        "kg m-2",
        "SWE",
        "surface_snow_amount",
        "snow water equivalent",
        0.0,
        1e4,
        is_state=True,
    ),
    Variable(
        "root_zone_water",
        "kg m-2",
        "RootMoist",
        "mass_content_of_water_in_soil_defined_by_root_depth",
        "water in the root zone above the wilting point",
        -100.0,
        3000.0,
        is_state=True,
    ),
    Variable(
        "groundwater",
        "kg m-2",
        "",
        "",
        "water in the groundwater",
        0.0,
        1e5,
        is_state=True,
    ),
]

VARIABLES: dict[str, Variable] = {variable.name: variable for variable in _TABLE}
FORCING = tuple(
    name
    for name in VARIABLES
    if VARIABLES[name].alma in ("SWdown", "LWdown", "Tair", "Qair", "PSurf", "Wind", "Rainf")
)
# Forcing whose sum over time matters: never interpolated, never sampled.
AMOUNTS = tuple(name for name in FORCING if VARIABLES[name].unit == "kg m-2 s-1")

SIGMA = "_sigma"  # suffix of a stream that holds the random uncertainty of another
_AT_DEPTH = re.compile(r"^(?P<name>[a-z_]+)_(?P<depth>\d+(\.\d+)?)m$")


def stream_name(name: str, depth: float | None = None) -> str:
    """Name of a stream: `soil_temperature` at 0.05 m is `soil_temperature_0.05m`."""
    if depth is None:
        return name
    text = f"{depth:.2f}"
    return f"{name}_{text if float(text) == depth else repr(float(depth))}m"


def variable(stream: str) -> Variable:
    """The table's entry for a stream name, with its depth (m) filled in where it has one.

    `<stream>_sigma` is the random uncertainty (one standard deviation) of a stream.

    Raises
    ------
    InputError : the name is not in the table, or lacks the depth it needs.
    """
    if stream.endswith(SIGMA):
        of = variable(stream.removesuffix(SIGMA))
        return replace(
            of,
            name=of.name + SIGMA,
            alma="",
            standard_name="",
            long_name=f"random uncertainty (standard deviation) of {of.long_name}",
            valid_min=0.0,
            valid_max=of.valid_max - of.valid_min,
        )
    if stream in VARIABLES and not VARIABLES[stream].has_depth:
        return VARIABLES[stream]
    if match := _AT_DEPTH.match(stream):
        base = VARIABLES.get(match["name"])
        if base is not None and base.has_depth:
            return replace(base, depth=float(match["depth"]))
    if stream in VARIABLES:
        raise InputError(
            f"a depth in the name of a {stream}",
            repr(stream),
            f"write the depth in metres, as in {stream_name(stream, 0.05)!r}",
        )
    known = [stream_name(v.name, 0.05) if v.has_depth else v.name for v in VARIABLES.values()]
    raise InputError("the name of a known variable", repr(stream), nearest(stream, known))


def label(stream: str) -> str:
    """A stream in words: soil_temperature_0.05m is "soil temperature at 0.05 m".

    `<stream>@<site>` is that of a site among several. The outputs of an executable are called what
    its file calls them.
    """
    if site := site_of(stream):
        return f"{label(without_site(stream))}, {site}"
    try:
        entry = variable(stream)
    except InputError:
        return stream
    # The sign convention after the comma belongs to a table, not to a sentence.
    words = entry.long_name.partition(",")[0]
    return words if entry.depth is None else f"{words} at {stream.rpartition('_')[2][:-1]} m"
