"""Turbulent transfer and radiation, one formula at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.physics import humidity, radiation, turbulence


def scalars(*values: float):
    return tuple(jnp.asarray(value) for value in values)


def test_density_of_the_standard_atmosphere():
    dry, moist = (turbulence.air_density(*scalars(101325.0, 288.15, q)) for q in (0.0, 0.01))
    assert dry == pytest.approx(1.225, rel=1e-3)
    assert moist < dry


@given(st.floats(250.0, 330.0), st.floats(250.0, 330.0), st.floats(0.0, 20.0))
def test_sensible_heat_flows_from_warm_to_cold(surface, air, wind):
    args = scalars(4e-3, 1.2, wind + 0.3, surface, air)
    assert jnp.sign(turbulence.bulk_sensible_heat_flux(*args)) == np.sign(surface - air)


@pytest.mark.parametrize(("humidity_ratio", "sign"), [(0.5, 1.0), (1.0, 0.0), (1.5, -1.0)])
def test_evaporation_follows_the_humidity_deficit(humidity_ratio, sign):
    temperature, pressure = scalars(300.0, 1e5)
    q = humidity_ratio * humidity.saturation_specific_humidity(temperature, pressure)
    flux = turbulence.bulk_latent_heat_flux(*scalars(4e-3, 0.5, 1.2, 3.0), temperature, q, pressure)
    assert jnp.sign(flux) == sign


@given(st.floats(-500.0, 500.0), st.floats(0.05, 20.0))
def test_bowen_partition(sensible, bowen_ratio):
    latent = turbulence.bowen_partition(*scalars(sensible, bowen_ratio))
    np.testing.assert_allclose(latent * bowen_ratio, sensible, rtol=1e-15, atol=1e-300)


def test_wind_is_smooth_where_it_is_calm():
    value, slope = jax.value_and_grad(turbulence.effective_wind_speed)(jnp.asarray(0.0), 0.3)
    assert (value, slope) == (pytest.approx(0.3), 0.0)


def test_black_and_grey_surfaces_obey_kirchhoff():
    """At radiative equilibrium with a black sky, a surface of any emissivity gains nothing."""
    temperature = jnp.asarray(290.0)
    sky = radiation.emitted_longwave(jnp.asarray(1.0), temperature)
    assert sky == pytest.approx(401.06, abs=0.02)
    for emissivity in scalars(0.7, 0.95, 1.0):
        outgoing = radiation.emitted_longwave(emissivity, temperature)
        outgoing = outgoing + radiation.reflected_longwave(emissivity, sky)
        assert outgoing == pytest.approx(float(sky), rel=1e-15)
