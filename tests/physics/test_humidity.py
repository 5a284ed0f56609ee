"""Humidity: saturation against tables, and its polynomial against the exact form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.physics import humidity
from caliche.physics.humidity import COLDEST, HOTTEST, POLYNOMIAL_ERROR

DENSE = jnp.linspace(COLDEST, HOTTEST, 160_001)  # every millikelvin


@given(st.floats(0.0, 7e3), st.floats(5e4, 1.1e5))
def test_humidity_round_trip(vapour_pressure, air_pressure):
    e, p = jnp.asarray(vapour_pressure), jnp.asarray(air_pressure)
    back = humidity.vapour_pressure(humidity.specific_humidity(e, p), p)
    np.testing.assert_allclose(back, e, rtol=4e-16 * 4, atol=1e-300)


@pytest.mark.parametrize(("celsius", "pascal"), [(0.0, 611.2), (20.0, 2339.0), (40.0, 7384.0)])
def test_saturation_vapour_pressure_matches_tables(celsius, pascal):
    for form in (
        humidity.saturation_vapour_pressure,
        humidity.saturation_vapour_pressure_polynomial,
    ):
        assert form(jnp.asarray(273.15 + celsius)) == pytest.approx(pascal, rel=3e-3)


def test_saturated_air_at_one_pressure_holds_more_water_when_warmer():
    args = jnp.asarray(293.15), jnp.asarray(1e5)
    slope = jax.grad(humidity.saturation_specific_humidity)(*args)
    assert slope == pytest.approx(9.1e-4, rel=0.02)  # q* d ln e*/dT, 6.2 % per K at 20 degC


@jax.jit
@jax.vmap
def both(temperature):
    """Exact form and polynomial, each with first and second derivative."""
    forms = (humidity.saturation_vapour_pressure, humidity.saturation_vapour_pressure_polynomial)
    return [
        [f(temperature) for f in (form, jax.grad(form), jax.grad(jax.grad(form)))] for form in forms
    ]


def test_polynomial_is_within_its_bound():
    (exact, slope, _), (value, its_slope, _) = both(DENSE)
    assert float(jnp.abs(value / exact - 1.0).max()) < POLYNOMIAL_ERROR <= 1.5e-6
    # an error that oscillates does so fastest at the ends: measured 9.5e-7 there
    error = jnp.abs(its_slope / slope - 1.0)
    assert float(error[(DENSE > COLDEST) & (DENSE < HOTTEST)].max()) < 1.5e-6
    assert float(error[(DENSE > 230.0) & (DENSE < 330.0)].max()) < POLYNOMIAL_ERROR


def test_polynomial_rises_and_strays_slowly_beyond_its_range():
    _, (value, slope, curvature) = both(DENSE)
    assert bool(jnp.all(jnp.diff(value) > 0.0))
    assert bool(jnp.all(slope > 0.0))
    assert bool(jnp.isfinite(curvature).all())
    (exact, *_), (near, *_) = both(jnp.array([180.0, 380.0, 450.0]))
    np.testing.assert_array_less(jnp.abs(near / exact - 1.0), [2.5e-5, 2.5e-5, 1e-2])
    # where Newton's method may stray to, it still rises
    _, (_, slope, _) = both(jnp.linspace(150.0, 480.0, 331))
    assert bool(jnp.all(slope > 0.0))
    assert bool(jnp.isnan(humidity.saturation_vapour_pressure_polynomial(jnp.asarray(jnp.nan))))


def test_specific_humidity_at_saturation_is_that_of_the_exact_form():
    """Down to the pressure of high mountains, at all temperatures of a land surface."""
    temperature, pressure = DENSE[DENSE < 333.0], jnp.asarray(6e4)
    exact, value = (
        jax.vmap(f)(temperature)
        for f in (
            lambda t: humidity.specific_humidity(humidity.saturation_vapour_pressure(t), pressure),
            lambda t: humidity.saturation_specific_humidity(t, pressure),
        )
    )
    assert float(jnp.abs(value / exact - 1.0).max()) < 1.2 * POLYNOMIAL_ERROR
