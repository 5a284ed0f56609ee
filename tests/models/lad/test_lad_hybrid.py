"""LaD with a network in its fluxes: budgets and derivatives hold whatever the weights."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from test_lad_conservation import STEP, UNIT, budgets, draw

from caliche.models import LaD, simulate
from caliche.models.lad.fluxes import BulkFluxes, Conditions
from caliche.models.lad.neural_fluxes import STATES, WEATHER, HybridFluxes, Network, standardised
from caliche.models.lad.smooth_scheme import MOST_EVAPORATION
from lad_cases import at, one_step, parameters, run, simulated, state_of, weather

BULK = BulkFluxes(10.0)
CASES = [("flux", True), ("flux", False), ("conductance", True), ("residual", True)]
NAMES = [f"{kind}-{'states' if states else 'weather'}" for kind, states in CASES]


def model_with(kind: str, states: bool, seed: int = 0, size: float = 1.0, **options) -> LaD:
    """LaD whose law has random weights everywhere, with inputs scaled to typical weather."""
    law = HybridFluxes.build(kind, states, BULK, 8, 2, seed)
    keys = jax.random.split(jax.random.key(seed + 100), 2)
    last = size * jax.random.normal(keys[0], law.network.weights[-1].shape)
    weights = (*law.network.weights[:-1], last)
    biases = tuple(jax.random.normal(keys[1], b.shape) for b in law.network.biases)
    model = LaD(STEP, fluxes=dataclasses.replace(law, network=Network(weights, biases)), **options)
    return standardised(model, parameters(model), weather(3, STEP, 285.0))


@functools.cache
def model_of(name: str) -> LaD:
    """One of the four, made when a test asks for it."""
    kind, states = CASES[NAMES.index(name)]
    return model_with(kind, states, soil_freezing=True)


@pytest.mark.parametrize("name", NAMES)
@example(unit=np.zeros(60))
@example(unit=np.ones(60))
@settings(max_examples=60)
@given(unit=UNIT)
def test_every_step_closes_and_no_store_is_overdrawn(name, unit):
    model = model_of(name)
    params, state, forcing = draw(model, unit)
    after, now = one_step(model, params, state, forcing)
    water, energy, moved = budgets(model, params, state, after, now, forcing)
    assert abs(water) < 1e-10
    assert abs(energy) < 1e-6 + 1e-9 * moved
    assert float(after.snow) >= -1e-9
    assert float(after.root_zone) >= -1e-9


def seasons() -> dict[str, jax.Array]:
    """Frost that snows, rain on that snow, and a hot drought."""
    parts = (
        weather(2, STEP, 266.0, rain=1e-3, shortwave=200.0, longwave=230.0),
        weather(2, STEP, 277.0, rain=3e-3, shortwave=300.0),
        weather(6, STEP, 300.0, rain=0.0, shortwave=900.0, longwave=380.0),
    )
    return {name: jnp.concatenate([p[name] for p in parts]) for name in parts[0]}


@pytest.mark.parametrize(("kind", "states"), [CASES[1], CASES[3]], ids=[NAMES[1], NAMES[3]])
def test_seasons_close(kind, states):
    model = model_with(kind, states, size=0.2, soil_freezing=True, initial_snow=20.0)
    forcing = seasons()
    # A root zone so shallow that the drought empties it.
    params = parameters(model, initial_temperature=274.0, available_water_capacity=15.0)
    series = run(model, params, forcing)
    assert all(np.isfinite(values).all() for values in series.values())
    assert np.abs(series["water_imbalance"]).max() * STEP < 1e-10
    assert np.abs(series["energy_imbalance"]).max() * STEP < 1e-6
    rain = np.asarray(forcing["precipitation"])[1:] > 0.0
    warm = np.asarray(forcing["air_temperature"])[1:] > 276.5
    assert (rain & warm & (series["snow_water_equivalent"] > 0.1)).any()
    assert series["snow_water_equivalent"].min() >= -1e-9
    assert series["root_zone_water"].min() >= -1e-6
    assert series["evaporation"].max() <= 1.05 * MOST_EVAPORATION
    assert series["surface_temperature"].min() > 150.0
    assert series["surface_temperature"].max() < 400.0


@pytest.mark.parametrize("kind", ["conductance", "residual"])
def test_untrained_it_is_bulk_transfer(kind):
    forcing = weather(3, STEP, 285.0)
    plain = LaD(STEP)
    law = HybridFluxes.build(kind, True, BULK, 8, 2, 0)
    ours = run(dataclasses.replace(plain, fluxes=law), parameters(plain), forcing)
    for name, values in run(plain, parameters(plain), forcing).items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


def test_what_it_declares():
    """A network that gives the fluxes has no use for resistances."""
    own = {d.name for d in LaD(STEP).declarations}
    assert {d.name for d in model_of("conductance-states").declarations} == {
        *own,
        "freezable_water",
    }
    without = {d.name for d in model_of("flux-states").declarations}
    assert {"stomatal_resistance", "roughness_length"} <= own - without
    laws = [model_of(name).law for name in NAMES]
    assert [len(law.input_names) for law in laws] == [12, 6, 12, 12]  # type: ignore[attr-defined]
    assert len(WEATHER) == len(STATES) == 6


def test_states_are_seen_only_if_asked_for():
    forcing = at()
    for name, sees in (("flux-states", True), ("flux-weather", False)):
        model = model_of(name)
        params = parameters(model)
        prepared = model.prepare(params)
        found = [
            one_step(model, params, state_of(model, prepared, [t] * 5, root_zone=w), forcing)[1]
            for t, w in ((285.0, 80.0), (289.0, 60.0))
        ]
        differ = float(found[0]["sensible_heat_flux"] - found[1]["sensible_heat_flux"])
        assert (abs(differ) > 1.0) == sees


@pytest.mark.parametrize("name", NAMES)
def test_slope_by_surface_temperature(name):
    """The implicit step takes the law's derivative, which is what differences say."""
    model, forcing = model_of(name), at()
    values = {**parameters(model), **model.law.prepare(parameters(model))}
    cold = Conditions(
        (jnp.asarray(287.0),) * 5, jnp.asarray(0.1), jnp.asarray(0.5), jnp.asarray(0.6)
    )
    held = cold._replace(held=model.law.hold(values, cold, forcing))

    def fluxes(t):
        sensible, evaporation = model.law(values, t, held, forcing)
        return jnp.stack([sensible, 2.5e6 * evaporation])

    t = jnp.asarray(289.0)
    slope = jax.jvp(fluxes, (t,), (jnp.ones(()),))[1]
    difference = (fluxes(t + 1e-4) - fluxes(t - 1e-4)) / 2e-4
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-6)
    assert (np.abs(slope) > 1e-3).all() == (name != "flux-weather")


