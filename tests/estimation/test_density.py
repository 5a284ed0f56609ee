"""The posterior density, its volume, and what inflation does to draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import truncnorm

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.density import (
    bounds_in_u,
    degrees_of_freedom,
    log_density,
    log_evidence,
    physical,
    reach,
    whitening,
)
from caliche.parameters import Flat, LogNormal, Normal
from caliche.posterior.gaussian_draws import gaussian_draws
from problems import LinearGaussian, line_problem, make_problem, product_problem


def test_evidence_and_degrees_of_freedom_of_a_linear_gaussian_problem():
    """log N(y; A mean, A B A^T + R); the problem is whitened, so that det R comes back here."""
    problem = LinearGaussian.problem()
    u = estimate(problem, "lm", tolerance=1e-12).u
    half_logdet = 0.5 * np.linalg.slogdet(LinearGaussian.errors)[1]
    assert log_evidence(problem, u) - half_logdet == pytest.approx(-3.4144807774141, abs=1e-11)
    assert degrees_of_freedom(problem, u) == pytest.approx(1.9738741944557, abs=1e-10)


def test_evidence_with_flat_priors_is_the_integral_over_physical_space():
    x, sigma = np.linspace(0.0, 2.0, 9), 0.3
    y = 1.0 + 2.0 * x + 0.2 * np.cos(5.0 * x)
    bounded = {"slope": Flat(-50.0, 50.0), "intercept": Flat(-20.0, scale=3.0)}
    design = np.stack([np.ones(9), x], axis=1)
    _, residual, *_ = np.linalg.lstsq(design, y)
    exact = (
        -0.5 * residual[0] / sigma**2
        - 4.5 * np.log(2.0 * np.pi * sigma**2)
        + np.log(2.0 * np.pi)
        - 0.5 * np.linalg.slogdet(design.T @ design / sigma**2)[1]
    )
    for priors in ({}, bounded):
        problem = line_problem(x, y, sigma, **priors)
        u = estimate(problem, "lm", tolerance=1e-12).u
        assert log_evidence(problem, u) == pytest.approx(exact, abs=1e-6)


def test_no_evidence_without_an_optimum_inside():
    problem = product_problem()
    with pytest.raises(InputError, match="nothing determines"):
        log_evidence(problem, estimate(problem, "lm").u)


PRIORS = {
    "free": Flat(scale=2.0),
    "above": Flat(1.0, scale=2.0),
    "below": Flat(upper=5.0, scale=0.5),
    "between": Flat(-1.0, 4.0),
    "normal": Normal(1.0, 0.5, 0.0, 4.0),
    "log_normal": LogNormal(2.0, 1.0),
}


def blind_problem():
    """A sum of parameters, seen once."""
    initial = dict.fromkeys(PRIORS, 2.0)
    names = tuple(PRIORS)
    return make_problem(
        lambda p, f: f["x"] * sum(p[name] for name in names),
        PRIORS,
        initial,
        {"x": np.ones(1)},
        np.array([12.0]),
        0.7,
    )


def test_the_density_is_that_of_physical_space():
    """exp(log_density) du = exp(-J) dx over flat parameters: differences against finite slopes."""
    problem = blind_problem()
    u = jnp.asarray([0.3, -0.4, 0.2, 1.1, 0.5, -0.6])
    flat = ~problem.space.informative
    step = 1e-6
    slopes = [
        (problem.space.vector(u + step * e) - problem.space.vector(u - step * e))[k] / (2 * step)
        for k, e in enumerate(jnp.eye(6))
    ]
    expected = sum(np.log(abs(float(s))) for s, f in zip(slopes, flat, strict=True) if f)
    assert float(log_density(problem, u) + problem.cost(u)) == pytest.approx(expected, abs=1e-8)
    assert np.isfinite(jax.grad(lambda v: log_density(problem, v))(u)).all()


def test_where_bounds_end():
    problem = blind_problem()
    space, u = problem.space, np.zeros(6)
    assert [np.isfinite(b).tolist() for b in bounds_in_u(space, u)] == [
        [False, False],
        [True, False],
        [False, True],
        [True, True],
        [False, False],
        [False, False],
    ]
    low, high = reach(space, u)
    np.testing.assert_allclose(low[:4], [-np.inf, 1.0, -np.inf, -1.0])
    np.testing.assert_allclose(high[:4], [np.inf, np.inf, 5.0, 4.0])


def test_an_endless_posterior_is_refused():
    x = np.zeros(5)  # says nothing about the slope
    problem = line_problem(x, np.ones(5))
    with pytest.raises(InputError, match="slope, which neither"):
        whitening(problem, np.zeros(2))


def test_draws_of_the_gaussian_have_its_covariance_in_any_number():
    x = np.linspace(-1.0, 1.0, 60)
    problem = line_problem(x, x + 3.0 * np.cos(5.0 * x))
    curvature = posterior(problem, estimate(problem).u)
    draws = gaussian_draws(problem.space, curvature, 0, 20000)
    assert draws.shape == (20000, 2)
    np.testing.assert_allclose(np.cov(draws.T), curvature.covariance, rtol=0.05, atol=0.1)


def test_draws_beside_a_bound_stay_inside_and_fill_the_tail():
    """The slope would be 1.5 sd above its bound: what is left is a normal distribution cut off."""
    x = np.ones(50)
    sd = 0.1 / np.sqrt(50.0)
    problem = make_problem(
        lambda p, f: p["a"] * f["x"],
        {"a": Flat(0.0, 1.0)},
        {"a": 0.5},
        {"x": x},
        (1.0 + 1.5 * sd) * x,
        0.1,
    )
    curvature = posterior(problem, estimate(problem).u)
    a = physical(problem.space, gaussian_draws(problem.space, curvature, 0, 20000))[:, 0]
    assert a.max() <= 1.0
    exact = truncnorm(-np.inf, -1.5, loc=1.0 + 1.5 * sd, scale=sd)
    np.testing.assert_allclose(np.quantile(a, [0.1, 0.5]), exact.ppf([0.1, 0.5]), atol=0.1 * sd)
