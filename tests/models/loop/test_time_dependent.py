"""Parameters as series: pieces join, energy closes, and slopes agree in every mode."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.models import SoilHeat, simulate
from caliche.models.loop.tangents import simulate_tangents
from caliche.models.loop.time_loop import simulate_total
from caliche.models.soil_heat.closures import BOWEN_RATIO
from caliche.parameters import LogNormal, ParameterSpace, harmonics, random_walk
from caliche.parameters.space import free_parameter
from caliche.physics.heat_conduction import midway_faces
from soil_heat_cases import parameters, run, simulated, steady_forcing

NODES = (0.0, 0.02, 0.06, 0.15, 0.3)
STEPS = 24
STEP = 1800.0
MODELS = {
    "modal": SoilHeat(NODES, STEP),
    "elimination": SoilHeat(NODES, STEP, solver="elimination"),
    "layered": SoilHeat(NODES, STEP, layer_bottoms=(0.06,), solver="elimination"),
    "backward-euler": SoilHeat(
        NODES, STEP, "backward-euler", bottom="zero-flux", initial="uniform"
    ),
    "crank-nicolson": SoilHeat(NODES, STEP, "crank-nicolson", bottom="measured-temperature"),
}
# Anomalies are counted from a fixed bottom, which can therefore not move.
STILL = {"bottom_temperature", "initial_temperature"}


@pytest.fixture(params=MODELS)
def model(request) -> SoilHeat:
    return MODELS[request.param]


def forcing_of(model: SoilHeat, steps: int = STEPS):
    """Half a day of sun, and a bottom that warms where it is given."""
    sun = 700.0 * np.sin(np.pi * np.arange(steps + 1.0) / 24.0) ** 2
    bottom = 293.0 + 0.02 * np.arange(steps + 1.0)
    return steady_forcing(model, steps, incoming_shortwave=sun, bottom_temperature=bottom)


def series(model: SoilHeat, vary) -> dict[str, jax.Array]:
    """The model's defaults, all that may vary made into series by `vary(number, default)`."""
    known = parameters(model)
    return {
        name: value if name in STILL else jnp.asarray(vary(k, np.full(STEPS + 1, float(value))))
        for k, (name, value) in enumerate(known.items())
    }


