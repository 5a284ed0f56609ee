"""The parameters of Land Dynamics, declared once for a cover and a soil type."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import ParameterDeclaration, Params
from caliche.models.lad.tables import SOURCE, Cover, Soil
from caliche.physics.hydrology import rooting_depth

_MANABE = "Manabe (1969), doi:10.1175/1520-0493(1969)097<0739:CATOC>2.3.CO;2"
_MILLY = (
    "global factor as in Milly and Shmakin (2002), Part II, "
    "doi:10.1175/1525-7541(2002)003<0301:GMOLWA>2.0.CO;2"
)
_NUMERICAL = "a choice of the smooth scheme; not in the original"
_SPLIT = "Jennings et al. (2018), doi:10.1038/s41467-018-03629-7, range of thresholds"
_FREEZING = "a choice; GFDL's land_lad has the term, with no such water by default"
_SITE = "depends on the site"

_DERIVED = {
    "rooting_depth": ("m", "depth at which roots thin out to the critical density"),
    "root_zone_capacity": ("kg m-2", "water that the root zone holds for plants"),
    "thermal_diffusivity": ("m2 s-1", "thermal diffusivity"),
    "daily_damping_depth": ("m", "damping depth of the daily wave"),
}


def declare(cover: Cover, soil: Soil, freezing: bool) -> tuple[ParameterDeclaration, ...]:
    """Parameters of a column, other than those of its turbulent fluxes."""
    conductivity = soil.thermal_diffusivity * soil.volumetric_heat_capacity
    rows = [
        # name, long name, unit, default, lower, upper, source
        ("albedo", "albedo of ground free of snow", "1", cover.albedo, 0.01, 0.9, SOURCE),
        (
            "albedo_cold_increase",
            "how much that albedo rises down to 10 K of frost",
            "1",
            0.0,
            -0.3,
            0.3,
            SOURCE,
        ),
        (
            "snow_albedo",
            "albedo of deep snow at the freezing point",
            "1",
            cover.snow_albedo,
            0.2,
            0.95,
            SOURCE,
        ),
        (
            "snow_albedo_cold_increase",
            "how much that albedo rises down to 10 K of frost",
            "1",
            0.15,
            -0.1,
            0.4,
            SOURCE,
        ),
        (
            "critical_snow_mass",
            "snow mass that brightens the ground half way to snow",
            "kg m-2",
            cover.critical_snow_mass,
            0.1,
            300.0,
            SOURCE,
        ),
        (
            "thermal_conductivity",
            "thermal conductivity of the soil",
            "W m-1 K-1",
            conductivity,
            0.05,
            5.0,
            SOURCE,
        ),
        (
            "volumetric_heat_capacity",
            "volumetric heat capacity of the soil",
            "J m-3 K-1",
            soil.volumetric_heat_capacity,
            0.5e6,
            5.0e6,
            SOURCE,
        ),
        (
            "available_water_capacity",
            "water between wilting point and field capacity",
            "kg m-3",
            soil.available_water_capacity,
            10.0,
            600.0,
            SOURCE,
        ),
        ("root_mass", "mass of roots", "kg m-2", cover.root_mass, 0.05, 10.0, SOURCE),
        (
            "root_depth_scale",
            "depth over which roots thin out to 1/e",
            "m",
            cover.root_depth_scale,
            0.02,
            2.0,
            SOURCE,
        ),
        (
            "critical_root_density",
            "root density at the bottom of the root zone",
            "kg m-3",
            0.125,
            0.005,
            3.0,
            SOURCE,
        ),
        ("factor_root", "factor of the critical root density", "1", 1.0, 0.05, 20.0, _MILLY),
        (
            "stress_threshold",
            "filling of the root zone below which plants lack water",
            "1",
            0.75,
            0.1,
            1.0,
            _MANABE,
        ),
        (
            "groundwater_residence_time",
            "residence time of the groundwater",
            "s",
            60.0 * 86400.0,
            86400.0,
            3650.0 * 86400.0,
            SOURCE,
        ),
        (
            "drainage_time",
            "time within which the root zone loses what is above its capacity",
            "s",
            3600.0,
            60.0,
            30.0 * 86400.0,
            _NUMERICAL,
        ),
        (
            "rain_snow_temperature",
            "air temperature at which half the precipitation is snow",
            "K",
            274.2,
            270.0,
            279.0,
            _SPLIT,
        ),
        (
            "rain_snow_half_range",
            "warming from there that turns all precipitation to rain",
            "K",
            2.1,
            0.2,
            6.0,
            _SPLIT,
        ),
        ("initial_temperature", "initial temperature of the soil", "K", 288.0, 230.0, 330.0, _SITE),
        (
            "initial_root_zone_saturation",
            "initial filling of the root zone",
            "1",
            0.5,
            0.0,
            1.2,
            _SITE,
        ),
        ("initial_groundwater", "initial groundwater", "kg m-2", 20.0, 0.0, 2000.0, _SITE),
    ]
    if freezing:
        rows.append(
            (
                "freezable_water",
                "water of the soil that freezes and takes no other part",
                "kg m-3",
                100.0,
                0.0,
                600.0,
                _FREEZING,
            )
        )
    return tuple(ParameterDeclaration(*row) for row in rows)


def derived_labels() -> dict[str, tuple[str, str]]:
    """Unit and long name of each derived quantity."""
    return dict(_DERIVED)


def derive(params: Params) -> dict[str, Float[Array, ""]]:
    """Rooting depth, capacity of the root zone, thermal diffusivity and daily damping depth."""
    depth = rooting_depth(
        params["root_mass"],
        params["root_depth_scale"],
        params["critical_root_density"] * params["factor_root"],
    )
    diffusivity = params["thermal_conductivity"] / params["volumetric_heat_capacity"]
    return {
        "rooting_depth": depth,
        "root_zone_capacity": depth * params["available_water_capacity"],
        "thermal_diffusivity": diffusivity,
        "daily_damping_depth": jnp.sqrt(diffusivity * 86400.0 / jnp.pi),
    }
