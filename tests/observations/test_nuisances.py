"""What may be wrong with a sensor: its clock, its depth, its zero, its share of a flux."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.models import SoilHeat
from caliche.models.soil_heat.closures import BOWEN_RATIO
from caliche.observations import Nuisance, Observations, Stream, make_operator
from caliche.observations.nuisances import at_depth, lagged
from caliche.parameters import Normal, ParameterSpace
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem

# -- clocks ----------------------------------------------------------------------------------


def wave(hours):
    return 290.0 + 5.0 * np.sin(2.0 * np.pi * hours / 24.0 + 0.3)


def test_a_whole_number_of_steps_is_exact():
    series = jnp.asarray(np.random.default_rng(1).normal(size=30))
    for steps in (0, 1, 4, -3):
        late = lagged(series, jnp.asarray(float(steps)), 0)
        inside = slice(max(steps, 0), 30 + min(steps, 0))
        np.testing.assert_allclose(late[inside], jnp.roll(series, steps)[inside], rtol=1e-14)


def test_a_lag_is_interpolated_to_third_order():
    """What is read at t is the series at t - lag; the error falls by eight when the step halves."""
    worst = []
    for step in (2.0, 1.0, 0.5, 0.25):
        hours = np.arange(0.0, 48.0 + step / 2, step)
        late = np.asarray(lagged(jnp.asarray(wave(hours)), jnp.asarray(0.3), 0))
        inside = (hours >= 6.0) & (hours <= 42.0)
        worst.append(np.abs(late - wave(hours - 0.3 * step))[inside].max())
    assert (np.log2(np.divide(worst[:-1], worst[1:])) > 2.9).all()
    assert worst[1] < 0.005  # hourly values of a daily wave of 5 K


def test_a_lag_moves_smoothly():
    """Value and slope are continuous where the lag passes a whole number of steps."""
    series = jnp.asarray(np.random.default_rng(1).normal(size=30))
    slope = jax.jit(jax.jacfwd(lambda lag: lagged(series, lag, 0)))
    below, above = (slope(jnp.asarray(2.0 + d)) for d in (-1e-9, 1e-9))
    np.testing.assert_allclose(below[5:25], above[5:25], atol=1e-7)
    wide = (lagged(series, jnp.asarray(1.31), 0) - lagged(series, jnp.asarray(1.29), 0)) / 0.02
    np.testing.assert_allclose(slope(jnp.asarray(1.3))[5:25], wide[5:25], atol=1e-3)


def test_entries_that_do_not_exist_are_not_read():
    """Of a flux there is none at time zero."""
    late = lagged(jnp.array([jnp.nan, 1.0, 2.0, 3.0]), jnp.asarray(1.5), 1)
    assert bool(jnp.isfinite(late).all())


# -- depths ----------------------------------------------------------------------------------

DEPTHS = np.array([0.0, 0.02, 0.06, 0.1, 0.2])


def profile_at(depth, values):
    return at_depth(jnp.asarray(depth), DEPTHS, [jnp.asarray(v) for v in values])


def test_depths_of_nodes_give_their_values():
    values = np.random.default_rng(3).normal(size=(5, 4))
    for z, row in zip(DEPTHS, values, strict=True):
        np.testing.assert_allclose(profile_at(z, values), row, rtol=1e-12)


def test_a_profile_is_smooth_in_depth_and_parabolas_are_exact():
    values = list(np.array([1.0, -2.0, 0.5, 3.0, 0.0]))
    slope = jax.jit(jax.grad(lambda z: at_depth(z, DEPTHS, [jnp.asarray(v) for v in values])))
    for z in DEPTHS[1:-1]:
        below, above = (float(slope(jnp.asarray(z + d))) for d in (-1e-10, 1e-10))
        assert below == pytest.approx(above, rel=1e-5)
    for z in (0.0, 0.003, 0.02, 0.051, 0.13, 0.19, 0.2):
        parabola = profile_at(z, list(3.0 - 7.0 * DEPTHS + 40.0 * DEPTHS**2))
        assert float(parabola) == pytest.approx(3.0 - 7.0 * z + 40.0 * z**2, rel=1e-13)
    two = at_depth(jnp.asarray(0.03), np.array([0.0, 0.1]), [jnp.asarray(1.0), jnp.asarray(3.0)])
    assert float(two) == pytest.approx(1.6)


# -- in an inverse problem -------------------------------------------------------------------

NODES = (0.0, 0.02, 0.05, 0.08, 0.12, 0.2, 0.4)
STEP = 1800.0
STREAMS = (
    Stream("surface_temperature"),
    Stream("soil_temperature_0.05m"),
    Stream("soil_temperature_0.10m"),
    Stream("sensible_heat_flux", 2),
    Stream("latent_heat_flux"),
    Stream("ground_heat_flux_0.06m"),
)
NUISANCES = (
    Nuisance("zero", "bias", ("surface_temperature",)),
    Nuisance("clock", "clock-offset", ("soil_temperature_0.05m", "soil_temperature_0.10m")),
    Nuisance("depth", "depth-offset", ("soil_temperature_0.05m",)),
    Nuisance("share", "flux-fraction", ("sensible_heat_flux", "latent_heat_flux")),
    Nuisance("plate", "depth-offset", ("ground_heat_flux_0.06m",)),
)
PRIORS = {
    "zero": (0.0, 2.0),
    "clock": (0.0, 1.0),
    "depth": (0.0, 0.01),
    "share": (0.9, 0.2),
    "plate": (0.0, 0.01),
}
TRUTH = {
    "albedo": 0.25,
    "thermal_conductivity": 1.1,
    "heat_transfer_coefficient": 14.0,
    "bowen_ratio": 1.4,
    "bottom_temperature": 292.0,
    "zero": 0.7,
    "clock": 0.6,
    "depth": 0.008,
    "share": 0.8,
    "plate": -0.012,
}
SIGMA = dict(zip([s.name for s in STREAMS], (0.1, 0.05, 0.05, 3.0, 3.0, 2.0), strict=True))


def make_problem(n: int) -> InverseProblem:
    """Six streams of a column, one nuisance or two each, nothing seen yet."""
    model = SoilHeat(NODES, STEP, turbulence=BOWEN_RATIO)
    hours = 0.5 * np.arange(n)
    forcing = {
        "incoming_shortwave": np.maximum(700.0 * np.sin(2 * np.pi * (hours - 6) / 24), 0.0),
        "incoming_longwave": np.full(n, 320.0),
        "air_temperature": 291.0 + 4.0 * np.sin(2 * np.pi * (hours - 9) / 24),
    }
    operator = make_operator(model, STREAMS, NUISANCES, STEP)
    declarations = (*model.declarations, *operator.declarations)
    free = {}
    for d in declarations:
        if d.name in PRIORS:
            free[d.name] = free_parameter(d, Normal(*PRIORS[d.name], d.lower, d.upper))
        elif d.name in TRUTH:
            free[d.name] = free_parameter(d)
    zeros = {stream.name: np.zeros(n) for stream in STREAMS}
    return InverseProblem(
        model,
        {name: jnp.asarray(v) for name, v in forcing.items()},
        operator,
        Observations.from_series(zeros, SIGMA),
        ParameterSpace.build(declarations, free, {}),
    )


@pytest.fixture(scope="module")
def twin() -> InverseProblem:
    """Two days of the truth with white noise, and some gaps."""
    problem = make_problem(97)
    truth = {name: jnp.asarray(value) for name, value in TRUTH.items()}
    u = problem.space.to_whitened(truth)
    perfect = np.asarray(eqx.filter_jit(lambda p, u: p.forward(u))(problem, u))
    generator = np.random.default_rng(11)
    values = perfect + generator.normal(size=perfect.shape) * np.array(list(SIGMA.values()))
    values[generator.random(values.shape) < 0.1] = np.nan
    series = {s.name: values[:, k] for k, s in enumerate(STREAMS)}
    return dataclasses.replace(problem, observations=Observations.from_series(series, SIGMA))


# Compiled once: `linearise` weighs what `predict_tangents` gives, and `forward` is that prediction.
tangents = eqx.filter_jit(lambda problem, u: problem.predict_tangents(u))


def test_derivatives_by_nuisances(twin):
    """Reverse mode, tangents and finite differences of the cost and of every residual."""
    u = twin.space.initial() + 0.3 * jnp.sin(1.0 + jnp.arange(10.0))
    assert twin.space.names[-5:] == ("zero", "clock", "depth", "share", "plate")
    residual, jacobian = twin.linearise_at(u, *tangents(twin, u))
    assert bool(jnp.isfinite(residual).all() & jnp.isfinite(jacobian).all())
    cost, reverse = eqx.filter_jit(lambda p, u: jax.value_and_grad(p.cost)(u))(twin, u)
    assert float(cost) == pytest.approx(0.5 * float(residual @ residual), rel=1e-12)
    scale = float(jnp.abs(reverse).max())
    np.testing.assert_allclose(jacobian.T @ residual, reverse, rtol=0, atol=1e-11 * scale)
    function = eqx.filter_jit(lambda p, u: p.residual(u))
    step = 1e-4
    for p, e in enumerate(jnp.eye(10)):
        one, two = (
            (function(twin, u + w * e) - function(twin, u - w * e)) / (2.0 * w)
            for w in (step, 2.0 * step)
        )
        largest = float(jnp.abs(jacobian[:, p]).max())
        finite = (4.0 * one - two) / 3.0
        np.testing.assert_allclose(finite, jacobian[:, p], rtol=0, atol=1e-6 * largest)


def test_a_nuisance_moves_its_own_streams_alone(twin):
    u = twin.space.initial()
    _, slopes = tangents(twin, u)
    touched = np.any(np.abs(np.asarray(slopes)[12:-12]) > 0.0, axis=0)[:, -5:]
    assert touched.T.tolist() == [
        [True, False, False, False, False, False],
        [False, True, True, False, False, False],
        [False, True, False, False, False, False],
        [False, False, False, True, True, False],
        [False, False, False, False, False, True],
    ]


def test_what_each_nuisance_does(twin):
    """Bias is added, a share multiplies, a clock shifts in time, a depth in the profile."""
    forward = eqx.filter_jit(lambda p, params: p.predict(params))
    u = twin.space.initial()
    params = twin.space.to_physical(u) | {"share": jnp.asarray(1.0)}
    plain = np.asarray(forward(twin, params))
    moved = {"zero": 0.5, "clock": 1.0, "depth": 0.03, "share": 0.7, "plate": 0.01}
    seen = np.asarray(forward(twin, params | {k: jnp.asarray(v) for k, v in moved.items()}))
    np.testing.assert_allclose(seen[:, 0], plain[:, 0] + 0.5, rtol=1e-13)
    np.testing.assert_allclose(seen[4:, 2], plain[2:-2, 2], rtol=1e-13)
    for k in (3, 4):
        np.testing.assert_allclose(seen[:, k], 0.7 * plain[:, k], rtol=1e-13)
    # 5 cm that lie at 8 cm, which is a node, an hour late
    at_node = make_operator(twin.model, [Stream("soil_temperature_0.08m")])
    other = dataclasses.replace(
        twin,
        operator=at_node,
        observations=Observations(jnp.zeros((97, 1)), jnp.zeros((97, 1), bool), jnp.ones(1)),
    )
    node = np.asarray(forward(other, params))[:, 0]
    np.testing.assert_allclose(seen[4:, 1], node[2:-2], rtol=1e-13)


def test_a_clock_needs_the_model_before_and_after(twin):
    """Three hours of half-hours either way, and a neighbour more; a mean of a flux starts later."""
    visible = twin.operator.visible(97)
    assert visible.argmax(axis=0).tolist() == [0, 7, 7, 2, 1, 1]
    assert visible[::-1].argmax(axis=0).tolist() == [0, 7, 7, 0, 0, 0]
    one_sided = Nuisance("late", "clock-offset", ("latent_heat_flux",), lower=0.0, upper=0.6)
    operator = make_operator(twin.model, [Stream("latent_heat_flux")], [one_sided], STEP)
    visible = operator.visible(20)[:, 0]
    assert (visible.argmax(), visible[::-1].argmax()) == (4, 1)


@pytest.mark.slow
def test_every_nuisance_is_recovered(twin):
    """Within three standard deviations, which are small enough to tell them from the defaults."""
    result = estimate(twin)
    assert result.converged
    defaults = {d.name: d.default for d in twin.operator.declarations}
    for name, truth in TRUTH.items():
        p = result.parameters[name]
        assert abs(p.estimate - truth) < 3.0 * p.sd, name
        if name in defaults:
            assert p.sd < 0.2 * abs(truth - defaults[name]), name
            assert p.prior.startswith("normal")
    for statistics in result.residuals.values():
        assert statistics.variance_ratio == pytest.approx(1.0, abs=0.4)


def test_without_the_nuisances_the_parameters_are_wrong(twin):
    """The clock, the depth and the zero fixed at their defaults pull the conductivity away."""
    operator = make_operator(twin.model, STREAMS)
    names = set(TRUTH) - set(PRIORS)
    free = {p.name: p for p in twin.space.free if p.name in names}
    space = ParameterSpace.build(twin.model.declarations, free, {})
    result = estimate(dataclasses.replace(twin, operator=operator, space=space))
    p = result.parameters["thermal_conductivity"]
    assert abs(p.estimate - TRUTH["thermal_conductivity"]) > 3.0 * p.sd_naive
    ratios = [statistics.variance_ratio for statistics in result.residuals.values()]
    assert max(ratios) > 4.0


# -- what cannot be --------------------------------------------------------------------------

SOIL = "soil_temperature_0.05m"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Nuisance("a", "bias", (SOIL, "latent_heat_flux")), "streams of one unit"),
        (lambda: Nuisance("a", "bias", ()), "streams of one unit"),
        (lambda: Nuisance("a", "depth-offset", ("latent_heat_flux",)), "streams with a depth"),
        (lambda: Nuisance("a", "depth-offset", ("surface_temperature",)), "streams with a depth"),
        (lambda: Nuisance("a", "bias", ("soil_temprature_0.05m",)), "soil_temperature"),
        (
            lambda: make_operator(
                SoilHeat(NODES, STEP),
                [Stream(SOIL)],
                [Nuisance("a", "bias", (SOIL,)), Nuisance("b", "bias", (SOIL,))],
            ),
            "one nuisance of each kind for soil_temperature_0.05m",
        ),
        (
            lambda: make_operator(
                SoilHeat(NODES, STEP),
                [Stream(SOIL)],
                [Nuisance("a", "depth-offset", (SOIL,), lower=-0.07)],
            ),
            "a depth offset a that stays within the grid",
        ),
        (
            lambda: make_operator(
                SoilHeat(NODES, STEP),
                [Stream("soil_temperature_0.38m")],
                [Nuisance("a", "depth-offset", ("soil_temperature_0.38m",))],
            ),
            "a depth offset a that stays within the grid",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_nuisances_of_streams_that_are_not_observed_have_no_effect():
    operator = make_operator(SoilHeat(NODES, STEP), [Stream(SOIL)], NUISANCES, STEP)
    assert [d.name for d in operator.declarations] == ["clock", "depth"]
    assert operator.declarations[1].lower == pytest.approx(-0.03)
    shallow = Nuisance("a", "depth-offset", ("soil_temperature_0.02m", SOIL))
    assert shallow.declaration.lower == pytest.approx(-0.018)  # not out of the ground
