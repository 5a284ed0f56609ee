"""Errors with memory, heavy tails and a size of their own: residuals, densities and derivatives."""

from __future__ import annotations

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.models import SoilHeat
from caliche.observations import Observations, Stream, make_operator
from caliche.observations.error_model import student_residual
from caliche.parameters import Normal, ParameterSpace
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem
from problems import line_problem


def observed(n: int, sigma, rho=None, freedom=()) -> Observations:
    """One stream of zeros, all of it seen."""
    rho = None if rho is None else jnp.asarray([float(rho)])
    size = jnp.broadcast_to(jnp.asarray(sigma, float), (n,))[:, None]
    sigma = size if np.ndim(sigma) else size[0]
    return Observations(jnp.zeros((n, 1)), jnp.ones((n, 1), bool), sigma, rho, freedom)


# -- memory ----------------------------------------------------------------------------------


def dense(mask: np.ndarray, rho: float) -> np.ndarray:
    """The correlation matrix of AR(1) errors at the times seen."""
    at = np.flatnonzero(mask)
    return rho ** np.abs(at[:, None] - at[None, :])


def test_four_errors_with_memory():
    """n = 4, rho = 1/2, sigma = 2: d^T R^-1 d and log det R by hand."""
    d = jnp.array([1.0, 0.0, -1.0, 2.0])[:, None]
    errors = observed(4, 2.0, 0.5)
    residual = errors.residual(d / 2.0, errors.mask)
    assert float(jnp.sum(residual**2)) == pytest.approx(2.75, rel=1e-14)
    log_det = 2.0 * (float(errors.log_normaliser(errors.mask)) - 2.0 * math.log(2.0 * math.pi))
    assert log_det == pytest.approx(4.68213122712422, rel=1e-13)


@jax.jit
def whitened(errors: Observations, misfit: jax.Array) -> tuple[jax.Array, jax.Array]:
    return errors.residual(misfit, errors.mask), errors.log_normaliser(errors.mask)


@given(arrays(bool, 12), st.floats(0.0, 0.97), st.integers(0, 2**32 - 1))
def test_whitening_is_that_of_the_dense_matrix_across_gaps(mask, rho, seed):
    """Residuals are the Cholesky-whitened misfits, zero in gaps; the density knows its size."""
    n, generator = len(mask), np.random.default_rng(seed)
    misfit = np.where(mask, generator.normal(size=n), 0.0)
    errors = dataclasses.replace(observed(n, 0.3, rho), mask=jnp.asarray(mask)[:, None])
    z, normaliser = whitened(errors, jnp.asarray(misfit)[:, None])
    z = np.asarray(z)[:, 0]
    assert not z[~mask].any()
    if not mask.any():
        return
    lower = np.linalg.cholesky(dense(mask, rho))
    np.testing.assert_allclose(z[mask], np.linalg.solve(lower, misfit[mask]), atol=1e-10)
    log_det = 2.0 * np.log(0.3 * np.diag(lower)).sum()
    expected = 0.5 * (log_det + mask.sum() * np.log(2.0 * np.pi))
    assert float(normaliser) == pytest.approx(expected, abs=1e-10)


def test_no_memory_is_independence():
    misfit = jnp.array([1.0, 0.0, -1.0, 2.0])[:, None]
    mask = jnp.array([True, False, True, True])[:, None]
    one, other = observed(4, 2.0, 0.0), observed(4, 2.0)
    np.testing.assert_array_equal(one.residual(misfit, mask), other.residual(misfit, mask))
    assert float(one.log_normaliser(mask)) == float(other.log_normaliser(mask))
    assert other.independent
    assert not one.independent


# -- tails -----------------------------------------------------------------------------------


@given(st.floats(-1e4, 1e4), st.floats(0.5, 100.0))
def test_half_the_square_of_a_student_residual_is_its_log_density(r, nu):
    z = float(student_residual(jnp.asarray(r), nu))
    assert 0.5 * z**2 == pytest.approx(0.5 * (nu + 1.0) * math.log1p(r**2 / nu), rel=1e-11)
    assert z * r >= 0.0


