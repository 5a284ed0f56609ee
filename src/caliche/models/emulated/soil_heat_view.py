"""The state of SoilHeat as temperatures of its nodes, and the water of its bucket if it has one."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.constants import LATENT_HEAT_VAPORISATION
from caliche.models.base import Diagnostics, Forcing, Params, Profile
from caliche.models.soil_heat.column import PreparedSoilHeat, by_interval
from caliche.models.soil_heat.model import MoistState, SoilHeat
from caliche.physics.column_schemes import ColumnState
from caliche.physics.heat_conduction import make_column, midway_faces
from caliche.variables import stream_name

Vector = Float[Array, " _"]
BOTTOM = "bottom_heat_flux"


class SoilHeatView(eqx.Module):
    """See `ColumnView`. A bottom of fixed temperature is a parameter, not part of the vector."""

    model: SoilHeat

    @property
    def _fixed(self) -> bool:
        return self.model.bottom == "fixed-temperature"

    @property
    def _nodes(self) -> int:
        """Number of nodes in the vector."""
        return len(self.model.node_depths) - int(self._fixed)

    @property
    def _moist(self) -> bool:
        return self.model.moisture == "bucket"

    @property
    def _turbulent(self) -> tuple[str, ...]:
        separates = self.model.turbulence.separates
        return ("sensible_heat_flux", "latent_heat_flux") if separates else ("turbulent_heat_flux",)

    @property
    def states(self) -> tuple[str, ...]:
        depths = self.model.node_depths[1 : self._nodes]
        temperatures = [stream_name("soil_temperature", round(z, 6)) for z in depths]
        return (
            "surface_temperature",
            *temperatures,
            *(["root_zone_water"] if self._moist else []),
        )

    @property
    def units(self) -> tuple[str, ...]:
        return ("K",) * self._nodes + (("kg m-2",) if self._moist else ())

    @property
    def fluxes(self) -> tuple[str, ...]:
        return (
            "outgoing_shortwave",
            "outgoing_longwave",
            *self._turbulent,
            BOTTOM,
            *(["runoff"] if self._moist else []),
        )

    def read(self, prepared: PreparedSoilHeat, state: ColumnState) -> Vector:
        temperatures = prepared.reference + prepared.anomalies(state)[: self._nodes]
        return jnp.append(temperatures, state.water) if self._moist else temperatures  # type: ignore[attr-defined]

    def write(self, prepared: PreparedSoilHeat, vector: Vector) -> ColumnState:
        anomalies = vector[: self._nodes] - prepared.reference
        if self._fixed:
            anomalies = jnp.append(anomalies, 0.0)
        state = prepared.implicit.encode(anomalies), anomalies[0], anomalies[-1]
        return MoistState(*state, vector[-1]) if self._moist else ColumnState(*state)

    def possible(self, params: Params, vector: Vector) -> Vector:
        if not self._moist:
            return vector
        return vector.at[-1].set(jnp.clip(vector[-1], 0.0, params["water_capacity"]))

    def fluxes_of(self, diagnostics: Diagnostics) -> Vector:
        last = len(self.model.node_depths)
        found = {**diagnostics, BOTTOM: diagnostics["ground_heat_flux"][last]}  # type: ignore[index]
        return jnp.stack([found[name] for name in self.fluxes])  # type: ignore[list-item]

    def seen(self, params: Params, vector: Vector) -> Diagnostics:
        nodes = vector[: self._nodes]
        if self._fixed:
            nodes = jnp.append(nodes, params["bottom_temperature"])
        profile = Profile(len(self.model.node_depths), lambda k: nodes[k], lambda: nodes)
        found = {"soil_temperature": profile, "surface_temperature": vector[0]}
        return {**found, "root_zone_water": vector[-1]} if self._moist else found

    def diagnostics(
        self, params: Params, forcing: Forcing, before: Vector, increments: Vector, fluxes: Vector
    ) -> Diagnostics:
        said = dict(zip(self.fluxes, fluxes, strict=True))
        net, turbulent, ground = self._surface(forcing, said)
        stored = jnp.cumsum(self._stored(params, increments))

        def through(face: int) -> Array:
            if face == 0:
                return ground
            if face == len(self.model.node_depths):
                return said[BOTTOM]
            return ground - stored[face - 1]

        faces = len(self.model.node_depths) + 1
        profile = Profile(faces, through, lambda: jnp.stack([through(k) for k in range(faces)]))
        found = {
            **self.seen(params, before + increments),
            **{name: value for name, value in said.items() if name != BOTTOM},
            "net_radiation": net,
            "turbulent_heat_flux": turbulent,
            "ground_heat_flux": profile,
            "energy_imbalance": ground - said[BOTTOM] - stored[-1],
        }
        if self._moist:
            rate = said["latent_heat_flux"] / LATENT_HEAT_VAPORISATION
            kept = increments[-1] / self.model.time_step
            left = forcing["precipitation"] - kept - rate - said["runoff"]
            found |= {"evaporation": rate, "water_imbalance": left}
        return found

    def energy_imbalance(
        self, params: Params, forcing: Forcing, increments: Vector, fluxes: Vector
    ) -> Float[Array, ""]:
        said = dict(zip(self.fluxes, fluxes, strict=True))
        ground = self._surface(forcing, said)[2]
        return ground - said[BOTTOM] - jnp.sum(self._stored(params, increments))

    def _surface(self, forcing: Forcing, said: dict[str, Array]) -> tuple[Array, Array, Array]:
        """Net radiation, turbulent heat flux and ground heat flux at the surface, W m-2."""
        net = (
            forcing["incoming_shortwave"]
            - said["outgoing_shortwave"]
            + forcing["incoming_longwave"]
            - said["outgoing_longwave"]
        )
        turbulent = sum((said[name] for name in self._turbulent), jnp.zeros(()))
        return net, turbulent, net - turbulent

    def _stored(self, params: Params, increments: Vector) -> Float[Array, " node"]:
        """Heat that went into each node of the vector over a step, W m-2."""
        model, nodes = self.model, np.asarray(self.model.node_depths)
        names = "thermal_conductivity", "volumetric_heat_capacity"
        properties = (by_interval(params, name, nodes, model.layer_bottoms) for name in names)
        capacity = jnp.asarray(make_column(nodes, midway_faces(nodes), *properties).heat_capacity)
        return capacity[: self._nodes] * increments[: self._nodes] / model.time_step
