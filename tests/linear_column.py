"""A column that is linear in state, weather and parameter: what a linear network must reproduce."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from caliche.column_networks.data import DataSettings, Material, prepare_material
from caliche.emulators.box import box_of
from caliche.models.base import ParameterDeclaration, Profile
from caliche.parameters import Flat, FreeParameter, ParameterSpace

NODES = 4
OFFSET = ParameterDeclaration("offset", "offset of the air", "K", 0.0, -3.0, 3.0, "a test")


class LinearColumn(eqx.Module):
    """Backward Euler of conduction under air at a constant transfer; `still` never changes."""

    still: bool = eqx.field(static=True, default=False)
    time_step: float = eqx.field(static=True, default=3600.0)
    declarations = (OFFSET,)
    forcing_variables = ("air_temperature",)
    diagnostics = ("soil_temperature", "surface_temperature", "flux", "energy_imbalance")

    @property
    def depths(self):
        return {"soil_temperature": np.arange(NODES) * 0.1}

    @property
    def matrix(self):
        """I + K / C for a step, with the transfer to the air at the surface."""
        if self.still:
            return jnp.eye(NODES)
        chain = np.diff(np.eye(NODES), axis=0)
        k = 0.3 * chain.T @ chain
        k[0, 0] += 0.5
        return jnp.eye(NODES) + jnp.asarray(k)

    def prepare(self, params):
        return dict(params)

    def init_state(self, prepared, forcing):
        return jnp.full(NODES, 290.0) + jnp.arange(4.0)

    def seen(self, params, vector):
        profile = Profile(NODES, lambda k: vector[k], lambda: vector)
        return {"soil_temperature": profile, "surface_temperature": vector[0]}

    diagnose = seen

    def step(self, prepared, state, forcing):
        air = forcing["air_temperature"] + prepared["offset"]
        push = jnp.zeros(NODES).at[0].set(0.0 if self.still else 0.5) * air
        after = jnp.linalg.solve(self.matrix, state + push)
        flux = jnp.sum(after - state)
        return after, self.diagnostics_of(prepared, after, flux, jnp.zeros(()))

    derived_labels: ClassVar = {}

    def derived(self, params):
        return {}

    def diagnostics_of(self, params, after, flux, imbalance):
        return {**self.seen(params, after), "flux": flux, "energy_imbalance": imbalance}


class LinearView(eqx.Module):
    """Its state is its vector."""

    model: LinearColumn
    states = ("surface_temperature", "soil_0.1m", "soil_0.2m", "soil_0.3m")
    units = ("K",) * NODES
    fluxes = ("flux",)

    def read(self, prepared, state):
        return state

    def write(self, prepared, vector):
        return vector

    def possible(self, params, vector):
        return vector

    def fluxes_of(self, diagnostics):
        return diagnostics["flux"][None]

    def seen(self, params, vector):
        return self.model.seen(params, vector)

    def diagnostics(self, params, forcing, before, increments, fluxes):
        lost = self.energy_imbalance(params, forcing, increments, fluxes)
        return self.model.diagnostics_of(params, before + increments, fluxes[0], lost)

    def energy_imbalance(self, params, forcing, increments, fluxes):
        return fluxes[0] - jnp.sum(increments)


def space_of(model: LinearColumn) -> ParameterSpace:
    free = FreeParameter(OFFSET, Flat(-3.0, 3.0), 0.0, (-2.0, 2.0))
    return ParameterSpace.build(model.declarations, {"offset": free}, {})


def records() -> list[dict[str, np.ndarray]]:
    """Twelve days of air that never repeats, hourly."""
    hours = np.arange(12 * 24 + 1)
    air = 288.0 + 6.0 * np.sin(2 * np.pi * hours / 24.0) + 3.0 * np.sin(hours / 37.0)
    return [{"air_temperature": air}]


def material_of(model: LinearColumn) -> Material:
    space = space_of(model)
    settings = DataSettings(runs=16, days=4.0, samples=600, rollout=16)
    return prepare_material(LinearView(model), space, box_of(space), records(), settings)
