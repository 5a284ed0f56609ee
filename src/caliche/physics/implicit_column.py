"""Implicit steps of a soil column, with its surface reduced to one scalar equation.

Both solvers here take the same step of the same discrete column, M dT/dt = -K T + G e_0, and agree
to round-off. Temperatures are anomalies from a reference, so that differences keep their digits.

`ModalColumn` works in the column's normal modes: every mode decays by itself, nothing is eliminated
row by row, and what is compiled does not grow with the number of nodes. For properties that are
constant in time. `EliminatedColumn` is Gaussian elimination from the bottom up, written out row by
row: cheaper where many members share a vector instruction, and where properties change from step
to step.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from caliche.physics.heat_conduction import Column
from caliche.physics.normal_modes import Ends, NormalModes
from caliche.physics.surface_energy_balance import (
    ANYWHERE,
    Between,
    flux_derivatives,
    solve_surface_temperature,
    start,
)
from caliche.physics.tangents import Tangent, add, kept_for_reverse, known, minus, or_zeros, times

Scalar = Float[Array, ""]
# Arrays of NumPy where the numbers are known when compiling.
Numbers = Array | np.ndarray | np.floating
Temperatures = Any  # the column's temperatures in the form that a solver steps


class ImplicitColumn(Protocol):
    """An implicit step of given length. Anomalies in K, fluxes in W m-2, positive downwards.

    A node of given temperature (the bottom) and a skin without mass are not part of a profile.
    """

    def encode(self, anomalies: Float[Array, " node"]) -> Temperatures:
        """The profile with these anomalies of all nodes (N,)."""
        ...

    def node(self, profile: Temperatures, index: int) -> Scalar:
        """Anomaly of a node of the profile, counted among all nodes."""
        ...

    def decode(self, profile: Temperatures) -> Float[Array, " unknown"]:
        """Anomalies of all nodes of the profile."""
        ...

    def step(
        self,
        profile: Temperatures,
        bottom: Scalar,
        ground_heat_flux: Callable[[Scalar], Scalar],
        guess: Scalar,
        between: Between = ANYWHERE,
    ) -> tuple[Temperatures, Scalar, Scalar]:
        """Profile after a step above a given bottom, with the surface anomaly and the heat flux.

        `ground_heat_flux` gives the flux at a surface anomaly, near which `guess` lies, `between`
        a lowest and a highest one; see `surface_energy_balance.solve_surface_temperature`. The step
        is exact in both modes of differentiation.
        """
        ...

    def heat_content(self, profile: Temperatures) -> Scalar:
        """Heat above the reference in all unknowns, J m-2."""
        ...

    def tendency(self, profile: Temperatures, bottom: Scalar, flux: Scalar) -> Temperatures:
        """Rate of change of a profile, K s-1 in the profile's form."""
        ...


class ModalColumn(eqx.Module):
    """An implicit step in normal modes. A profile is the amplitude (mode,) of each of them."""

    modes: NormalModes
    capacity: Float[Array, " node"]
    decay: Float[Array, " mode"]
    heating: Float[Array, " mode"]
    below: Scalar
    skin_resistance: Scalar
    response: Scalar  # of the surface at the end of a step to the flux over it, K m2 W-1
    time_step: float = eqx.field(static=True)
    ends: Ends = eqx.field(static=True)

    @staticmethod
    def build(column: Column, modes: NormalModes, ends: Ends, time_step: float) -> ModalColumn:
        """Prepare implicit steps of `time_step` (s)."""
        capacity, _, below, resistance = ends.active(column)
        decay: Any = 1.0 / (1.0 + time_step * modes.rates)
        heating: Any = (time_step / modes.mass) * decay * modes.shapes[0]
        response = jnp.sum(modes.shapes[0] * heating) + resistance
        return ModalColumn(
            modes, capacity, decay, heating, below, resistance, response, time_step, ends
        )

    def encode(self, anomalies: Float[Array, " node"]) -> Temperatures:
        first = int(self.ends.skin)
        unknowns = anomalies[first : first + len(self.capacity)]
        return self._weighted(unknowns)

    def node(self, profile: Temperatures, index: int) -> Scalar:
        return _dot(self.modes.shapes[index - int(self.ends.skin)], profile)

    def decode(self, profile: Temperatures) -> Float[Array, " unknown"]:
        # A product of matrices: row by row, each sum would be compiled with all that led to it.
        return jnp.stack(list(self.modes.shapes)) @ profile

    def step(
        self,
        profile: Temperatures,
        bottom: Scalar,
        ground_heat_flux: Callable[[Scalar], Scalar],
        guess: Scalar,
        between: Between = ANYWHERE,
    ) -> tuple[Temperatures, Scalar, Scalar]:
        if self.ends.fixed_bottom:
            rise = self.time_step * self.below * bottom / self.modes.mass
            profile = profile + rise * self.modes.shapes[-1]
        free = self.decay * profile
        surface, flux = solve_surface_temperature(
            ground_heat_flux, _dot(self.modes.shapes[0], free), self.response, guess, between
        )
        return free + self.heating * flux, surface, flux

    def heat_content(self, profile: Temperatures) -> Scalar:
        ones = jnp.ones_like(self.capacity)
        return jnp.asarray(self.modes.mass) * jnp.sum(self._weighted(ones) * profile)

    def tendency(self, profile: Temperatures, bottom: Scalar, flux: Scalar) -> Temperatures:
        inflow = self.modes.shapes[0] * flux + self.modes.shapes[-1] * (self.below * bottom)
        return inflow / self.modes.mass - self.modes.rates * profile

    def _weighted(self, values: Float[Array, " node"]) -> Float[Array, " mode"]:
        """Projection of values (node,) of the unknowns on the modes: shapes^T M / mass."""
        shapes = jnp.stack(list(self.modes.shapes))
        return jnp.sum(shapes * (self.capacity * values)[:, None], axis=0) / self.modes.mass


