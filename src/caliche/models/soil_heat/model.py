"""SoilHeat: conduction in a soil column under a surface energy balance.

Equations: Huang et al. (2026), arXiv:2505.02979. The soil conducts heat; the surface exchanges
radiation and turbulent heat with the air. There is no water below the surface unless a bucket of it
feeds the evaporation; docs/closures.md says where the latent heat comes from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest
from caliche.models.base import Diagnostics, Forcing, ParameterDeclaration, Params, Profile
from caliche.models.soil_heat import checks
from caliche.models.soil_heat import parameters as declared
from caliche.models.soil_heat.closures import COMBINED, TurbulentClosure
from caliche.models.soil_heat.column import PreparedSoilHeat, Solver, prepare_column
from caliche.models.soil_heat.initial import Interpolation, interpolate
from caliche.models.soil_heat.surface import Longwave, Moisture, Rain, SurfaceFluxes, surface_fluxes
from caliche.physics import column_schemes, heat_conduction
from caliche.physics.bucket import Wetness
from caliche.physics.column_schemes import ColumnState, Scheme, Weights, weighted_mean
from caliche.physics.normal_modes import Ends
from caliche.physics.surface_energy_balance import COLDEST, HOTTEST
from caliche.variables import stream_name

Bottom = Literal["fixed-temperature", "varying-temperature", "measured-temperature", "zero-flux"]
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
# What a bucket adds.
_WATER = ("root_zone_water", "evaporation", "runoff", "water_imbalance")
# Temperatures are stepped as anomalies from this (K) where the bottom is not always the same.
_REFERENCE = 283.15


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    """Plain floats: static fields are hashed into the compilation cache."""
    return tuple(float(value) for value in values)


def _array(values: Array | None) -> Array | None:
    return None if values is None else jnp.asarray(values)


class MoistState(ColumnState):
    """State of a column with a bucket: `water` in kg m-2."""

    water: Float[Array, ""]


class SoilHeat(eqx.Module):
    """Soil heat conduction with a surface energy balance.

    Parameters
    ----------
    node_depths : depths of the nodes, m; the first is 0, increasing.
    time_step : s.
    scheme : `sdirk2` (second order, L-stable), `crank-nicolson` (second order, rings on fine
        grids; an implicit half takes the place of the explicit one where that runs away) or
        `backward-euler` (first order; the scheme of Huang et al.). Forcing is constant over a step
        and the surface flux starts afresh with it.
    turbulence : closure of the turbulent fluxes.
    longwave : `kirchhoff` absorbs eps LWdown and reflects the rest; `unweighted` absorbs all of
        LWdown, as in Huang et al.
    bottom : temperature fixed at the parameter `bottom_temperature`, the same with a parameter
        that may change from step to step, following the forcing `bottom_temperature`, or no heat
        flux.
    initial : profile at the start: uniform at `bottom_temperature`; uniform at the parameter
        `initial_temperature`; `observed`, between `initial_depths` with the values
        `initial_values`; `estimated`, between `initial_depths` with one parameter each.
    initial_interpolation : between those depths, `linear` or `cubic` (a natural spline).
    layer_bottoms : depths (m) where soil layers end, on nodes, the last layer ending the grid;
        empty for a homogeneous soil. Conductivity and capacity then have one value per layer.
    cell_faces : depths (m) where control volumes meet, one more than nodes; empty for midway
        between nodes. If the first two are 0, the surface is a skin without heat capacity.
    solver : `modal` or `elimination`, see `caliche.physics.implicit_column`. Equal to round-off;
        the first compiles faster and suits a few columns, the second blocks of many. Properties of
        layers that change from step to step need the second, see `for_varying`.
    moisture : what feeds evaporation in closures with a `moisture_availability`: that parameter,
        or a `bucket` filled by the forcing `precipitation`, see `caliche.physics.bucket`.

    Raises
    ------
    InputError : options that do not go together, or depths off the grid.
    """

    node_depths: tuple[float, ...] = eqx.field(static=True, converter=_floats)
    time_step: float = eqx.field(static=True, converter=float)
    scheme: Scheme = eqx.field(static=True, default="sdirk2")
    turbulence: TurbulentClosure = eqx.field(static=True, default=COMBINED)
    longwave: Longwave = eqx.field(static=True, default="kirchhoff")
    bottom: Bottom = eqx.field(static=True, default="fixed-temperature")
    initial: Initial = eqx.field(static=True, default="bottom-temperature")
    initial_depths: tuple[float, ...] = eqx.field(static=True, default=(), converter=_floats)
    initial_values: Float[Array, " knot"] | None = eqx.field(default=None, converter=_array)
    layer_bottoms: tuple[float, ...] = eqx.field(static=True, default=(), converter=_floats)
    cell_faces: tuple[float, ...] = eqx.field(static=True, default=(), converter=_floats)
    solver: Solver = eqx.field(static=True, default="modal")

    initial_interpolation: Interpolation = eqx.field(static=True, default="linear")
    moisture: Moisture = eqx.field(static=True, default="parameter")

    def __check_init__(self) -> None:
        checks.check_ends(self.bottom, self.initial)
        checks.check_grid(self.node_depths, self.layer_bottoms, self._faces)
        checks.check_moisture(self.moisture, self.turbulence)

    # -- what the model declares ------------------------------------------------------------

    @property
    def declarations(self) -> tuple[ParameterDeclaration, ...]:
        return declared.declare(
            self.turbulence,
            declared.layer_suffixes(self.layer_bottoms),
            self._bottom_is_parameter,
            self.initial == "uniform",
            self.initial_depths if self.initial == "estimated" else (),
            self.moisture == "bucket",
        )

    @property
    def forcing_variables(self) -> tuple[str, ...]:
        return (
            "incoming_shortwave",
            "incoming_longwave",
            *self.turbulence.forcing_variables,
            *(["precipitation"] if self.moisture == "bucket" else []),
            *(["bottom_temperature"] if self.bottom == "measured-temperature" else []),
        )

    @property
    def diagnostics(self) -> tuple[str, ...]:
        split = ("sensible_heat_flux", "latent_heat_flux") if self.turbulence.separates else ()
        return (*_DIAGNOSTICS, *split, *(_WATER if self.moisture == "bucket" else ()))

    @property
    def depths(self) -> Mapping[str, np.ndarray]:
        nodes = np.asarray(self.node_depths)
        return {
            "soil_temperature": nodes,
            "ground_heat_flux": heat_conduction.midway_faces(nodes),
        }

    # -- the two pure functions, and their preparation --------------------------------------

    def prepare(self, params: Params) -> PreparedSoilHeat:
        column, implicit = prepare_column(
            params,
            self.node_depths,
            self._faces,
            self.layer_bottoms,
            self._ends,
            self.solver,
            column_schemes.IMPLICIT_FRACTION[self.scheme] * self.time_step,
        )
        fixed = self.bottom == "fixed-temperature"
        reference = params["bottom_temperature"] if fixed else jnp.asarray(_REFERENCE)
        return PreparedSoilHeat(self.turbulence.with_prepared(params), column, implicit, reference)

    def init_state(self, prepared: PreparedSoilHeat, forcing: Forcing) -> ColumnState:
        nodes = jnp.asarray(self.node_depths)
        params, reference = prepared.params, prepared.reference
        bottom = self._bottom_anomaly(prepared, forcing)
        if self.initial == "bottom-temperature":
            assert bottom is not None, "refused by __check_init__"
            anomaly = jnp.full_like(nodes, 1.0) * bottom
        elif self.initial == "uniform":
            anomaly = jnp.full_like(nodes, 1.0) * (params["initial_temperature"] - reference)
        else:
            anomaly = self._initial_profile(params, reference, bottom)
        if bottom is not None:
            anomaly = anomaly.at[-1].set(bottom)
        state = prepared.implicit.encode(anomaly), anomaly[0], anomaly[-1]
        if self.moisture == "bucket":
            return MoistState(*state, params["initial_wetness"] * params["water_capacity"])
        return ColumnState(*state)

    def diagnose(self, prepared: PreparedSoilHeat, state: ColumnState) -> Diagnostics:
        def soil_temperature(index: int) -> Array:
            return prepared.reference + prepared.anomaly(state, index)

        def whole() -> Array:
            return prepared.reference + prepared.anomalies(state)

        seen = {
            "soil_temperature": Profile(len(self.node_depths), soil_temperature, whole),
            "surface_temperature": prepared.reference + state.surface,
        }
        return {**seen, "root_zone_water": state.water} if _is_moist(state) else seen

    def step(
        self, prepared: PreparedSoilHeat, state: ColumnState, forcing: Forcing
    ) -> tuple[ColumnState, Diagnostics]:
        params, rain = prepared.params, None
        if _is_moist(state):
            rain = Rain.fall(params, state.water, forcing, self.time_step)
        wet = None if rain is None else rain.wet
        stages, weights = self._stages(prepared, state, forcing, wet)
        new, water = stages[-1], {}
        fluxes = [
            self.surface_fluxes(params, prepared.reference + stage.surface, forcing, wet)
            for stage in stages
        ]
        surface = jax.tree.map(lambda *values: weighted_mean(weights, values), *fluxes)
        ground_heat_flux, imbalance = prepared.heat_budget(
            state, stages, weights, surface.ground_heat_flux, self.time_step
        )
        if rain is not None:
            store, water = rain.evaporate(params, surface.latent_heat_flux, self.time_step)
            new = MoistState(new.temperatures, new.surface, new.bottom, store)

        diagnostics = {
            **self.diagnose(prepared, new),
            **water,
            "outgoing_shortwave": surface.outgoing_shortwave,
            "outgoing_longwave": surface.outgoing_longwave,
            "net_radiation": surface.net_radiation,
            "turbulent_heat_flux": surface.sensible_heat_flux + surface.latent_heat_flux,
            "ground_heat_flux": ground_heat_flux,
            "energy_imbalance": imbalance,
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

    def for_varying(self, names: Collection[str]) -> SoilHeat:
        """The same model, for parameters that change, so that `prepare` is called in every step.

        Temperatures go from step to step in the form of the solver. That of the modes of a
        homogeneous soil does not depend on its properties, nor on any other parameter; the modes of
        layers do, which are then eliminated instead. A bottom temperature becomes a varying one.

        Raises
        ------
        InputError : a parameter that the model does not have, or that only the start knows.
        """
        known = [d.name for d in self.declarations]
        for name in names:
            if name not in known:
                raise InputError(
                    "a parameter of the model to vary in time", repr(name), nearest(name, known)
                )
            if name.startswith("initial_"):
                raise InputError(
                    "a parameter that every step knows to vary in time",
                    repr(name),
                    "leave it constant: it describes the start",
                )
        soil = any(name.startswith(declared.SOIL) for name in names)
        return dataclasses.replace(
            self,
            bottom="varying-temperature" if "bottom_temperature" in names else self.bottom,
            solver="elimination" if soil and self.layer_bottoms else self.solver,
        )

    # -- parts --------------------------------------------------------------------------------

    def surface_fluxes(
        self,
        params: Params,
        surface_temperature: Float[Array, ""],
        forcing: Forcing,
        wet: Wetness | None = None,
    ) -> SurfaceFluxes:
        """Radiation and turbulent fluxes at a surface temperature (W m-2); `wet` if a bucket."""
        return surface_fluxes(
            self.turbulence, self.longwave, params, surface_temperature, forcing, wet
        )

    def _bottom_anomaly(
        self, prepared: PreparedSoilHeat, forcing: Forcing
    ) -> Float[Array, ""] | None:
        """Anomaly of a bottom of given temperature (K)."""
        if self.bottom == "zero-flux":
            return None
        if self.bottom == "fixed-temperature":  # which is the reference
            return jnp.zeros_like(prepared.reference)
        given = forcing if self.bottom == "measured-temperature" else prepared.params
        return given["bottom_temperature"] - prepared.reference

    def _stages(
        self,
        prepared: PreparedSoilHeat,
        old: ColumnState,
        forcing: Forcing,
        wet: Wetness | None,
    ) -> tuple[list[ColumnState], Weights]:
        """The stages of a step and the weights with which their fluxes make the step's mean."""
        old = ColumnState(old.temperatures, old.surface, old.bottom)
        bottom = self._bottom_anomaly(prepared, forcing)
        if bottom is None or self.bottom == "fixed-temperature":
            bottom = old.bottom

        def ground_heat_flux(anomaly: Float[Array, ""]) -> Float[Array, ""]:
            temperature = prepared.reference + anomaly
            return self.surface_fluxes(prepared.params, temperature, forcing, wet).ground_heat_flux

        # Rows written out are compiled once, in a loop of two; modes are as cheap to compile twice.
        return column_schemes.stages(
            self.scheme,
            prepared.implicit,
            old,
            bottom,
            ground_heat_flux,
            self.time_step,
            self.solver == "modal",
            (COLDEST - prepared.reference, HOTTEST - prepared.reference),
        )

    @property
    def _bottom_is_parameter(self) -> bool:
        return self.bottom in ("fixed-temperature", "varying-temperature")

    @property
    def _faces(self) -> np.ndarray:
        nodes = np.asarray(self.node_depths)
        return (
            np.asarray(self.cell_faces) if self.cell_faces else heat_conduction.midway_faces(nodes)
        )

    @property
    def _ends(self) -> Ends:
        return Ends(skin=bool(self._faces[1] == 0.0), fixed_bottom=self.bottom != "zero-flux")

    def _initial_profile(
        self, params: Params, reference: Float[Array, ""], bottom: Float[Array, ""] | None
    ) -> Float[Array, " node"]:
        """Anomaly of every node, interpolated between `initial_depths`."""
        if self.initial == "observed":
            values = jnp.asarray(self.initial_values)
        else:
            values = jnp.stack(
                [params[stream_name("initial_temperature", z)] for z in self.initial_depths]
            )
        depths, values = self.initial_depths, values - reference
        if bottom is not None and depths[-1] < self.node_depths[-1]:
            depths = (*depths, self.node_depths[-1])
            values = jnp.append(values, bottom)
        return interpolate(self.node_depths, depths, values, self.initial_interpolation)


def _is_moist(state: ColumnState) -> TypeGuard[MoistState]:
    return isinstance(state, MoistState)
