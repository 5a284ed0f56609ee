"""SoilHeat: conduction in a soil column under a surface energy balance.

Equations: Huang et al. (2026), arXiv:2505.02979. The soil conducts heat; the surface exchanges
radiation and turbulent heat with the air; there is no water below the surface.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models import soil_heat_parameters as declared
from caliche.models.base import Diagnostics, Forcing, ParameterDeclaration, Params, Profile
from caliche.models.closures import COMBINED, TurbulentClosure
from caliche.physics import column_schemes, heat_conduction, radiation
from caliche.physics.column_schemes import ColumnState, Scheme, weighted_mean
from caliche.physics.heat_conduction import Column
from caliche.physics.implicit_column import EliminatedColumn, ModalColumn
from caliche.physics.normal_modes import Ends, NormalModes, grid_modes, normal_modes
from caliche.variables import stream_name

Bottom = Literal["fixed-temperature", "measured-temperature", "zero-flux"]
Solver = Literal["modal", "elimination"]
Initial = Literal["bottom-temperature", "uniform", "observed", "estimated"]

_DIAGNOSTICS = (
    "soil_temperature",
    "surface_temperature",
    "outgoing_shortwave",
    "outgoing_longwave",
    "net_radiation",
    "turbulent_heat_flux",
    "ground_heat_flux",
    "energy_imbalance",
)
# Most nodes for which a block of columns is eliminated row by row.
_MOST_ROWS = 40
# Temperatures are stepped as anomalies from this (K) where the bottom has none of its own.
_REFERENCE = 283.15


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    """Plain floats: static fields are hashed into the compilation cache."""
    return tuple(float(value) for value in values)


def _array(values: Array | None) -> Array | None:
    return None if values is None else jnp.asarray(values)


class PreparedSoilHeat(eqx.Module):
    """What the parameters alone determine: the operator, its implicit step, and the parameters."""

    params: dict[str, Float[Array, ""]]
    column: Column
    implicit: ModalColumn | EliminatedColumn
    reference: Float[Array, ""]


class SurfaceFluxes(eqx.Module):
    """Energy fluxes at the surface over a stage or a step, W m-2; turbulent fluxes upwards."""

    outgoing_shortwave: Float[Array, ""]
    outgoing_longwave: Float[Array, ""]
    net_radiation: Float[Array, ""]
    sensible_heat_flux: Float[Array, ""]
    latent_heat_flux: Float[Array, ""]

    @property
    def ground_heat_flux(self) -> Float[Array, ""]:
        return self.net_radiation - self.sensible_heat_flux - self.latent_heat_flux


class SoilHeat(eqx.Module):
    """Soil heat conduction with a surface energy balance.

    Parameters
    ----------
    node_depths : depths of the nodes, m; the first is 0, increasing.
    time_step : s.
    scheme : `sdirk2` (second order, L-stable), `crank-nicolson` (second order, rings on fine
        grids) or `backward-euler` (first order; the scheme of Huang et al.). Forcing is constant
        over a step and the surface flux starts afresh with it.
    turbulence : closure of the turbulent fluxes.
    longwave : `kirchhoff` absorbs eps LWdown and reflects the rest; `unweighted` absorbs all of
        LWdown, as in Huang et al.
    bottom : temperature fixed at the parameter `bottom_temperature`, following the forcing
        `bottom_temperature`, or no heat flux.
    initial : profile at the start: uniform at `bottom_temperature`; uniform at the parameter
        `initial_temperature`; `observed`, linear between `initial_depths` with the values
        `initial_values`; `estimated`, linear between `initial_depths` with one parameter each.
    layer_bottoms : depths (m) where soil layers end, on nodes, the last layer ending the grid;
        empty for a homogeneous soil. Conductivity and capacity then have one value per layer.
    cell_faces : depths (m) where control volumes meet, one more than nodes; empty for midway
        between nodes. If the first two are 0, the surface is a skin without heat capacity.
    solver : `modal` or `elimination`, see `caliche.physics.implicit_column`. Equal to round-off;
        the first compiles faster and suits a few columns, the second blocks of many.
    """

    node_depths: tuple[float, ...] = eqx.field(static=True, converter=_floats)
    time_step: float = eqx.field(static=True, converter=float)
    scheme: Scheme = eqx.field(static=True, default="sdirk2")
    turbulence: TurbulentClosure = eqx.field(static=True, default=COMBINED)
    longwave: Literal["kirchhoff", "unweighted"] = eqx.field(static=True, default="kirchhoff")
    bottom: Bottom = eqx.field(static=True, default="fixed-temperature")
    initial: Initial = eqx.field(static=True, default="bottom-temperature")
    initial_depths: tuple[float, ...] = eqx.field(static=True, default=(), converter=_floats)
    initial_values: Float[Array, " knot"] | None = eqx.field(default=None, converter=_array)
    layer_bottoms: tuple[float, ...] = eqx.field(static=True, default=(), converter=_floats)
    cell_faces: tuple[float, ...] = eqx.field(static=True, default=(), converter=_floats)
    solver: Solver = eqx.field(static=True, default="modal")

    def __check_init__(self) -> None:
        if self.initial == "bottom-temperature" and self.bottom == "zero-flux":
            raise InputError(
                "a bottom temperature to start from", "bottom = 'zero-flux'",
                "set initial = 'uniform', 'observed' or 'estimated'",
            )  # fmt: skip
        nodes = np.asarray(self.node_depths)
        for bottom in self.layer_bottoms:
            if not np.isclose(nodes[1:-1], bottom, atol=1e-9).any():
                raise InputError(
                    "layer_bottoms on nodes inside the grid", f"{bottom:g} m",
                    f"the nearest node is at {nodes[np.abs(nodes - bottom).argmin()]:g} m",
                )  # fmt: skip
        faces = np.asarray(self._faces)
        between = len(faces) == len(nodes) + 1 and (
            (faces[:-1] <= nodes).all()
            and (nodes <= faces[1:]).all()
            and (faces[2:] > faces[1:-1]).all()
        )
        if not between or faces[0] != nodes[0]:
            raise InputError(
                "cell_faces that start at the surface and hold one node between each two",
                f"{len(faces)} faces from {faces[0]:g} to {faces[-1]:g} m for {len(nodes)} nodes",
                "leave cell_faces out for faces midway between nodes",
            )

    # -- what the model declares ------------------------------------------------------------

    @property
    def declarations(self) -> tuple[ParameterDeclaration, ...]:
        return declared.declare(
            self.turbulence,
            declared.layer_suffixes(self.layer_bottoms),
            self.bottom == "fixed-temperature",
            self.initial == "uniform",
            self.initial_depths if self.initial == "estimated" else (),
        )

    @property
    def forcing_variables(self) -> tuple[str, ...]:
        names = ("incoming_shortwave", "incoming_longwave", *self.turbulence.forcing_variables)
        return (*names, "bottom_temperature") if self.bottom == "measured-temperature" else names

    @property
    def diagnostics(self) -> tuple[str, ...]:
        split = ("sensible_heat_flux", "latent_heat_flux") if self.turbulence.separates else ()
        return (*_DIAGNOSTICS, *split)

    @property
    def depths(self) -> Mapping[str, np.ndarray]:
        nodes = np.asarray(self.node_depths)
        return {
            "soil_temperature": nodes,
            "ground_heat_flux": heat_conduction.midway_faces(nodes),
        }

    # -- the two pure functions, and their preparation --------------------------------------

    def prepare(self, params: Params) -> PreparedSoilHeat:
        geometry = np.asarray(self.node_depths), np.asarray(self._faces)
        column = heat_conduction.make_column(
            *geometry,
            self._by_interval(params, "thermal_conductivity"),
            self._by_interval(params, "volumetric_heat_capacity"),
        )
        length = column_schemes.IMPLICIT_FRACTION[self.scheme] * self.time_step
        if self.solver == "elimination":
            implicit = EliminatedColumn.build(column, self._ends, length)
        else:
            implicit = ModalColumn.build(column, self._modes(params, column), self._ends, length)
        fixed = self.bottom == "fixed-temperature"
        reference = params["bottom_temperature"] if fixed else jnp.asarray(_REFERENCE)
        return PreparedSoilHeat(self.turbulence.with_prepared(params), column, implicit, reference)

    def init_state(self, prepared: PreparedSoilHeat, forcing: Forcing) -> ColumnState:
        nodes = jnp.asarray(self.node_depths)
        params, reference = prepared.params, prepared.reference
        bottom = None
        if self.bottom == "fixed-temperature":
            bottom = jnp.zeros_like(reference)
        elif self.bottom == "measured-temperature":
            bottom = forcing["bottom_temperature"] - reference
        if self.initial == "bottom-temperature":
            assert bottom is not None, "refused by __check_init__"
            anomaly = jnp.full_like(nodes, 1.0) * bottom
        elif self.initial == "uniform":
            anomaly = jnp.full_like(nodes, 1.0) * (params["initial_temperature"] - reference)
        else:
            anomaly = self._initial_profile(params, reference, bottom)
        if bottom is not None:
            anomaly = anomaly.at[-1].set(bottom)
        return ColumnState(prepared.implicit.encode(anomaly), anomaly[0], anomaly[-1])

    def diagnose(self, prepared: PreparedSoilHeat, state: ColumnState) -> Diagnostics:
        def soil_temperature(index: int) -> Array:
            return prepared.reference + self._anomaly(prepared, state, index)

        def whole() -> Array:
            return prepared.reference + self._anomalies(prepared, state)

        return {
            "soil_temperature": Profile(len(self.node_depths), soil_temperature, whole),
            "surface_temperature": prepared.reference + state.surface,
        }

    def step(
        self, prepared: PreparedSoilHeat, state: ColumnState, forcing: Forcing
    ) -> tuple[ColumnState, Diagnostics]:
        stages, weights = self._stages(prepared, state, forcing)
        new = stages[-1]
        fluxes = [self._surface_fluxes_of(prepared, stage, forcing) for stage in stages]
        surface = jax.tree.map(lambda *values: weighted_mean(weights, values), *fluxes)
        column, last = prepared.column, len(self.node_depths) - 1
        node = functools.partial(self._anomaly, prepared)

        def conducted(i: int) -> Array:
            # The flux over a step is that of the stages, weighted as the scheme weights them.
            upper, lower = ([node(stage, k) for stage in stages] for k in (i, i + 1))
            return column.conductance[i] * (
                weighted_mean(weights, upper) - weighted_mean(weights, lower)
            )

        # A node of given temperature takes from below what its storage needs: the flux that
        # closes the budget of the last half cell.
        last_storage = (
            column.heat_capacity[last] * (node(new, last) - node(state, last)) / self.time_step
        )
        bottom_flux = conducted(last - 1) - last_storage
        storage = prepared.implicit.heat_content(new.temperatures)
        storage = (storage - prepared.implicit.heat_content(state.temperatures)) / self.time_step
        if self._ends.fixed_bottom:
            storage = storage + last_storage

        def ground_heat_flux(face: int) -> Array:
            if face == 0:
                return surface.ground_heat_flux
            return bottom_flux if face == last + 1 else conducted(face - 1)

        def ground_heat_fluxes() -> Array:
            mean = weighted_mean(weights, [self._anomalies(prepared, stage) for stage in stages])
            inside = heat_conduction.interface_heat_flux(column, mean)
            return jnp.concatenate([surface.ground_heat_flux[None], inside, bottom_flux[None]])

        diagnostics = {
            **self.diagnose(prepared, new),
            "outgoing_shortwave": surface.outgoing_shortwave,
            "outgoing_longwave": surface.outgoing_longwave,
            "net_radiation": surface.net_radiation,
            "turbulent_heat_flux": surface.sensible_heat_flux + surface.latent_heat_flux,
            "ground_heat_flux": Profile(last + 2, ground_heat_flux, ground_heat_fluxes),
            "energy_imbalance": surface.ground_heat_flux - bottom_flux - storage,
        }
        if self.turbulence.separates:
            diagnostics["sensible_heat_flux"] = surface.sensible_heat_flux
            diagnostics["latent_heat_flux"] = surface.latent_heat_flux
        return new, diagnostics

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return declared.derived_labels(self.turbulence, declared.layer_suffixes(self.layer_bottoms))

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        suffixes = declared.layer_suffixes(self.layer_bottoms)
        return declared.derive(params, self.turbulence, suffixes)

    def for_block(self) -> SoilHeat:
        """The same model, with the solver that suits many columns at once.

        Rows written out take long to compile on fine grids; there the modes stay.
        """
        if len(self.node_depths) > _MOST_ROWS:
            return self
        return dataclasses.replace(self, solver="elimination")

    # -- parts --------------------------------------------------------------------------------

    def surface_fluxes(
        self, params: Params, surface_temperature: Float[Array, ""], forcing: Forcing
    ) -> SurfaceFluxes:
        """Radiation and turbulent fluxes at a surface temperature (W m-2)."""
        shortwave = forcing["incoming_shortwave"]
        longwave = forcing["incoming_longwave"]
        reflected = radiation.reflected_shortwave(params["albedo"], shortwave)
        outgoing = radiation.emitted_longwave(params["emissivity"], surface_temperature)
        if self.longwave == "kirchhoff":
            outgoing = outgoing + radiation.reflected_longwave(params["emissivity"], longwave)
        sensible, latent = self.turbulence.fluxes(params, surface_temperature, forcing)
        net = shortwave - reflected + longwave - outgoing
        return SurfaceFluxes(reflected, outgoing, net, sensible, latent)

    def _stages(
        self, prepared: PreparedSoilHeat, old: ColumnState, forcing: Forcing
    ) -> tuple[list[ColumnState], tuple[float, ...]]:
        """The stages of a step and the weights with which their fluxes make the step's mean."""
        bottom = old.bottom
        if self.bottom == "measured-temperature":
            bottom = forcing["bottom_temperature"] - prepared.reference

        def ground_heat_flux(anomaly: Float[Array, ""]) -> Float[Array, ""]:
            temperature = prepared.reference + anomaly
            return self.surface_fluxes(prepared.params, temperature, forcing).ground_heat_flux

        # Rows written out are compiled once, in a loop of two; modes are as cheap to compile twice.
        return column_schemes.stages(
            self.scheme, prepared.implicit, old, bottom, ground_heat_flux, self.time_step,
            unroll=self.solver == "modal",
        )  # fmt: skip

    def _surface_fluxes_of(
        self, prepared: PreparedSoilHeat, stage: ColumnState, forcing: Forcing
    ) -> SurfaceFluxes:
        return self.surface_fluxes(prepared.params, prepared.reference + stage.surface, forcing)

    def _anomaly(
        self, prepared: PreparedSoilHeat, state: ColumnState, index: int
    ) -> Float[Array, ""]:
        """Anomaly of a node (K)."""
        if index == 0:
            return state.surface
        if index == len(self.node_depths) - 1 and self._ends.fixed_bottom:
            return state.bottom
        return prepared.implicit.node(state.temperatures, index)

    def _anomalies(self, prepared: PreparedSoilHeat, state: ColumnState) -> Float[Array, " node"]:
        """Anomaly of all nodes (K)."""
        given = [state.surface[None]] if self._ends.skin else []
        unknown = prepared.implicit.decode(state.temperatures)
        below = [state.bottom[None]] if self._ends.fixed_bottom else []
        return jnp.concatenate([*given, unknown, *below])

    @property
    def _faces(self) -> np.ndarray:
        nodes = np.asarray(self.node_depths)
        return (
            np.asarray(self.cell_faces) if self.cell_faces else heat_conduction.midway_faces(nodes)
        )

    @property
    def _ends(self) -> Ends:
        return Ends(skin=bool(self._faces[1] == 0.0), fixed_bottom=self.bottom != "zero-flux")

    def _modes(self, params: Params, column: Column) -> NormalModes:
        if self.layer_bottoms:
            return normal_modes(column, self._ends)
        modes = grid_modes(self.node_depths, tuple(self._faces.tolist()), self._ends)
        return modes.of_homogeneous(
            params["thermal_conductivity"], params["volumetric_heat_capacity"]
        )

    def _by_interval(self, params: Params, name: str) -> Float[Array, " interval"]:
        nodes = np.asarray(self.node_depths)
        if not self.layer_bottoms:
            return jnp.full(len(nodes) - 1, 1.0) * params[name]
        suffixes = declared.layer_suffixes(self.layer_bottoms)
        layer = np.searchsorted(self.layer_bottoms, 0.5 * (nodes[1:] + nodes[:-1]))
        return jnp.stack([params[name + suffix] for suffix in suffixes])[layer]

    def _initial_profile(
        self, params: Params, reference: Float[Array, ""], bottom: Float[Array, ""] | None
    ) -> Float[Array, " node"]:
        """Anomaly of every node, linear between `initial_depths`."""
        if self.initial == "observed":
            values = jnp.asarray(self.initial_values)
        else:
            values = jnp.stack(
                [params[stream_name("initial_temperature", z)] for z in self.initial_depths]
            )
        depths, values = jnp.asarray(self.initial_depths), values - reference
        if bottom is not None and self.initial_depths[-1] < self.node_depths[-1]:
            depths = jnp.append(depths, self.node_depths[-1])
            values = jnp.append(values, bottom)
        return jnp.interp(jnp.asarray(self.node_depths), depths, values)