def _dot(weights: Numbers, values: Array) -> Scalar:
    """Sum of products, in two halves: additions wait for one another, two chains for less long."""
    products = weights * values
    half = len(products) // 2
    return jnp.sum(products[:half]) + jnp.sum(products[half:])


class EliminatedColumn(eqx.Module):
    """An implicit step by Gaussian elimination. A profile is a tuple of one anomaly a node.

    The rows are written out one by one: a row is then arithmetic on scalars, or on whole vectors of
    members under vmap, with nothing to gather.
    """

    rows: Rows
    factors: Factors
    time_step: float = eqx.field(static=True)
    ends: Ends = eqx.field(static=True)

    @staticmethod
    def build(column: Column, ends: Ends, time_step: float) -> EliminatedColumn:
        """Prepare implicit steps of `time_step` (s)."""
        capacity, conductance, below, resistance = ends.active(column)
        rows = Rows(
            tuple(capacity[i] for i in range(len(capacity))),
            tuple(time_step * conductance[i] for i in range(len(conductance))),
            time_step * below,
            resistance,
            jnp.full_like(resistance, time_step),
        )
        return EliminatedColumn(rows, eliminate(rows), time_step, ends)

    @property
    def skin_resistance(self) -> Scalar:
        return self.rows.resistance

    def encode(self, anomalies: Float[Array, " node"]) -> Temperatures:
        first = int(self.ends.skin)
        return tuple(anomalies[first + i] for i in range(len(self.rows.capacity)))

    def node(self, profile: Temperatures, index: int) -> Scalar:
        return profile[index - int(self.ends.skin)]

    def decode(self, profile: Temperatures) -> Float[Array, " unknown"]:
        return jnp.stack(profile)

    def step(
        self,
        profile: Temperatures,
        bottom: Scalar,
        ground_heat_flux: Callable[[Scalar], Scalar],
        guess: Scalar,
        between: Between = ANYWHERE,
    ) -> tuple[Temperatures, Scalar, Scalar]:
        flux, captured = jax.closure_convert(ground_heat_flux, guess)
        begin = start(guess, between)
        return _solve(flux, tuple(captured), self.rows, self.factors, profile, bottom, begin)

    def heat_content(self, profile: Temperatures) -> Scalar:
        total = self.rows.capacity[0] * profile[0]
        for m, t in zip(self.rows.capacity[1:], profile[1:], strict=True):
            total = total + m * t
        return total

    def tendency(self, profile: Temperatures, bottom: Scalar, flux: Scalar) -> Temperatures:
        rows = self.rows
        inflow = [-out for out in _conducted_away(rows.coupling, rows.below, profile)]
        inflow[0] = inflow[0] + self.time_step * flux
        inflow[-1] = inflow[-1] + rows.below * bottom
        return tuple(q / (self.time_step * m) for q, m in zip(inflow, rows.capacity, strict=True))


class Rows(NamedTuple):
    """The equations of an implicit step, per unit area.

    M_i (x_i - x_i before) = conduction over the step into i, plus duration * G at the top.
    """

    capacity: tuple[Scalar, ...]  # M, J m-2 K-1
    coupling: tuple[Scalar, ...]  # time step times conductance to the row below, J m-2 K-1
    below: Scalar  # the same from the last row to the given bottom; zero if there is none
    resistance: Scalar  # of the skin, K m2 W-1
    duration: Scalar  # s


class Factors(NamedTuple):
    """Rows eliminated from the last one up: y_i = kept_i x_i + lifted_i y_{i+1}, and back down
    x_{i+1} = y_{i+1} + lowered_i x_i."""

    pivot: tuple[Scalar, ...]  # inverse
    kept: tuple[Scalar, ...]
    lifted: tuple[Scalar, ...]
    lowered: tuple[Scalar, ...]


