"""Time stepping of a soil column: every scheme is a composition of implicit steps of one length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.physics.implicit_column import EliminatedColumn, ModalColumn, Temperatures
from caliche.physics.surface_energy_balance import ANYWHERE, Between, solve_surface_temperature
from caliche.physics.switches import smooth_step

Scalar = Float[Array, ""]
GroundHeatFlux = Callable[[Scalar], Scalar]
Weights = Sequence[Scalar | float]
Scheme = Literal["sdirk2", "crank-nicolson", "backward-euler"]

# Alexander (1977), doi:10.1137/0714068: two stages, second order, L-stable, stiffly accurate.
_SDIRK_GAMMA = 1.0 - 0.5**0.5
# Length of the implicit steps that a scheme is made of, as a fraction of the time step.
IMPLICIT_FRACTION: Mapping[Scheme, float] = {
    "sdirk2": _SDIRK_GAMMA,
    "crank-nicolson": 0.5,
    "backward-euler": 1.0,
}
# An explicit half of a step that differs from an implicit one by more than this (K) in some node
# gives way to it, and is gone at twice as much (K).
_FARTHEST = 10.0


class ColumnState(eqx.Module):
    """Anomalies from the reference temperature, K: as the solver holds them, and of both ends."""

    temperatures: Temperatures
    surface: Scalar
    bottom: Scalar


def stages(
    scheme: Scheme,
    column: ModalColumn | EliminatedColumn,
    old: ColumnState,
    bottom: Scalar,
    ground_heat_flux: GroundHeatFlux,
    time_step: float,
    unroll: bool,
    between: Between = ANYWHERE,
) -> tuple[list[ColumnState], Weights]:
    """The stages of a step, the last being its end, and the weights of their fluxes in its mean.

    Parameters
    ----------
    column : implicit steps of IMPLICIT_FRACTION[scheme] * time_step.
    bottom : anomaly of the bottom at the end of the step (K), where it is given.
    ground_heat_flux : flux (W m-2) at a surface anomaly (K), under the forcing of the step.
    time_step : s.
    unroll : whether two equal stages are written out rather than looped over.
    between : lowest and highest anomaly (K) that the surface may have; NaN where it has none.
    """

    def implicit(start: Temperatures, bottom: Scalar, guess: Scalar) -> ColumnState:
        # `start` may be an extrapolation far from any temperature that occurs; `guess` is not.
        after, surface, _ = column.step(start, bottom, ground_heat_flux, guess, between)
        return ColumnState(after, surface, bottom)

    if scheme == "backward-euler":
        return [implicit(old.temperatures, bottom, old.surface)], (1.0,)
    if scheme == "crank-nicolson":
        # The explicit half overshoots what the surface would do if the forcing jumps, and without
        # bound: the flux at its start says nothing of that at its end. An implicit half, as
        # Rannacher (1984) starts with, doi:10.1007/BF01390130, then takes its place.
        explicit, far = _explicit_half(column, old, ground_heat_flux, 0.5 * time_step, between)
        near = implicit(old.temperatures, old.bottom + 0.5 * (bottom - old.bottom), old.surface)
        share = _share_of_explicit(column, far, near.temperatures)
        half = jax.tree.map(lambda a, b: b + share * (a - b), far, near.temperatures)
        last = implicit(half, bottom, near.surface)
        return [explicit, near, last], (0.5 * share, 0.5 - 0.5 * share, 0.5)
    gamma = _SDIRK_GAMMA
    further = (1.0 - gamma) / gamma

    def stage(last: ColumnState, fraction: Scalar) -> tuple[ColumnState, ColumnState]:
        # Before the first stage `last` is `old`, and the extrapolation does nothing.
        start = jax.tree.map(
            lambda a, b: a + further * (b - a), old.temperatures, last.temperatures
        )
        now = implicit(start, old.bottom + fraction * (bottom - old.bottom), last.surface)
        return now, now

    second, both = jax.lax.scan(stage, old, jnp.asarray([gamma, 1.0]), unroll=unroll)
    first = jax.tree.map(lambda x: x[0], both)
    return [first, second], (1.0 - gamma, gamma)


def _explicit_half(
    column: ModalColumn | EliminatedColumn,
    old: ColumnState,
    ground_heat_flux: GroundHeatFlux,
    duration: float,
    between: Between,
) -> tuple[ColumnState, Temperatures]:
    """The state under the new forcing, and the temperatures after an explicit step from it."""
    surface, flux = old.surface, ground_heat_flux(old.surface)
    if column.ends.skin:  # it follows the forcing at once
        top = column.node(old.temperatures, 1)
        surface, flux = solve_surface_temperature(
            ground_heat_flux, top, column.skin_resistance, surface, between
        )
    rate = column.tendency(old.temperatures, old.bottom, flux)
    half = jax.tree.map(lambda x, r: x + duration * r, old.temperatures, rate)
    return ColumnState(old.temperatures, surface, old.bottom), half


def _share_of_explicit(
    column: ModalColumn | EliminatedColumn, explicit: Temperatures, implicit: Temperatures
) -> Scalar:
    """1 where the two halves of a step are near each other, 0 where they are far apart."""
    apart = column.decode(jax.tree.map(jnp.subtract, explicit, implicit)) * (1.0 / _FARTHEST)
    return 1.0 - smooth_step((jnp.max(apart * apart) - 1.0) * (1.0 / 3.0))


def weighted_mean(weights: Weights, values: Sequence[Array]) -> Array:
    """Weighted sum, without the multiplication where there is one weight of 1."""
    total = values[0] if len(values) == 1 else weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total
