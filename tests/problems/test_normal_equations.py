"""The sums made inside the time loop are those of the residual and its Jacobian."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.experiments import load_experiment
from caliche.problems.inverse import InverseProblem
from problems import LinearGaussian, with_observed

AVERAGED = 'observations."soil_temperature_0.05m".average=7200'


def make_twin(*changes: str) -> InverseProblem:
    """A noisy twin: two depths and a flux, gaps, two informative priors."""
    problem = load_experiment(
        "twin-two-depths",
        [
            "synthetic.hours=24",
            "model.nodes=11",
            "model.depth=0.5",
            "window.time_step=1800",
            'model.scheme="sdirk2"',
            "observations.outgoing_longwave={sigma=2.0}",
            'parameters.thermal_conductivity={prior="log-normal", mean=1.0, sd=0.5}',
            'parameters.bottom_temperature={prior="normal", mean=294.0, sd=2.0}',
            *changes,
        ],
    ).problem()
    observed = np.where(problem.mask, problem.observations.values, np.nan)
    observed[5:9, 0] = observed[20:31, 1] = observed[3, 2] = np.nan
    return with_observed(problem, observed)


@pytest.fixture(scope="module")
def twin() -> InverseProblem:
    return make_twin()


def control(problem: InverseProblem) -> jax.Array:
    """Away from the first guess and from the optimum."""
    return problem.space.initial() + jnp.array([0.2, -0.3, 0.4, -0.1, 0.3])


# One compiled program each for all tests of a problem of one structure.
normal_equations = eqx.filter_jit(lambda problem, u: problem.normal_equations(u))
linearise = eqx.filter_jit(lambda problem, u: problem.linearise(u))


@pytest.fixture(scope="module")
def expected(twin) -> tuple:
    return explicitly(twin, control(twin))


@eqx.filter_jit
def explicitly(problem: InverseProblem, u) -> tuple:
    """Cost, gradient and Gauss-Newton Hessian from the residual and its reverse-mode Jacobian."""
    residual = problem.residual(u)
    jacobian = jax.jacrev(problem.residual)(u)
    return 0.5 * residual @ residual, jacobian.T @ residual, jacobian.T @ jacobian


def same(ones, others) -> None:
    for one, other in zip(ones, others, strict=True):
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11 * scale)


def block(problem: InverseProblem) -> InverseProblem:
    return dataclasses.replace(problem, in_block=True)


LAYOUTS = {
    "stacked": lambda p: p,
    "in a block": block,
    "in a block, by elimination": lambda p: block(
        dataclasses.replace(p, model=dataclasses.replace(p.model, solver="elimination"))
    ),
    "as the model likes it": InverseProblem.for_block,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_normal_equations_are_those_of_the_explicit_jacobian(twin, expected, layout):
    problem, u = LAYOUTS[layout](twin), control(twin)
    assert problem.operator.pointwise
    equations = normal_equations(problem, u)
    same(equations, expected)
    np.testing.assert_array_equal(equations.hessian, equations.hessian.T)


def test_normal_equations_with_means_in_time_are_those_of_the_explicit_jacobian():
    problem = make_twin(AVERAGED)
    u = control(problem)
    assert not problem.operator.pointwise
    expected = explicitly(problem, u)
    for one in (problem, block(problem)):
        same(normal_equations(one, u), expected)


@pytest.mark.parametrize("change", [None, AVERAGED])
def test_cost_is_half_the_squared_residual_and_has_its_gradient(twin, change):
    """With the record in one piece or in segments that do not divide it."""
    problem = make_twin(change) if change else twin
    u = control(problem)
    residual, jacobian = linearise(problem, u)
    for segments in (1, 5):
        value, slope = eqx.filter_jit(
            lambda p, u, k=segments: jax.value_and_grad(lambda v: p.cost(v, k))(u)
        )(problem, u)
        same((value, slope), (0.5 * residual @ residual, jacobian.T @ residual))


def test_linearise_and_predict_tangents_are_forward_and_its_derivative(twin):
    u = control(twin)
    prediction, slopes = eqx.filter_jit(lambda p, u: p.predict_tangents(u))(twin, u)
    # no flux at time zero: NaN in both, and left out of the residual
    assert np.argwhere(np.isnan(prediction)).tolist() == [[0, 2]]
    by_reverse = eqx.filter_jit(lambda p, u: jax.jacrev(p.forward)(u))(twin, u)
    forward = eqx.filter_jit(lambda p, u: p.forward(u))(twin, u)
    np.testing.assert_allclose(prediction, forward, rtol=1e-14)
    scale = np.nanmax(np.abs(by_reverse))
    np.testing.assert_allclose(slopes[1:], by_reverse[1:], rtol=0, atol=1e-11 * scale)
    residual, jacobian = linearise(twin, u)
    assert bool(jnp.isfinite(residual).all() & jnp.isfinite(jacobian).all())
    np.testing.assert_allclose(
        residual, eqx.filter_jit(lambda p, u: p.residual(u))(twin, u), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize(
    "layout", [pytest.param("stacked", marks=pytest.mark.slow), "as the model likes it"]
)
def test_many_at_once_get_what_they_get_alone(twin, layout):
    """Under vmap over control vectors, and over forcing and observations as well."""
    problem = LAYOUTS[layout](twin)
    u = control(twin)[None] + 0.2 * jnp.array([[0.0], [1.0], [-1.0]])
    shift = jnp.array([0.0, 0.5, -1.0])
    air = problem.forcing["air_temperature"][None] + shift[:, None]
    values = problem.observations.values[None] + 0.1 * shift[:, None, None]

    def seen(air, values) -> InverseProblem:
        return eqx.tree_at(
            lambda p: (p.forcing["air_temperature"], p.observations.values), problem, (air, values)
        )

    many = jax.jit(jax.vmap(lambda u, *data: seen(*data).normal_equations(u)))(u, air, values)
    for k in range(3):
        same([part[k] for part in many], normal_equations(seen(air[k], values[k]), u[k]))
    costs = jax.jit(jax.vmap(problem.cost))(u)
    np.testing.assert_allclose(costs[0], many.cost[0], rtol=1e-13)


@pytest.mark.parametrize("layout", ["stacked", "in a block"])
def test_what_is_masked_is_in_no_sum(twin, layout):
    """Whatever is written there, NaN included."""
    problem, u = LAYOUTS[layout](twin), control(twin)
    mask = np.asarray(twin.mask)
    assert mask[0].tolist() == [True, True, False]
    clean = normal_equations(problem, u)
    for rubbish in (1e6, np.nan):
        values = jnp.asarray(np.where(mask, problem.observations.values, rubbish))
        spoiled = eqx.tree_at(lambda p: p.observations.values, problem, values)
        for one, other in zip(normal_equations(spoiled, u), clean, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("layout", ["stacked", "in a block"])
def test_informative_priors_are_in_every_sum(layout):
    """A linear model: the Hessian is that of the closed form, at any control vector."""
    problem = LAYOUTS[layout](LinearGaussian.problem())
    u = jnp.array([0.7, -1.2])
    whiten = np.linalg.inv(np.linalg.cholesky(LinearGaussian.errors))
    design = whiten @ LinearGaussian.design @ LinearGaussian.root
    misfit = design @ u + whiten @ (LinearGaussian.design @ LinearGaussian.mean)
    misfit = misfit - whiten @ LinearGaussian.observed
    cost, gradient, hessian = problem.normal_equations(u)
    assert float(cost) == pytest.approx(0.5 * float(misfit @ misfit + u @ u), rel=1e-13)
    np.testing.assert_allclose(gradient, design.T @ misfit + u, rtol=1e-12)
    np.testing.assert_allclose(hessian, design.T @ design + np.eye(2), rtol=1e-12)
