"""The surface balance is solved in any weather, at any corner of the bounds, with any step."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.models import SoilHeat, simulate
from caliche.models.soil_heat.closures import CLOSURES, MONIN_OBUKHOV
from weather_cases import corners, scale, stacked, weather

pytestmark = pytest.mark.ci

DEPTHS = (0.0, 0.02, 0.06, 0.15, 0.3)
SCHEMES = ("backward-euler", "crank-nicolson", "sdirk2")
TIME_STEPS = (60.0, 600.0, 1800.0, 3600.0, 10800.0, 86400.0)
SURFACES = [(name, "parameter") for name in CLOSURES] + [
    (name, "bucket") for name, closure in CLOSURES.items() if closure.per_wetness is not None
]
# Each surface, each scheme and each step at least once, what was worst among them.
SOME = [
    ("combined", "parameter", "crank-nicolson", 86400.0),
    ("bowen-ratio", "parameter", "sdirk2", 10800.0),
    ("bulk-transfer", "parameter", "backward-euler", 600.0),
    ("bulk-transfer", "bucket", "crank-nicolson", 3600.0),
    ("monin-obukhov", "parameter", "sdirk2", 60.0),
    ("monin-obukhov", "bucket", "backward-euler", 1800.0),
]
ALL = [
    (*surface, scheme, step)
    for surface, scheme, step in itertools.product(SURFACES, SCHEMES, TIME_STEPS)
]
# Without any exchange with the air the brightest sun makes 446 K of a black sheet. Where that sun
# goes on and off from step to step, the two stages of sdirk2, which is not monotone, add to it: up
# to 462 K, each step a solution of its own balance, where backward Euler has 429 K.
COLDEST = 195.0
HOTTEST = {"backward-euler": 450.0, "crank-nicolson": 450.0, "sdirk2": 470.0}
CLOSED = 1e-3  # W m-2, kg m-2


def make(closure: str, moisture: str, scheme: str, step: float) -> SoilHeat:
    return SoilHeat(
        DEPTHS,
        step,
        scheme,
        CLOSURES[closure],
        bottom="zero-flux",
        initial="uniform",
        moisture=moisture,
    )


def outcome(model: SoilHeat, values: jax.Array, forcing: dict[str, jax.Array]) -> dict:
    """Surface and balances (time,) of a run that starts as warm as the air."""
    names = [d.name for d in model.declarations]
    params = {name: values[k] for k, name in enumerate(names)}
    params["initial_temperature"] = forcing["air_temperature"][0]
    kept = ["surface_temperature", "energy_imbalance"]
    kept += ["root_zone_water", "water_imbalance"] if model.moisture == "bucket" else []
    return simulate(model, params, forcing, lambda now: {name: now[name] for name in kept})[2]


@eqx.filter_jit
def every(model: SoilHeat, values: jax.Array, forcing: dict[str, jax.Array]) -> dict:
    """`outcome` of all parameters in all weather (kind, corner, time)."""
    over = jax.vmap(lambda f: jax.vmap(lambda v: outcome(model, v, f))(values))
    return over(forcing)


def check(closure: str, moisture: str, scheme: str, step: float, most: int, steps: int) -> None:
    model = make(closure, moisture, scheme, step)
    kinds = weather(step, steps)
    assert len(kinds) == 16
    seen = every(model, jnp.asarray(corners(model, most)), stacked(model, kinds))
    surface, left = (np.asarray(seen[k]) for k in ("surface_temperature", "energy_imbalance"))
    for k, kind in enumerate(kinds):
        assert np.isfinite(surface[k]).all(), kind
        assert np.abs(left[k]).max() < CLOSED, kind
        assert surface[k].min() > COLDEST, kind
        assert surface[k].max() < HOTTEST[scheme], kind
    if moisture == "bucket":
        assert seen["root_zone_water"].min() >= 0.0
        assert np.abs(seen["water_imbalance"]).max() * step < 1e-9


@pytest.mark.parametrize(("closure", "moisture", "scheme", "step"), SOME)
def test_balances_close_at_corners_of_the_bounds(closure, moisture, scheme, step):
    check(closure, moisture, scheme, step, most=24, steps=16)


@pytest.mark.slow
@pytest.mark.parametrize(("closure", "moisture", "scheme", "step"), ALL)
def test_balances_close_at_all_corners_of_the_bounds(closure, moisture, scheme, step):
    check(closure, moisture, scheme, step, most=256, steps=48)


@pytest.mark.parametrize("scheme", ["backward-euler", "sdirk2"])
def test_a_thousand_draws_of_parameters_in_calm_air(scheme):
    """Five days of ordinary weather with 0 to 0.3 m s-1 of wind, by Monin-Obukhov transfer."""
    model = make("monin-obukhov", "parameter", scheme, 1800.0)
    assert model.turbulence is MONIN_OBUKHOV
    rng = np.random.default_rng(1)
    values = scale(model, rng.random((1024, len(model.declarations))))
    ordinary = dict(weather(1800.0, 240)["no wind all day"])
    ordinary["wind_speed"] = rng.uniform(0.0, 0.3, 241)
    seen = every(model, jnp.asarray(values), stacked(model, {"calm": ordinary}))
    assert np.isfinite(seen["surface_temperature"]).all()
    assert np.abs(seen["energy_imbalance"]).max() < CLOSED


# -- a step in which plain Newton goes to and fro: heavy rain on warm dry soil, in still air

DRENCHED = {
    "albedo": 0.01,
    "emissivity": 0.7,
    "roughness_length": 0.5,
    "log_roughness_ratio": 0.0,
    "surface_resistance": 0.0,
    "water_capacity": 5.0,
    "initial_wetness": 0.0,
    "thermal_conductivity": 5.0,
    "volumetric_heat_capacity": 5e6,
}
STILL = {
    "incoming_shortwave": 0.0,
    "incoming_longwave": 150.0,
    "air_temperature": 320.0,
    "wind_speed": 0.0,
    "specific_humidity": 0.0,
    "air_pressure": 6e4,
    "precipitation": 0.01,
}
NODES = (0.0, 0.05, 0.1, 0.2, 0.4)


def drench(model: SoilHeat, values: jax.Array) -> jax.Array:
    """Surface temperature and energy imbalance (step, 2) of two steps."""
    params = {name: values[k] for k, name in enumerate(DRENCHED)}
    forcing = {name: jnp.full(3, value) for name, value in STILL.items()}
    names = ("surface_temperature", "energy_imbalance")
    return simulate(model, params, forcing, lambda now: jnp.stack([now[n] for n in names]))[2]


@eqx.filter_jit
def drench_and_derive(model: SoilHeat, values: jax.Array, along: jax.Array) -> tuple:
    """The two steps, and the slope of the mean surface temperature along a direction three ways:
    reverse and forward mode, and a difference over twice the direction."""

    def mean(values: jax.Array) -> jax.Array:
        return jnp.mean(drench(model, values)[:, 0])

    above, below = jax.vmap(mean)(jnp.stack([values + along, values - along]))
    reverse = jnp.sum(jax.grad(mean)(values) * along)
    return drench(model, values), reverse, jax.jvp(mean, (values,), (along,))[1], above - below


@pytest.mark.parametrize("solver", ["modal", pytest.param("elimination", marks=pytest.mark.slow)])
def test_value_and_derivatives_of_a_step_that_needs_the_search(solver):
    model = SoilHeat(
        NODES,
        1800.0,
        "backward-euler",
        MONIN_OBUKHOV,
        moisture="bucket",
        bottom="zero-flux",
        initial="observed",
        initial_depths=NODES,
        initial_values=jnp.linspace(310.0, 320.0, 5),
        solver=solver,
    )
    values = jnp.asarray(list(DRENCHED.values()))
    along = 1e-5 * values
    now, reverse, forward, difference = drench_and_derive(model, values, along)
    assert np.abs(now[:, 1]).max() < CLOSED
    # plain Newton jumps between 300.9 and 309.8 K; bisection finds this
    assert now[0, 0] == pytest.approx(308.581, abs=1e-3)
    assert reverse == pytest.approx(float(forward), rel=1e-9)
    assert 0.5 * difference == pytest.approx(float(forward), rel=1e-3)