def test_infinite_freedom_is_normal():
    r = jnp.linspace(-5.0, 5.0, 11)
    np.testing.assert_array_equal(student_residual(r, math.inf), r)
    np.testing.assert_allclose(student_residual(r, 1e9), r, rtol=1e-7)


@pytest.mark.parametrize("nu", [1.0, 4.0])
def test_a_student_residual_is_smooth_at_zero_and_elsewhere(nu):
    """Its slope is sqrt((nu + 1) / nu) at zero, odd derivatives alone are left there, and it is
    that of finite differences on both sides of the switch of formulae."""

    def z(r):
        return student_residual(r, nu)

    slope, curve = jax.grad(z), jax.grad(jax.grad(z))
    zero = jnp.asarray(0.0)
    assert float(slope(zero)) == pytest.approx(math.sqrt((nu + 1.0) / nu), rel=1e-15)
    assert float(curve(zero)) == 0.0
    switch = math.sqrt(1e-6 * nu)
    for r in (1e-8, 0.999 * switch, 1.001 * switch, 0.3, -2.0, 50.0):
        width = 1e-4 * max(abs(r), 1e-3)
        finite = float(z(jnp.asarray(r + width)) - z(jnp.asarray(r - width))) / (2.0 * width)
        assert float(slope(jnp.asarray(r))) == pytest.approx(finite, rel=1e-6)
        assert float(slope(jnp.asarray(r))) == pytest.approx(float(jax.jvp(z, (r,), (1.0,))[1]))
    below, above = (float(z(jnp.asarray(f * switch))) / f for f in (1 - 1e-9, 1 + 1e-9))
    assert below == pytest.approx(above, rel=1e-11)


def test_outliers_hardly_pull():
    """A median-like fit: one value off by a thousand moves a Student fit by little."""
    x = np.linspace(0.0, 1.0, 21)
    y = 1.0 + 2.0 * x
    y[7] += 1000.0
    problem = line_problem(x, y, 0.1)
    heavy = dataclasses.replace(
        problem, observations=dataclasses.replace(problem.observations, freedom=(4.0,))
    )
    normal, student = (estimate(p).parameters["intercept"].estimate for p in (problem, heavy))
    assert abs(normal - 1.0) > 10.0
    assert abs(student - 1.0) < 0.01


# -- densities -------------------------------------------------------------------------------


def log_density(errors: Observations, d: np.ndarray) -> float:
    residual = errors.residual(jnp.asarray(d) / errors.scale, errors.mask)
    square = 0.5 * float(jnp.sum(jnp.where(errors.mask, residual, 0.0) ** 2))
    return -square - float(errors.log_normaliser(errors.mask))


D = np.array([0.3, -1.2, 2.0, 0.1, -0.4, 5.0])[:, None]
SIZES = np.array([0.5, 1.0, 0.7, 2.0, 1.5, 0.9])


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (observed(6, 0.7), stats.norm(0.0, 0.7).logpdf(D).sum()),
        (observed(6, SIZES), stats.norm(0.0, SIZES).logpdf(D[:, 0]).sum()),
        (observed(6, 0.7, freedom=(3.5,)), stats.t(3.5, scale=0.7).logpdf(D).sum()),
        (observed(6, SIZES, freedom=(3.5,)), stats.t(3.5, scale=SIZES).logpdf(D[:, 0]).sum()),
        (
            observed(6, SIZES, 0.6),
            stats.multivariate_normal(
                np.zeros(6), SIZES[:, None] * dense(np.ones(6, bool), 0.6) * SIZES
            ).logpdf(D[:, 0]),
        ),
    ],
    ids=["normal", "normal, own sizes", "student", "student, own sizes", "memory, own sizes"],
)
def test_densities_are_those_of_scipy(errors, expected):
    assert log_density(errors, D) == pytest.approx(float(expected), rel=1e-12)


