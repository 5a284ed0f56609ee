"""The column operator and its solver against dense linear algebra and steady states."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.physics.heat_conduction import (
    conductive_heating,
    eliminate,
    factorise,
    interface_heat_flux,
    make_column,
    solve_tridiagonal,
)

N = 12
# Diagonally dominant: |off-diagonals| of a row sum to at most the diagonal less its margin.
OFF_DIAGONAL = arrays(float, N - 1, elements=st.floats(-5.0, 5.0))
MARGIN = arrays(float, N, elements=st.floats(0.05, 10.0))
VECTOR = arrays(float, N, elements=st.floats(-100.0, 100.0))


def solve(diagonal, off_diagonal, right_hand_side):
    pivots = eliminate(diagonal, off_diagonal)
    return solve_tridiagonal(diagonal, off_diagonal, pivots, right_hand_side)


def dense_solve(diagonal, off_diagonal, right_hand_side):
    matrix = jnp.diag(diagonal) + jnp.diag(off_diagonal, 1) + jnp.diag(off_diagonal, -1)
    return jnp.linalg.solve(matrix, right_hand_side)


def diagonal_of(off_diagonal, margin):
    size = np.abs(off_diagonal)
    return np.append(size, 0.0) + np.append(0.0, size) + margin


jitted_solve = jax.jit(solve)
jacobians = [
    jax.jit(mode(function, (0, 1, 2)))
    for mode, function in [
        (jax.jacrev, dense_solve), (jax.jacrev, solve), (jax.jacfwd, solve),
    ]
]  # fmt: skip


@given(OFF_DIAGONAL, MARGIN, VECTOR)
def test_solve_matches_lapack(off_diagonal, margin, right_hand_side):
    diagonal = diagonal_of(off_diagonal, margin)
    bands = np.stack([np.append(0.0, off_diagonal), diagonal])
    expected = scipy.linalg.solveh_banded(bands, right_hand_side)
    solution = jitted_solve(diagonal, off_diagonal, right_hand_side)
    np.testing.assert_allclose(
        solution, expected, rtol=0, atol=1e-11 * np.abs(expected).max() + 1e-300
    )


@given(OFF_DIAGONAL, MARGIN, VECTOR)
def test_derivatives_of_the_solve_match_the_dense_solve(off_diagonal, margin, right_hand_side):
    args = diagonal_of(off_diagonal, margin), off_diagonal, right_hand_side
    expected, reverse, forward = (jacobian(*args) for jacobian in jacobians)
    for wanted, by_reverse, by_forward in zip(expected, reverse, forward, strict=True):
        tolerance = 1e-10 * float(jnp.abs(wanted).max()) + 1e-300
        np.testing.assert_allclose(by_reverse, wanted, rtol=0, atol=tolerance)
        np.testing.assert_allclose(by_forward, wanted, rtol=0, atol=tolerance)


def two_layers(n: int = 11):
    """0.3 m of dry over 0.7 m of wet soil, on a stretched grid with a node at the boundary."""
    depths = np.concatenate([np.linspace(0.0, 0.3, n), 0.3 + 0.7 * np.linspace(0, 1, n)[1:] ** 2])
    upper = 0.5 * (depths[1:] + depths[:-1]) < 0.3
    conductivity, capacity = np.where(upper, 0.3, 1.6), np.where(upper, 1.3e6, 3.0e6)
    return depths, make_column(*map(jnp.asarray, (np.diff(depths), conductivity, capacity)))


def test_heat_capacity_of_the_control_volumes_adds_up_by_layer():
    depths, column = two_layers()
    boundary = int(np.flatnonzero(np.isclose(depths, 0.3))[0])
    np.testing.assert_allclose(column.heat_capacity.sum(), 1.3e6 * 0.3 + 3.0e6 * 0.7, rtol=1e-14)
    half_cells = 0.5 * np.diff(depths)[boundary - 1 : boundary + 1]
    np.testing.assert_allclose(column.heat_capacity[boundary], half_cells @ [1.3e6, 3.0e6])


@given(arrays(float, 21, elements=st.floats(240.0, 340.0)))
def test_conduction_moves_heat_and_makes_none(temperature):
    _, column = two_layers()
    heating = conductive_heating(column, jnp.asarray(temperature))
    scale = float(column.conductance.max()) * 340.0
    assert abs(float(heating.sum())) < 1e-13 * scale
    # and it runs down the gradient: entropy production is not negative
    assert float(heating @ temperature) <= 1e-13 * scale * 340.0


def test_steady_state_of_two_layers_is_that_of_resistances_in_series():
    depths, column = two_layers()
    implicit = factorise(column, 1e9, fixed_bottom=True)
    flux, bottom = 40.0, jnp.asarray(285.0)
    steady = jnp.full(len(depths), 285.0)
    for _ in range(5):
        steady = implicit.free_temperature(steady, bottom) + implicit.response * flux
    np.testing.assert_allclose(interface_heat_flux(column, steady), flux, rtol=1e-9)
    np.testing.assert_allclose(steady[0], 285.0 + flux * (0.3 / 0.3 + 0.7 / 1.6), rtol=1e-12)
    np.testing.assert_allclose(steady[10], 285.0 + flux * 0.7 / 1.6, rtol=1e-12)


def test_response_is_the_derivative_with_respect_to_the_ground_heat_flux():
    """A unit flux over an insulated column stores exactly its energy."""
    _, column = two_layers()
    implicit = factorise(column, 1800.0, fixed_bottom=False)
    np.testing.assert_allclose(implicit.response @ column.heat_capacity, 1800.0, rtol=1e-13)
    assert bool(jnp.all(implicit.response > 0.0))
