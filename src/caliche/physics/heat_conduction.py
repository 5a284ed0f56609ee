"""Heat conduction in a soil column: control volumes around nodes, and the implicit solve.

Nodes stand at depths z_0 = 0 < z_1 < ... < z_{N-1}; the first and last control volumes are half
cells, so node 0 is the surface itself. This equals the ghost-node finite-difference scheme of
Huang et al. (2026, arXiv:2505.02979). Per unit area,

    M_i dT_i/dt = g_{i-1} (T_{i-1} - T_i) - g_i (T_i - T_{i+1}) + [G at i = 0],

with M_i = (C dz)/2 summed over the two neighbouring intervals (J m-2 K-1), g_i = lambda_i / dz_i
(W m-2 K-1) and G the ground heat flux, positive downwards.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Column(eqx.Module):
    """The discrete operator of one column.

    Attributes
    ----------
    conductance : (N-1,) g, W m-2 K-1, between neighbouring nodes.
    heat_capacity : (N,) M, J m-2 K-1, of each control volume.
    """

    conductance: Float[Array, " interval"]
    heat_capacity: Float[Array, " node"]


def make_column(
    spacing: Float[Array, " interval"],
    thermal_conductivity: Float[Array, " interval"],
    volumetric_heat_capacity: Float[Array, " interval"],
) -> Column:
    """Column from node spacing (m), conductivity (W m-1 K-1) and capacity (J m-3 K-1) by interval.

    Properties belong to the intervals between nodes, so a layer boundary that falls on a node is
    represented exactly.
    """
    half = 0.5 * volumetric_heat_capacity * spacing
    heat_capacity = jnp.pad(half, (0, 1)) + jnp.pad(half, (1, 0))
    return Column(thermal_conductivity / spacing, heat_capacity)


def interface_heat_flux(
    column: Column, temperature: Float[Array, " node"]
) -> Float[Array, " interval"]:
    """Conductive heat flux between neighbouring nodes (W m-2, positive downwards)."""
    return -column.conductance * jnp.diff(temperature)


def conductive_heating(column: Column, temperature: Float[Array, " node"]) -> Float[Array, " node"]:
    """Net conductive heating of each control volume (W m-2), both ends insulated."""
    flux = interface_heat_flux(column, temperature)
    return jnp.pad(flux, (1, 0)) - jnp.pad(flux, (0, 1))


class ImplicitColumn(eqx.Module):
    """M + dt K of a column, and its response to the ground heat flux; reused at every step.

    With `fixed_bottom` the last row is the identity (the bottom temperature is given) and its
    coupling to the row above stands on the right-hand side, which keeps the matrix symmetric.
    """

    column: Column
    diagonal: Float[Array, " node"]
    off_diagonal: Float[Array, " interval"]
    pivots: Float[Array, " node"]
    response: Float[Array, " node"]
    time_step: float = eqx.field(static=True)
    fixed_bottom: bool = eqx.field(static=True)

    def free_temperature(
        self, temperature: Float[Array, " node"], bottom_temperature: Float[Array, ""]
    ) -> Float[Array, " node"]:
        """Temperature (K) at the end of an implicit step that has no ground heat flux.

        The full solution is `free_temperature(...) + response * G`. Solved for the increment, so
        that temperature differences keep their digits.
        """
        source = self.time_step * conductive_heating(self.column, temperature)
        if self.fixed_bottom:
            rise = bottom_temperature - temperature[-1]
            source = source.at[-2].add(self.time_step * self.column.conductance[-1] * rise)
            source = source.at[-1].set(rise)
        increment = solve_tridiagonal(self.diagonal, self.off_diagonal, self.pivots, source)
        return temperature + increment


def factorise(column: Column, time_step: float, fixed_bottom: bool) -> ImplicitColumn:
    """Prepare implicit steps of `time_step` (s) of a column."""
    coupling = time_step * column.conductance
    diagonal = column.heat_capacity + jnp.pad(coupling, (1, 0)) + jnp.pad(coupling, (0, 1))
    off_diagonal = -coupling
    if fixed_bottom:
        diagonal = diagonal.at[-1].set(1.0)
        off_diagonal = off_diagonal.at[-1].set(0.0)
    pivots = eliminate(diagonal, off_diagonal)
    unit_flux = jnp.zeros_like(diagonal).at[0].set(time_step)
    response = solve_tridiagonal(diagonal, off_diagonal, pivots, unit_flux)
    return ImplicitColumn(column, diagonal, off_diagonal, pivots, response, time_step, fixed_bottom)


def eliminate(
    diagonal: Float[Array, " node"], off_diagonal: Float[Array, " interval"]
) -> Float[Array, " node"]:
    """Pivots of a symmetric tridiagonal matrix eliminated from the last row up.

    Pivots are only a means of solving; derivatives come from the matrix itself, so the gradient
    stops here.
    """
    diagonal, off_diagonal = jax.lax.stop_gradient((diagonal, off_diagonal))

    def row(below: Float[Array, ""], entries: tuple) -> tuple:
        main, off = entries
        pivot = main - off**2 / below
        return pivot, pivot

    _, upper = jax.lax.scan(row, diagonal[-1], (diagonal[:-1], off_diagonal), reverse=True)
    return jnp.append(upper, diagonal[-1])


def solve_tridiagonal(
    diagonal: Float[Array, " node"],
    off_diagonal: Float[Array, " interval"],
    pivots: Float[Array, " node"],
    right_hand_side: Float[Array, " node"],
) -> Float[Array, " node"]:
    """Solve a symmetric positive definite tridiagonal system with pivots from `eliminate`.

    Differentiated implicitly: a tangent or an adjoint is one more solve with the same pivots.
    """

    def matvec(x: Float[Array, " node"]) -> Float[Array, " node"]:
        return (
            diagonal * x
            + jnp.pad(off_diagonal * x[1:], (0, 1))
            + jnp.pad(off_diagonal * x[:-1], (1, 0))
        )

    factor = jax.lax.stop_gradient(off_diagonal) / pivots[1:]
    inverse_pivots = 1.0 / pivots

    def solve(_matvec: Callable, b: Float[Array, " node"]) -> Float[Array, " node"]:
        def up(below: Float[Array, ""], row: tuple) -> tuple:
            value = row[0] - row[1] * below
            return value, value

        _, upper = jax.lax.scan(up, b[-1], (b[:-1], factor), reverse=True)
        scaled = jnp.append(upper, b[-1]) * inverse_pivots

        def down(above: Float[Array, ""], row: tuple) -> tuple:
            value = row[0] - row[1] * above
            return value, value

        _, lower = jax.lax.scan(down, scaled[0], (scaled[1:], factor))
        return jnp.concatenate([scaled[:1], lower])

    return jax.lax.custom_linear_solve(matvec, right_hand_side, solve, symmetric=True)
