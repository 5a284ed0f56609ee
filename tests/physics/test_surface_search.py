"""The surface temperature where Newton's method alone does not find it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.physics import radiation
from caliche.physics.humidity import saturation_specific_humidity
from caliche.physics.surface_energy_balance import (
    COLDEST,
    HOTTEST,
    LAST_STEP,
    solve_surface_temperature,
)

RESPONSE = 0.0073  # K m2 W-1
TOLERANCE = 1e-6  # W m-2


def drying(t, supply, middle):
    """Flux (W m-2) of a store that soon gives all it has: steep near `middle` (K), flat beside."""
    x = (t - middle) / 0.8
    evaporation = supply * (1.0 + x / jnp.sqrt(1.0 + x * x))
    return 300.0 - radiation.emitted_longwave(jnp.asarray(0.95), t) - evaporation


@jax.jit
def solve(supply, middle, intercept, guess):
    return solve_surface_temperature(
        lambda t: drying(t, supply, middle),
        intercept,
        jnp.asarray(RESPONSE),
        guess,
        (COLDEST, HOTTEST),
    )


def plain_newton(supply, middle, intercept, guess, steps=50):
    """The last step (K) of Newton's method by itself."""

    def left(t):
        return t - intercept - RESPONSE * drying(t, supply, middle)

    for _ in range(steps):
        step = left(guess) / jax.grad(left)(guess)
        guess = guess - step
    return float(step)


# Plain Newton goes to and fro between both flat parts here.
CYCLE = tuple(jnp.asarray(x) for x in (2800.0, 296.0, 314.0, 310.0))


def test_the_case_needs_the_search():
    assert not abs(plain_newton(*CYCLE)) < 1.0


def test_a_cycle_of_newton_steps_ends_at_the_solution():
    supply, middle, intercept, _ = CYCLE
    for guess in (200.0, 250.0, 290.0, 296.0, 300.0, 310.0, 400.0):
        temperature, flux = solve(supply, middle, intercept, jnp.asarray(guess))
        assert abs(float(temperature - intercept - RESPONSE * flux)) < 1e-10
        assert abs(float(flux - drying(temperature, supply, middle))) < TOLERANCE


def test_derivatives_where_the_search_was_needed():
    """Reverse, forward and finite differences agree."""
    steps = (1e-2, 1e-5, 1e-5)
    for which, step in enumerate(steps):
        reverse, forward = (mode(solve, which)(*CYCLE) for mode in (jax.jacrev, jax.jacfwd))
        np.testing.assert_allclose(reverse, forward, rtol=1e-12)
        ends = [
            solve(*(x + sign * step * (k == which) for k, x in enumerate(CYCLE)))
            for sign in (1.0, -1.0)
        ]
        slopes = [(a - b) / (2.0 * step) for a, b in zip(*ends, strict=True)]
        np.testing.assert_allclose(reverse, slopes, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(jax.jacrev(solve, 3)(*CYCLE), [0.0, 0.0])


def test_members_that_need_the_search_and_members_that_do_not():
    middle = jnp.linspace(240.0, 340.0, 41)
    many = jax.jit(jax.vmap(solve, (None, 0, None, None)))(CYCLE[0], middle, *CYCLE[2:])
    slopes = jax.vmap(jax.jacrev(solve, 1), (None, 0, None, None))(CYCLE[0], middle, *CYCLE[2:])
    for k in range(0, 41, 8):
        at = (CYCLE[0], middle[k], *CYCLE[2:])
        np.testing.assert_allclose([x[k] for x in many], solve(*at), rtol=1e-13)
        np.testing.assert_allclose(
            [x[k] for x in slopes], jax.jacrev(solve, 1)(*at), rtol=1e-9, atol=1e-12
        )
    temperature, flux = many
    left = flux - jax.vmap(drying, (0, None, 0))(temperature, CYCLE[0], middle)
    assert float(jnp.abs(left).max()) < TOLERANCE


@pytest.mark.parametrize("guess", [200.0, 255.0, 275.0, 284.0, 300.0, 380.0])
def test_one_of_three_solutions_is_found(guess):
    """Very stable air lets go of a surface: the flux then rises with its temperature."""

    def flux(t):
        cold = 290.0 - t
        return 30.0 * cold / (1.0 + (cold / 6.0) ** 4) - 60.0 + cold

    intercept, response, start = (jnp.asarray(x) for x in (290.0, 1.0, guess))
    temperature, heat = solve_surface_temperature(
        flux, intercept, response, start, (COLDEST, HOTTEST)
    )
    assert abs(float(heat - flux(temperature))) < TOLERANCE
    assert np.abs(np.array([260.777, 280.723, 288.107]) - float(temperature)).min() < 2e-3


@pytest.mark.parametrize("intercept", [-5000.0, 5000.0, np.nan, np.inf])
def test_without_a_solution_there_is_no_number(intercept):
    """Nor does a member without one change another."""
    both = jnp.stack([jnp.asarray(intercept), CYCLE[2]])
    temperature, flux = jax.vmap(solve, (None, None, 0, None))(*CYCLE[:2], both, CYCLE[3])
    assert np.isnan(temperature).tolist() == np.isnan(flux).tolist() == [True, False]
    np.testing.assert_allclose(temperature[1], solve(*CYCLE)[0], rtol=1e-14)


def test_a_solution_beyond_what_surfaces_reach_is_none():
    """The emission of a surface below absolute zero balances much, and means nothing."""
    temperature, _ = solve_surface_temperature(
        lambda t: 50.0 - radiation.emitted_longwave(jnp.asarray(1.0), t),
        jnp.asarray(20.0),
        jnp.asarray(0.1),
        jnp.asarray(280.0),
        (COLDEST, HOTTEST),
    )
    assert np.isnan(temperature)


def test_what_is_left_is_small_at_a_kink():
    """Where the slope changes within a tenth of a millikelvin, as where stability changes sign."""

    def flux(t):
        x = t - 290.0
        return 5.0 - 30.0 * x - 25.0 * jnp.sqrt(x * x + 1e-8)

    for intercept in np.linspace(289.5, 290.5, 21):
        temperature, heat = solve_surface_temperature(
            flux, jnp.asarray(intercept), jnp.asarray(0.2), jnp.asarray(295.0), (COLDEST, HOTTEST)
        )
        assert abs(float(heat - flux(temperature))) < 0.5 * 25.0 / 1e-4 * LAST_STEP**2


@pytest.mark.parametrize("pressure", [4.5e4, 1.1e5])
def test_saturation_humidity_rises_with_temperature_as_far_as_the_search_goes(pressure):
    temperature = jnp.linspace(200.0, HOTTEST, 3001)
    humidity = jax.vmap(saturation_specific_humidity, (0, None))(temperature, jnp.asarray(pressure))
    assert np.isfinite(humidity).all()
    assert (np.diff(humidity) >= 0.0).all()
    assert humidity[-1] == pytest.approx(1.0)
