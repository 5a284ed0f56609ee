"""A start that repeats itself: it does, repetition leads there, and its slopes are exact."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.models import SoilHeat, simulate
from caliche.models.base import Model
from caliche.models.loop.spin_up import periodic_state
from caliche.models.loop.tangents import simulate_tangents
from caliche.models.loop.time_loop import simulate_total
from soil_heat_cases import parameters, steady_forcing

NODES = (0.0, 0.02, 0.05, 0.1, 0.15)
PERIOD = 24  # hourly steps of a day
STEPS = 30
MODELS = {
    "fixed bottom": SoilHeat(NODES, 3600.0),
    "zero flux": SoilHeat(NODES, 3600.0, bottom="zero-flux", initial="uniform"),
    "zero flux, elimination": SoilHeat(
        NODES, 3600.0, bottom="zero-flux", initial="uniform", solver="elimination"
    ),
    "measured bottom": SoilHeat(NODES, 3600.0, bottom="measured-temperature"),
}


@pytest.fixture(params=MODELS)
def model(request) -> SoilHeat:
    return MODELS[request.param]


def forcing_of(model: SoilHeat):
    hours = np.arange(STEPS + 1.0)
    sun = np.maximum(700.0 * np.sin(2.0 * np.pi * (hours - 6.0) / 24.0), 0.0)
    air = 291.0 + 4.0 * np.sin(2.0 * np.pi * (hours - 9.0) / 24.0)
    bottom = 293.0 + np.sin(2.0 * np.pi * hours / 24.0)
    return steady_forcing(
        model, STEPS, incoming_shortwave=sun, air_temperature=air, bottom_temperature=bottom
    )


def advance(model: Model, params, forcing, state, periods: int = 1):
    """The state after so many periods, step by step."""
    prepared = model.prepare(params)
    rest = {k: v[1 : PERIOD + 1] for k, v in forcing.items()}

    def step(state, now):
        return model.step(prepared, state, now)[0], None

    def period(state, _):
        return jax.lax.scan(step, state, rest)[0], None

    return jax.lax.scan(period, state, None, length=periods)[0]


@jax.jit
def found(model: Model, params, forcing):
    """All that the tests of a start look at, compiled once for each model.

    The periodic state, the state a period later, the model's own start, the profile after four
    hundred periods from there, and what a run gives that begins with the periodic state.
    """
    first = {k: v[0] for k, v in forcing.items()}
    prepared = model.prepare(params)
    guess = model.init_state(prepared, first)
    state = periodic_state(lambda s: advance(model, params, forcing, s), guess)
    repeated = model.diagnose(prepared, advance(model, params, forcing, guess, 400))
    _, start, series = simulate(model, params, forcing, period=PERIOD)
    later = advance(model, params, forcing, state)
    return state, later, guess, repeated["soil_temperature"].stack(), start, series


def test_after_a_period_the_state_is_what_it_was(model):
    """And the rest of the run is that from this state."""
    params, forcing = parameters(model), forcing_of(model)
    state, later, guess, _, start, series = found(model, params, forcing)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(later), strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-8)
    profile = np.vstack([start["soil_temperature"], series["soil_temperature"]])
    np.testing.assert_allclose(profile[PERIOD], profile[0], rtol=0, atol=1e-8)
    assert np.ptp(profile[:, 0]) > 5.0
    assert abs(float(state.surface - guess.surface)) > 0.1
    assert float(jnp.abs(series["energy_imbalance"]).max()) < 1e-9
    # over a whole period the column keeps no heat
    flux = np.asarray(series["ground_heat_flux"])[:PERIOD]
    assert np.mean(flux[:, 0] - flux[:, -1]) == pytest.approx(0.0, abs=1e-6)


def test_it_is_where_repetition_leads(model):
    """Four hundred days of the same weather, on a column that forgets in a few."""
    *_, repeated, start, _ = found(model, parameters(model), forcing_of(model))
    np.testing.assert_allclose(start["soil_temperature"], repeated, rtol=0, atol=1e-8)


def test_where_it_starts_from_does_not_matter():
    model = MODELS["zero flux"]
    cold, warm = (
        found(model, parameters(model, initial_temperature=t), forcing_of(model))[4]
        for t in (270.0, 315.0)
    )
    np.testing.assert_allclose(
        warm["soil_temperature"], cold["soil_temperature"], rtol=0, atol=1e-8
    )


def test_what_the_period_does_not_restore_stays():
    """Three waters that mix, of which none leaves, beside a slope of one half towards p + still."""
    mix = jnp.array([[0.7, 0.2, 0.3], [0.2, 0.8, 0.1], [0.1, 0.0, 0.6]])  # columns add up to one

    def after(p, water, still):
        start = {"a": jnp.asarray(0.0), "water": water, "still": still}
        return periodic_state(
            lambda s: {
                "a": 0.5 * s["a"] + p + s["still"],
                "water": mix @ s["water"],
                "still": s["still"],
            },
            start,
        )

    at = jnp.asarray(1.5), jnp.array([1.0, 2.0, 3.0]), jnp.asarray(7.0)
    state = after(*at)
    steady = np.linalg.matrix_power(np.asarray(mix), 200) @ at[1]
    assert float(state["still"]) == 7.0
    assert float(state["a"]) == pytest.approx(17.0, abs=1e-9)
    np.testing.assert_allclose(state["water"], steady, atol=1e-9)
    for jacobian in (jax.jacrev, jax.jacfwd):
        slope = jacobian(after, argnums=(0, 1, 2))(*at)
        assert [float(x) for x in (slope["a"][0], slope["a"][2])] == pytest.approx([2.0, 2.0])
        assert [float(x) for x in (slope["still"][0], slope["still"][2])] == [0.0, 1.0]
        np.testing.assert_allclose(
            slope["water"][1], np.linalg.matrix_power(np.asarray(mix), 200), atol=1e-12
        )


NAMES = {
    "fixed bottom": (
        "albedo",
        "thermal_conductivity",
        "volumetric_heat_capacity",
        "bottom_temperature",
    ),
    "zero flux, elimination": (
        "albedo",
        "thermal_conductivity",
        "volumetric_heat_capacity",
        "emissivity",
    ),
}


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "varying"),
    [
        ("fixed bottom", True),
        pytest.param("zero flux, elimination", False, marks=pytest.mark.slow),
    ],
)
def test_slopes_of_a_periodic_start(name, varying):
    """Reverse mode, forward tangents and finite differences, of the start and of what follows."""
    model, names = MODELS[name], NAMES[name]
    forcing, known = forcing_of(model), parameters(model)
    # relative to the defaults, so that finite differences suit them all
    u = jnp.array([1.1, 0.9, 1.05, 1.01])
    wave = 1.0 + 0.2 * jnp.sin(jnp.arange(STEPS + 1.0)) if varying else 1.0

    def params_of(u):
        new = {n: known[n] * u[k] for k, n in enumerate(names)}
        return {**known, **new, "albedo": new["albedo"] * wave}

    def output(diagnostics):
        return diagnostics["soil_temperature"][2], diagnostics["surface_temperature"]

    weights = jnp.cos(jnp.arange(STEPS + 1.0)).at[0].set(3.0)

    def total(u):
        def absorb(so_far, weight, values):
            return so_far + weight * (values[0] + jnp.sin(values[1]))

        return simulate_total(
            model, params_of(u), forcing, output, absorb, jnp.zeros(()), weights, period=PERIOD
        )

    def absorb(so_far, weight, tangents):
        (_, surface), (d_soil, d_surface) = tangents
        return so_far + weight * (d_soil + jnp.cos(surface) * d_surface), None

    by_tangents, _, _ = jax.jit(
        lambda u: simulate_tangents(
            model, params_of, u, forcing, output, absorb, jnp.zeros(4), weights, period=PERIOD
        )
    )(u)
    both = jax.jit(jax.value_and_grad(total))
    reverse = np.asarray(both(u)[1])
    scale = np.abs(reverse).max()
    np.testing.assert_allclose(by_tangents, reverse, rtol=0, atol=1e-9 * scale)
    step = 1e-4

    def difference(width):
        ends = [both(u + width * e)[0] - both(u - width * e)[0] for e in jnp.eye(4)]
        return np.array([float(end) / (2.0 * width) for end in ends])

    finite = (4.0 * difference(step) - difference(2.0 * step)) / 3.0
    np.testing.assert_allclose(finite, reverse, rtol=0, atol=1e-7 * scale)
    assert (np.abs(reverse) > 1e-6 * scale).all()


def test_where_nothing_repeats_itself_the_state_is_not_finite():
    assert np.isnan(periodic_state(lambda x: x + 1.0 + jnp.exp(-x), jnp.array([0.0])))
