"""Snow without depth: what falls as snow, how bright it makes the ground, how much melts.

After Milly and Shmakin (2002), J. Hydrometeorol. 3, 283,
doi:10.1175/1525-7541(2002)003<0283:GMOLWA>2.0.CO;2: snow is a mass, with no temperature, insulation
or liquid water of its own.
"""

from __future__ import annotations

from jaxtyping import Array, Float

from caliche.physics.switches import smooth_cap, smooth_plus, smooth_step
from caliche.physics.tangents import quotient

Scalar = Float[Array, ""]

MELT_WIDTH = 0.05  # K around freezing within which melt sets in
EXHAUSTION_WIDTH = 0.2  # of the snow there is, within which melt runs out of it


def snow_fraction(air_temperature: Scalar, middle: Scalar, half_range: Scalar) -> Scalar:
    """Fraction of precipitation that falls as snow: 1 below middle - half_range, then down to 0."""
    return smooth_step(0.5 * ((middle - air_temperature) / half_range + 1.0))


def masked_albedo(ground: Scalar, snow: Scalar, mass: Scalar, critical_mass: Scalar) -> Scalar:
    """Albedo of ground with `mass` (kg m-2) of snow on it; half way at the critical mass.

    What stands above the snow and hides it is in the critical mass alone.
    """
    return ground + (snow - ground) * quotient(mass, mass + critical_mass)


def melted_share(excess: Scalar, pause: Scalar) -> Scalar:
    """Share of the snow that melts in a step: what holds the surface at freezing, or all of it.

    Parameters
    ----------
    excess : surface temperature above freezing that the heat of melt would have brought, K.
    pause : warming that the heat of melt of all the snow would have brought, K.
    """
    return smooth_cap(quotient(smooth_plus(excess, MELT_WIDTH), pause + 1e-12), EXHAUSTION_WIDTH)


def frozen_share(heat: Scalar, most: Scalar, width: Scalar) -> Scalar:
    """Latent heat bound in the frozen water of soil (J m-3) at a heat content.

    Parameters
    ----------
    heat : sensible heat above freezing less the latent heat of what is frozen, J m-3.
    most : latent heat of all water that can freeze, J m-3.
    width : heat within which either end is rounded, J m-3.
    """
    return smooth_plus(-heat, width) - smooth_plus(-heat - most, width)
