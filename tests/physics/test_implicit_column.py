"""Both solvers of an implicit step against dense linear algebra, steady states and budgets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from columns import (
    END_IDS,
    ENDS,
    SOLVERS,
    build,
    dense_linear_step,
    grid,
    linear_step,
    step_of_all,
    two_layers,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.physics.heat_conduction import interface_heat_flux, make_column
from caliche.physics.implicit_column import ModalColumn
from caliche.physics.normal_modes import Ends, normal_modes

CELLS = 7


def varied(low: float, high: float, n: int = CELLS):
    """One number for all cells, or one for each."""
    one = st.floats(low, high)
    return st.one_of(one.map(lambda x: np.full(n, x)), arrays(float, n, elements=one))


@st.composite
def columns(draw, skin: bool):
    nodes, faces = grid(draw(varied(0.005, 0.3)), skin)
    n = len(nodes)
    properties = draw(varied(0.1, 3.0, n - 1)), draw(varied(5e5, 4e6, n - 1))
    column = make_column(nodes, faces, *map(jnp.asarray, properties))
    return column, draw(arrays(float, n, elements=st.floats(-30.0, 30.0)))


@pytest.mark.parametrize("ends", ENDS, ids=END_IDS)
@given(
    data=st.data(),
    time_step=st.sampled_from([60.0, 1800.0, 86400.0]),
    bottom=st.floats(-20.0, 20.0),
    level=st.floats(-500.0, 500.0),
    slope=st.floats(0.0, 60.0),
)
def test_step_is_that_of_a_dense_linear_solve(ends, data, time_step, bottom, level, slope):
    column, anomalies = data.draw(columns(ends.skin))
    args = ends, time_step, jnp.asarray(anomalies), jnp.asarray(bottom), jnp.array([level, slope])
    expected, expected_flux = dense_linear_step(column, *args)
    for solver in SOLVERS:
        after, flux = linear_step(solver, column, *args)
        scale = np.abs(expected).max() + np.abs(anomalies).max() + 1.0
        np.testing.assert_allclose(after, expected, rtol=0, atol=1e-12 * scale)
        largest = abs(level) + slope * scale
        np.testing.assert_allclose(flux, expected_flux, rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize("fixed", [False, True], ids=["insulated", "fixed"])
def test_modes_of_a_homogeneous_column_scale_with_its_properties(fixed):
    """They are those of unit properties: rates times the diffusivity, mass times the capacity."""
    ends = Ends(skin=False, fixed_bottom=fixed)
    nodes, faces = grid(np.geomspace(0.01, 0.2, CELLS), skin=False)
    unit = make_column(nodes, faces, jnp.ones(CELLS), jnp.ones(CELLS))
    column = make_column(nodes, faces, jnp.full(CELLS, 0.8), jnp.full(CELLS, 2.2e6))
    scaled = normal_modes(unit, ends).of_homogeneous(jnp.asarray(0.8), jnp.asarray(2.2e6))
    anomalies, bottom = jnp.cos(jnp.arange(CELLS + 1.0)), jnp.asarray(3.0)
    one, other = (
        step_of_all(
            ModalColumn.build(column, modes, ends, 1800.0), anomalies, bottom, lambda t: 90.0 - t
        )
        for modes in (scaled, normal_modes(column, ends))
    )
    np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-13)


def test_modes_are_orthogonal_and_of_one_mass():
    _, column = two_layers()
    modes = normal_modes(column, Ends(skin=False, fixed_bottom=False))
    shapes = np.stack(modes.shapes)
    masses = shapes.T @ (np.asarray(column.heat_capacity)[:, None] * shapes)
    np.testing.assert_allclose(masses, float(modes.mass) * np.eye(len(shapes)), rtol=0, atol=1e-12)
    # nothing grows, and what all of the column has in common does not decay
    assert abs(float(modes.rates[0])) < 1e-15 * float(modes.rates[-1]) * len(shapes)
    assert bool(jnp.all(modes.rates[1:] > 0.0))


@pytest.mark.parametrize("solver", SOLVERS)
def test_steady_state_of_two_layers_is_that_of_resistances_in_series(solver):
    depths, column = two_layers()
    implicit = build(solver, column, Ends(skin=False, fixed_bottom=True), 1e9)
    steady, bottom = jnp.full(len(depths), 2.0), jnp.asarray(2.0)
    for _ in range(5):
        steady, flux = step_of_all(implicit, steady, bottom, lambda t: jnp.full_like(t, 40.0))
    assert float(flux) == 40.0
    np.testing.assert_allclose(interface_heat_flux(column, steady), 40.0, rtol=1e-9)
    np.testing.assert_allclose(steady[0], 2.0 + 40.0 * (0.3 / 0.3 + 0.7 / 1.6), rtol=1e-12)
    np.testing.assert_allclose(steady[10], 2.0 + 40.0 * 0.7 / 1.6, rtol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_skin_adds_its_resistance(solver):
    """Above the steady state of the cells, the surface is warmer by flux times resistance."""
    nodes, faces = grid(np.full(5, 0.1), skin=True)
    column = make_column(nodes, faces, jnp.full(5, 0.5), jnp.full(5, 2e6))
    implicit = build(solver, column, Ends(skin=True, fixed_bottom=True), 1e9)
    steady, bottom = jnp.zeros(6), jnp.asarray(0.0)
    for _ in range(5):
        steady, _ = step_of_all(implicit, steady, bottom, lambda t: jnp.full_like(t, 40.0))
    np.testing.assert_allclose(steady, 40.0 / 0.5 * (nodes[-1] - nodes), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_unit_flux_over_an_insulated_column_stores_exactly_its_energy(solver):
    _, column = two_layers()
    implicit = build(solver, column, Ends(skin=False, fixed_bottom=False), 1800.0)
    after, _ = step_of_all(implicit, jnp.zeros(21), jnp.asarray(0.0), jnp.ones_like)
    np.testing.assert_allclose(after @ column.heat_capacity, 1800.0, rtol=1e-13)
    # warmest on top; 1e-20 K is what the far end of the column rounds to
    assert bool(jnp.all(jnp.diff(after) < 1e-18))
    assert bool(jnp.all(after > -1e-18))


@pytest.mark.parametrize("ends", ENDS, ids=END_IDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_heat_content_changes_by_what_flows_in(solver, ends):
    nodes, faces = grid(np.geomspace(0.01, 0.2, CELLS), ends.skin)
    n, time_step, bottom = len(nodes), 1800.0, jnp.asarray(-4.0)
    column = make_column(nodes, faces, jnp.linspace(0.3, 2.0, n - 1), jnp.linspace(1e6, 3e6, n - 1))
    implicit = build(solver, column, ends, time_step)
    start = implicit.encode(5.0 * jnp.cos(jnp.arange(float(n))))
    after, surface, flux = implicit.step(
        start, bottom, lambda t: 200.0 - 20.0 * t, jnp.asarray(5.0)
    )
    assert float(flux) == pytest.approx(200.0 - 20.0 * float(surface), rel=1e-13)
    if ends.fixed_bottom:
        flux = flux - column.conductance[-1] * (implicit.node(after, n - 2) - bottom)
    stored = implicit.heat_content(after) - implicit.heat_content(start)
    scale = float(implicit.heat_content(implicit.encode(jnp.full(n, 5.0)))) / time_step
    np.testing.assert_allclose(stored / time_step, flux, rtol=0, atol=1e-13 * scale)
    # heat content as it is defined
    unknown = slice(int(ends.skin), n - int(ends.fixed_bottom))
    anomalies = np.array([implicit.node(after, i) for i in range(n)[unknown]])
    np.testing.assert_allclose(
        implicit.heat_content(after), anomalies @ column.heat_capacity[unknown], rtol=1e-12
    )
    np.testing.assert_allclose(implicit.decode(after), anomalies, rtol=0, atol=1e-13)


@pytest.mark.parametrize("ends", ENDS, ids=END_IDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_tendency_is_the_limit_of_a_short_step(solver, ends):
    nodes, faces = grid(np.geomspace(0.05, 0.2, CELLS), ends.skin)
    n, bottom = len(nodes), jnp.asarray(-4.0)
    column = make_column(nodes, faces, jnp.linspace(0.3, 2.0, n - 1), jnp.linspace(1e6, 3e6, n - 1))
    implicit = build(solver, column, ends, 1e-2)
    start = implicit.encode(5.0 * jnp.cos(jnp.arange(float(n))))
    after, _, flux = implicit.step(start, bottom, lambda t: 200.0 - 20.0 * t, jnp.asarray(5.0))
    rate = jax.tree.map(lambda a, b: (a - b) / 1e-2, after, start)
    expected = implicit.tendency(start, bottom, flux)
    scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(rate), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * scale)
