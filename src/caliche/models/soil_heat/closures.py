"""Turbulent closures: each a function of parameters, surface temperature and forcing.

A closure is data: what it computes, the parameters it declares and the forcing it reads. Another
one, a neural network included, is another `TurbulentClosure` with the same signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.constants import DRY_ADIABATIC_LAPSE_RATE, VIRTUAL_TEMPERATURE_FACTOR
from caliche.errors import InputError
from caliche.models.base import Forcing, ParameterDeclaration, Params
from caliche.physics import stability, turbulence
from caliche.physics.heat_transfer import HeatTransfer
from caliche.physics.humidity import saturation_specific_humidity

Scalar = Float[Array, ""]
# (parameters, surface temperature, forcing) -> sensible, latent heat flux (W m-2, upwards)
FluxFunction = Callable[[Params, Scalar, Forcing], tuple[Scalar, Scalar]]

GUSTINESS = 0.3  # m s-1, floor of the wind in bulk transfer


@dataclass(frozen=True)
class TurbulentClosure:
    """How sensible and latent heat flux follow from the surface temperature.

    `separates` is False for a closure that gives only their sum; that sum is then carried as the
    turbulent heat flux, and the two parts are not reported.

    `per_wetness` gives the sensible heat flux, and the latent one per unit of the parameter
    `moisture_availability`; None for a closure without that parameter. A store of water can then
    supply the wetness.

    `prepare` computes what depends on parameters alone; its result is added to the parameters
    that `fluxes` gets in a time loop, and `fluxes` makes it itself where it is missing.
    """

    name: str
    fluxes: FluxFunction
    declarations: tuple[ParameterDeclaration, ...]
    forcing_variables: tuple[str, ...]
    separates: bool = True
    per_wetness: FluxFunction | None = None
    prepare: Callable[[Params], Mapping[str, Any]] | None = None

    def with_prepared(self, params: Params) -> dict[str, Any]:
        """The parameters, with what `prepare` adds to them."""
        return {**params, **(self.prepare(params) if self.prepare is not None else {})}


@dataclass(frozen=True)
class _Wetted:
    """Fluxes of a surface whose wetness is the parameter `moisture_availability`."""

    per_wetness: FluxFunction

    def __call__(self, params: Params, surface_temperature: Scalar, forcing: Forcing):
        sensible, latent = self.per_wetness(params, surface_temperature, forcing)
        return sensible, params["moisture_availability"] * latent


def _combined(params: Params, surface_temperature: Scalar, forcing: Forcing):
    total = turbulence.linear_heat_flux(
        params["combined_heat_transfer_coefficient"],
        surface_temperature,
        forcing["air_temperature"],
    )
    return total, 0.0 * total


def _bowen(params: Params, surface_temperature: Scalar, forcing: Forcing):
    sensible = turbulence.linear_heat_flux(
        params["heat_transfer_coefficient"], surface_temperature, forcing["air_temperature"]
    )
    return sensible, turbulence.bowen_partition(sensible, params["bowen_ratio"])


def _bulk(params: Params, surface_temperature: Scalar, forcing: Forcing):
    coefficient = params["bulk_transfer_coefficient"]
    density = turbulence.air_density(
        forcing["air_pressure"], forcing["air_temperature"], forcing["specific_humidity"]
    )
    wind = turbulence.effective_wind_speed(forcing["wind_speed"], GUSTINESS)
    sensible = turbulence.bulk_sensible_heat_flux(
        coefficient, density, wind, surface_temperature, forcing["air_temperature"]
    )
    latent = turbulence.bulk_latent_heat_flux(
        coefficient,
        jnp.ones_like(coefficient),
        density,
        wind,
        surface_temperature,
        forcing["specific_humidity"],
        forcing["air_pressure"],
    )
    return sensible, latent


@dataclass(frozen=True)
class _Curve:
    """C_H by Richardson number between the surface and a height (m) above displacement."""

    height: float

    def __call__(self, params: Params) -> dict[str, HeatTransfer]:
        log_momentum = jnp.log(self.height / params["roughness_length"])
        log_heat = log_momentum + params["log_roughness_ratio"]
        lowest = -stability.RICHARDSON_PER_HEIGHT * self.height / GUSTINESS**2
        return {_CURVE: HeatTransfer.build(log_momentum, log_heat, lowest)}


@dataclass(frozen=True)
class _MoninObukhov:
    """Transfer between the surface and a height (m) above displacement, with stability.

    E per unit of moisture availability is rho (q*(Ts) - q) / (r_a + r_s), r_a = 1 / (C_H U).
    """

    height: float

    def __call__(
        self, params: Mapping[str, Any], surface_temperature: Scalar, forcing: Forcing
    ) -> tuple[Scalar, Scalar]:
        curve: HeatTransfer = (params if _CURVE in params else _Curve(self.height)(params))[_CURVE]
        humidity = forcing["specific_humidity"]
        density = turbulence.air_density(
            forcing["air_pressure"], forcing["air_temperature"], humidity
        )
        wind = turbulence.effective_wind_speed(forcing["wind_speed"], GUSTINESS)
        air = forcing["air_temperature"] + DRY_ADIABATIC_LAPSE_RATE * self.height
        deficit = (
            saturation_specific_humidity(surface_temperature, forcing["air_pressure"]) - humidity
        )
        # Vapour makes air at the surface lighter. How humid it is there depends on C_H itself:
        # that of neutral air will do, for a term that is small beside that of temperature.
        resistance = params["surface_resistance"]
        share = params["moisture_availability"] / (1.0 + resistance * (curve.neutral * wind))
        richardson = stability.bulk_richardson_number(
            self.height,
            air * (1.0 + VIRTUAL_TEMPERATURE_FACTOR * humidity),
            surface_temperature * (1.0 + VIRTUAL_TEMPERATURE_FACTOR * (humidity + share * deficit)),
            wind,
        )
        coefficient = curve.at(richardson)
        sensible = turbulence.bulk_sensible_heat_flux(
            coefficient, density, wind, surface_temperature, air
        )
        latent = turbulence.latent_heat_flux_through_resistance(
            coefficient * wind, resistance, density, deficit
        )
        return sensible, latent


_HUANG = "Huang et al. (2026), arXiv:2505.02979"
_GARRATT = "Garratt (1992), The Atmospheric Boundary Layer, ch. 4"
_KELLIHER = "Kelliher et al. (1995), doi:10.1016/0168-1923(94)02178-M"
_CURVE = "heat_transfer"  # what Monin-Obukhov transfer prepares
MEASUREMENT_HEIGHT = 10.0  # m above displacement, unless said otherwise

_MOISTURE_AVAILABILITY = ParameterDeclaration(
    "moisture_availability",
    "evaporation as a fraction of that of a wet surface",
    "1",
    0.3,
    0.0,
    1.0,
    _GARRATT,
)

COMBINED = TurbulentClosure(
    "combined",
    _combined,
    (
        ParameterDeclaration(
            "combined_heat_transfer_coefficient",
            "heat transfer coefficient of sensible and latent heat together",
            "W m-2 K-1",
            25.0,
            0.1,
            150.0,
            _HUANG,
        ),
    ),
    ("air_temperature",),
    separates=False,
)

BOWEN_RATIO = TurbulentClosure(
    "bowen-ratio",
    _bowen,
    (
        ParameterDeclaration(
            "heat_transfer_coefficient",
            "heat transfer coefficient of sensible heat",
            "W m-2 K-1",
            15.0,
            0.1,
            100.0,
            _HUANG,
        ),
        ParameterDeclaration(
            "bowen_ratio",
            "ratio of sensible to latent heat flux",
            "1",
            1.5,
            0.05,
            20.0,
            _HUANG,
        ),
    ),
    ("air_temperature",),
)

BULK_TRANSFER = TurbulentClosure(
    "bulk-transfer",
    _Wetted(_bulk),
    (
        ParameterDeclaration(
            "bulk_transfer_coefficient",
            "bulk transfer coefficient of heat and moisture",
            "1",
            4e-3,
            1e-4,
            5e-2,
            _GARRATT,
        ),
        _MOISTURE_AVAILABILITY,
    ),
    ("air_temperature", "wind_speed", "specific_humidity", "air_pressure"),
    per_wetness=_bulk,
)


def monin_obukhov(measurement_height: float = MEASUREMENT_HEIGHT) -> TurbulentClosure:
    """Bulk transfer with roughness lengths and stability, between the surface and a height.

    Parameters
    ----------
    measurement_height : of wind, temperature and humidity above the displacement height, m. The
        roughness length is bounded to a twentieth of it, so that Monin-Obukhov similarity has
        one solution.

    Raises
    ------
    InputError : a height below 1 m or above 100 m.
    """
    if not 1.0 <= measurement_height <= 100.0:
        raise InputError(
            "a measurement_height of 1 to 100 m above displacement",
            f"{measurement_height:g} m",
            "give the height of the wind sensor above ground, less two thirds of the canopy's",
        )
    function = _MoninObukhov(measurement_height)
    declarations = (
        ParameterDeclaration(
            "roughness_length",
            "roughness length of momentum",
            "m",
            0.02,
            1e-4,
            measurement_height / 20.0,
            _GARRATT,
        ),
        ParameterDeclaration(
            "log_roughness_ratio",
            "logarithm of the roughness lengths of momentum over heat",
            "1",
            2.0,
            0.0,
            6.0,
            _GARRATT,
        ),
        ParameterDeclaration(
            "surface_resistance",
            "resistance of the surface to evaporation",
            "s m-1",
            50.0,
            0.0,
            2000.0,
            _KELLIHER,
        ),
        _MOISTURE_AVAILABILITY,
    )
    return TurbulentClosure(
        "monin-obukhov",
        _Wetted(function),
        declarations,
        BULK_TRANSFER.forcing_variables,
        per_wetness=function,
        prepare=_Curve(measurement_height),
    )


MONIN_OBUKHOV = monin_obukhov()

CLOSURES = {
    closure.name: closure for closure in (COMBINED, BOWEN_RATIO, BULK_TRANSFER, MONIN_OBUKHOV)
}
