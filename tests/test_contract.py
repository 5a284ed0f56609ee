"""One contract: every model and every method through the same calls."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import MEMBER_METHODS, METHODS, Result, estimate
from caliche.estimation.ensemble.core import MemberMethod
from caliche.estimation.method import Method
from caliche.models import LaD, SoilHeat, simulate
from caliche.models.base import Model
from caliche.models.loop.time_loop import everything
from caliche.models.soil_heat.closures import CLOSURES
from caliche.variables import VARIABLES
from problems import LinearGaussian, each_method

BOTTOMS = ("fixed-temperature", "varying-temperature", "measured-temperature", "zero-flux")
MODELS = (
    {
        f"soil-heat-{name}-{bottom}": SoilHeat(
            (0.0, 0.02, 0.06, 0.15, 0.3),
            1800.0,
            turbulence=closure,
            bottom=bottom,
            initial="uniform" if bottom == "zero-flux" else "bottom-temperature",
        )
        for name, closure in CLOSURES.items()
        for bottom in (BOTTOMS if name == "combined" else BOTTOMS[:1])
    }
    | {
        f"soil-heat-{name}-bucket": SoilHeat(
            (0.0, 0.02, 0.06, 0.15, 0.3), 1800.0, turbulence=closure, moisture="bucket"
        )
        for name, closure in CLOSURES.items()
        if closure.per_wetness is not None
    }
    | {
        "lad-smooth": LaD(1800.0, soil_freezing=True),
        "lad-code": LaD(1800.0, scheme="code", drag="neutral"),
    }
)
# Diagnostics that are no observable: documented where the run folder is written.
INTERNAL = {"energy_imbalance", "water_imbalance"}
STEPS = 3
TYPICAL = {
    "incoming_shortwave": 400.0,
    "incoming_longwave": 320.0,
    "air_temperature": 292.0,
    "wind_speed": 3.0,
    "specific_humidity": 0.008,
    "air_pressure": 1e5,
    "bottom_temperature": 293.0,
    "precipitation": 2e-3,
}


@pytest.fixture(params=MODELS)
def model(request) -> Model:
    return MODELS[request.param]


def defaults(model: Model) -> dict[str, jax.Array]:
    return {d.name: jnp.asarray(d.default) for d in model.declarations}


def forcing_of(model: Model) -> dict[str, jax.Array]:
    ramp = 1.0 + 0.01 * jnp.arange(STEPS + 1.0)
    return {name: TYPICAL[name] * ramp for name in model.forcing_variables}


# -- models ----------------------------------------------------------------------------------


def test_model_satisfies_the_protocol(model):
    assert isinstance(model, Model)
    assert hash(jax.tree.structure(model)) is not None  # it keys compiled programs


@pytest.mark.parametrize("name", ["soil-heat-combined-fixed-temperature", "lad-smooth"])
def test_a_step_is_a_function_that_jax_compiles(name):
    """Profiles leave a compiled function as the arrays that they are."""
    model = MODELS[name]
    forcing = forcing_of(model)
    prepared = model.prepare(defaults(model))
    state, now = model.init_state(prepared, forcing), {k: v[1] for k, v in forcing.items()}
    _, expected = model.step(prepared, state, now)
    _, found = jax.jit(model.step)(prepared, state, now)
    for name in ("soil_temperature", "ground_heat_flux"):
        assert len(found[name]) == len(expected[name])
        np.testing.assert_allclose(found[name].stack(), expected[name].stack(), rtol=1e-9)
        np.testing.assert_allclose(found[name][-1], expected[name][-1], rtol=1e-9)


def test_declarations_are_complete(model):
    names = [d.name for d in model.declarations]
    assert len(names) == len(set(names))
    for d in model.declarations:
        assert d.name.isidentifier() or "." in d.name
        assert d.long_name
        assert d.unit
        assert d.source
        assert d.lower < d.default < d.upper, d.name


def test_forcing_diagnostics_and_depths_have_known_names(model):
    assert set(model.forcing_variables) <= {*VARIABLES, "bottom_temperature"}
    assert set(model.diagnostics) <= {*VARIABLES, *INTERNAL}
    assert set(model.depths) == {
        name for name in model.diagnostics if name in VARIABLES and VARIABLES[name].has_depth
    }
    for depths in model.depths.values():
        assert depths[0] >= 0.0
        assert (np.diff(depths) > 0.0).all()


def test_derived_quantities_are_labelled(model):
    values = model.derived(defaults(model))
    assert set(values) == set(model.derived_labels)
    for name, (unit, long_name) in model.derived_labels.items():
        assert unit
        assert long_name
        assert values[name].shape == ()
        assert bool(jnp.isfinite(values[name]))


def test_one_step(model):
    """Shapes and types that a scan can carry, and diagnostics as declared."""
    params, forcing = defaults(model), forcing_of(model)
    first = {name: values[0] for name, values in forcing.items()}

    def run(params, forcing):
        prepared = model.prepare(params)
        state = model.init_state(prepared, forcing)
        seen = everything(model.diagnose(prepared, state))
        after, diagnostics = model.step(prepared, state, forcing)
        return state, seen, (after, everything(diagnostics))

    state, seen, (after, diagnostics) = jax.eval_shape(run, params, first)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert set(diagnostics) == set(model.diagnostics)
    assert set(seen) == {n for n in model.diagnostics if n in VARIABLES and VARIABLES[n].is_state}
    for name, value in diagnostics.items():
        assert value.dtype == jnp.float64, name
        expected = (len(model.depths[name]),) if name in model.depths else ()
        assert value.shape == expected, name
        if name in seen:
            assert (seen[name].shape, seen[name].dtype) == (value.shape, value.dtype)


# By far the longest to compile. The bucket and the bottom are among the others. That stability can
# be compiled and differentiated, and that each of its parameters is felt, is said at its hardest
# point by test_gradient_at_the_kinks (test_soil_heat_derivatives).
LONGEST = ("soil-heat-monin-obukhov-bucket", "soil-heat-monin-obukhov-fixed-temperature")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LONGEST else name
        for name in MODELS
        if name.startswith("soil-heat")
    ],
)
def test_simulation_can_be_compiled_batched_and_differentiated(name):
    """One compilation does all three: the batched value and gradient of a run.

    Some parameters of LaD matter to snow alone: its own tests differentiate it.
    """
    model = MODELS[name]
    forcing = forcing_of(model)

    def total(params):
        _, initial, series = simulate(model, params, forcing)
        seen = [jnp.sum(series[name]) for name in model.diagnostics if name not in INTERNAL]
        return sum(seen) + jnp.sum(initial["surface_temperature"]), series

    batch = {name: value * jnp.array([1.0, 1.01]) for name, value in defaults(model).items()}
    (value, series), slopes = jax.jit(jax.vmap(jax.value_and_grad(total, has_aux=True)))(batch)
    assert bool(jnp.isfinite(value).all())
    assert set(series) == set(model.diagnostics)
    for name, values in series.items():
        assert values.shape[:2] == (2, STEPS)
        assert bool(jnp.isfinite(values).all()), name
    for name, slope in slopes.items():
        assert bool(jnp.isfinite(slope).all()), name
        assert bool((slope != 0.0).all()), f"{name} has no effect"


# -- methods ---------------------------------------------------------------------------------


@functools.cache
def result_of(method: str) -> Result:
    return estimate(LinearGaussian.problem(), method, starts=starts_of(method), seed=4)


def starts_of(method: str) -> int:
    """An ensemble has one start, the prior."""
    return 3 if method in METHODS or not MEMBER_METHODS[method]().gives_posterior else 1


@pytest.fixture(params=each_method([*METHODS, *MEMBER_METHODS]))
def result(request) -> Result:
    return result_of(request.param)


@pytest.mark.parametrize("name", each_method([*METHODS, *MEMBER_METHODS]))
def test_every_method_searches_and_is_what_its_card_says(name):
    card = (METHODS | MEMBER_METHODS)[name]
    method = card()
    assert isinstance(method, Method)
    assert method.needs_gradient == card.needs_gradient
    assert method.keeps_state == card.keeps_state
    assert method.gives_posterior == card.gives_posterior
    problem = LinearGaussian.problem()
    outcome = method.search(problem, problem.space.initial()[None], seed=4)
    assert outcome.final.u.shape == (1, 2)
    assert outcome.history.misfit.shape == (1, outcome.n_iterations)
    assert outcome.history.u.shape == (1, outcome.n_iterations, 2)
    assert len(outcome.reasons) == 1
    assert outcome.failed == 0


@pytest.mark.parametrize("name", METHODS)
def test_method_is_a_key(name):
    """Equal settings give an equal method, so that compiled programs are found again."""
    one, same, other = METHODS[name](), METHODS[name](), METHODS[name](max_iterations=7)
    assert isinstance(one, Method)
    assert one.name == name
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert other.max_iterations == 7
    assert 0.0 < one.tolerance < 1.0


@pytest.mark.parametrize("name", MEMBER_METHODS)
def test_method_that_runs_members_is_one(name):
    """Through the same calls: begin, propose, be told, and say what came of it."""
    one, same, other = (MEMBER_METHODS[name](**o) for o in ({}, {}, {"max_iterations": 7}))
    assert isinstance(one, MemberMethod)
    assert one.name == name
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    space = LinearGaussian.problem().space
    state = one.begin(space, np.zeros(2), 5)
    assert state.iteration == 0
    assert one.verdict(state) is None
    for k in range(1, 3):
        members = one.proposal(state)
        assert members.shape[1] == 2
        assert np.isfinite(members).all()
        state = one.update(space, state, members, np.concatenate([members, members - 1.0], axis=1))
        assert state.iteration == k
        assert one.estimate(state).shape == (2,)
        found = one.posterior(state)
        assert (found is not None) == one.gives_posterior
        if name == "4denvar":
            assert one.verdict(state).converged
            break
    for value in state:  # it can be kept in a file
        assert np.asarray(value).dtype.kind in "fib"


def test_result_arrays_fit_together(result):
    p = len(result.names)
    starts, iterations = result.misfit.shape
    assert starts == len(result.starts) == starts_of(result.method)
    assert iterations == result.n_iterations
    assert result.trajectory.shape == (starts, iterations, p)
    assert result.u.shape == (p,)
    for square in (result.covariance, result.correlation, result.covariance_u):
        assert square.shape == (p, p)
        np.testing.assert_allclose(square, square.T, rtol=0, atol=1e-12 * np.abs(square).max())
        assert np.linalg.eigvalsh(square).min() > 0.0
    np.testing.assert_array_equal(np.diag(result.correlation), 1.0)
    assert np.abs(result.correlation).max() <= 1.0
    sd = np.array([result.parameters[name].sd for name in result.names])
    np.testing.assert_allclose(np.sqrt(np.diag(result.covariance)), sd, rtol=1e-12)


def test_result_parameters_are_complete(result):
    assert list(result.parameters)[: len(result.names)] == list(result.names)
    for name, p in result.parameters.items():
        assert p.name == name
        assert p.long_name
        assert p.unit
        assert p.prior
        assert not p.fixed
        assert p.lower < p.interval[0] < p.estimate < p.interval[1] < p.upper
        assert p.sd >= p.sd_naive * (1.0 - 1e-12) > 0.0
        assert not p.at_bound


def test_result_tells_how_it_came_about(result):
    assert result.method in {*METHODS, *MEMBER_METHODS}
    assert result.converged
    assert result.reason.startswith("converged")
    assert result.seed == 4
    assert result.n_model_runs >= result.n_iterations
    assert set(result.seconds) == {"compile", "run"}
    assert all(seconds >= 0.0 for seconds in result.seconds.values())
    assert set(result.residuals) == {"surface_temperature"}
    assert set(result.derived) == {"x1", "x2"}
    assert all(isinstance(warning, str) for warning in result.warnings)


def test_result_ensemble(result):
    """Error bars say what they are, and members are there where they are the spread of some."""
    ensemble = result.ensemble
    assert result.error_bars == ("curvature" if ensemble is None else "ensemble")
    if ensemble is None:
        return
    assert ensemble.u.shape == ensemble.physical.shape == (len(ensemble.u), len(result.names))
    assert len(ensemble.failed) == result.n_iterations - 1
    np.testing.assert_allclose(np.cov(ensemble.physical, rowvar=False), result.covariance)
    assert result.method == "4denvar" or ensemble.times[-1] == 1.0
    assert any("spread of" in warning for warning in result.warnings)


def test_result_starts_agree_with_the_history(result):
    ends = []
    for k, start in enumerate(result.starts):
        history = result.misfit[k][np.isfinite(result.misfit[k])]
        last = np.flatnonzero(np.isfinite(result.misfit[k])).max()
        assert history[-1] == start.misfit
        np.testing.assert_array_equal(list(start.initial.values()), result.trajectory[k, 0])
        np.testing.assert_array_equal(list(start.estimate.values()), result.trajectory[k, last])
        assert start.converged == (start.status == "converged")
        ends.append(start.misfit)
    chosen = [result.parameters[name].estimate for name in result.names]
    best = [k for k, s in enumerate(result.starts) if list(s.estimate.values()) == chosen]
    assert ends[best[0]] == min(ends)
