"""The inverse problem: derivatives, priors, and what is not observed has no influence."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation.curvature import posterior
from caliche.experiments import load_experiment
from caliche.observations import Observations, make_operator
from caliche.problems.inverse import InverseProblem
from problems import LinearGaussian, root_problem, with_observed


@pytest.fixture(scope="module")
def twin() -> InverseProblem:
    """A small noisy twin: an instantaneous, an averaged and a flux stream, gaps, and two priors."""
    experiment = load_experiment(
        "twin-two-depths",
        [
            "synthetic.hours=24",
            "model.nodes=11",
            "model.depth=0.5",
            "window.time_step=1800",
            'model.scheme="sdirk2"',
            'observations."soil_temperature_0.05m".average=7200',
            "observations.outgoing_longwave={sigma=2.0, average=3600}",
            'parameters.thermal_conductivity={prior="log-normal", mean=1.0, sd=0.5}',
            'parameters.bottom_temperature={prior="normal", mean=294.0, sd=2.0}',
        ],
    )
    problem = experiment.problem()
    observed = np.where(problem.mask, problem.observations.values, np.nan)
    observed[5:9, 0] = observed[20:31, 1] = np.nan
    return with_observed(problem, observed)


@pytest.fixture(scope="module")
def control(twin) -> jax.Array:
    """A control vector away from the first guess and from the optimum."""
    return twin.space.initial() + jnp.array([0.2, -0.3, 0.4, -0.1, 0.3])


@eqx.filter_jit
def cost(problem, u):
    return problem.cost(u)


@eqx.filter_jit
def gradient(problem, u):
    return jax.grad(problem.cost)(u)


@eqx.filter_jit
def linearised(problem, u):
    return problem.linearise(u)


def test_gradient_is_that_of_forward_mode_and_of_finite_differences(twin, control):
    reverse = np.asarray(gradient(twin, control))
    residual, jacobian = linearised(twin, control)
    scale = np.abs(reverse).max()
    np.testing.assert_allclose(jacobian.T @ residual, reverse, rtol=0, atol=1e-11 * scale)
    step = 1e-3

    def difference(width: float) -> np.ndarray:
        ends = [
            (cost(twin, control + width * e), cost(twin, control - width * e)) for e in jnp.eye(5)
        ]
        return np.array([float(a - b) / (2.0 * width) for a, b in ends])

    finite = (4.0 * difference(step) - difference(2.0 * step)) / 3.0  # of fourth order
    np.testing.assert_allclose(finite, reverse, rtol=0, atol=1e-8 * scale)


def test_normal_equations_are_those_of_the_explicit_jacobian(twin, control):
    residual, jacobian = linearised(twin, control)
    by_reverse = eqx.filter_jit(lambda p, u: jax.jacrev(p.residual)(u))(twin, control)
    np.testing.assert_allclose(jacobian, by_reverse, rtol=0, atol=1e-11 * np.abs(jacobian).max())
    equations = eqx.filter_jit(lambda p, u: p.normal_equations(u))(twin, control)
    assert float(equations.cost) == pytest.approx(0.5 * float(residual @ residual), rel=1e-13)
    assert float(equations.cost) == pytest.approx(float(cost(twin, control)), rel=1e-13)
    np.testing.assert_allclose(equations.gradient, jacobian.T @ residual, rtol=1e-12)
    np.testing.assert_allclose(equations.hessian, jacobian.T @ jacobian, rtol=1e-12)


def test_priors_are_the_last_rows_of_the_residual(twin, control):
    residual, jacobian = linearised(twin, control)
    informative = twin.space.informative
    assert [n for n, yes in zip(twin.space.names, informative, strict=True) if yes] == [
        "thermal_conductivity",
        "bottom_temperature",
    ]
    np.testing.assert_allclose(residual[-2:], control[informative], rtol=1e-14)
    np.testing.assert_allclose(jacobian[-2:], np.eye(5)[informative], atol=1e-14)


def test_log_posterior_is_minus_the_cost():
    """And the cost at the optimum that of the closed form."""
    problem = LinearGaussian.problem()
    w = np.linalg.solve(LinearGaussian.root, LinearGaussian.estimate - LinearGaussian.mean)
    assert float(problem.cost(jnp.asarray(w))) == pytest.approx(LinearGaussian.cost, rel=1e-10)
    assert float(problem.log_posterior(jnp.asarray(w))) == -float(problem.cost(jnp.asarray(w)))


def test_what_is_masked_has_no_influence(twin, control):
    """Nor has what could not be predicted: a flux at time zero, a mean before it is complete."""
    mask = np.asarray(twin.mask)
    assert mask[0].tolist() == [True, False, False]
    assert not mask[:4, 1].any()
    assert mask[4, 1]
    assert not mask[:2, 2].any()
    assert mask[2, 2]
    values = np.where(mask, twin.observations.values, 1e6)
    spoiled = eqx.tree_at(lambda p: p.observations.values, twin, jnp.asarray(values))
    assert float(cost(spoiled, control)) == float(cost(twin, control))
    np.testing.assert_array_equal(gradient(spoiled, control), gradient(twin, control))
    assert np.isfinite(gradient(twin, control)).all()
    assert twin.n_observations == mask.sum()


def test_a_stream_without_any_value_left_changes_nothing_but_the_count(twin, control):
    """Masking a stream wholly equals scoring without it, gradient included."""
    observed = np.where(twin.mask, twin.observations.values, np.nan)
    observed[:, 1] = np.nan
    without = with_observed(twin, observed)
    residual, jacobian = linearised(without, control)
    n = observed.size
    assert not np.any(np.asarray(residual[:n]).reshape(observed.shape)[:, 1])
    assert not np.any(np.asarray(jacobian[:n]).reshape(*observed.shape, -1)[:, 1])
    assert float(cost(without, control)) < float(cost(twin, control))


def test_the_order_of_streams_does_not_matter(twin, control):
    """To cost, curvature, residual statistics and covariances: all that an estimate is made of."""
    streams = twin.operator.streams[::-1]
    o = twin.observations
    turned = InverseProblem(
        twin.model,
        twin.forcing,
        make_operator(twin.model, streams),
        Observations(o.values[:, ::-1], o.mask[:, ::-1], o.sigma[::-1]),
        twin.space,
    )
    assert float(cost(turned, control)) == pytest.approx(float(cost(twin, control)), rel=1e-12)
    one, other = posterior(twin, np.asarray(control)), posterior(turned, np.asarray(control))
    assert list(other.residuals) == list(one.residuals)[::-1]
    for name, statistics in one.residuals.items():
        assert other.residuals[name].n == statistics.n
        assert other.residuals[name].inflation == pytest.approx(statistics.inflation, rel=1e-9)
    assert len({statistics.inflation for statistics in one.residuals.values()}) > 1
    np.testing.assert_allclose(other.covariance_naive, one.covariance_naive, rtol=1e-8)
    np.testing.assert_allclose(other.covariance, one.covariance, rtol=1e-8)


def test_a_model_that_gives_no_number_gives_no_cost():
    problem = root_problem()
    u = problem.space.to_whitened({"a": -0.5})
    assert np.isnan(problem.cost(u))


def test_single_precision_is_refused():
    problem = root_problem()
    parts = problem.model, problem.forcing, problem.operator, problem.observations, problem.space
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RuntimeError, match=r"caliche\.configure"):
            InverseProblem(*parts)
    finally:
        jax.config.update("jax_enable_x64", True)