def test_density_of_several_streams_with_gaps():
    """Each stream with errors of its own kind; what is masked does not count."""
    generator = np.random.default_rng(5)
    d = generator.normal(size=(9, 3))
    mask = generator.random((9, 3)) < 0.7
    sigma, rho = np.array([0.5, 1.0, 2.0]), np.array([0.0, 0.8, 0.3])
    errors = Observations(
        jnp.zeros((9, 3)),
        jnp.asarray(mask),
        jnp.asarray(sigma),
        jnp.asarray(rho),
        (math.inf, math.inf, 4.0),
    )
    expected = stats.norm(0.0, 0.5).logpdf(d[mask[:, 0], 0]).sum()
    covariance = dense(mask[:, 1], 0.8)
    expected += stats.multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(
        d[mask[:, 1], 1]
    )
    # with both: the part of each error that is new has the heavy tails
    seen = np.flatnonzero(mask[:, 2])
    left = 0.3 ** np.diff(seen, prepend=-np.inf)
    before = np.concatenate([[0.0], d[seen[:-1], 2]])
    scale = 2.0 * np.sqrt(1.0 - left**2)
    expected += stats.t(4.0, left * before, scale).logpdf(d[seen, 2]).sum()
    assert log_density(errors, np.where(mask, d, 0.0)) == pytest.approx(expected, rel=1e-12)


# -- sizes that come with the data -----------------------------------------------------------


def test_a_size_of_its_own_for_each_value():
    """A missing one masks its value; a stream of one number stands beside."""
    series = {
        "surface_temperature": np.array([290.0, 291.0, np.nan, 293.0]),
        "outgoing_longwave": np.array([390.0, 400.0, 405.0, 410.0]),
    }
    sizes = {"surface_temperature": np.array([0.1, np.nan, 0.3, 0.4]), "outgoing_longwave": 5.0}
    errors = Observations.from_series(series, sizes)
    assert errors.mask.T.tolist() == [[True, False, False, True], [True] * 4]
    assert errors.scale.shape == (4, 2)
    np.testing.assert_array_equal(np.asarray(errors.scale)[[0, 3], 0], [0.1, 0.4])
    np.testing.assert_array_equal(errors.scale[:, 1], 5.0)
    assert bool(jnp.isfinite(errors.scale).all())
    with pytest.raises(InputError, match="positive sigma of surface_temperature"):
        Observations.from_series(series, sizes | {"surface_temperature": np.array([0.1, 0, 1, 1])})
    late = np.array([np.nan, np.nan, 0.3, np.nan])
    with pytest.raises(InputError, match="observations of surface_temperature"):
        Observations.from_series(series, sizes | {"surface_temperature": late})


def test_weights_follow_the_sizes():
    """Weighted least squares of a line, in closed form."""
    x = np.linspace(0.0, 1.0, 9)
    y = 1.0 + 2.0 * x + 0.1 * np.cos(9.0 * x)
    size = 0.05 + 0.2 * x
    problem = line_problem(x, y)
    problem = dataclasses.replace(
        problem,
        observations=dataclasses.replace(problem.observations, sigma=jnp.asarray(size)[:, None]),
    )
    design = np.column_stack([np.ones(9), x]) / size[:, None]
    equations = problem.normal_equations(jnp.zeros(2))
    np.testing.assert_allclose(equations.hessian, design.T @ design, rtol=1e-12)
    np.testing.assert_allclose(equations.gradient, -design.T @ (y / size), rtol=1e-12)


# -- all of it in an inverse problem ---------------------------------------------------------


