"""Turbulent closures: each a function of parameters, surface temperature and forcing.

A closure is data: what it computes, the parameters it declares and the forcing it reads. Another
one, a neural network included, is another `TurbulentClosure` with the same signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float

from caliche.models.base import Forcing, ParameterDeclaration, Params
from caliche.physics import turbulence

Scalar = Float[Array, ""]
# (parameters, surface temperature, forcing) -> sensible, latent heat flux (W m-2, upwards)
FluxFunction = Callable[[Params, Scalar, Forcing], tuple[Scalar, Scalar]]

GUSTINESS = 0.3  # m s-1, floor of the wind in bulk transfer


@dataclass(frozen=True)
class TurbulentClosure:
    """How sensible and latent heat flux follow from the surface temperature.

    `separates` is False for a closure that gives only their sum; that sum is then carried as the
    turbulent heat flux, and the two parts are not reported.
    """

    name: str
    fluxes: FluxFunction
    declarations: tuple[ParameterDeclaration, ...]
    forcing_variables: tuple[str, ...]
    separates: bool = True


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
        params["moisture_availability"],
        density,
        wind,
        surface_temperature,
        forcing["specific_humidity"],
        forcing["air_pressure"],
    )
    return sensible, latent


_HUANG = "Huang et al. (2026), arXiv:2505.02979"
_GARRATT = "Garratt (1992), The Atmospheric Boundary Layer, ch. 4"

COMBINED = TurbulentClosure(
    "combined",
    _combined,
    (
        ParameterDeclaration(
            "combined_heat_transfer_coefficient",
            "heat transfer coefficient of sensible and latent heat together",
            "W m-2 K-1", 25.0, 0.1, 150.0, _HUANG,
        ),
    ),
    ("air_temperature",),
    separates=False,
)  # fmt: skip

BOWEN_RATIO = TurbulentClosure(
    "bowen-ratio",
    _bowen,
    (
        ParameterDeclaration(
            "heat_transfer_coefficient", "heat transfer coefficient of sensible heat",
            "W m-2 K-1", 15.0, 0.1, 100.0, _HUANG,
        ),
        ParameterDeclaration(
            "bowen_ratio", "ratio of sensible to latent heat flux",
            "1", 1.5, 0.05, 20.0, _HUANG,
        ),
    ),
    ("air_temperature",),
)  # fmt: skip

BULK_TRANSFER = TurbulentClosure(
    "bulk-transfer",
    _bulk,
    (
        ParameterDeclaration(
            "bulk_transfer_coefficient", "bulk transfer coefficient of heat and moisture",
            "1", 4e-3, 1e-4, 5e-2, _GARRATT,
        ),
        ParameterDeclaration(
            "moisture_availability", "evaporation as a fraction of that of a wet surface",
            "1", 0.3, 0.0, 1.0, _GARRATT,
        ),
    ),
    ("air_temperature", "wind_speed", "specific_humidity", "air_pressure"),
)  # fmt: skip

CLOSURES = {closure.name: closure for closure in (COMBINED, BOWEN_RATIO, BULK_TRANSFER)}
