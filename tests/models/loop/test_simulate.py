"""The time loops: segments change memory and no number, and what nobody reads is not computed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.models import SoilHeat, simulate
from caliche.models.base import Profile
from caliche.models.loop.tangents import simulate_tangents
from caliche.models.loop.time_loop import simulate_total
from problems import Formula
from soil_heat_cases import parameters, steady_forcing

MODEL = SoilHeat((0.0, 0.02, 0.06, 0.15, 0.3), 1800.0)
STEPS = 23
FORCING = steady_forcing(
    MODEL, STEPS, incoming_shortwave=600.0 * np.sin(np.arange(STEPS + 1.0)) ** 2
)
PARAMS = parameters(MODEL)


def seen(diagnostics):
    return diagnostics["soil_temperature"][1], diagnostics["net_radiation"]


def total(params, segments):
    """The sum over time of a function of the output, made of the series and within the loop."""
    _, initial, (temperature, radiation) = simulate(MODEL, params, FORCING, seen, segments)
    weights = jnp.linspace(1.0, 2.0, STEPS + 1)
    from_series = (
        weights[0] * jnp.sin(initial[0])
        + jnp.sum(weights[1:] * jnp.sin(temperature))
        + jnp.sum(weights[1:] * 0.01 * radiation)
    )

    def absorb(so_far, weight, values):
        temperature, radiation = values
        radiation = jnp.where(jnp.isnan(radiation), 0.0, radiation)
        return so_far + weight * jnp.sin(temperature) + weight * 0.01 * radiation

    within = simulate_total(MODEL, params, FORCING, seen, absorb, jnp.zeros(()), weights, segments)
    return jnp.stack([from_series, within])


@pytest.fixture(scope="module")
def whole():
    return total(PARAMS, 1), jax.jit(jax.jacrev(lambda p: total(p, 1)))(PARAMS)


@pytest.mark.parametrize("segments", [2, 7, 50])
def test_segments_change_nothing(whole, segments):
    """Though they do not divide the 23 steps, or are more: neither values nor gradients."""
    value, slopes = whole
    np.testing.assert_allclose(total(PARAMS, segments), value, rtol=1e-14)
    cut = jax.jit(jax.jacrev(lambda p: total(p, segments)))(PARAMS)
    for name, slope in slopes.items():
        scale = float(jnp.abs(slope).max())
        np.testing.assert_allclose(cut[name], slope, rtol=0, atol=1e-12 * scale + 1e-14)


def test_a_running_total_is_that_of_the_series(whole):
    value, slopes = whole
    np.testing.assert_allclose(value[0], value[1], rtol=1e-13)
    for slope in slopes.values():
        np.testing.assert_allclose(slope[0], slope[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("separate", [False, True])
def test_tangents_are_those_of_the_series(separate):
    names = ("albedo", "thermal_conductivity", "bottom_temperature")
    u = jnp.stack([PARAMS[name] for name in names])

    def params_of(u):
        return {**PARAMS, **{name: u[k] for k, name in enumerate(names)}}

    def absorb(count, weight, tangents):
        return count + weight, tangents

    def function(u):
        _, initial, series = simulate(MODEL, params_of(u), FORCING, seen)
        return initial, series

    count, at_zero, each = jax.jit(
        lambda u: simulate_tangents(
            MODEL,
            params_of,
            u,
            FORCING,
            seen,
            absorb,
            jnp.asarray(0.0),
            jnp.ones(STEPS + 1),
            separate,
        )
    )(u)
    assert float(count) == STEPS + 1
    initial, series = function(u)
    d_initial, d_series = jax.jit(jax.jacrev(function))(u)
    for kept, values, slopes, axis in [
        (at_zero, initial, d_initial, 0),
        (each, series, d_series, 1),
    ]:
        for k in range(2):
            np.testing.assert_allclose(kept.values[k], values[k], rtol=1e-14)
            by_tangents = jnp.stack(kept.slopes[k], axis) if separate else kept.slopes[k]
            if k == 1 and axis == 0:  # no flux at time zero
                assert bool(jnp.isnan(values[k]))
                continue
            np.testing.assert_allclose(by_tangents, slopes[k], rtol=1e-10, atol=1e-12)


class Deep(Formula):
    """A model with a profile that must not be looked at, beside what may."""

    @property
    def depths(self):
        return {"soil_temperature": np.array([0.0, 0.1])}

    def diagnose(self, prepared, state):
        def refuse(*_):
            raise AssertionError("nobody asked for this")

        return {"surface_temperature": state, "soil_temperature": Profile(2, refuse, refuse)}

    def step(self, prepared, state, forcing):
        return state, self.diagnose(prepared, state)


def test_a_diagnostic_that_nobody_reads_is_not_computed():
    model = Deep(
        lambda params, forcing: forcing["x"],
        (),
        ("x",),
        diagnostics=("surface_temperature", "soil_temperature"),
    )
    forcing = {"x": jnp.arange(4.0)}
    _, initial, series = simulate(model, {}, forcing, lambda d: d["surface_temperature"])
    assert (float(initial), series.shape) == (0.0, (3,))
    with pytest.raises(AssertionError, match="nobody asked"):
        simulate(model, {}, forcing)
