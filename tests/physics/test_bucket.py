"""The bucket of soil water: nothing lost, never negative, smooth."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.physics import bucket

CAPACITY = 100.0
FILL = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1e-300, 0.98, 1.0]))
RAIN = st.one_of(st.floats(0.0, 300.0), st.just(0.0))
runoff = jax.jit(bucket.runoff)
settle = jax.jit(bucket.settle)


def scalars(*values: float):
    return tuple(jnp.asarray(value) for value in values)


@given(FILL, RAIN, st.floats(5.0, 1000.0))
def test_rain_runs_off_or_stays(fill, rain, capacity):
    store, water, capacity = scalars(fill * capacity, rain, capacity)
    off = runoff(store, water, capacity)
    assert 0.0 <= float(off) <= rain + 1e-12 * float(capacity)
    after = store + water - off
    assert float(store) - 1e-12 <= float(after) <= float(capacity) * (1.0 + 1e-13)


def test_a_dry_soil_takes_all_and_a_full_one_none():
    np.testing.assert_allclose(runoff(*scalars(20.0, 10.0, CAPACITY)), 0.0, atol=1e-12)
    np.testing.assert_allclose(runoff(*scalars(100.0, 10.0, CAPACITY)), 10.0, rtol=1e-14)
    # what a rounded corner may cost: a few per mill of the capacity
    assert float(runoff(*scalars(90.0, 10.0, CAPACITY))) == pytest.approx(2.0 * np.log(2), rel=0.02)


@given(st.floats(0.0, 1.3), st.floats(0.0, 80.0), st.floats(0.0, 80.0))
def test_rain_at_once_is_rain_in_two_parts(fill, one, other):
    store, one, other, capacity = scalars(fill * CAPACITY, one, other, CAPACITY)
    first = runoff(store, one, capacity)
    second = runoff(store + one - first, other, capacity)
    together = runoff(store, one + other, capacity)
    np.testing.assert_allclose(first + second, together, rtol=0, atol=1e-10)


@given(st.floats(0.0, 1.3))
def test_without_inflow_only_what_is_above_capacity_runs_off(fill):
    off = runoff(*scalars(fill * CAPACITY, 0.0, CAPACITY))
    np.testing.assert_allclose(off, CAPACITY * max(fill - 1.0, 0.0), rtol=0, atol=1e-11)


@given(FILL, st.floats(0.0, 1.0), st.floats(0.0, 300.0), st.sampled_from([600.0, 1800.0, 86400.0]))
def test_evaporation_leaves_the_store_positive(fill, air, capacity, time_step):
    """Even from a thirst that would empty it many times in a step."""
    store, potential = scalars(fill * (5.0 + capacity), 0.03 * air)
    wet = bucket.wetness(store, jnp.asarray(5.0 + capacity), time_step)
    flux = bucket.evaporation(potential, wet)
    assert 0.0 <= float(wet.availability) <= 1.0
    left, off = settle(store, time_step * flux, jnp.asarray(5.0 + capacity))
    assert float(left) >= 0.0
    assert float(off) == 0.0


def test_evaporation_as_manabe_has_it():
    """Away from the corner, and with more water than a step can take."""
    potential = jnp.asarray(1e-4)
    for store, expected in [(10.0, 10.0 / 75.0), (40.0, 40.0 / 75.0), (100.0, 1.0)]:
        wet = bucket.wetness(*scalars(store, CAPACITY), 1800.0)
        ratio = float(bucket.evaporation(potential, wet) / potential)
        assert ratio == pytest.approx(expected, rel=0.013 if store == 100.0 else 1e-3)


@given(FILL, st.floats(-5.0, 0.0))
def test_dew_fills_the_store_and_overflows(fill, evaporated):
    store = jnp.asarray(fill * CAPACITY)
    after, off = settle(store, *scalars(evaporated, CAPACITY))
    np.testing.assert_allclose(store - evaporated, after + off, rtol=1e-14)
    assert float(after) <= CAPACITY + 1e-4
    assert float(off) >= 0.0


@pytest.mark.parametrize("store", [0.0, 30.0, 75.0, 98.0, 100.0, 140.0, 5000.0])
@pytest.mark.parametrize("water", [0.0, 1.0, 60.0])
@pytest.mark.parametrize("evaporated", [0.0, 0.5, -0.5])
def test_gradients_are_exact_at_the_corners(store, water, evaporated):
    def step(store, water, evaporated, capacity):
        off = bucket.runoff(store, water, capacity)
        store = store + water - off
        wet = bucket.wetness(store, capacity, 1800.0)
        flux = bucket.evaporation(evaporated / 1800.0, wet)
        left, over = bucket.settle(store, 1800.0 * flux, capacity)
        return left + 0.3 * (off + over) + wet.availability

    args = scalars(store, water, evaporated, CAPACITY)
    reverse = jnp.stack(jax.grad(step, (0, 1, 2, 3))(*args))
    forward = jnp.stack(jax.jacfwd(step, (0, 1, 2, 3))(*args))
    np.testing.assert_allclose(forward, reverse, rtol=1e-12)
    assert bool(jnp.isfinite(reverse).all())
    # One-sided: a store and a rain cannot be negative, and capacity is on the side of its growth.
    h = 1e-6
    for k in range(4):
        side = -h if (k == 0 and store == CAPACITY) else h
        moved = [step(*(a + n * side * (j == k) for j, a in enumerate(args))) for n in range(3)]
        difference = (-1.5 * moved[0] + 2.0 * moved[1] - 0.5 * moved[2]) / side
        # of the passing of dew, curved within 1e-4 kg m-2, a step of 1e-6 sees a little
        assert float(difference) == pytest.approx(float(reverse[k]), abs=2e-4)
