"""Derivatives of LaD: reverse = forward = finite difference, for every parameter and switch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lad_cases import at, parameters, state_of, weather

from caliche.models import LaD, simulate
from caliche.models.lad_state import LaDState
from caliche.models.time_loop import everything
from caliche.physics.saturation import saturation_vapour_pressure

STEP = 1800.0
# Of every diagnostic, a size; what a tenth of it changes is felt.
SCALES = {
    "soil_temperature": 1.0, "surface_temperature": 1.0, "snow_water_equivalent": 1.0,
    "root_zone_water": 1.0, "groundwater": 1.0, "evaporation": 1e5, "snowmelt": 1e4,
    "drainage": 1e4, "groundwater_outflow": 1e5, "runoff": 1e5,
}  # fmt: skip


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


def test_reverse_forward_and_finite_differences_agree():
    model = LaD(STEP, soil_freezing=True)
    size = parameters(
        model, initial_temperature=272.6, root_mass=0.2, initial_root_zone_saturation=0.6,
        drainage_time=7200.0,
    )  # fmt: skip
    # Parameters that are zero by default move in units of their own.
    names = [d.name for d in model.declarations]
    unit = {n: size[n] if float(size[n]) else jnp.asarray(0.1) for n in names}
    forcing = eventful(model)

    def function(x):
        params = {n: size[n] + unit[n] * x[k] for k, n in enumerate(names)}
        _, _, series = simulate(model, params, forcing)
        return summary(series)

    x = jnp.zeros(len(names))
    reverse = jax.jit(jax.grad(function))(x)
    scale = float(jnp.abs(reverse).max())
    silent = [n for n, g in zip(names, reverse, strict=True) if not abs(float(g)) > 1e-7 * scale]
    assert not silent  # over a run with all seasons, every parameter is felt
    direction = jnp.cos(jnp.arange(len(x), dtype=float)) / (1.0 + 0.0 * x)
    forward = jax.jit(lambda v: jax.jvp(function, (x,), (v,))[1])(direction)
    np.testing.assert_allclose(forward, reverse @ direction, rtol=1e-9, atol=1e-9 * scale)
    step = 2e-7 * jnp.eye(len(x))
    ahead, behind = (jax.jit(jax.vmap(function))(x[None] + sign * step) for sign in (1.0, -1.0))
    np.testing.assert_allclose((ahead - behind) / 4e-7, reverse, rtol=2e-5, atol=2e-7 * scale)


FREEZING = 273.15
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
    "air becomes very stable":
        ("wind_speed", 0.0, 2.0, {"surface": -6.0, "air_temperature": 280.0}),
    "snow slides": ("snow", 980.0, 1030.0, {"surface": -5.0}),
}  # fmt: skip


USUAL = {"surface": 8.0, "snow": 0.0, "root_zone": 60.0, "frozen": 0.0, **at()}
MODEL = LaD(STEP, soil_freezing=True)


def stepped(values):
    """A scalar of one step, from forcing and the parts of the state that switches are in."""
    prepared = MODEL.prepare(parameters(MODEL))
    usual = state_of(MODEL, prepared, [FREEZING + 1.0] * 5)
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


several = jax.jit(jax.vmap(stepped))
derivatives = jax.jit(jax.vmap(lambda v, along: jax.jvp(stepped, (v,), (along,))[1]))
POINTS = 400


def around(switch, low, high):
    """Values (POINTS,) that cross a switch, their direction, and the spacing."""
    crossing, _, _, rest = SWITCHES[switch]
    x = jnp.asarray(low + (high - low) * (np.arange(POINTS) + 0.5) / POINTS)
    values = {n: jnp.full(POINTS, float(v)) for n, v in {**USUAL, **rest}.items()} | {crossing: x}
    along = {n: jnp.full(POINTS, float(n == crossing)) for n in values}
    return values, along, x


@pytest.mark.parametrize("switch", SWITCHES)
def test_derivative_across_a_switch(switch):
    """Derivative and finite difference agree on both sides and on the way, and do not jump."""
    _, low, high, _ = SWITCHES[switch]
    values, along, x = around(switch, low, high)
    step = 1e-5 * (high - low)
    ahead = several(jax.tree.map(lambda v, a: v + step * a, values, along))
    behind = several(jax.tree.map(lambda v, a: v - step * a, values, along))
    difference = (ahead - behind) / (2.0 * step)
    derivative = derivatives(values, along)
    scale = float(jnp.abs(derivative).max())
    assert bool(jnp.isfinite(derivative).all())
    np.testing.assert_allclose(difference, derivative, rtol=0, atol=5e-4 * scale)
    # A jump would be as large on a grid far finer.
    jump = jnp.abs(jnp.diff(derivative))
    worst = int(jump.argmax())
    values, along, _ = around(switch, float(x[worst]), float(x[worst + 1]))
    finer = jnp.abs(jnp.diff(derivatives(values, along)))
    assert float(finer.max()) < 0.1 * float(jump.max()) + 1e-6 * scale


def test_gradients_are_finite_where_it_is_singular():
    """No wind, no water, no snow, at freezing, neutral, saturated: all at once."""
    model = LaD(STEP, soil_freezing=True)
    params = parameters(model, initial_temperature=FREEZING, initial_root_zone_saturation=0.0)
    vapour = float(saturation_vapour_pressure(jnp.asarray(FREEZING)))
    forcing = at(
        incoming_shortwave=0.0, incoming_longwave=315.66, air_temperature=FREEZING, wind_speed=0.0,
        specific_humidity=0.622 * vapour / (1e5 - 0.378 * vapour),
    )  # fmt: skip

    def function(params, forcing):
        prepared = model.prepare(params)
        state = model.init_state(prepared, forcing)
        return summary(everything(model.step(prepared, state, forcing)[1]))

    by_params, by_forcing = jax.jit(jax.grad(function, (0, 1)))(params, forcing)
    assert all(bool(jnp.isfinite(g)) for g in by_params.values())
    assert all(bool(jnp.isfinite(g)) for g in by_forcing.values())
    assert float(by_forcing["incoming_longwave"]) != 0.0
