"""A step of Land Dynamics in the order and with the switches of the original code.

For comparison with it, not for calibration: derivatives jump where it switches, and in a step in
which the last snow goes, energy is lost (the evaporation was charged as sublimation, but the water
comes from the root zone). Formulas as in GFDL's land_lad (MOM5, commit 6bdbdd48), with one air
density and with the humidity of the canopy air eliminated.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Forcing
from caliche.models.lad.fluxes import Conditions
from caliche.models.lad.state import LaDState, Outcome, PreparedLaD
from caliche.physics import hydrology
from caliche.physics.snow import masked_albedo

Scalar = Float[Array, ""]


def step(prepared: PreparedLaD, state: LaDState, forcing: Forcing) -> Outcome:
    """State after a step and the fluxes over it; see `caliche.models.LaD`."""
    values, dt, constants = prepared.values, prepared.time_step, prepared.constants
    precipitation = forcing["precipitation"]
    cold = forcing["air_temperature"] < values["rain_snow_temperature"]
    snowfall = jnp.where(cold, precipitation, 0.0)
    rain = precipitation - snowfall
    snowy = state.snow > 0.0
    latent_heat = constants.vaporisation + jnp.where(snowy, constants.fusion, 0.0)

    # fluxes at the start of the step
    conditions = _conditions(prepared, state, snowy)
    conditions = conditions._replace(held=prepared.law.hold(values, conditions, forcing))
    temperature = conditions.temperatures[0]
    (sensible, evaporation), (by_sensible, by_evaporation) = jax.jvp(
        lambda t: prepared.law(values, t, conditions, forcing),
        (temperature,),
        (jnp.ones_like(temperature),),
    )
    available = (state.root_zone + state.snow) / dt
    dry = evaporation > available
    evaporation = jnp.where(dry, available, evaporation)
    by_evaporation = jnp.where(dry, 0.0, by_evaporation)
    emitted = constants.stefan_boltzmann * temperature**4
    by_emitted = 4.0 * constants.stefan_boltzmann * temperature**3
    reflected = _albedo(prepared, state) * forcing["incoming_shortwave"]
    absorbed = forcing["incoming_shortwave"] - reflected + forcing["incoming_longwave"]

    # heat, and melt that brings the surface back to freezing under the same linearisation
    gain = absorbed - emitted - sensible - latent_heat * evaporation
    slope = by_sensible + latent_heat * by_evaporation + by_emitted
    response = prepared.column.response
    free = prepared.column.free(state.temperatures)
    damped = response / (1.0 + response * slope)
    before = state.temperatures[0]
    top = before + damped / response * (free[0] - before + response * gain)
    potential = top * dt / (damped * constants.fusion)
    melt = jnp.where(snowy & (top > 0.0), jnp.minimum(potential, state.snow), 0.0)
    top = top - melt * constants.fusion * damped / dt
    change = top - before
    sensible = sensible + by_sensible * change
    evaporation = evaporation + by_evaporation * change
    emitted = emitted + by_emitted * change
    temperatures = prepared.column.finish(top, free)
    temperatures, frozen = _freeze(prepared, temperatures, state.frozen)

    # water
    left = state.snow - melt
    still = left > 0.0
    rest = left + dt * (snowfall - evaporation)
    snow = jnp.where(still, jnp.maximum(rest, 0.0), dt * snowfall)
    taken = jnp.where(still, jnp.minimum(rest, 0.0), -dt * evaporation)
    water = state.root_zone + melt + dt * rain + taken
    drained = jnp.maximum(water - values["root_zone_capacity"], 0.0)
    slid = jnp.maximum(snow - prepared.largest_snow, 0.0)
    groundwater, outflow = hydrology.groundwater_step(
        state.groundwater, drained, values["groundwater_residence_time"], dt
    )
    return Outcome(
        LaDState(temperatures, frozen, snow - slid, water - drained, groundwater),
        reflected,
        emitted,
        sensible,
        latent_heat * evaporation,
        evaporation,
        snowfall,
        melt / dt,
        drained / dt,
        outflow / dt,
        slid / dt,
    )


def _conditions(prepared: PreparedLaD, state: LaDState, snowy: Array) -> Conditions:
    values, freezing = prepared.values, prepared.constants.freezing_point
    saturation = state.root_zone / values["root_zone_capacity"]
    stress = jnp.clip(saturation / values["stress_threshold"], 0.0, 1.0)
    cover = jnp.where(snowy, 1.0, 0.0)
    absolute = tuple(freezing + t for t in state.temperatures)
    return Conditions(absolute, cover, saturation, jnp.where(snowy, 1.0, stress))


def _albedo(prepared: PreparedLaD, state: LaDState) -> Scalar:
    values = prepared.values
    frost = 1.0 - jnp.clip(1.0 + 0.1 * state.temperatures[0], 0.0, 1.0)
    ground = values["albedo"] + frost * values["albedo_cold_increase"]
    bright = values["snow_albedo"] + frost * values["snow_albedo_cold_increase"]
    return masked_albedo(ground, bright, state.snow, values["critical_snow_mass"])


def _freeze(
    prepared: PreparedLaD, temperatures: tuple[Scalar, ...], frozen: tuple[Scalar, ...]
) -> tuple[tuple[Scalar, ...], tuple[Scalar, ...]]:
    """Melt or freeze what the temperature beyond freezing can pay for, layer by layer."""
    if not frozen:
        return temperatures, frozen
    capacity = prepared.values["volumetric_heat_capacity"]
    most = prepared.values["freezable_water"] * prepared.constants.fusion
    warm, ice = [], []
    for temperature, bound in zip(temperatures, frozen, strict=True):
        melted = jnp.clip(capacity * temperature, bound - most, bound)
        warm.append(temperature - melted / capacity)
        ice.append(bound - melted)
    return tuple(warm), tuple(ice)
