"""Derivatives through an implicit step: reverse = forward = finite difference, by every input."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from columns import END_IDS, ENDS, SOLVERS, build, grid, step_of_all
from jax.flatten_util import ravel_pytree

from caliche.physics.heat_conduction import Column, make_column
from caliche.physics.normal_modes import Ends
from caliche.physics.radiation import emitted_longwave

CELLS, TIME_STEP = 4, 1800.0


def inputs(ends: Ends):
    """Everything that a step depends on, as a vector, and the way back."""
    nodes, faces = grid(np.array([0.02, 0.05, 0.04, 0.1]), ends.skin)
    conductivity, capacity = jnp.array([0.3, 1.0, 0.7, 2.0]), jnp.array([1.3, 2.0, 1.6, 3.0]) * 1e6
    column = make_column(nodes, faces, conductivity, capacity)
    size = {
        "conductance": column.conductance,
        "heat_capacity": column.heat_capacity,
        "anomalies": jnp.array([6.0, 3.0, 4.0, 1.0, -2.0]),
        "bottom": jnp.asarray(-3.0),
        "incoming": jnp.asarray(700.0),
        "transfer": jnp.asarray(12.0),
    }
    x, back = ravel_pytree(jax.tree.map(jnp.ones_like, size))
    return x, lambda x: jax.tree.map(jnp.multiply, size, back(x)), back


def outcome(solver: str, ends: Ends, to_inputs, x) -> jax.Array:
    """A smooth scalar of all that a step gives."""
    given = to_inputs(x)
    column = Column(given["conductance"], given["heat_capacity"])

    def ground_heat_flux(t):
        emitted = emitted_longwave(jnp.asarray(0.95), 283.0 + t)
        return given["incoming"] - emitted - given["transfer"] * t

    implicit = build(solver, column, ends, TIME_STEP)
    after, flux = step_of_all(implicit, given["anomalies"], given["bottom"], ground_heat_flux)
    weights = jnp.cos(jnp.arange(float(len(after))))
    return jnp.sum(jnp.sin(0.3 * after) * weights) + jnp.cos(0.01 * flux)


@pytest.mark.parametrize("ends", ENDS, ids=END_IDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_reverse_forward_and_finite_differences_agree(solver, ends):
    x, to_inputs, by_name = inputs(ends)
    function = functools.partial(outcome, solver, ends, to_inputs)
    reverse, forward = jax.jit(jax.grad(function))(x), jax.jit(jax.jacfwd(function))(x)
    step = 1e-4 * jnp.concatenate([jnp.eye(len(x)), 2.0 * jnp.eye(len(x))])
    ahead, behind = (jax.jit(jax.vmap(function))(x[None] + sign * step) for sign in (1.0, -1.0))
    once, twice = ((ahead - behind) / 2e-4).reshape(2, -1)
    difference = (4.0 * once - 0.5 * twice) / 3.0
    scale = float(jnp.abs(reverse).max())
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(difference, reverse, rtol=0, atol=1e-9 * scale)
    # all is felt, but for what belongs to no unknown
    idle = {name: (slope == 0.0).tolist() for name, slope in by_name(reverse).items()}
    at_the_ends = [ends.skin, False, False, False, ends.fixed_bottom]
    assert idle == {
        "anomalies": at_the_ends,
        "heat_capacity": at_the_ends,
        "conductance": [False] * 4,
        "bottom": not ends.fixed_bottom,
        "incoming": False,
        "transfer": False,
    }


@pytest.mark.parametrize("ends", ENDS, ids=END_IDS)
def test_second_derivatives_of_the_solvers_agree(ends):
    x, to_inputs, _ = inputs(ends)
    one, other = (
        np.asarray(jax.jit(jax.hessian(functools.partial(outcome, s, ends, to_inputs)))(x))
        for s in SOLVERS
    )
    scale = np.abs(one).max()
    np.testing.assert_allclose(one, one.T, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-11 * scale)


def test_second_derivatives_are_those_of_finite_differences():
    x, to_inputs, _ = inputs(ENDS[1])
    gradient = jax.jit(jax.grad(functools.partial(outcome, "elimination", ENDS[1], to_inputs)))
    hessian = np.asarray(jax.jit(jax.jacfwd(gradient))(x))
    rows = [(gradient(x + d) - gradient(x - d)) / 2e-4 for d in 1e-4 * jnp.eye(len(x))]
    np.testing.assert_allclose(hessian, np.stack(rows), rtol=0, atol=1e-7 * np.abs(hessian).max())


@pytest.mark.parametrize("skin", [False, True], ids=["half-cell", "skin"])
def test_properties_may_change_from_step_to_step(skin):
    """A conductivity that varies in time: the column is eliminated anew within the loop."""
    ends = Ends(skin=skin, fixed_bottom=True)
    nodes, faces = grid(np.array([0.02, 0.05, 0.04, 0.1]), skin)
    seasons = 1.0 + 0.5 * jnp.sin(jnp.arange(12.0))

    def function(x):
        def step(anomalies, season):
            conductivity = jnp.full(4, 0.8 * x[0]) * (season + x[1] * jnp.tanh(anomalies[1:]))
            column = make_column(nodes, faces, conductivity, jnp.full(4, 2e6 * x[2]))
            implicit = build("elimination", column, ends, TIME_STEP)
            new, flux = step_of_all(
                implicit, anomalies, jnp.asarray(0.0), lambda t: 200.0 * x[3] * season - 15.0 * t
            )
            return new, jnp.sum(new) + 0.1 * flux

        final, series = jax.lax.scan(step, jnp.array([4.0, 3.0, 2.0, 1.0, 0.0]), seasons)
        return jnp.sum(jnp.sin(series)) + jnp.sum(final)

    x = jnp.array([1.0, 0.1, 1.0, 1.0])
    reverse, forward = jax.jit(jax.grad(function))(x), jax.jit(jax.jacfwd(function))(x)
    step = 1e-4 * jnp.eye(4)
    many = jax.jit(jax.vmap(function))

    def difference(d):
        return (many(x[None] + d) - many(x[None] - d)) / (2.0 * jnp.max(d))

    finite = (4.0 * difference(step) - difference(2.0 * step)) / 3.0
    scale = float(jnp.abs(reverse).max())
    assert bool(jnp.all(reverse != 0.0))
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(finite, reverse, rtol=0, atol=1e-8 * scale)