@pytest.mark.parametrize(
    "name", ["flux-states", pytest.param("conductance-states", marks=pytest.mark.slow)]
)
def test_gradients_by_weights(name):
    """Reverse = forward = finite difference, over frost, thaw and drought; none is NaN."""
    kind = name.partition("-")[0]
    model = model_with(kind, True, size=0.3, thicknesses=(0.05, 0.5), drag="neutral")
    params = parameters(model, initial_temperature=273.5)
    forcing = {name: values[::8] for name, values in seasons().items()}
    leaves, structure = jax.tree.flatten(model.fluxes.network)
    direction = [jnp.cos(1.0 + jnp.arange(float(x.size))).reshape(x.shape) for x in leaves]

    def output(now):
        return now["turbulent_heat_flux"], now["root_zone_water"], now["snow_water_equivalent"]

    def function(leaves):
        law = dataclasses.replace(model.fluxes, network=jax.tree.unflatten(structure, leaves))
        found = simulate(dataclasses.replace(model, fluxes=law), params, forcing, output)[2]
        return jnp.mean(jnp.sin(0.01 * found[0]) + jnp.sin(found[1]) + jnp.sin(found[2]))

    both = jax.jit(jax.value_and_grad(function))
    reverse = both(leaves)[1]
    assert all(bool(jnp.isfinite(g).all()) for g in reverse)
    along = sum(float(jnp.sum(g * d)) for g, d in zip(reverse, direction, strict=True))
    if kind == "flux":  # conductances differ in no rule of differentiation
        forward = jax.jit(lambda d: jax.jvp(function, (leaves,), (d,))[1])(direction)
        np.testing.assert_allclose(float(forward), along, rtol=1e-9)
    step = 1e-6
    ahead, behind = (
        both([x + s * d for x, d in zip(leaves, direction, strict=True)])[0] for s in (step, -step)
    )
    np.testing.assert_allclose(float(ahead - behind) / (2.0 * step), along, rtol=1e-4)


def test_inputs_are_standardised():
    """Over the run that gave the statistics, every input that varies has mean 0 and sd 1."""
    model = model_of("flux-states")
    law, forcing = model.fluxes, weather(3, STEP, 285.0)
    assert isinstance(law, HybridFluxes)
    again = standardised(model, parameters(model), forcing).fluxes
    assert isinstance(again, HybridFluxes)
    np.testing.assert_allclose(again.mean, law.mean, rtol=1e-12)
    np.testing.assert_allclose(again.sd, law.sd, rtol=1e-12)
    air = np.asarray(forcing["air_temperature"])[1:]
    assert float(law.mean[2]) == pytest.approx(air.mean())
    assert float(law.sd[2]) == pytest.approx(air.std())
    plain = LaD(STEP, soil_freezing=True)
    surface = simulated(plain, parameters(plain), forcing)[2]["surface_temperature"]
    assert float(law.mean[6]) == pytest.approx(float(np.mean(surface - air)), abs=1e-9)
