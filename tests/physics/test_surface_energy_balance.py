"""The scalar solve for the surface: its solution, its derivatives, and many at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.physics import radiation
from caliche.physics.surface_energy_balance import (
    LAST_STEP,
    MOST_ITERATIONS,
    solve_surface_temperature,
)

# After a step shorter than LAST_STEP the error is its square times |F''| / 2 |F'| of the balance
# F, for emission and exchange below 0.01 K-1.
SOLVED = 0.01 * LAST_STEP**2


def scalars(*values: float):
    return tuple(jnp.asarray(value) for value in values)


def flux_of(absorbed, transfer):
    """Ground heat flux (W m-2) with emission and exchange with air of 295 K."""

    def flux(t):
        return absorbed - radiation.emitted_longwave(jnp.asarray(0.95), t) - transfer * (t - 295.0)

    return flux


@jax.jit
def solve(absorbed, transfer, intercept, response, guess):
    return solve_surface_temperature(flux_of(absorbed, transfer), intercept, response, guess)


LIKELY = scalars(700.0, 10.0, 290.0, 0.05, 295.0)


def closed_form(conductance, intercept, response):
    temperature = (intercept + response * conductance * 300.0) / (1.0 + response * conductance)
    return temperature, conductance * (300.0 - temperature)


def linear(conductance, intercept, response):
    return solve_surface_temperature(
        lambda t: conductance * (300.0 - t), intercept, response, jnp.asarray(250.0)
    )


def test_surface_temperature_flux_and_derivatives_of_a_linear_balance():
    args = scalars(25.0, 280.0, 0.02)
    np.testing.assert_allclose(linear(*args), closed_form(*args), rtol=1e-13)
    for mode in (jax.jacfwd, jax.jacrev):
        derivatives, expected = (mode(f, (0, 1, 2))(*args) for f in (linear, closed_form))
        np.testing.assert_allclose(derivatives, expected, rtol=1e-12)
    second = [jax.hessian(f, (0, 1, 2))(*args) for f in (linear, closed_form)]
    np.testing.assert_allclose(*second, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_derivatives_where_one_thing_varies_and_nothing_else(which):
    """What does not vary is a symbolic zero: leaving it out changes no number."""
    args = scalars(25.0, 280.0, 0.02)
    for mode in (jax.jacfwd, jax.jacrev):
        derivatives, expected = (mode(f, which)(*args) for f in (linear, closed_form))
        np.testing.assert_allclose(derivatives, expected, rtol=1e-12)
        alone = mode(solve, which)(*LIKELY)
        together = [slopes[which] for slopes in mode(solve, (0, 1, 2, 3))(*LIKELY)]
        np.testing.assert_allclose(alone, together, rtol=1e-14)


def test_the_guess_has_no_derivative():
    np.testing.assert_array_equal(jax.jacrev(solve, 4)(*LIKELY), [0.0, 0.0])


@pytest.mark.parametrize("distance", [-30.0, 0.0, 30.0])
def test_newton_forgets_its_guess(distance):
    absorbed, transfer, intercept, response, guess = LIKELY
    temperature, flux = solve(absorbed, transfer, intercept, response, guess + distance)
    assert abs(float(temperature - intercept - response * flux)) < 1e-12
    # the slope of the flux is about -15 W m-2 K-1
    assert abs(float(flux - flux_of(absorbed, transfer)(temperature))) < 20.0 * SOLVED


@given(
    st.floats(100.0, 1500.0),
    st.floats(0.0, 100.0),
    st.floats(250.0, 330.0),
    st.floats(1e-3, 1.0),
    st.floats(250.0, 330.0),
)
def test_temperature_and_flux_belong_together(absorbed, transfer, intercept, response, guess):
    """T = intercept + response * G to round-off, and G = G(T) to the tolerance."""
    temperature, flux = solve(*scalars(absorbed, transfer, intercept, response, guess))
    assert abs(float(temperature - intercept - response * flux)) < 1e-12 * 330.0
    slope = 25.0 + transfer  # at most, where the surface is below 400 K
    assert abs(float(flux - flux_of(absorbed, transfer)(temperature))) < slope * SOLVED + 1e-11


def test_members_of_a_batch_get_what_they_get_alone():
    """Though they need different numbers of iterations, in value and in derivative."""
    intercept = jnp.linspace(240.0, 340.0, 9)
    guess = jnp.array([240.0, 900.0, 250.0, 5.0, 290.0, 1500.0, 100.0, 295.0, 330.0])
    absorbed, transfer, _, response, _ = LIKELY

    def temperature(intercept, absorbed, guess):
        return solve(absorbed, transfer, intercept, response, guess)

    def all_of_it(intercept, guess):
        return (
            temperature(intercept, absorbed, guess),
            jax.jacrev(temperature, (0, 1))(intercept, absorbed, guess),
            jax.jacfwd(temperature, (0, 1))(intercept, absorbed, guess),
        )

    batch = jax.jit(jax.vmap(all_of_it))(intercept, guess)
    alone = jax.jit(all_of_it)
    for k in range(9):
        for one, many in zip(
            jax.tree.leaves(alone(intercept[k], guess[k])), jax.tree.leaves(batch), strict=True
        ):
            np.testing.assert_allclose(many[k], one, rtol=1e-13)
    assert bool(jnp.isfinite(batch[0][0]).all())


def test_a_member_without_solution_spoils_no_other():
    """NaN comes back for it after a finite number of iterations, and for nobody else."""
    intercept = jnp.array([290.0, jnp.nan, 280.0])
    temperature, flux = jax.vmap(lambda x: solve(*LIKELY[:2], x, *LIKELY[3:]))(intercept)
    assert jnp.isnan(temperature).tolist() == jnp.isnan(flux).tolist() == [False, True, False]
    assert MOST_ITERATIONS < 1000
