"""Turbulent fluxes of heat between surface and air: interchangeable closures.

Fluxes are positive upwards (surface to air), W m-2. Every closure here is smooth in the surface
temperature, in calm wind and where surface and air are equally warm.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.constants import (
    GAS_CONSTANT_DRY_AIR,
    LATENT_HEAT_VAPORISATION,
    SPECIFIC_HEAT_DRY_AIR,
    VIRTUAL_TEMPERATURE_FACTOR,
)
from caliche.physics.humidity import saturation_specific_humidity

Scalar = Float[Array, ""]


def linear_heat_flux(coefficient: Scalar, warm: Scalar, cold: Scalar) -> Scalar:
    """Newton cooling, coefficient * (warm - cold), with the coefficient in W m-2 K-1."""
    return coefficient * (warm - cold)


def bowen_partition(sensible_heat_flux: Scalar, bowen_ratio: Scalar) -> Scalar:
    """Latent heat flux that a constant Bowen ratio assigns, Qle = Qh / B (W m-2).

    A temperature record alone constrains only h (1 + 1/B): the two factors need a flux record.
    """
    return sensible_heat_flux / bowen_ratio


def air_density(air_pressure: Scalar, air_temperature: Scalar, specific_humidity: Scalar) -> Scalar:
    """Density of moist air (kg m-3), ideal gas with virtual temperature."""
    virtual_temperature = air_temperature * (1.0 + VIRTUAL_TEMPERATURE_FACTOR * specific_humidity)
    return air_pressure / (GAS_CONSTANT_DRY_AIR * virtual_temperature)


def effective_wind_speed(wind_speed: Scalar, gustiness: float) -> Scalar:
    """Wind speed with a floor for free convection, sqrt(U^2 + gust^2) (m s-1).

    The quadratic sum keeps the derivative finite in calm air; Beljaars (1995),
    doi:10.1002/qj.49712152203.
    """
    return jnp.sqrt(wind_speed**2 + gustiness**2)


def bulk_sensible_heat_flux(
    transfer_coefficient: Scalar,
    density: Scalar,
    wind_speed: Scalar,
    surface_temperature: Scalar,
    air_temperature: Scalar,
) -> Scalar:
    """Bulk transfer of sensible heat, rho cp C_H U (Ts - Ta) (W m-2)."""
    return (
        density
        * SPECIFIC_HEAT_DRY_AIR
        * transfer_coefficient
        * wind_speed
        * (surface_temperature - air_temperature)
    )


def bulk_latent_heat_flux(
    transfer_coefficient: Scalar,
    moisture_availability: Scalar,
    density: Scalar,
    wind_speed: Scalar,
    surface_temperature: Scalar,
    specific_humidity: Scalar,
    air_pressure: Scalar,
) -> Scalar:
    """Bulk transfer of latent heat, rho Lv beta C_H U (q*(Ts) - q) (W m-2).

    `moisture_availability` (beta, 0 to 1) scales the evaporation of a wet surface. Here the
    latent heat comes from a surface whose wetness is prescribed, not from a water balance.
    """
    deficit = saturation_specific_humidity(surface_temperature, air_pressure) - specific_humidity
    return (
        density
        * LATENT_HEAT_VAPORISATION
        * moisture_availability
        * transfer_coefficient
        * wind_speed
        * deficit
    )


def latent_heat_flux_through_resistance(
    conductance: Scalar, surface_resistance: Scalar, density: Scalar, deficit: Scalar
) -> Scalar:
    """Lv rho (q*(Ts) - q) / (r_a + r_s) (W m-2), with r_a = 1 / conductance.

    Parameters
    ----------
    conductance : C_H U, m s-1.  surface_resistance : r_s, s m-1.
    density : kg m-3.  deficit : q*(Ts) - q, kg kg-1.
    """
    through = conductance / (1.0 + surface_resistance * conductance)
    return LATENT_HEAT_VAPORISATION * density * through * deficit
