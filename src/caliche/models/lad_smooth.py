"""A step of Land Dynamics that conserves water and energy exactly and has no sharp switch.

The order of the original is kept: heat, implicitly; then melt; then the stores. Every flux is used
with the one linearisation that the heat step ended with, so that what leaves one store is what
enters another, to round-off, whatever law gives the fluxes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Forcing
from caliche.models.lad_fluxes import Conditions
from caliche.models.lad_state import LaDState, Outcome, PreparedLaD
from caliche.physics import hydrology, snow
from caliche.physics.switches import smooth_cap, smooth_plus, smooth_ramp

Scalar = Float[Array, ""]

# Newton iterations for the surface temperature, written out: derivatives are those of what is
# computed. The second leaves some 1e-4 K.
PASSES = 2
# kg m-2 s-1. A store that this could empty within a step gives less, so that no step takes more
# than there is: snow no longer counts as full cover, a shallow root zone as full supply.
MOST_EVAPORATION = 3e-4
COVER_WIDTH = 0.25
# W m-2 K-1; slopes of turbulence below are raised: falling fluxes would run away in a step.
LEAST_SLOPE = 0.1
FREEZING_WIDTH = 0.25  # K within which soil water begins and ends to freeze
TINY = 1e-12


class Linear(NamedTuple):
    """Fluxes near a surface temperature: values there, and slopes by it."""

    at: Scalar
    sensible: Scalar
    evaporation: Scalar
    emitted: Scalar
    slopes: tuple[Scalar, Scalar, Scalar]

    def moved(self, temperature: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """Sensible heat, evaporation and emission at another temperature."""
        change = temperature - self.at
        values = (self.sensible, self.evaporation, self.emitted)
        first, second, third = (
            v + slope * change for v, slope in zip(values, self.slopes, strict=True)
        )
        return first, second, third


def step(prepared: PreparedLaD, state: LaDState, forcing: Forcing) -> Outcome:
    """State after a step and the fluxes over it; see `caliche.models.LaD`."""
    values, dt = prepared.values, prepared.time_step
    snowfall = forcing["precipitation"] * snow.snow_fraction(
        forcing["air_temperature"], values["rain_snow_temperature"], values["rain_snow_half_range"]
    )
    mass = state.snow + dt * snowfall
    conditions, snow_share = conditions_before(prepared, state, mass)
    conditions = conditions._replace(held=prepared.law.hold(values, conditions, forcing))
    latent_heat = prepared.constants.vaporisation + snow_share * prepared.constants.fusion
    reflected = _albedo(prepared, state) * forcing["incoming_shortwave"]
    absorbed = forcing["incoming_shortwave"] - reflected + forcing["incoming_longwave"]

    free = prepared.column.free(state.temperatures)
    top, melt = state.temperatures[0], jnp.zeros_like(mass)
    fluxes = _linear(prepared, top, latent_heat, conditions, forcing)
    for k in range(PASSES):
        if k:
            fluxes = _linear(prepared, top, latent_heat, conditions, forcing)
        top, melt = _surface(
            prepared, fluxes, absorbed, latent_heat, free[0], mass, snow_share if k else None
        )
    sensible, evaporation, emitted = fluxes.moved(top)
    temperatures = prepared.column.finish(top, free)
    temperatures, frozen = _freeze(prepared, temperatures, state.frozen)

    sublimation = snow_share * evaporation
    left = mass - dt * sublimation - melt
    largest = prepared.largest_snow
    slid = smooth_plus(left - largest, 0.01 * largest)
    rain = forcing["precipitation"] - snowfall
    water = state.root_zone + dt * (rain - (evaporation - sublimation)) + melt
    drained = hydrology.drainage(water, values["root_zone_capacity"], values["drainage_time"], dt)
    groundwater, outflow = hydrology.groundwater_step(
        state.groundwater, drained, values["groundwater_residence_time"], dt
    )
    return Outcome(
        LaDState(temperatures, frozen, left - slid, water - drained, groundwater),
        reflected, emitted, sensible, latent_heat * evaporation, evaporation, snowfall,
        melt / dt, drained / dt, outflow / dt, slid / dt,
    )  # fmt: skip


def conditions_before(
    prepared: PreparedLaD, state: LaDState, mass: Scalar
) -> tuple[Conditions, Scalar]:
    """What the fluxes depend on, and the share of evaporation that comes from snow.

    `mass` is the snow (kg m-2) there is to evaporate within the step.
    """
    values = prepared.values
    capacity = values["root_zone_capacity"]
    least = MOST_EVAPORATION * prepared.time_step
    cover = smooth_cap(_or_none(mass) / least, COVER_WIDTH)
    enough = least + smooth_plus(values["stress_threshold"] * capacity - least, 0.5 * least)
    stress = hydrology.moisture_stress(_or_none(state.root_zone), enough)
    wetness = cover + (1.0 - cover) * stress
    freezing = prepared.constants.freezing_point
    absolute = tuple(freezing + t for t in state.temperatures)
    conditions = Conditions(absolute, cover, state.root_zone / capacity, wetness)
    return conditions, cover / (wetness + TINY)


def _or_none(store: Scalar) -> Scalar:
    """A store, or none where evaporation beyond MOST_EVAPORATION has left a debt."""
    return jnp.where(store < 0.0, 0.0, store)


def _albedo(prepared: PreparedLaD, state: LaDState) -> Scalar:
    values = prepared.values
    frost = 1.0 - smooth_ramp(1.0 + 0.1 * state.temperatures[0], 0.1)
    ground = values["albedo"] + frost * values["albedo_cold_increase"]
    bright = values["snow_albedo"] + frost * values["snow_albedo_cold_increase"]
    return snow.masked_albedo(ground, bright, _or_none(state.snow), values["critical_snow_mass"])


def _linear(
    prepared: PreparedLaD,
    top: Scalar,
    latent_heat: Scalar,
    conditions: Conditions,
    forcing: Forcing,
) -> Linear:
    """The fluxes linearised about a surface temperature (K above freezing)."""
    constants = prepared.constants
    temperature = constants.freezing_point + top
    (sensible, evaporation), (by_sensible, by_evaporation) = prepared.law.linearised(
        prepared.values, temperature, conditions, forcing
    )
    emitted = constants.stefan_boltzmann * temperature**4
    rising = by_sensible + latent_heat * by_evaporation
    by_sensible = by_sensible + smooth_plus(-rising, LEAST_SLOPE)
    slopes = (by_sensible, by_evaporation, 4.0 * emitted / temperature)
    return Linear(top, sensible, evaporation, emitted, slopes)


def _surface(
    prepared: PreparedLaD,
    fluxes: Linear,
    absorbed: Scalar,
    latent_heat: Scalar,
    free: Scalar,
    mass: Scalar,
    snow_share: Scalar | None,
) -> tuple[Scalar, Scalar]:
    """Surface temperature (K above freezing) and snow melted in the step (kg m-2).

    Without `snow_share`, as an estimate, melt does not heed what sublimates.
    """
    response, dt = prepared.column.response, prepared.time_step
    by_sensible, by_evaporation, by_emitted = fluxes.slopes
    slope = by_sensible + latent_heat * by_evaporation + by_emitted
    turbulence = fluxes.sensible + latent_heat * fluxes.evaporation
    gain = absorbed - fluxes.emitted - turbulence
    damped = response / (1.0 + response * slope)
    # free + response * (gain - slope * (top - at)) = top
    top = fluxes.at + damped / response * (free - fluxes.at + response * gain)
    if snow_share is not None:
        mass = mass - dt * snow_share * fluxes.moved(top)[1]
    melt = snow.melt(top, _or_none(mass), dt / damped, prepared.constants.fusion)
    return top - melt * prepared.constants.fusion * damped / dt, melt


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
