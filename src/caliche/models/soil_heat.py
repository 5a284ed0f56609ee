"""SoilHeat: conduction in a soil column under a surface energy balance.

Equations: Huang et al. (2026), arXiv:2505.02979. The soil conducts heat; the surface exchanges
radiation and turbulent heat with the air; there is no water below the surface.
"""

from __future__ import annotations

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
from caliche.models.base import Diagnostics, Forcing, ParameterDeclaration, Params
from caliche.models.closures import COMBINED, TurbulentClosure
from caliche.physics import heat_conduction, radiation
from caliche.physics.heat_conduction import Column, ImplicitColumn
from caliche.physics.surface_energy_balance import solve_surface_temperature
from caliche.variables import stream_name

Scheme = Literal["sdirk2", "crank-nicolson", "backward-euler"]
Bottom = Literal["fixed-temperature", "measured-temperature", "zero-flux"]
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
# Alexander (1977), doi:10.1137/0714068: two stages, second order, L-stable, stiffly accurate.
_SDIRK_GAMMA = 1.0 - 1.0 / np.sqrt(2.0)


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    """Plain floats: static fields are hashed into the compilation cache."""
    return tuple(float(value) for value in values)


def _array(values: Array | None) -> Array | None:
    return None if values is None else jnp.asarray(values)


class SoilHeatState(eqx.Module):
    """Temperature of every node, K."""

    temperature: Float[Array, " node"]


class PreparedSoilHeat(eqx.Module):
    """What the parameters alone determine: the operator, its factors, and the parameters."""

    params: dict[str, Float[Array, ""]]
    column: Column
    implicit: ImplicitColumn


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


