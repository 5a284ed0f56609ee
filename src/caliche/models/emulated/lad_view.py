"""The state of Land Dynamics as temperatures of its layers and three stores of water."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, Params, Profile
from caliche.models.lad.model import LaD
from caliche.models.lad.parameters import derive
from caliche.models.lad.state import OURS, LaDState, PreparedLaD
from caliche.variables import stream_name

Vector = Float[Array, " _"]


class LaDView(eqx.Module):
    """See `ColumnView`. For the smooth scheme without frozen water."""

    model: LaD

    @property
    def _layers(self) -> int:
        return len(self.model.thicknesses)

    @property
    def states(self) -> tuple[str, ...]:
        depths = self.model.depths["soil_temperature"]
        temperatures = [stream_name("soil_temperature", float(z)) for z in depths]
        return (*temperatures, "snow_water_equivalent", "root_zone_water", "groundwater")

    @property
    def units(self) -> tuple[str, ...]:
        return ("K",) * self._layers + ("kg m-2",) * 3

    @property
    def fluxes(self) -> tuple[str, ...]:
        return (
            "outgoing_shortwave",
            "outgoing_longwave",
            "sensible_heat_flux",
            "latent_heat_flux",
            "evaporation",
            "snowmelt",
            "drainage",
            "groundwater_outflow",
            "runoff",
        )

    def read(self, prepared: PreparedLaD, state: LaDState) -> Vector:
        temperatures = prepared.constants.freezing_point + jnp.stack(state.temperatures)
        stores = jnp.stack([state.snow, state.root_zone, state.groundwater])
        return jnp.concatenate([temperatures, stores])

    def write(self, prepared: PreparedLaD, vector: Vector) -> LaDState:
        n, freezing = self._layers, prepared.constants.freezing_point
        temperatures = tuple(vector[k] - freezing for k in range(n))
        return LaDState(temperatures, (), vector[n], vector[n + 1], vector[n + 2])

    def possible(self, params: Params, vector: Vector) -> Vector:
        n = self._layers
        lowest = jnp.concatenate([jnp.full(n, -jnp.inf), jnp.zeros(3)])
        capacity = derive(params)["root_zone_capacity"]
        highest = jnp.full(n + 3, jnp.inf).at[n + 1].set(capacity)
        return jnp.clip(vector, lowest, highest)

    def fluxes_of(self, diagnostics: Diagnostics) -> Vector:
        return jnp.stack([diagnostics[name] for name in self.fluxes])  # type: ignore[list-item]

    def seen(self, params: Params, vector: Vector) -> Diagnostics:
        n = self._layers
        profile = Profile(n, lambda k: vector[:n][k], lambda: vector[:n])
        return {
            "soil_temperature": profile,
            "surface_temperature": vector[0],
            "snow_water_equivalent": vector[n],
            "root_zone_water": vector[n + 1],
            "groundwater": vector[n + 2],
        }

    def diagnostics(
        self, params: Params, forcing: Forcing, before: Vector, increments: Vector, fluxes: Vector
    ) -> Diagnostics:
        said = dict(zip(self.fluxes, fluxes, strict=True))
        net, turbulent, surface = self._surface(forcing, said)
        stored = jnp.cumsum(self._stored(params, increments))
        n = self._layers

        def through(face: int) -> Array:
            if face == 0:
                return surface
            return jnp.zeros_like(surface) if face == n else surface - stored[face - 1]

        profile = Profile(n + 1, through, lambda: jnp.stack([through(k) for k in range(n + 1)]))
        left = forcing["precipitation"] - said["evaporation"] - said["runoff"]
        return {
            **self.seen(params, before + increments),
            **said,
            "net_radiation": net,
            "turbulent_heat_flux": turbulent,
            "ground_heat_flux": profile,
            "energy_imbalance": surface - stored[-1],
            "water_imbalance": left - jnp.sum(increments[n:]) / self.model.time_step,
        }

    def energy_imbalance(
        self, params: Params, forcing: Forcing, increments: Vector, fluxes: Vector
    ) -> Float[Array, ""]:
        said = dict(zip(self.fluxes, fluxes, strict=True))
        surface = self._surface(forcing, said)[2]
        return surface - jnp.sum(self._stored(params, increments))

    def _surface(self, forcing: Forcing, said: dict[str, Array]) -> tuple[Array, Array, Array]:
        """Net radiation, turbulent heat flux, and what is left for the soil after melt, W m-2."""
        net = (
            forcing["incoming_shortwave"]
            - said["outgoing_shortwave"]
            + forcing["incoming_longwave"]
            - said["outgoing_longwave"]
        )
        turbulent = said["sensible_heat_flux"] + said["latent_heat_flux"]
        return net, turbulent, net - turbulent - OURS.fusion * said["snowmelt"]

    def _stored(self, params: Params, increments: Vector) -> Float[Array, " layer"]:
        """Heat that went into each layer over a step, W m-2."""
        thicknesses = jnp.asarray(self.model.thicknesses)
        capacity = params["volumetric_heat_capacity"] * thicknesses
        return capacity * increments[: self._layers] / self.model.time_step