def eliminate(rows: Rows) -> Factors:
    """Factors of the rows; 2N divisions are all that changing properties cost in a step."""
    pivot = [1.0 / (rows.capacity[-1] + rows.below + (rows.coupling[-1] if rows.coupling else 0.0))]
    for i in range(len(rows.capacity) - 2, -1, -1):
        above = rows.coupling[i - 1] if i else 0.0
        rest = rows.coupling[i] * (1.0 - rows.coupling[i] * pivot[0])
        pivot.insert(0, 1.0 / (rows.capacity[i] + above + rest))
    kept = tuple(p * m for p, m in zip(pivot, rows.capacity, strict=True))
    lifted = tuple(p * k for p, k in zip(pivot, rows.coupling, strict=False))
    lowered = tuple(p * k for p, k in zip(pivot[1:], rows.coupling, strict=True))
    return Factors(tuple(pivot), kept, lifted, lowered)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _solve(
    flux: Callable,
    captured: tuple,
    rows: Rows,
    factors: Factors,
    profile: tuple,
    bottom: Scalar,
    begin: tuple[Scalar, Scalar, Scalar],
) -> tuple[tuple, Scalar, Scalar]:
    guess, *between = begin
    stored = [kept * x for kept, x in zip(factors.kept, profile, strict=True)]
    stored[-1] = stored[-1] + factors.pivot[-1] * rows.below * bottom
    y = _up(factors, stored)
    rise = factors.pivot[0] * rows.duration
    surface, heat_flux = solve_surface_temperature(
        lambda t: flux(t, *captured), y[0], rise + rows.resistance, guess, (between[0], between[1])
    )
    return _down(factors, y[0] + rise * heat_flux, y), surface, heat_flux


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(flux: Callable, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    # The implicit function theorem: tangents obey the same rows, with the slope of the surface
    # flux in the top one. The factors are a means of solving and have no part in it.
    captured, rows, factors, before, bottom, _ = primals
    captured_dot, rows_dot, _, before_dot, bottom_dot, _ = tangents
    rows_dot = jax.tree.map(known, rows_dot, is_leaf=_is_symbolic)
    profile, surface, heat_flux = kept_for_reverse(_solve(flux, *primals))
    slope, flux_dot = flux_derivatives(flux, captured, captured_dot, surface)
    loss = 1.0 / (1.0 - slope * rows.resistance)
    resisted = times(heat_flux, rows_dot.resistance)
    own = times(loss, add(flux_dot, times(slope, resisted)))
    source = _source_dot(rows, rows_dot, before, before_dot, profile)
    source[0] = add(source[0], times(heat_flux, rows_dot.duration), times(rows.duration, own))
    source[-1] = add(
        source[-1], times(bottom, rows_dot.below), times(rows.below, known(bottom_dot))
    )
    scaled = [or_zeros(times(p, q), p) for p, q in zip(factors.pivot, source, strict=True)]
    y = _up(factors, scaled)
    top = y[0] / (1.0 - factors.pivot[0] * rows.duration * (loss * slope))
    heat_flux_dot = add(own, loss * slope * top)
    surface_dot = add(top, times(rows.resistance, heat_flux_dot), resisted)
    return (profile, surface, heat_flux), (_down(factors, top, y), surface_dot, heat_flux_dot)


def _source_dot(
    rows: Rows, rows_dot: Rows, before: tuple, before_dot: tuple, profile: tuple
) -> list[Tangent]:
    """Tangent of each row's right-hand side less what the row itself changes at its solution."""
    down = [
        times(t - u, k)
        for k, t, u in zip(rows_dot.coupling, profile[:-1], profile[1:], strict=True)
    ]
    down.append(times(profile[-1], rows_dot.below))
    return [
        add(
            times(rows.capacity[i], known(before_dot[i])),
            times(before[i] - profile[i], rows_dot.capacity[i]),
            minus(down[i]),
            down[i - 1] if i else None,
        )
        for i in range(len(profile))
    ]


def _is_symbolic(leaf: Any) -> bool:
    return isinstance(leaf, SymbolicZero)


def _up(factors: Factors, stored: list[Scalar]) -> list[Scalar]:
    y = [stored[-1]]
    for value, lifted in zip(stored[-2::-1], factors.lifted[::-1], strict=True):
        y.append(value + lifted * y[-1])
    return y[::-1]


def _down(factors: Factors, top: Scalar, y: list[Scalar]) -> tuple[Scalar, ...]:
    profile = [top]
    for value, lowered in zip(y[1:], factors.lowered, strict=True):
        profile.append(value + lowered * profile[-1])
    return tuple(profile)


def _conducted_away(coupling: tuple, below: Scalar, profile: tuple) -> list[Scalar]:
    """Net conduction out of every row, the bottom at zero anomaly (J m-2 over a step)."""
    down = [k * (t - u) for k, t, u in zip(coupling, profile[:-1], profile[1:], strict=True)]
    down.append(below * profile[-1])
    return [down[0], *(after - before for before, after in itertools.pairwise(down))]
