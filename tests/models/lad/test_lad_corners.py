"""LaD at the corners of its declared bounds: a solution or NaN, in any weather, at any step."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.constants import STEFAN_BOLTZMANN
from caliche.models import LaD
from caliche.models.lad.fluxes import BulkFluxes
from caliche.models.lad.neural_fluxes import HybridFluxes, Network
from caliche.physics.increasing_root import solve_increasing
from lad_cases import FORCING

STEPS = 24
SNOW = (0.0, 1e-6, 0.3, 20.0, 400.0)  # kg m-2 at the start, in turn


def sky(shortwave, longwave, air, humidity, wind, rain=0.0, pressure=1e5):
    values = (shortwave, longwave, air, rain, humidity, pressure, wind)
    return dict(zip(FORCING, values, strict=True))


# One kind, or two that take turns every so many steps.
WEATHER = {
    "calm desert noon": [sky(1100.0, 380.0, 315.0, 0.003, 0.0)],
    "calm night": [sky(0.0, 200.0, 275.0, 0.003, 0.0)],
    "calm night and noon": [
        sky(0.0, 230.0, 290.0, 0.003, 0.0),
        sky(1100.0, 400.0, 310.0, 0.003, 0.1),
    ],
    "storm": [sky(20.0, 330.0, 285.0, 0.006, 40.0, rain=3e-3)],
    "polar night": [sky(0.0, 120.0, 225.0, 5e-5, 5.0)],
    "melt": [sky(700.0, 330.0, 280.0, 0.005, 4.0)],
    "melt by day": [sky(0.0, 220.0, 265.0, 0.001, 2.0), sky(900.0, 320.0, 282.0, 0.005, 5.0)],
    "rain on snow": [sky(50.0, 320.0, 275.5, 0.004, 6.0, rain=5e-3)],
    "snowfall": [sky(100.0, 280.0, 262.0, 0.001, 8.0, rain=5e-3)],
    "drought": [sky(900.0, 350.0, 305.0, 0.002, 6.0)],
    "humid tropics": [sky(800.0, 440.0, 303.0, 0.025, 1.0, rain=1e-3)],
    "dew": [sky(0.0, 400.0, 300.0, 0.022, 0.5)],
    "no wind": [sky(200.0, 330.0, 285.0, 0.007, 0.0)],
    "jumps in radiation": [
        sky(0.0, 200.0, 288.0, 0.004, 0.2),
        sky(1300.0, 420.0, 288.0, 0.004, 0.2),
    ],
    "jumps of the air": [sky(300.0, 250.0, 245.0, 3e-4, 15.0), sky(300.0, 400.0, 315.0, 0.02, 0.3)],
    "high plateau": [sky(1300.0, 250.0, 283.0, 5e-4, 20.0, pressure=5e4)],
}


def forcing(every: int) -> dict[str, np.ndarray]:
    """(weather, step) of each variable; what takes turns does so after `every` steps."""
    turn = (np.arange(STEPS) // every) % 2
    table = {
        kind: {n: np.array([v[n] for v in parts])[turn % len(parts)] for n in FORCING}
        for kind, parts in WEATHER.items()
    }
    return {n: np.stack([of[n] for of in table.values()]) for n in FORCING}


def corners(model: LaD, number: int) -> dict[str, np.ndarray]:
    """All lower bounds, all upper bounds, and mixtures of both."""
    rng = np.random.default_rng(13)
    pick = rng.integers(0, 2, (number, len(model.declarations)))
    pick[0], pick[1] = 0, 1
    return {
        d.name: np.where(pick[:, k], d.upper, d.lower) for k, d in enumerate(model.declarations)
    }


@eqx.filter_jit
def walk(model: LaD, params, snow, forcing):
    """(corner, weather, step) of what is looked at, every corner in every weather."""

    def one(params, snow, forcing):
        prepared = model.prepare(params)
        start = model.init_state(prepared, jax.tree.map(lambda v: v[0], forcing))
        start = dataclasses.replace(start, snow=snow)

        def step(state, now):
            after, found = model.step(prepared, state, now)
            stores = (after.snow, after.root_zone, after.groundwater)
            names = (
                "surface_temperature",
                "outgoing_longwave",
                "energy_imbalance",
                "water_imbalance",
                "net_radiation",
                "turbulent_heat_flux",
            )
            heat = (found["soil_temperature"].stack(), found["ground_heat_flux"].stack())
            frozen = after.frozen[0] - state.frozen[0] if model.soil_freezing else jnp.zeros(())
            return after, ({n: found[n] for n in names}, stores, (*heat, frozen))

        return jax.lax.scan(step, start, forcing)[1]

    in_weather = jax.vmap(one, (None, None, 0))
    return jax.vmap(in_weather, (0, 0, None))(params, snow, forcing)


def look(model: LaD, params, every: int, coldest: float = 200.0, hottest: float = 440.0) -> float:
    """Walk, and assert all that has to hold; the share of members that have a solution."""
    number = len(next(iter(params.values())))
    snow = np.resize(SNOW, number)
    found, stores, heat = walk(model, params, snow, forcing(every))
    leaves = [*found.values(), *stores, heat[0].sum(axis=-1), heat[1].sum(axis=-1)]
    finite = np.isfinite(np.stack(leaves))
    assert (finite.all(axis=0) == finite.any(axis=0)).all()  # all or nothing
    solved = finite[0].all(axis=-1)
    surface = np.asarray(found["surface_temperature"])[solved]
    assert surface.min() > coldest
    assert surface.max() < hottest
    # The account closes, and not because a residual hides in it: emission is the temperature's.
    moved = 1e3 + np.abs(found["turbulent_heat_flux"])[solved]
    moved += np.abs(heat[1]).max(axis=-1)[solved]
    imbalance = np.abs(found["energy_imbalance"])[solved]
    assert (imbalance < 1e-11 * moved).all()
    # (Soil water freezes after that.)
    error = np.abs(np.asarray(found["outgoing_longwave"])[solved] - STEFAN_BOLTZMANN * surface**4)
    assert ((error < 1e-10 * moved) | (np.abs(heat[2][solved]) > 0.0)).all()
    held = 1.0 + sum(np.asarray(s)[solved] for s in stores)
    water = np.abs(found["water_imbalance"])[solved] * model.time_step
    assert (water < 1e-13 * held).all()
    assert min(float(s[solved].min()) for s in stores) >= -1e-9
    return float(solved.mean())


def has_transfer(model: LaD, params) -> np.ndarray:
    """Whether heat has a roughness length below the height of the measurements."""
    roughness = params["roughness_length"] * params["factor_roughness"]
    return np.log(model.measurement_height / roughness) + params["log_roughness_ratio"] > 0.0


@pytest.mark.parametrize(
    "step",
    [1800.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (60.0, 600.0, 10800.0, 86400.0))],
)
def test_corners_of_bulk_transfer(step):
    model = LaD(step, soil_freezing=True)
    params = corners(model, 48)
    expected = has_transfer(model, params).mean()
    assert 0.9 < expected < 1.0
    for every in (1, 6):
        assert look(model, params, every) == expected


@pytest.mark.parametrize(
    "kind",
    ["flux", *(pytest.param(k, marks=pytest.mark.slow) for k in ("conductance", "residual"))],
)
def test_corners_with_a_network(kind):
    """Random weights, falling and rising with temperature: solved or NaN, and nothing is lost."""
    law = HybridFluxes.build(kind, True, BulkFluxes(10.0), 8, 1, 0)
    rng = np.random.default_rng(5)
    weights = tuple(jnp.asarray(rng.standard_normal(w.shape)) for w in law.network.weights)
    biases = tuple(jnp.asarray(rng.standard_normal(b.shape)) for b in law.network.biases)
    sd = jnp.asarray([300.0, 60.0, 15.0, 0.005, 1.0, 1.0, 10.0, 0.005, 5.0, 10.0, 0.5, 0.5])
    mean = jnp.asarray([300.0, 320.0, 285.0, 0.005, 1.0, 0.5, *np.zeros(6)])
    law = dataclasses.replace(law, network=Network(weights, biases), mean=mean, sd=sd)
    model = LaD(1800.0, fluxes=law)
    params = corners(model, 24)
    expected = 1.0 if kind == "flux" else has_transfer(model, params).mean()
    # Some of these ask for 1,000 W m-2 where there is no such heat.
    assert 0.9 * expected < look(model, params, 1, coldest=50.0, hottest=550.0) <= expected


# -- the root itself -------------------------------------------------------------------------------


def root(function, guess, lower=-10.0, upper=10.0):
    """The root, and its derivative by the number that is taken away from the function."""
    ends = (jnp.asarray(lower), jnp.asarray(upper))

    def found(shift):
        return solve_increasing(lambda x: (function(x) - shift, x), jnp.asarray(guess), *ends)[1]

    return jax.value_and_grad(found)(jnp.zeros(()))


@pytest.mark.parametrize("guess", [-9.0, -0.5, 3.0, 40.0])
@pytest.mark.parametrize(
    ("function", "at"),
    [
        (lambda x: jnp.arctan(5.0 * (x - 1.0)), 1.0),  # Newton's method runs away from afar
        (lambda x: jnp.arcsinh(100.0 * (x - 2.0)), 2.0),  # and so does this one
        (lambda x: jnp.expm1(8.0 * (x - 3.0)), 3.0),  # crawls from above
        (lambda x: x**3 + 1e-3 * x - 8.002, 2.0),
    ],
    ids=["arctan", "arcsinh", "exponential", "cube"],
)
def test_root_is_found_where_newton_fails(function, at, guess):
    value, slope = root(function, guess)
    np.testing.assert_allclose(value, at, rtol=0, atol=1e-9)
    np.testing.assert_allclose(slope, 1.0 / jax.grad(function)(value), rtol=1e-9)


@pytest.mark.parametrize("shift", [-30.0, 30.0, np.nan])
def test_no_root_is_nan(shift):
    value, _ = root(lambda x: x - shift, 0.0)
    assert np.isnan(value)
