"""Cover types and soil types of Land Dynamics, with the defaults of the distributed code.

Values are those of GFDL's land_lad (MOM5, commit 6bdbdd48, land_properties), which carries the
types of Milly and Shmakin (2002). Lakes and glaciers of its tables are left out: they are not
columns of soil under a root zone. So is the massless soil of the Manabe experiments.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = (
    "Milly and Shmakin (2002), doi:10.1175/1525-7541(2002)003<0283:GMOLWA>2.0.CO;2; "
    "defaults of GFDL's land_lad code"
)


class Cover(NamedTuple):
    """A cover type.

    stomatal_resistance : s m-1.  root_depth_scale : m.  root_mass : kg m-2.
    roughness_length : m.  log_roughness_ratio : ln(z0 / z0h).
    critical_snow_mass : kg m-2, at which half the ground's brightness is that of snow.
    albedo : free of snow.  snow_albedo : of deep snow at the freezing point.
    """

    stomatal_resistance: float
    root_depth_scale: float
    root_mass: float
    roughness_length: float
    critical_snow_mass: float
    albedo: float
    snow_albedo: float = 0.65
    log_roughness_ratio: float = 2.0


COVERS = {
    "broadleaf_evergreen": Cover(43.6, 0.26, 4.9, 2.65, 60.0, 0.149),
    "broadleaf_deciduous": Cover(131.0, 0.29, 4.2, 0.90, 10.0, 0.130),
    "mixed_forest": Cover(87.1, 0.35, 4.3, 1.2, 25.0, 0.132),
    "needleleaf_evergreen": Cover(69.7, 0.17, 2.9, 0.90, 40.0, 0.126),
    "needleleaf_deciduous": Cover(218.0, 0.17, 2.9, 0.80, 40.0, 0.143),
    "grass": Cover(56.6, 0.26, 1.4, 0.07, 5.0, 0.182),
    "desert": Cover(0.01, 0.35, 0.762, 0.01, 5.0, 0.333),
    "tundra": Cover(170.0, 0.11, 1.2, 0.07, 5.0, 0.139),
    "agriculture": Cover(56.6, 0.25, 0.15, 0.40, 5.0, 0.160),
    "global_vegetation": Cover(67.0, 0.35, 0.362, 1.0, 100.0, 0.12, 0.45),
    # Its albedo comes from a map in the original; this one is of bare, dry ground.
    "manabe_vegetation": Cover(0.01, 0.35, 0.762, 0.045, 5.0, 0.20, 0.45, 0.0),
}


class Soil(NamedTuple):
    """A soil type.

    available_water_capacity : kg m-3, between wilting point and field capacity.
    volumetric_heat_capacity : J m-3 K-1.  thermal_diffusivity : m2 s-1.
    """

    available_water_capacity: float
    volumetric_heat_capacity: float
    thermal_diffusivity: float


SOILS = {
    "coarse": Soil(63.0, 1.8e6, 8.3e-7),
    "medium": Soil(132.0, 2.0e6, 4.0e-7),
    "fine": Soil(109.0, 2.6e6, 5.2e-7),
    "coarse_medium": Soil(98.0, 1.9e6, 6.2e-7),
    "coarse_fine": Soil(86.0, 2.2e6, 6.8e-7),
    "medium_fine": Soil(120.0, 2.3e6, 4.6e-7),
    "coarse_medium_fine": Soil(101.0, 2.1e6, 5.8e-7),
    "peat": Soil(445.0, 3.0e6, 1.3e-7),
}