def test_a_series_that_does_not_change_changes_nothing(model):
    forcing = forcing_of(model)
    constant = simulated(model, parameters(model), forcing)
    varying = simulated(model, series(model, lambda _, values: values), forcing)
    for one, other in zip(jax.tree.leaves(varying), jax.tree.leaves(constant), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", ["modal", "elimination", "layered"])
def test_pieces_are_runs_joined_at_the_state(name):
    """Albedo, conductivity, capacity and exchange change together after ten steps."""
    model, n = MODELS[name], 10
    forcing = forcing_of(model)
    first = parameters(model)
    second = {k: v if k in STILL else 0.8 * v for k, v in first.items()}
    when = jnp.arange(STEPS + 1) > n
    whole = {k: v if k in STILL else jnp.where(when, second[k], v) for k, v in first.items()}
    together = run(model, whole, forcing)
    early = {k: v[: n + 1] for k, v in forcing.items()}
    state, _, before = simulated(model, first, early)

    @jax.jit
    def go_on(state):
        prepared = model.prepare(second)

        def step(state, now):
            state, diagnostics = model.step(prepared, state, now)
            return state, (diagnostics["soil_temperature"].stack(), diagnostics["net_radiation"])

        return jax.lax.scan(step, state, {k: v[n + 1 :] for k, v in forcing.items()})[1]

    profile, radiation = go_on(state)
    joined = np.vstack([before["soil_temperature"], profile])
    np.testing.assert_allclose(together["soil_temperature"], joined, rtol=1e-13)
    joined = np.concatenate([before["net_radiation"], radiation])
    np.testing.assert_allclose(together["net_radiation"], joined, atol=1e-9)
    alone = run(model, first, forcing)["soil_temperature"]
    assert np.abs(together["soil_temperature"] - alone).max() > 1.0  # the change matters


def wavy(k, values):
    """Each its own wave of thirty per cent about the default, emissivity below one."""
    wave = np.sin(0.9 * (k + 1) + 0.4 * np.arange(len(values)))
    return values * (1.0 + 0.3 * wave) if k != 1 else values * (1.0 - 0.1 * wave**2)


def test_energy_closes_while_everything_varies(model):
    """As the model says, and as the temperatures and the capacity of each step say."""
    params, forcing = series(model, wavy), forcing_of(model)
    _, start, later = simulated(model, params, forcing)
    assert float(jnp.abs(later["energy_imbalance"]).max()) < 1e-9
    temperature = np.vstack([start["soil_temperature"], later["soil_temperature"]])
    width = np.diff(midway_faces(np.asarray(NODES)))
    layers = [k for k in params if k.startswith("volumetric_heat_capacity")]
    if len(layers) == 1:
        capacity = np.asarray(params[layers[0]])[1:, None] * width
    else:  # a node on the boundary of layers has half a cell in each
        upper = np.array([0.01, 0.03, 0.02, 0.0, 0.0])
        above, below = (np.asarray(params[k])[1:, None] for k in layers)
        capacity = above * upper + below * (width - upper)
    stored = np.sum(capacity * np.diff(temperature, axis=0), axis=1) / STEP
    flux = np.asarray(later["ground_heat_flux"])
    np.testing.assert_allclose(flux[:, 0] - flux[:, -1], stored, atol=1e-8)
    net = np.asarray(later["net_radiation"]) - np.asarray(later["turbulent_heat_flux"])
    np.testing.assert_allclose(flux[:, 0], net, atol=1e-8)
    assert np.ptp(stored) > 50.0


def test_radiation_is_that_of_the_parameters_of_its_step():
    """Entry k of a series holds over the step that ends at time k; entry 0 drives none."""
    model = MODELS["modal"]
    params, forcing = series(model, wavy), forcing_of(model)
    later = run(model, params, forcing)
    expected = params["albedo"][1:] * forcing["incoming_shortwave"][1:]
    np.testing.assert_allclose(later["outgoing_shortwave"], expected, rtol=1e-13)
    other = {k: v.at[0].set(1e3) if v.ndim else v for k, v in params.items()}
    np.testing.assert_array_equal(
        run(model, other, forcing)["soil_temperature"], later["soil_temperature"]
    )


# -- derivatives -----------------------------------------------------------------------------

DAYS = np.arange(STEPS + 1) / 48.0
VARIATIONS = {
    "albedo": random_walk(DAYS, [0.0, 0.2, 0.5], ["a", "b", "c"], "linear", 0.8),
    "thermal_conductivity": random_walk(DAYS, [0.0, 0.25], ["a", "b"], "step", 0.5),
    "volumetric_heat_capacity": random_walk(DAYS, [0.0, 0.1, 0.4], ["a", "b", "c"], "cubic", 0.5),
    "heat_transfer_coefficient": harmonics(DAYS, 1.0, 1, ["a", "b", "c"], 0.5),
}


def space_of(model: SoilHeat) -> ParameterSpace:
    """Knots of every kind, a constant parameter, and a fixed series."""
    known = {d.name: d for d in model.declarations}
    names = [*VARIATIONS, "bowen_ratio", "bottom_temperature"]
    free = {name: free_parameter(known[name]) for name in names}
    free["volumetric_heat_capacity"] = free_parameter(
        known["volumetric_heat_capacity"], LogNormal(2.2e6, 4e5)
    )
    space = ParameterSpace.build(model.declarations, free, {}, VARIATIONS)
    space.fixed["emissivity"] = jnp.linspace(0.9, 0.98, STEPS + 1)
    return space


def seen(diagnostics):
    return diagnostics["soil_temperature"][1], diagnostics["latent_heat_flux"]


@pytest.mark.parametrize("solver", ["modal", "elimination"])
def test_derivatives_by_knots(solver):
    """Reverse mode, forward tangents and finite differences, by every kind of knot."""
    model = SoilHeat(NODES, STEP, turbulence=BOWEN_RATIO, solver=solver)
    space, forcing = space_of(model), forcing_of(model)
    u = space.initial() + 0.3 * jnp.sin(1.0 + jnp.arange(13.0))
    assert space.size == 13

    def outputs(u):
        _, initial, later = simulate(model, space.to_physical(u), forcing, seen)
        flux = jnp.append(0.0, later[1])  # there is none at time zero
        return jnp.stack([jnp.append(initial[0], later[0]), flux])

    def keep(total, _, tangents):
        return total, tangents

    def by_tangents(u):
        _, initial, later = simulate_tangents(model, space.to_physical, u, forcing, seen, keep)
        slopes = [
            jnp.vstack([a[None], b]) for a, b in zip(initial.slopes, later.slopes, strict=True)
        ]
        return jnp.stack(
            [jnp.append(initial.values[0], later.values[0]), jnp.append(0.0, later.values[1])]
        ), jnp.stack(slopes)

    values, slopes = jax.jit(by_tangents)(u)
    weights = jnp.cos(jnp.arange(2.0 * (STEPS + 1))).reshape(2, -1)

    @jax.jit
    def by_reverse(u):
        value, pull = jax.vjp(outputs, u)
        return value, pull(weights)[0]

    expected, reverse = (np.asarray(part) for part in by_reverse(u))
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-10)
    slopes = np.asarray(slopes.at[1, 0].set(0.0))  # of the NaN
    along = np.einsum("kt,ktp->p", weights, slopes)
    np.testing.assert_allclose(along, reverse, rtol=0, atol=1e-11 * np.abs(reverse).max())
    assert (np.abs(reverse) > 1e-3).all()  # every knot is felt

    step = 1e-3

    def difference(width, e):
        return (by_reverse(u + width * e)[0] - by_reverse(u - width * e)[0]) / (2.0 * width)

    for p, e in enumerate(jnp.eye(13)):
        finite = (4.0 * difference(step, e) - difference(2.0 * step, e)) / 3.0
        scale = np.abs(slopes[..., p]).max()
        np.testing.assert_allclose(finite, slopes[..., p], rtol=0, atol=1e-8 * scale)


