"""A step of Land Dynamics that conserves water and energy exactly and has no sharp switch.

Heat, melt and evaporation are one equation in the surface temperature at the end of the step, which
is solved to round-off; then come the stores. Every flux is that of the solution: what leaves one
store is what enters another, whatever law gives the fluxes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Forcing
from caliche.models.lad.fluxes import Conditions
from caliche.models.lad.state import LaDState, Outcome, PreparedLaD
from caliche.physics import hydrology, snow
from caliche.physics.increasing_root import solve_increasing
from caliche.physics.switches import capped_share, smooth_cap, smooth_plus, smooth_ramp
from caliche.physics.tangents import along, quotient

Scalar = Float[Array, ""]

# kg m-2 s-1. A store that this could empty within a step gives less: snow no longer counts as full
# cover, a shallow root zone as full supply.
MOST_EVAPORATION = 3e-4
COVER_WIDTH = 0.25
# Of what a store holds at the start of a step, the most that evaporates within it, however thirsty
# the air; and the share of that within which the limit sets in.
MOST_OF_STORE = 0.9
LIMIT_WIDTH = 0.1
FREEZING_WIDTH = 0.25  # K within which soil water begins and ends to freeze
LEAST_WETNESS = 1e-12
# K; the surface is looked for in between, where saturation does not fall with temperature. What
# balances weather lies far inside: a law that asks for more has no solution, and gives NaN.
COLDEST, HOTTEST = 50.0, 550.0


class Supply(NamedTuple):
    """How a store takes part in evaporation.

    share : of the evaporation without shortage that is asked of the store, 0 to 1.
    limit : that share times the step over the water in the store, m2 s kg-1.
    """

    share: Scalar
    limit: Scalar

    def give(self, potential: Scalar) -> Scalar:
        """Evaporation from the store (kg m-2 s-1), which takes less than there is; dew passes.

        `potential` is the evaporation without shortage.
        """
        return _given(self.share, self.limit, potential)


@jax.custom_jvp
def _given(share: Scalar, limit: Scalar, potential: Scalar) -> Scalar:
    wanted = (1.0 / MOST_OF_STORE) * limit * potential
    return share * potential * capped_share(wanted, LIMIT_WIDTH)


def _given_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    share, limit, potential = primals
    wanted = (1.0 / MOST_OF_STORE) * limit * potential
    part, by_wanted = jax.jvp(
        lambda w: capped_share(w, LIMIT_WIDTH), (wanted,), (jnp.ones_like(wanted),)
    )
    slopes = [
        potential * part,
        (1.0 / MOST_OF_STORE) * share * potential * potential * by_wanted,
        share * (part + wanted * by_wanted),
    ]
    given = share * potential * part
    return given, along(slopes, tangents, given)


_given.defjvp(_given_jvp, symbolic_zeros=True)


class Supplies(NamedTuple):
    """The two stores that evaporate."""

    snow: Supply
    root_zone: Supply


class Surface(NamedTuple):
    """The solution of a step: K above freezing, W m-2 upwards, kg m-2 s-1, and kg m-2 of snow."""

    temperature: Scalar
    sensible: Scalar
    sublimation: Scalar
    evaporation: Scalar  # from the root zone
    melt: Scalar


def step(prepared: PreparedLaD, state: LaDState, forcing: Forcing) -> Outcome:
    """State after a step and the fluxes over it; see `caliche.models.LaD`."""
    values, dt, constants = prepared.values, prepared.time_step, prepared.constants
    snowfall = forcing["precipitation"] * snow.snow_fraction(
        forcing["air_temperature"], values["rain_snow_temperature"], values["rain_snow_half_range"]
    )
    mass = state.snow + dt * snowfall
    conditions, supplies = conditions_before(prepared, state, mass)
    conditions = conditions._replace(held=prepared.law.hold(values, conditions, forcing))
    reflected = _albedo(prepared, state) * forcing["incoming_shortwave"]
    absorbed = forcing["incoming_shortwave"] - reflected + forcing["incoming_longwave"]

    free = prepared.column.free(state.temperatures)
    surface = _surface(
        prepared, conditions, supplies, forcing, mass, absorbed, free[0], state.temperatures[0]
    )
    evaporation = surface.sublimation + surface.evaporation
    latent = constants.vaporisation * evaporation + constants.fusion * surface.sublimation
    # What is left when all that the column takes is counted: the emission, to round-off.
    taken = (surface.temperature - free[0]) / prepared.column.response
    melting = constants.fusion / dt * surface.melt
    emitted = absorbed - surface.sensible - latent - melting - taken
    temperatures = prepared.column.finish(surface.temperature, free)
    temperatures, frozen = _freeze(prepared, temperatures, state.frozen)

    left = mass - dt * surface.sublimation - surface.melt
    largest = prepared.largest_snow
    slid = smooth_plus(left - largest, 0.01 * largest)
    rain = forcing["precipitation"] - snowfall
    water = state.root_zone - dt * surface.evaporation + dt * rain + surface.melt
    drained = hydrology.drainage(water, values["root_zone_capacity"], values["drainage_time"], dt)
    groundwater, outflow = hydrology.groundwater_step(
        state.groundwater, drained, values["groundwater_residence_time"], dt
    )
    return Outcome(
        LaDState(temperatures, frozen, left - slid, water - drained, groundwater),
        reflected,
        emitted,
        surface.sensible,
        latent,
        evaporation,
        snowfall,
        surface.melt / dt,
        drained / dt,
        outflow / dt,
        slid / dt,
    )


def conditions_before(
    prepared: PreparedLaD, state: LaDState, mass: Scalar
) -> tuple[Conditions, Supplies]:
    """What the fluxes depend on, and how snow and root zone take part in evaporation.

    `mass` is the snow (kg m-2) there is to evaporate within the step.
    """
    values, dt = prepared.values, prepared.time_step
    capacity = values["root_zone_capacity"]
    least = MOST_EVAPORATION * dt
    deep = mass / least
    cover = smooth_cap(deep, COVER_WIDTH)
    enough = least + smooth_plus(values["stress_threshold"] * capacity - least, 0.5 * least)
    wet = quotient(state.root_zone, enough)
    bare = 1.0 - cover
    supplies = Supplies(
        Supply(cover, capped_share(deep, COVER_WIDTH) / MOST_EVAPORATION),
        Supply(bare * hydrology.moisture_stress(wet), bare * hydrology.taken_up(wet) * dt / enough),
    )
    freezing = prepared.constants.freezing_point
    absolute = tuple(freezing + t for t in state.temperatures)
    wetness = supplies.snow.share + supplies.root_zone.share + LEAST_WETNESS
    return Conditions(absolute, cover, state.root_zone / capacity, wetness), supplies


def _albedo(prepared: PreparedLaD, state: LaDState) -> Scalar:
    values = prepared.values
    frost = 1.0 - smooth_ramp(1.0 + 0.1 * state.temperatures[0], 0.1)
    ground = values["albedo"] + frost * values["albedo_cold_increase"]
    bright = values["snow_albedo"] + frost * values["snow_albedo_cold_increase"]
    return snow.masked_albedo(ground, bright, state.snow, values["critical_snow_mass"])


def _surface(
    prepared: PreparedLaD,
    conditions: Conditions,
    supplies: Supplies,
    forcing: Forcing,
    mass: Scalar,
    absorbed: Scalar,
    free: Scalar,
    before: Scalar,
) -> Surface:
    """Surface temperature, fluxes and melt of a step of which each determines the others.

    The unknown is the temperature that the surface would have if melt took no heat: while it rises
    by `pause`, the surface stays at freezing and the snow melts. Temperature and melt are functions
    of it, both of them rising, so that the balance of energy has one root.
    """
    dt, constants, response = prepared.time_step, prepared.constants, prepared.column.response
    pause = response * (constants.fusion / dt) * mass
    warmest = free + response * absorbed

    def balance(unmelted: Scalar) -> tuple[Scalar, Surface]:
        share = snow.melted_share(unmelted, pause)
        above = unmelted - pause * share
        temperature = constants.freezing_point + above
        sensible, evaporation = prepared.law(prepared.values, temperature, conditions, forcing)
        potential = quotient(evaporation, conditions.wetness)
        sublimation = supplies.snow.give(potential)
        evaporation = supplies.root_zone.give(potential)
        melt = (mass - dt * sublimation) * share
        loss = (
            constants.stefan_boltzmann * temperature**4
            + sensible
            + constants.vaporisation * (sublimation + evaporation)
            + constants.fusion * (sublimation + melt / dt)
        )
        solved = Surface(above, sensible, sublimation, evaporation, melt)
        return above - warmest + response * loss, solved

    lowest, highest = (t - constants.freezing_point for t in (COLDEST, HOTTEST))
    return solve_increasing(balance, before, before * 0.0 + lowest, highest + pause)[1]


def _freeze(
    prepared: PreparedLaD, temperatures: tuple[Scalar, ...], frozen: tuple[Scalar, ...]
) -> tuple[tuple[Scalar, ...], tuple[Scalar, ...]]:
    """Temperatures and frozen water of the layers in equilibrium, heat conserved in each."""
    if not frozen:
        return temperatures, frozen
    capacity = prepared.values["volumetric_heat_capacity"]
    most = prepared.values["freezable_water"] * prepared.constants.fusion
    warm, ice = [], []
    for temperature, bound in zip(temperatures, frozen, strict=True):
        heat = capacity * temperature - bound
        after = snow.frozen_share(heat, most, FREEZING_WIDTH * capacity)
        warm.append((heat + after) / capacity)
        ice.append(after)
    return tuple(warm), tuple(ice)
