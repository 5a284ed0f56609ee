"""The soil column of SoilHeat: prepared from parameters, and the heat fluxes within it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.models.base import Params, Profile
from caliche.models.soil_heat.parameters import layer_suffixes
from caliche.physics import heat_conduction
from caliche.physics.column_schemes import ColumnState, Weights, weighted_mean
from caliche.physics.heat_conduction import Column
from caliche.physics.implicit_column import EliminatedColumn, ModalColumn
from caliche.physics.normal_modes import Ends, grid_modes, normal_modes

Scalar = Float[Array, ""]
Solver = Literal["modal", "elimination"]


class PreparedSoilHeat(eqx.Module):
    """What the parameters alone determine: the operator, its implicit step, and the parameters."""

    params: dict[str, Any]
    column: Column
    implicit: ModalColumn | EliminatedColumn
    reference: Scalar

    @property
    def n_nodes(self) -> int:
        return len(self.column.heat_capacity)

    def anomaly(self, state: ColumnState, index: int) -> Scalar:
        """Anomaly of a node (K)."""
        if index == 0:
            return state.surface
        if index == self.n_nodes - 1 and self.implicit.ends.fixed_bottom:
            return state.bottom
        return self.implicit.node(state.temperatures, index)

    def anomalies(self, state: ColumnState) -> Float[Array, " node"]:
        """Anomaly of all nodes (K)."""
        given = [state.surface[None]] if self.implicit.ends.skin else []
        unknown = self.implicit.decode(state.temperatures)
        below = [state.bottom[None]] if self.implicit.ends.fixed_bottom else []
        return jnp.concatenate([*given, unknown, *below])

    def heat_budget(
        self,
        old: ColumnState,
        stages: Sequence[ColumnState],
        weights: Weights,
        surface_flux: Scalar,
        time_step: float,
    ) -> tuple[Profile, Scalar]:
        """Heat flux (W m-2, downwards) at every face over a step, and what the budget lacks.

        Stored heat is counted with the capacity of the step, also where that changes in time.
        """
        column, new, last = self.column, stages[-1], self.n_nodes - 1

        def conducted(i: int) -> Array:
            # The flux over a step is that of the stages, weighted as the scheme weights them.
            upper, lower = ([self.anomaly(stage, k) for stage in stages] for k in (i, i + 1))
            return column.conductance[i] * (
                weighted_mean(weights, upper) - weighted_mean(weights, lower)
            )

        # A node of given temperature takes from below what its storage needs: the flux that
        # closes the budget of the last half cell.
        warming = self.anomaly(new, last) - self.anomaly(old, last)
        last_storage = column.heat_capacity[last] * warming / time_step
        bottom_flux = conducted(last - 1) - last_storage
        storage = self.implicit.heat_content(new.temperatures)
        storage = (storage - self.implicit.heat_content(old.temperatures)) / time_step
        if self.implicit.ends.fixed_bottom:
            storage = storage + last_storage

        def flux(face: int) -> Array:
            if face == 0:
                return surface_flux
            return bottom_flux if face == last + 1 else conducted(face - 1)

        def fluxes() -> Array:
            mean = weighted_mean(weights, [self.anomalies(stage) for stage in stages])
            inside = heat_conduction.interface_heat_flux(column, mean)
            return jnp.concatenate([surface_flux[None], inside, bottom_flux[None]])

        return Profile(last + 2, flux, fluxes), surface_flux - bottom_flux - storage


def prepare_column(
    params: Params,
    node_depths: tuple[float, ...],
    cell_faces: np.ndarray,
    layer_bottoms: tuple[float, ...],
    ends: Ends,
    solver: Solver,
    duration: float,
) -> tuple[Column, ModalColumn | EliminatedColumn]:
    """The column and its implicit step of a duration (s); see `SoilHeat` for the rest."""
    nodes, faces = np.asarray(node_depths), np.asarray(cell_faces)
    names = "thermal_conductivity", "volumetric_heat_capacity"
    column = heat_conduction.make_column(
        nodes, faces, *(by_interval(params, name, nodes, layer_bottoms) for name in names)
    )
    if solver == "elimination":
        return column, EliminatedColumn.build(column, ends, duration)
    if layer_bottoms:
        modes = normal_modes(column, ends)
    else:
        modes = grid_modes(node_depths, tuple(faces.tolist()), ends)
        modes = modes.of_homogeneous(*(params[name] for name in names))
    return column, ModalColumn.build(column, modes, ends, duration)


def by_interval(
    params: Params, name: str, nodes: np.ndarray, layer_bottoms: tuple[float, ...]
) -> Float[Array, " interval"]:
    """A soil property between nodes (m), in the unit of its parameters: one for each layer."""
    if not layer_bottoms:
        return jnp.full(len(nodes) - 1, 1.0) * params[name]
    layer = np.searchsorted(layer_bottoms, 0.5 * (nodes[1:] + nodes[:-1]))
    return jnp.stack([params[name + suffix] for suffix in layer_suffixes(layer_bottoms)])[layer]
