"""The surface of SoilHeat: radiation, turbulent fluxes and the water that feeds them."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
from jaxtyping import Array, Float

from caliche.constants import LATENT_HEAT_VAPORISATION
from caliche.models.base import Forcing, Params
from caliche.models.soil_heat.closures import TurbulentClosure
from caliche.physics import bucket, radiation
from caliche.physics.bucket import Wetness

Scalar = Float[Array, ""]
Longwave = Literal["kirchhoff", "unweighted"]
Moisture = Literal["parameter", "bucket"]


class SurfaceFluxes(eqx.Module):
    """Energy fluxes at the surface over a stage or a step, W m-2; turbulent fluxes upwards."""

    outgoing_shortwave: Scalar
    outgoing_longwave: Scalar
    net_radiation: Scalar
    sensible_heat_flux: Scalar
    latent_heat_flux: Scalar

    @property
    def ground_heat_flux(self) -> Scalar:
        return self.net_radiation - self.sensible_heat_flux - self.latent_heat_flux


def surface_fluxes(
    turbulence: TurbulentClosure,
    longwave: Longwave,
    params: Params,
    surface_temperature: Scalar,
    forcing: Forcing,
    wet: Wetness | None = None,
) -> SurfaceFluxes:
    """Radiation and turbulent fluxes (W m-2) at a surface temperature (K).

    `wet` is what a store of water gives; without one the wetness is a parameter, if there is any.
    """
    shortwave, incoming = forcing["incoming_shortwave"], forcing["incoming_longwave"]
    reflected = radiation.reflected_shortwave(params["albedo"], shortwave)
    outgoing = radiation.emitted_longwave(params["emissivity"], surface_temperature)
    if longwave == "kirchhoff":
        outgoing = outgoing + radiation.reflected_longwave(params["emissivity"], incoming)
    if wet is None:
        sensible, latent = turbulence.fluxes(params, surface_temperature, forcing)
    else:
        assert turbulence.per_wetness is not None, "refused by SoilHeat"
        params = {**params, "moisture_availability": wet.availability}
        sensible, latent = turbulence.per_wetness(params, surface_temperature, forcing)
        potential = latent / LATENT_HEAT_VAPORISATION
        latent = LATENT_HEAT_VAPORISATION * bucket.evaporation(potential, wet)
    net = shortwave - reflected + incoming - outgoing
    return SurfaceFluxes(reflected, outgoing, net, sensible, latent)


class Rain(eqx.Module):
    """The store of water before and after the rain of a step, before evaporation (kg m-2)."""

    before: Scalar
    fallen: Scalar
    store: Scalar
    runoff: Scalar
    wet: Wetness

    @staticmethod
    def fall(params: Params, store: Scalar, forcing: Forcing, time_step: float) -> Rain:
        """Let the precipitation (kg m-2 s-1) of a step of `time_step` s fall."""
        capacity = params["water_capacity"]
        water = time_step * forcing["precipitation"]
        off = bucket.runoff(store, water, capacity)
        after = store + water - off
        return Rain(store, water, after, off, bucket.wetness(after, capacity, time_step))

    def evaporate(
        self, params: Params, latent_heat_flux: Scalar, time_step: float
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Store (kg m-2) at the end of the step, and the diagnostics of its water."""
        rate = latent_heat_flux / LATENT_HEAT_VAPORISATION
        store, off = bucket.settle(self.store, time_step * rate, params["water_capacity"])
        runoff = (self.runoff + off) / time_step
        left = (self.fallen - (store - self.before)) / time_step - rate - runoff
        return store, {"evaporation": rate, "runoff": runoff, "water_imbalance": left}
