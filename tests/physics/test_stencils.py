"""Convolution, dense matrix and control volumes are the same operator."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stencils
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.physics import heat_conduction
from caliche.physics.implicit_column import EliminatedColumn
from caliche.physics.normal_modes import Ends

NODES, SPACING, CONDUCTIVITY, CAPACITY = 21, 0.02, 0.8, 2.2e6
TIME_STEP = 4 * 3600.0  # r = 13, as in Huang et al.: 3600 s on a grid of 1 cm
TEMPERATURES = arrays(float, NODES, elements=st.floats(240.0, 340.0))

DEPTHS = SPACING * np.arange(NODES)
column = heat_conduction.make_column(
    DEPTHS,
    heat_conduction.midway_faces(DEPTHS),
    jnp.full(NODES - 1, CONDUCTIVITY),
    jnp.full(NODES - 1, CAPACITY),
)
REFERENCE = 290.0  # K, from which the direct solve counts


def dense_operator() -> np.ndarray:
    matrix = np.diag(np.ones(NODES - 1), 1) + np.diag(np.ones(NODES - 1), -1)
    return CONDUCTIVITY / SPACING * (matrix - np.diag(matrix.sum(axis=1)))


def step_from(start, ground_heat_flux, bottom_temperature) -> stencils.StencilStep:
    return stencils.StencilStep(
        start=jnp.asarray(start),
        diffusion_number=jnp.asarray(CONDUCTIVITY * TIME_STEP / (CAPACITY * SPACING**2)),
        surface_rise=jnp.asarray(2.0 * SPACING * ground_heat_flux / CONDUCTIVITY),
        bottom_temperature=bottom_temperature,
    )


def direct_solve(start, ground_heat_flux, bottom_temperature):
    fixed = bottom_temperature is not None
    implicit = EliminatedColumn.build(column, Ends(skin=False, fixed_bottom=fixed), TIME_STEP)
    bottom = bottom_temperature - REFERENCE if fixed else jnp.asarray(0.0)
    profile, _, _ = implicit.step(
        implicit.encode(start - REFERENCE), bottom, lambda t: ground_heat_flux + 0.0 * t, bottom
    )
    nodes = jnp.stack([implicit.node(profile, i) for i in range(NODES - fixed)])
    return REFERENCE + (jnp.append(nodes, bottom) if fixed else nodes)


@given(TEMPERATURES, st.floats(-300.0, 300.0))
def test_stencil_equals_dense_matrix_and_control_volumes(temperature, ground_heat_flux):
    args = jnp.asarray(CONDUCTIVITY), SPACING, jnp.asarray(ground_heat_flux)
    stencil = stencils.conductive_heating_stencil(jnp.asarray(temperature), *args)
    dense = dense_operator() @ temperature
    volumes = heat_conduction.conductive_heating(column, jnp.asarray(temperature))
    dense[0] += ground_heat_flux
    tolerance = 1e-12 * CONDUCTIVITY / SPACING * np.abs(temperature).max()
    np.testing.assert_allclose(stencil, dense, rtol=0, atol=tolerance)
    np.testing.assert_allclose(stencil, volumes.at[0].add(ground_heat_flux), rtol=0, atol=tolerance)


@pytest.mark.parametrize("bottom_temperature", [None, jnp.asarray(291.0)])
def test_jacobi_converges_to_the_direct_solve(bottom_temperature):
    start = jnp.linspace(300.0, 290.0, NODES)
    step = step_from(start, 150.0, bottom_temperature)
    direct = direct_solve(start, 150.0, bottom_temperature)
    temperature, sweeps = stencils.jacobi_to_tolerance(step, 1e-12)
    np.testing.assert_allclose(temperature, direct, rtol=0, atol=1e-10)
    np.testing.assert_allclose(stencils.jacobi(step, int(sweeps)), temperature, rtol=0, atol=0)


def test_stopping_tolerance_is_not_the_error():
    """The error is what the sweeps left out would add: up to 2 r times the last change."""
    start = jnp.full(NODES, 293.0)
    step = step_from(start, 150.0, None)
    tolerance = 1e-4
    temperature, _ = stencils.jacobi_to_tolerance(step, tolerance)
    error = jnp.abs(temperature - direct_solve(start, 150.0, None)).max()
    assert 5.0 * tolerance < error < 2.0 * step.diffusion_number * tolerance


def test_gradient_through_the_sweeps_is_that_of_the_direct_solve():
    start = jnp.linspace(300.0, 290.0, NODES)

    def by_sweeps(flux):
        return stencils.jacobi(step_from(start, flux, None), 1000)[3]

    def by_direct_solve(flux):
        return direct_solve(start, flux, None)[3]

    gradients = [jax.grad(function)(150.0) for function in (by_sweeps, by_direct_solve)]
    np.testing.assert_allclose(*gradients, rtol=1e-9)
    assert gradients[0] > 0.0
