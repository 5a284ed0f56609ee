"""Derivatives of LaD: reverse = forward = finite difference, for every parameter and switch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.models import LaD, simulate
from caliche.models.lad.state import LaDState
from caliche.physics.saturation import saturation_vapour_pressure
from lad_cases import at, parameters, state_of, weather

STEP = 1800.0
# Of every diagnostic, a size; what a tenth of it changes is felt.
SCALES = {
    "soil_temperature": 1.0,
    "surface_temperature": 1.0,
    "snow_water_equivalent": 1.0,
    "root_zone_water": 1.0,
    "groundwater": 1.0,
    "evaporation": 1e5,
    "snowmelt": 1e4,
    "drainage": 1e4,
    "groundwater_outflow": 1e5,
    "runoff": 1e5,
}


def summary(diagnostics):
    """A smooth scalar that feels every diagnostic."""
    return sum(
        jnp.sum(jnp.sin(SCALES.get(name, 0.01) * value))
        for name, value in diagnostics.items()
        if "imbalance" not in name
    )


def eventful(model: LaD):
    """Thaw, frost with snow, rain on what is left of it, sun on wet ground."""
    dry = weather(1, STEP, 284.0, rain=0.0)
    frost = weather(1, STEP, 268.0, rain=4e-4, shortwave=200.0, longwave=240.0)
    thaw = weather(1, STEP, 277.0, rain=1e-3)
    sun = weather(1, STEP, 290.0, rain=2e-3, shortwave=700.0)
    parts = (dry, frost, thaw, sun)
    return {name: jnp.concatenate([p[name] for p in parts]) for name in model.forcing_variables}


# One model, and of a whole run one compiled program of each mode. Three layers are a top (as thin
# as by default, for the switches), a middle and a bottom.
MODEL = LaD(STEP, soil_freezing=True, thicknesses=(0.005, 0.095, 0.5))


def of_a_run(params, forcing):
    """The summary of a run, felt by every parameter and all forcing."""
    return summary(simulate(MODEL, params, forcing)[2])


by_reverse = jax.jit(jax.grad(of_a_run, (0, 1)))
# Of many parameters in turn: the value, whose differences are finite differences, and the slope.
by_forward = jax.jit(
    lambda params, along, forcing: jax.lax.map(
        lambda at: jax.jvp(lambda p: of_a_run(p, forcing), at[:1], at[1:]), (params, along)
    )
)


def test_reverse_forward_and_finite_differences_agree():
    size = parameters(
        MODEL,
        initial_temperature=272.6,
        root_mass=0.2,
        initial_root_zone_saturation=0.6,
        drainage_time=7200.0,
    )
    # Parameters that are zero by default move in units of their own.
    names = [d.name for d in MODEL.declarations]
    unit = {n: size[n] if float(size[n]) else jnp.asarray(0.1) for n in names}
    forcing = eventful(MODEL)
    gradient = by_reverse(size, forcing)[0]
    reverse = np.array([float(gradient[n] * unit[n]) for n in names])
    scale = np.abs(reverse).max()
    silent = [n for n, g in zip(names, reverse, strict=True) if not abs(g) > 1e-7 * scale]
    assert not silent  # over a run with all seasons, every parameter is felt
    direction = np.cos(np.arange(len(names)))
    # The parameters themselves, and each of them a little larger and smaller.
    step = 2e-7 * np.eye(len(names))
    x = np.concatenate([np.zeros((1, len(names))), step, -step])
    params = {
        n: jnp.asarray(float(size[n]) + float(unit[n]) * x[:, k]) for k, n in enumerate(names)
    }
    along = {
        n: jnp.asarray(np.full(len(x), float(unit[n]) * direction[k])) for k, n in enumerate(names)
    }
    values, slopes = by_forward(params, along, forcing)
    np.testing.assert_allclose(slopes[0], reverse @ direction, rtol=1e-9, atol=1e-9 * scale)
    ahead, behind = values[1:].reshape(2, -1)
    np.testing.assert_allclose((ahead - behind) / 4e-7, reverse, rtol=2e-5, atol=2e-7 * scale)


FREEZING = 273.15
GALE = {"wind_speed": 40.0, "specific_humidity": 1e-4, "incoming_shortwave": 1000.0}
# name of a switch -> (what crosses it, from, to, the rest of the forcing and state)
SWITCHES = {
    "melt sets in": ("surface", -0.6, 0.6, {"snow": 20.0}),
    "snow runs out": ("snow", 0.05, 2.5, {"surface": 3.0, "incoming_shortwave": 600.0}),
    "snow no longer covers": ("snow", 0.0, 1.2, {"surface": -5.0, "air_temperature": 266.0}),
    "evaporation turns to dew": ("specific_humidity", 0.004, 0.012, {"surface": 10.0}),
    "plants lack water": ("root_zone", 70.0, 130.0, {}),
    "root zone runs over": ("root_zone", 120.0, 140.0, {}),
    "root zone is empty": ("root_zone", 0.0, 2.0, {}),
    "snow turns to rain": ("air_temperature", 270.0, 279.0, {"precipitation": 1e-3}),
    "albedo leaves its cold value": ("surface", -13.0, 2.0, {"snow": 50.0}),
    "soil freezes": ("surface", -3.0, 3.0, {"frozen": 1.5e7}),
    "air becomes very stable": (
        "wind_speed",
        0.0,
        2.0,
        {"surface": -6.0, "air_temperature": 280.0},
    ),
    "a gale takes what snow there is": (
        "snow",
        0.0,
        1.2,
        {"surface": -2.0, "air_temperature": 311.0, **GALE},
    ),
    "a gale empties the root zone": (
        "root_zone",
        0.0,
        3.0,
        {"surface": 40.0, "air_temperature": 311.0, **GALE},
    ),
    "the wind dies": ("wind_speed", 0.0, 1.0, {"surface": 25.0}),
    "snow slides": ("snow", 980.0, 1030.0, {"surface": -5.0}),
}


USUAL = {"surface": 8.0, "snow": 0.0, "root_zone": 60.0, "frozen": 0.0, **at()}


def stepped(values):
    """A scalar of one step, from forcing and the parts of the state that switches are in."""
    prepared = MODEL.prepare(parameters(MODEL))
    usual = state_of(MODEL, prepared, [FREEZING + 1.0] * len(MODEL.thicknesses))
    state = LaDState(
        (values["surface"], *usual.temperatures[1:]),
        (values["frozen"], *usual.frozen[1:]),
        values["snow"],
        values["root_zone"],
        usual.groundwater,
    )
    after, now = MODEL.step(prepared, state, {n: values[n] for n in MODEL.forcing_variables})
    stores = sum(jnp.sin(s) for s in (after.snow, after.root_zone, 0.1 * after.groundwater))
    return stores + jnp.sin(after.temperatures[0]) + 1e-3 * now["net_radiation"]


# Values and derivatives.
several = jax.jit(jax.vmap(lambda v, along: jax.jvp(stepped, (v,), (along,))))
POINTS = 400


def around(switch, low, high):
    """Values (POINTS,) that cross a switch, their direction, and the spacing."""
    crossing, _, _, rest = SWITCHES[switch]
    x = jnp.asarray(low + (high - low) * (np.arange(POINTS) + 0.5) / POINTS)
    # From NumPy: arrays that JAX makes of Python's numbers are of another type, and compile again.
    known = {n: np.full(POINTS, float(v)) for n, v in {**USUAL, **rest}.items()}
    values = {n: jnp.asarray(v) for n, v in known.items()} | {crossing: x}
    along = {n: jnp.asarray(np.full(POINTS, float(n == crossing))) for n in values}
    return values, along, x


@pytest.mark.parametrize("switch", SWITCHES)
def test_derivative_across_a_switch(switch):
    """Derivative and finite difference agree on both sides and on the way, and do not jump."""
    _, low, high, _ = SWITCHES[switch]
    values, along, x = around(switch, low, high)
    step = 1e-5 * (high - low)
    ahead, behind = (
        several(jax.tree.map(lambda v, a, s=s: v + s * a, values, along), along)[0]
        for s in (step, -step)
    )
    difference = (ahead - behind) / (2.0 * step)
    derivative = several(values, along)[1]
    scale = float(jnp.abs(derivative).max())
    assert bool(jnp.isfinite(derivative).all())
    np.testing.assert_allclose(difference, derivative, rtol=0, atol=5e-4 * scale)
    # A jump would be as large on a grid far finer.
    jump = jnp.abs(jnp.diff(derivative))
    worst = int(jump.argmax())
    values, along, _ = around(switch, float(x[worst]), float(x[worst + 1]))
    finer = jnp.abs(jnp.diff(several(values, along)[1]))
    assert float(finer.max()) < 0.1 * float(jump.max()) + 1e-6 * scale


def test_gradients_are_finite_where_it_is_singular():
    """No wind, no water, no snow, at freezing, neutral, saturated: all at once, in the first step.

    A gradient that is not finite there is so for the whole run.
    """
    params = parameters(MODEL, initial_temperature=FREEZING, initial_root_zone_saturation=0.0)
    vapour = float(saturation_vapour_pressure(jnp.asarray(FREEZING)))
    now = at(
        incoming_shortwave=0.0,
        incoming_longwave=315.66,
        air_temperature=FREEZING,
        wind_speed=0.0,
        specific_humidity=0.622 * vapour / (1e5 - 0.378 * vapour),
    )
    forcing = {n: jnp.asarray(np.full(len(v), float(now[n]))) for n, v in eventful(MODEL).items()}
    by_params, by_forcing = by_reverse(params, forcing)
    assert all(bool(jnp.isfinite(g)) for g in by_params.values())
    assert all(bool(jnp.isfinite(g).all()) for g in by_forcing.values())
    assert float(by_forcing["incoming_longwave"][1]) != 0.0