class Stage(eqx.Module):
    """Result of one implicit stage: temperatures, and the fluxes that led there."""

    temperature: Float[Array, " node"]
    surface: SurfaceFluxes
    conducted: Float[Array, " interval"]


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
        faces = np.concatenate([nodes[:1], 0.5 * (nodes[1:] + nodes[:-1]), nodes[-1:]])
        return {"soil_temperature": nodes, "ground_heat_flux": faces}

    # -- the two pure functions, and their preparation --------------------------------------

    def prepare(self, params: Params) -> PreparedSoilHeat:
        column = heat_conduction.make_column(
            jnp.diff(jnp.asarray(self.node_depths)),
            self._by_interval(params, "thermal_conductivity"),
            self._by_interval(params, "volumetric_heat_capacity"),
        )
        weight = {"sdirk2": _SDIRK_GAMMA, "crank-nicolson": 0.5, "backward-euler": 1.0}
        implicit = heat_conduction.factorise(
            column, float(weight[self.scheme]) * self.time_step, self.bottom != "zero-flux"
        )
        return PreparedSoilHeat(dict(params), column, implicit)

    def init_state(self, params: Params, forcing: Forcing) -> SoilHeatState:
        nodes = jnp.asarray(self.node_depths)
        bottom = None
        if self.bottom == "fixed-temperature":
            bottom = params["bottom_temperature"]
        elif self.bottom == "measured-temperature":
            bottom = forcing["bottom_temperature"]
        if self.initial == "bottom-temperature":
            assert bottom is not None, "refused by __check_init__"
            return SoilHeatState(jnp.full_like(nodes, 1.0) * bottom)
        if self.initial == "uniform":
            temperature = jnp.full_like(nodes, 1.0) * params["initial_temperature"]
        else:
            temperature = self._initial_profile(params, bottom)
        if bottom is not None:
            temperature = temperature.at[-1].set(bottom)
        return SoilHeatState(temperature)

    def diagnose(self, state: SoilHeatState) -> Diagnostics:
        return {
            "soil_temperature": state.temperature,
            "surface_temperature": state.temperature[0],
        }

    def step(
        self, prepared: PreparedSoilHeat, state: SoilHeatState, forcing: Forcing
    ) -> tuple[SoilHeatState, Diagnostics]:
        old = state.temperature
        stages, weights = self._stages(prepared, old, forcing)
        new = stages[-1].temperature

        def mean(*values: Array) -> Array:
            total = weights[0] * values[0]
            for weight, value in zip(weights[1:], values[1:], strict=True):
                total = total + weight * value
            return total

        surface = jax.tree.map(mean, *(stage.surface for stage in stages))
        conducted = mean(*(stage.conducted for stage in stages))
        storage = prepared.column.heat_capacity * (new - old) / self.time_step
        # A node of given temperature takes from below what its storage needs: the flux that
        # closes the budget of the last half cell.
        bottom_flux = conducted[-1:] - storage[-1:]
        ground = surface.ground_heat_flux
        state = SoilHeatState(new)
        diagnostics = {
            **self.diagnose(state),
            "outgoing_shortwave": surface.outgoing_shortwave,
            "outgoing_longwave": surface.outgoing_longwave,
            "net_radiation": surface.net_radiation,
            "turbulent_heat_flux": surface.sensible_heat_flux + surface.latent_heat_flux,
            "ground_heat_flux": jnp.concatenate([ground[None], conducted, bottom_flux]),
            "energy_imbalance": ground - jnp.sum(storage) - bottom_flux[0],
        }
        if self.turbulence.separates:
            diagnostics["sensible_heat_flux"] = surface.sensible_heat_flux
            diagnostics["latent_heat_flux"] = surface.latent_heat_flux
        return state, diagnostics

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return declared.derived_labels(self.turbulence, declared.layer_suffixes(self.layer_bottoms))

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        suffixes = declared.layer_suffixes(self.layer_bottoms)
        return declared.derive(params, self.turbulence, suffixes)

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
        self, prepared: PreparedSoilHeat, old: Float[Array, " node"], forcing: Forcing
    ) -> tuple[list[Stage], tuple[float, ...]]:
        """The stages of a step and the weights with which their fluxes make the step's mean.

        Every scheme is a composition of implicit steps that share one factorisation.
        """
        bottom_old, bottom_new = old[-1], old[-1]
        if self.bottom == "fixed-temperature":
            bottom_old = bottom_new = prepared.params["bottom_temperature"]
        elif self.bottom == "measured-temperature":
            bottom_new = forcing["bottom_temperature"]
        implicit = functools.partial(self._implicit_stage, prepared, forcing)
        if self.scheme == "backward-euler":
            return [implicit(old, bottom_new, old)], (1.0,)
        if self.scheme == "crank-nicolson":
            explicit = self._explicit_stage(prepared, forcing, old)
            net = heat_conduction.conductive_heating(prepared.column, old)
            net = net.at[0].add(explicit.surface.ground_heat_flux)
            half = old + 0.5 * self.time_step * net / prepared.column.heat_capacity
            return [explicit, implicit(half, bottom_new, old)], (0.5, 0.5)
        gamma = float(_SDIRK_GAMMA)
        first = implicit(old, bottom_old + gamma * (bottom_new - bottom_old), old)
        start = old + (1.0 - gamma) / gamma * (first.temperature - old)
        return [first, implicit(start, bottom_new, first.temperature)], (1.0 - gamma, gamma)

    def _implicit_stage(
        self,
        prepared: PreparedSoilHeat,
        forcing: Forcing,
        start: Float[Array, " node"],
        bottom_temperature: Float[Array, ""],
        guess: Float[Array, " node"],
    ) -> Stage:
        # `start` may be an extrapolation far from any temperature that occurs; `guess` is not.
        implicit = prepared.implicit
        free = implicit.free_temperature(start, bottom_temperature)

        def ground_heat_flux(temperature: Float[Array, ""]) -> Float[Array, ""]:
            return self.surface_fluxes(prepared.params, temperature, forcing).ground_heat_flux

        surface_temperature = solve_surface_temperature(
            ground_heat_flux, free[0], implicit.response[0], jax.lax.stop_gradient(guess[0])
        )
        surface = self.surface_fluxes(prepared.params, surface_temperature, forcing)
        temperature = free + implicit.response * surface.ground_heat_flux
        conducted = heat_conduction.interface_heat_flux(prepared.column, temperature)
        return Stage(temperature, surface, conducted)

    def _explicit_stage(
        self, prepared: PreparedSoilHeat, forcing: Forcing, temperature: Float[Array, " node"]
    ) -> Stage:
        surface = self.surface_fluxes(prepared.params, temperature[0], forcing)
        conducted = heat_conduction.interface_heat_flux(prepared.column, temperature)
        return Stage(temperature, surface, conducted)

    def _by_interval(self, params: Params, name: str) -> Float[Array, " interval"]:
        nodes = np.asarray(self.node_depths)
        if not self.layer_bottoms:
            return jnp.full(len(nodes) - 1, 1.0) * params[name]
        suffixes = declared.layer_suffixes(self.layer_bottoms)
        layer = np.searchsorted(self.layer_bottoms, 0.5 * (nodes[1:] + nodes[:-1]))
        return jnp.stack([params[name + suffix] for suffix in suffixes])[layer]

    def _initial_profile(
        self, params: Params, bottom: Float[Array, ""] | None
    ) -> Float[Array, " node"]:
        if self.initial == "observed":
            values = jnp.asarray(self.initial_values)
        else:
            values = jnp.stack(
                [params[stream_name("initial_temperature", z)] for z in self.initial_depths]
            )
        depths = jnp.asarray(self.initial_depths)
        if bottom is not None and self.initial_depths[-1] < self.node_depths[-1]:
            depths = jnp.append(depths, self.node_depths[-1])
            values = jnp.append(values, bottom)
        return jnp.interp(jnp.asarray(self.node_depths), depths, values)
