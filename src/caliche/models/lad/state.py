"""What the two schemes of Land Dynamics share: constants, state, and what a step hands back."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from caliche import constants
from caliche.models.lad.fluxes import FluxLaw
from caliche.physics.layers import LayerColumn

Scalar = Float[Array, ""]


class Constants(NamedTuple):
    """Physical constants, SI units; temperatures are stepped as anomalies from freezing."""

    freezing_point: float
    vaporisation: float  # latent heat, J kg-1
    fusion: float  # latent heat, J kg-1
    stefan_boltzmann: float


OURS = Constants(
    constants.FREEZING_POINT,
    constants.LATENT_HEAT_VAPORISATION,
    constants.LATENT_HEAT_FUSION,
    constants.STEFAN_BOLTZMANN,
)
# Of the original code, for comparison with it.
ORIGINAL = Constants(273.16, 2.5e6, 3.34e5, 5.6734e-8)


class LaDState(eqx.Module):
    """State of a column.

    Attributes
    ----------
    temperatures : of the layers, K above freezing.
    frozen : latent heat of the frozen water in each layer, J m-3; empty without soil freezing.
    snow, root_zone, groundwater : kg m-2.
    """

    temperatures: tuple[Scalar, ...]
    frozen: tuple[Scalar, ...]
    snow: Scalar
    root_zone: Scalar
    groundwater: Scalar


class PreparedLaD(eqx.Module):
    """What parameters alone determine; `values` are the parameters and what follows from them."""

    values: dict[str, Scalar]
    column: LayerColumn
    law: FluxLaw
    time_step: float = eqx.field(static=True)
    largest_snow: float = eqx.field(static=True)
    constants: Constants = eqx.field(static=True)


class Outcome(NamedTuple):
    """A step: the state at its end, and means over it (W m-2, kg m-2 s-1; turbulence upwards)."""

    state: LaDState
    outgoing_shortwave: Scalar
    outgoing_longwave: Scalar
    sensible_heat_flux: Scalar
    latent_heat_flux: Scalar
    evaporation: Scalar
    snowfall: Scalar
    snowmelt: Scalar
    drainage: Scalar
    groundwater_outflow: Scalar
    snow_runoff: Scalar
