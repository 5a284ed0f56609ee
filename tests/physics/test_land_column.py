"""Switches, layers, saturation, snow and water stores, each by itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.physics import hydrology, saturation, snow, switches
from caliche.physics.humidity import saturation_vapour_pressure_polynomial
from caliche.physics.layers import LayerColumn

LINE = jnp.linspace(-3.0, 3.0, 2001)


def scalar(x: float) -> jax.Array:
    return jnp.asarray(float(x))


# -- switches --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("smooth", "sharp", "corners", "width"),
    [
        (lambda x: switches.smooth_plus(x, 0.3), lambda x: np.maximum(x, 0.0), [0.0], 0.3),
        (lambda x: switches.smooth_cap(x, 0.2), lambda x: np.minimum(x, 1.0), [1.0], 0.2),
        (lambda x: switches.smooth_ramp(x, 0.1), lambda x: np.clip(x, 0.0, 1.0), [0.0, 1.0], 0.1),
    ],
    ids=["plus", "cap", "ramp"],
)
def test_switch_is_exact_outside_and_smooth_inside(smooth, sharp, corners, width):
    value = np.asarray(jax.vmap(smooth)(LINE))
    far = np.all([np.abs(np.asarray(LINE) - c) > width for c in corners], axis=0)
    np.testing.assert_allclose(value[far], sharp(np.asarray(LINE))[far], rtol=0, atol=1e-15)
    np.testing.assert_allclose(value, sharp(np.asarray(LINE)), rtol=0, atol=0.2 * width)
    slope = np.asarray(jax.vmap(jax.grad(smooth))(LINE))
    assert (np.diff(value) > -1e-15).all()
    assert np.abs(np.diff(slope)).max() < 2.0 * 0.003 / width  # no jump in the first derivative
    bend = np.asarray(jax.vmap(jax.grad(jax.grad(smooth)))(LINE))
    assert np.abs(np.diff(bend)).max() < 8.0 * 0.003 / width**2  # nor in the second


def test_cap_and_plus_never_pass_their_limits():
    capped = jax.vmap(lambda x: switches.smooth_cap(x, 0.2))(LINE)
    positive = jax.vmap(lambda x: switches.smooth_plus(x, 0.2))(LINE)
    assert float((capped - jnp.minimum(LINE, 1.0)).max()) <= 1e-15
    assert float((positive - jnp.maximum(LINE, 0.0)).min()) >= -1e-15


def test_slopes_of_switches_are_those_of_their_values():
    """By the argument everywhere, its ends included, and by a width that is an argument too."""
    x = jnp.concatenate([LINE, jnp.asarray([0.0, 1.0, 0.9, 1.1, -0.3, 0.3])])
    for function in (
        switches.smooth_step,
        lambda x: switches.smooth_plus(x, 0.3),
        lambda x: switches.smooth_cap(x, 0.1),
        lambda x: switches.capped_share(x, 0.1),
    ):
        slope = jax.vmap(jax.grad(function))(x)
        difference = (jax.vmap(function)(x + 1e-6) - jax.vmap(function)(x - 1e-6)) / 2e-6
        np.testing.assert_allclose(slope, difference, rtol=0, atol=2e-5)
    by_width = jax.vmap(jax.grad(lambda w, x: switches.smooth_plus(x, w)), (None, 0))
    wider, narrower = (
        jax.vmap(lambda x, w=w: switches.smooth_plus(x, w))(x) for w in (0.3 + 1e-6, 0.3 - 1e-6)
    )
    np.testing.assert_allclose(by_width(scalar(0.3), x), (wider - narrower) / 2e-6, atol=2e-5)


# -- layers ----------------------------------------------------------------------------------------

THICKNESSES = (0.005, 0.045, 0.10, 0.35, 1.0)


def stepped(column: LayerColumn, temperatures, slope: float):
    """A step with a surface flux of -slope times the first temperature."""
    free = column.free(temperatures)
    first = free[0] / (1.0 + column.response * slope)
    return jnp.stack(column.finish(first, free))


@pytest.mark.parametrize("step", [60.0, 1800.0])
def test_time_scales_of_five_layers(step):
    """Decay of the modes under the emission of 290 K: numbers of an independent solve."""
    column = LayerColumn.build(THICKNESSES, scalar(0.8), scalar(2e6), step)
    slope = 4.0 * 5.6734e-8 * 290.0**3  # the constant of the original
    unit = np.eye(5)
    matrix = np.stack([stepped(column, [scalar(x) for x in row], slope) for row in unit], axis=1)
    decay = np.sort(np.linalg.eigvals(matrix).real)
    times = step / (1.0 / decay - 1.0)
    np.testing.assert_allclose(times, [245.68, 4815.5, 33771.5, 250634.0, 3.0557e6], rtol=2e-5)


def test_layers_keep_their_heat():
    column = LayerColumn.build(THICKNESSES, scalar(1.2), scalar(1.9e6), 1800.0)
    before = [scalar(t) for t in (5.0, -3.0, 2.0, 8.0, 1.0)]
    after = tuple(stepped(column, before, 0.0))
    assert abs(float(column.heat_gained(after, before))) < 1e-8
    flux = 120.0
    free = column.free(before)
    heated = column.finish(free[0] + column.response * flux, free)
    np.testing.assert_allclose(column.heat_gained(heated, before), 1800.0 * flux, rtol=1e-12)


# -- saturation ------------------------------------------------------------------------------------


def test_goff_gratch_against_known_humidities():
    known = {273.16: 0.003807670, 283.15: 0.007663430, 298.15: 0.019925035, 263.16: 0.001699649}
    for temperature, value in known.items():
        got = saturation.goff_gratch_humidity(scalar(temperature), scalar(1e5))
        np.testing.assert_allclose(got, value, rtol=0, atol=6e-10)


def test_saturation_over_water_and_ice():
    """Above freezing that over water; far below that over ice (Murphy and Koop 2005)."""
    warm = jnp.linspace(273.2, 320.0, 50)
    of_water = jax.vmap(saturation_vapour_pressure_polynomial)(warm)
    np.testing.assert_array_equal(jax.vmap(saturation.saturation_vapour_pressure)(warm), of_water)
    cold = np.linspace(225.0, 253.0, 50)
    ice = np.exp(9.550426 - 5723.265 / cold + 3.53068 * np.log(cold) - 0.00728332 * cold)
    got = jax.vmap(saturation.saturation_vapour_pressure)(jnp.asarray(cold))
    # The polynomial over water is good to 0.2 % above -30 degC, and to 1 % down to -48.
    np.testing.assert_allclose(got, ice, rtol=1e-2)
    np.testing.assert_allclose(got[cold > 243.0], ice[cold > 243.0], rtol=5e-3)
    whole = jnp.linspace(230.0, 300.0, 701)
    slopes = np.asarray(jax.vmap(jax.grad(saturation.saturation_vapour_pressure))(whole))
    assert (slopes > 0.0).all()
    table = np.asarray(jax.vmap(saturation.goff_gratch)(whole))
    smooth = np.asarray(jax.vmap(saturation.saturation_vapour_pressure)(whole))
    np.testing.assert_allclose(smooth, table, rtol=0.03)


# -- snow ------------------------------------------------------------------------------------------


def test_snowfall_and_masking():
    half = snow.snow_fraction(scalar(274.2), scalar(274.2), scalar(2.0))
    np.testing.assert_allclose(half, 0.5, rtol=1e-15)
    assert float(snow.snow_fraction(scalar(272.0), scalar(274.2), scalar(2.0))) == 1.0
    assert float(snow.snow_fraction(scalar(276.3), scalar(274.2), scalar(2.0))) == 0.0
    np.testing.assert_allclose(
        snow.masked_albedo(scalar(0.2), scalar(0.8), scalar(5.0), scalar(5.0)), 0.5, rtol=1e-15
    )


@given(st.floats(-5.0, 5.0), st.floats(0.0, 100.0))
def test_melt_is_between_nothing_and_all_there_is(excess, pause):
    share = float(snow.melted_share(scalar(excess), scalar(pause)))
    assert -1e-15 <= share <= 1.0
    if excess > 0.05 and excess < 0.79 * pause:
        np.testing.assert_allclose(share, excess / pause, rtol=1e-11)
    if excess > 0.05 and excess > 1.21 * pause:
        assert share == 1.0


@given(st.floats(-2e8, 2e8), st.floats(0.0, 2e8))
def test_frozen_share_is_sharp_but_at_its_ends(heat, most):
    width = 5e5
    frozen = float(snow.frozen_share(scalar(heat), scalar(most), scalar(width)))
    assert -1e-3 <= frozen <= most * (1.0 + 1e-12) + 1e-3
    np.testing.assert_allclose(frozen, np.clip(-heat, 0.0, most), rtol=0, atol=0.2 * width)


# -- water -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [60.0, 3600.0, 86400.0, 1e7])
def test_groundwater_is_exact_for_any_step(step):
    """Recharge at a constant rate: W = W0 e^(-t/tau) + R tau (1 - e^(-t/tau))."""
    residence, rate, start = 5.2e6, 3e-5, 40.0
    storage, out, steps = scalar(start), 0.0, 3
    for _ in range(steps):
        storage, lost = hydrology.groundwater_step(
            storage, scalar(rate * step), scalar(residence), step
        )
        out += float(lost)
    left = np.exp(-steps * step / residence)
    np.testing.assert_allclose(storage, start * left + rate * residence * (1.0 - left), rtol=1e-12)
    np.testing.assert_allclose(float(storage) + out, start + steps * rate * step, rtol=1e-13)


def test_rooting_depth():
    """zeta ln(B / (zeta rho)), and not below a centimetre."""
    depth = hydrology.rooting_depth(scalar(2.9), scalar(0.17), scalar(0.125))
    np.testing.assert_allclose(depth, 0.836, atol=5e-4)
    assert float(hydrology.rooting_depth(scalar(0.05), scalar(2.0), scalar(3.0))) == 0.01


def test_drainage_takes_the_excess_and_only_that():
    np.testing.assert_allclose(
        hydrology.drainage(scalar(130.0), scalar(100.0), scalar(1800.0), 1800.0), 15.0, rtol=1e-14
    )
    assert float(hydrology.drainage(scalar(98.0), scalar(100.0), scalar(1800.0), 1800.0)) == 0.0