def test_what_comes_later_is_not_felt_before():
    """The slope by a step's second knot is zero until that step, and not after it."""
    model = SoilHeat(NODES, STEP, turbulence=BOWEN_RATIO)
    forcing, params = forcing_of(model), parameters(model)

    def temperature(late):
        conductivity = jnp.where(jnp.arange(STEPS + 1) > 12, late, 0.8)
        with_it = {**params, "thermal_conductivity": conductivity}
        return simulate(model, with_it, forcing, seen)[2][0]

    slope = np.asarray(jax.jit(jax.jacfwd(temperature))(jnp.asarray(0.8)))
    np.testing.assert_array_equal(slope[:12], 0.0)
    assert (slope[12:] != 0.0).all()


def test_a_fixed_series_under_constant_parameters():
    """Tangents along constants while something fixed varies: those of reverse mode."""
    model, forcing = MODELS["modal"], forcing_of(MODELS["modal"])
    params = {**parameters(model), "albedo": jnp.linspace(0.1, 0.5, STEPS + 1)}

    def params_of(u):
        return {**params, "thermal_conductivity": u[0], "bottom_temperature": u[1]}

    def output(diagnostics):
        return (diagnostics["soil_temperature"][1],)

    def total(u):
        def absorb(so_far, _, values):
            return so_far + values[0]

        params = params_of(u)
        return simulate_total(model, params, forcing, output, absorb, jnp.zeros(()), None)

    def absorb(so_far, _, tangents):
        return jax.tree.map(jnp.add, so_far, (tangents.values[0], tangents.slopes[0])), None

    u = jnp.array([0.9, 292.0])
    value, slope = jax.jit(jax.value_and_grad(total))(u)
    (sums, slopes), _, _ = jax.jit(
        lambda u: simulate_tangents(
            model, params_of, u, forcing, output, absorb, (jnp.zeros(()), jnp.zeros(2))
        )
    )(u)
    assert float(sums) == pytest.approx(float(value), rel=1e-14)
    np.testing.assert_allclose(slopes, slope, rtol=1e-11)
