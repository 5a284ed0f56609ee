"""Turbulent fluxes of Land Dynamics as a law that can be replaced, by a neural network say.

A law gives sensible heat and evaporation at a surface temperature. The model solves for the surface
temperature at the end of a step, so that the fluxes of the step are those of its solution.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche import constants
from caliche.models.base import Forcing, ParameterDeclaration, Params
from caliche.models.lad.tables import SOURCE, Cover
from caliche.physics import saturation, stability
from caliche.physics.humidity import specific_humidity
from caliche.physics.tangents import quotient

Scalar = Float[Array, ""]
Drag = Literal["monin-obukhov", "neutral"]
_MILLY = (
    "global factor as in Milly and Shmakin (2002), Part II, "
    "doi:10.1175/1525-7541(2002)003<0301:GMOLWA>2.0.CO;2"
)


class Conditions(NamedTuple):
    """What a law may know of the column besides its surface temperature: the start of the step.

    temperatures : of the layers, K.
    snow_cover : 0 to 1.
    saturation : water in the root zone over its capacity.
    wetness : evaporation as a fraction of that without shortage of water, above 0, up to 1. A law
        gives evaporation in proportion to it where water is short.
    held : what the law keeps for the step, see `FluxLaw.hold`.
    """

    temperatures: tuple[Scalar, ...]
    snow_cover: Scalar
    saturation: Scalar
    wetness: Scalar
    held: Any = None


class FluxLaw(eqx.Module):
    """(parameters, surface temperature, conditions, forcing) -> (sensible heat flux, evaporation).

    In W m-2 and kg m-2 s-1, both upwards; differentiable by the surface temperature (K).
    """

    @abstractmethod
    def declare(self, cover: Cover) -> tuple[ParameterDeclaration, ...]:
        """Parameters of the law, with the defaults of a cover type."""

    @property
    @abstractmethod
    def forcing_variables(self) -> tuple[str, ...]:
        """Names of the forcing that the law reads."""

    def prepare(self, params: Params) -> dict[str, Scalar]:
        """What depends on parameters alone and is worth computing once; joins them."""
        return {}

    def hold(self, params: Params, conditions: Conditions, forcing: Forcing) -> Any:
        """What does not change with the surface temperature within a step, computed once for it.

        `__call__` finds it in `conditions.held`.
        """
        return None

    @abstractmethod
    def __call__(
        self, params: Params, surface_temperature: Scalar, conditions: Conditions, forcing: Forcing
    ) -> tuple[Scalar, Scalar]: ...


class BulkFluxes(FluxLaw):
    """Bulk transfer through an aerodynamic and a stomatal resistance in series.

    H = rho cp (Ts - Ta) / ra and E = wetness rho (q* - q) / (ra + rs), with ra = 1 / (C_H U).
    The transfer coefficient belongs to the surface temperature at the start of the step.

    Parameters
    ----------
    height : of the measurements above the displacement height, m.
    drag : of stability after Monin and Obukhov, or neutral. Humidity does not enter stability.
    gustiness : m s-1, added in quadrature to the wind.
    resist_sublimation : whether the stomatal resistance also holds back snow, as in the original.
    original : saturation, constants and switches of the original code, for comparison with it.
    """

    height: float = eqx.field(static=True, converter=float)
    drag: Drag = eqx.field(static=True, default="monin-obukhov")
    gustiness: float = eqx.field(static=True, converter=float, default=0.3)
    resist_sublimation: bool = eqx.field(static=True, default=True)
    original: bool = eqx.field(static=True, default=False)

    def declare(self, cover: Cover) -> tuple[ParameterDeclaration, ...]:
        rows = [
            (
                "stomatal_resistance",
                "stomatal resistance of the cover without lack of water",
                "s m-1",
                cover.stomatal_resistance,
                0.001,
                2000.0,
                SOURCE,
            ),
            ("factor_stomata", "factor of the stomatal resistance", "1", 1.0, 0.02, 50.0, _MILLY),
            (
                "roughness_length",
                "roughness length for momentum",
                "m",
                cover.roughness_length,
                1e-4,
                0.4 * self.height,
                SOURCE,
            ),
            ("factor_roughness", "factor of the roughness length", "1", 1.0, 0.1, 2.0, SOURCE),
            (
                "log_roughness_ratio",
                "ln of the roughness lengths for momentum over heat",
                "1",
                cover.log_roughness_ratio,
                -1.0,
                12.0,
                SOURCE,
            ),
        ]
        return tuple(ParameterDeclaration(*row) for row in rows)

    @property
    def forcing_variables(self) -> tuple[str, ...]:
        return ("air_temperature", "specific_humidity", "air_pressure", "wind_speed")

    def prepare(self, params: Params) -> dict[str, Scalar]:
        roughness = params["roughness_length"] * params["factor_roughness"]
        log_momentum = jnp.log(self.height / roughness)
        log_heat = log_momentum + params["log_roughness_ratio"]
        if not self.original:  # no air between the roughness length and the instruments
            log_heat = jnp.where(log_heat > 0.0, log_heat, jnp.nan)
        return {
            "log_momentum": log_momentum,
            "log_heat": log_heat,
            "neutral_coefficient": stability.neutral_transfer_coefficients(
                log_momentum, log_heat
            ).heat,
            "greatest_richardson_number": stability.greatest_richardson_number(
                log_momentum, log_heat
            ),
            "surface_resistance": params["stomatal_resistance"] * params["factor_stomata"],
        }

    def hold(
        self, params: Params, conditions: Conditions, forcing: Forcing
    ) -> tuple[Scalar, Scalar]:
        """Conductances (kg m-2 s-1) for heat and for vapour."""
        air, gas = forcing["air_temperature"], self._constants[0]
        wind = jnp.sqrt(forcing["wind_speed"] ** 2 + self.gustiness**2)
        velocity = wind * self._coefficient(params, conditions.temperatures[0], air, wind)
        excess = 1.0 / self._constants[2] - 1.0
        virtual = air * (1.0 + excess * forcing["specific_humidity"])
        heat = forcing["air_pressure"] / (gas * virtual) * velocity
        resistance = params["surface_resistance"]
        if not self.resist_sublimation:
            resistance = resistance * (1.0 - conditions.snow_cover)
        return heat, quotient(conditions.wetness * heat, 1.0 + resistance * velocity)

    def __call__(
        self, params: Params, surface_temperature: Scalar, conditions: Conditions, forcing: Forcing
    ) -> tuple[Scalar, Scalar]:
        pressure = forcing["air_pressure"]
        if self.original:
            saturated = saturation.goff_gratch_humidity(surface_temperature, pressure)
        else:
            vapour = saturation.saturation_vapour_pressure(surface_temperature)
            # At most the pressure of the air: no iterate may meet the pole of the humidity beyond.
            saturated = specific_humidity(jnp.minimum(vapour, pressure), pressure)
        heat, moist = conditions.held
        warmer = surface_temperature - forcing["air_temperature"]
        moister = saturated - forcing["specific_humidity"]
        return self._constants[1] * heat * warmer, moist * moister

    @property
    def _constants(self) -> tuple[float, float, float]:
        """Gas constant and heat capacity of dry air, ratio of molar masses of water and air."""
        if self.original:
            return 287.04, 3.5 * 287.04, 287.04 / 461.50
        return (
            constants.GAS_CONSTANT_DRY_AIR,
            constants.SPECIFIC_HEAT_DRY_AIR,
            constants.WATER_AIR_MASS_RATIO,
        )

    def _coefficient(self, params: Params, surface: Scalar, air: Scalar, wind: Scalar) -> Scalar:
        if self.drag == "neutral":
            return params["neutral_coefficient"]
        gravity = 9.80 if self.original else constants.GRAVITY
        wind = jnp.sqrt(wind * wind + 1e-4)  # as in the original; never calm
        transfer = stability.transfer_coefficients
        if self.original:
            transfer = stability.transfer_coefficients_with_jump
        return transfer(
            stability.bulk_richardson_number(self.height, air, surface, wind, gravity),
            params["log_momentum"],
            params["log_heat"],
            params["greatest_richardson_number"],
        ).heat