@pytest.fixture(scope="module")
def problem() -> InverseProblem:
    """Two temperatures and a flux, in a column, with gaps: every kind of error at once."""
    n = 25
    model = SoilHeat((0.0, 0.02, 0.06, 0.15, 0.3), 3600.0)
    hours = np.arange(n)
    forcing = {
        "incoming_shortwave": np.maximum(700.0 * np.sin(2 * np.pi * (hours - 6) / 24), 0.0),
        "incoming_longwave": np.full(n, 320.0),
        "air_temperature": 291.0 + 4.0 * np.sin(2 * np.pi * (hours - 9) / 24),
    }
    generator = np.random.default_rng(2)
    names = ("surface_temperature", "soil_temperature_0.05m", "outgoing_longwave")
    values = np.column_stack(
        [
            294.0 + generator.normal(size=n),
            293.0 + generator.normal(size=n),
            420.0 + 20.0 * generator.normal(size=n),
        ]
    )
    values[generator.random((n, 3)) < 0.2] = np.nan
    series = {name: values[:, k] for k, name in enumerate(names)}
    size = np.where(hours == 3, np.nan, 0.3 + 0.01 * hours)
    errors = Observations.from_series(series, {names[0]: 0.5, names[1]: size, names[2]: 10.0})
    errors = dataclasses.replace(
        errors, autocorrelation=jnp.array([0.7, 0.3, 0.0]), freedom=(math.inf, 4.0, 2.0)
    )
    known = {d.name: d for d in model.declarations}
    free = {
        "albedo": free_parameter(known["albedo"]),
        "thermal_conductivity": free_parameter(
            known["thermal_conductivity"], Normal(0.8, 0.3, 0.05, 5.0)
        ),
        "bottom_temperature": free_parameter(known["bottom_temperature"]),
    }
    return InverseProblem(
        model,
        {name: jnp.asarray(v) for name, v in forcing.items()},
        make_operator(model, [Stream(name) for name in names]),
        errors,
        ParameterSpace.build(model.declarations, free, {}),
    )


# Compiled once for the tests below.
linearise = eqx.filter_jit(lambda problem, u: problem.linearise(u))
cost_and_gradient = eqx.filter_jit(lambda problem, u: jax.value_and_grad(problem.cost)(u))


def test_derivatives_of_residuals_of_every_kind(problem):
    """Forward tangents, both modes of JAX and finite differences; no NaN where data are missing."""
    assert not problem.pointwise
    u = problem.space.initial() + jnp.array([0.2, -0.3, 0.1])
    residual = eqx.filter_jit(lambda p, u: p.residual(u))
    value, jacobian = linearise(problem, u)
    assert bool(jnp.isfinite(value).all() & jnp.isfinite(jacobian).all())
    np.testing.assert_allclose(value, residual(problem, u), rtol=0, atol=1e-11)
    scale = float(jnp.abs(jacobian).max())
    for mode in (jax.jacfwd, jax.jacrev):
        other = eqx.filter_jit(lambda p, u, mode=mode: mode(p.residual)(u))(problem, u)
        np.testing.assert_allclose(jacobian, other, rtol=0, atol=1e-11 * scale)
    step = 1e-4

    def difference(width):
        ends = [
            residual(problem, u + width * e) - residual(problem, u - width * e) for e in jnp.eye(3)
        ]
        return np.stack(ends, axis=1) / (2.0 * width)

    finite = (4.0 * difference(step) - difference(2.0 * step)) / 3.0
    np.testing.assert_allclose(finite, jacobian, rtol=0, atol=1e-8 * scale)


def test_cost_and_its_gradients(problem):
    u = problem.space.initial() + jnp.array([0.2, -0.3, 0.1])
    value, jacobian = linearise(problem, u)
    cost, gradient = cost_and_gradient(problem, u)
    assert float(cost) == pytest.approx(0.5 * float(value @ value), rel=1e-12)
    scale = float(jnp.abs(gradient).max())
    np.testing.assert_allclose(gradient, jacobian.T @ value, rtol=0, atol=1e-11 * scale)
    equations = eqx.filter_jit(lambda p, u: p.normal_equations(u))(problem, u)
    np.testing.assert_allclose(equations.gradient, gradient, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(equations.hessian, jacobian.T @ jacobian, rtol=1e-12)


def test_what_is_masked_has_no_influence(problem):
    """Whatever is written there."""
    u = problem.space.initial()
    clean = cost_and_gradient(problem, u)
    values = jnp.where(problem.mask, problem.observations.values, 1e6)
    spoiled = eqx.tree_at(lambda p: p.observations.values, problem, values)
    for one, other in zip(cost_and_gradient(spoiled, u), clean, strict=True):
        np.testing.assert_array_equal(one, other)
