"""Correlated priors and ties in every method: the closed form with a full B, and derivatives."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.density import log_evidence, whitening
from caliche.estimation.result import ParameterEstimate, with_the_rest
from caliche.identifiability.linearised import assess, linearised
from caliche.parameters import LogNormal, Normal, ParameterSpace, Tie
from caliche.posterior.profile import profile
from caliche.problems.inverse import InverseProblem
from problems import LinearGaussian, make_problem

MEAN, B = LinearGaussian.mean, LinearGaussian.prior_covariance
SD = np.sqrt(np.diag(B))
OUTER = LinearGaussian.errors
EXACT, COVARIANCE = LinearGaussian.estimate, LinearGaussian.covariance


def _with_space(problem: InverseProblem, **more) -> InverseProblem:
    old, tied = problem.space, {tie.name for tie in more.get("ties", ())}
    free = {p.name: p for p in old.free if p.name not in tied}
    space = ParameterSpace.build(old.declarations, free, {}, **more)
    return InverseProblem(
        problem.model, problem.forcing, problem.operator, problem.observations, space
    )


@functools.cache
def full_b() -> InverseProblem:
    """y = A x + e with x ~ N(mean, B) as a prior on x itself; errors whitened beforehand."""
    whiten = np.linalg.inv(np.linalg.cholesky(LinearGaussian.errors))
    design = whiten @ LinearGaussian.design
    problem = make_problem(
        lambda params, forcing: forcing["first"] * params["x1"] + forcing["second"] * params["x2"],
        {"x1": Normal(0.5, float(SD[0])), "x2": Normal(-0.2, float(SD[1]))},
        {"x1": -1.0, "x2": 1.0},
        {"first": design[:, 0], "second": design[:, 1]},
        whiten @ LinearGaussian.observed,
    )
    return _with_space(problem, correlations={("x1", "x2"): B[0, 1] / (SD[0] * SD[1])})


@functools.cache
def optimum():
    return estimate(full_b(), "lm")


def test_estimate_and_covariance_are_the_closed_form():
    result = optimum()
    assert result.converged
    found = [result.parameters[n].estimate for n in result.names]
    np.testing.assert_allclose(found, EXACT, atol=1e-7)  # within the tolerance of the method
    sds = [result.parameters[n].sd_naive for n in result.names]
    np.testing.assert_allclose(sds, np.sqrt(np.diag(COVARIANCE)), rtol=1e-9)
    scale = np.diag(SD) @ np.asarray(full_b().space.correlation.root)
    naive = posterior(full_b(), result.u).covariance_naive
    np.testing.assert_allclose(scale @ naive @ scale.T, COVARIANCE, rtol=1e-8)
    assert result.starts[0].misfit == pytest.approx(LinearGaussian.cost, rel=1e-9)
    # Its own sd reaches as far in x as the interval says: x, not u, is what is reported.
    low, high = result.parameters["x2"].interval
    assert 0.5 * (high - low) == pytest.approx(1.959964 * result.parameters["x2"].sd, rel=1e-6)


def test_evidence_is_the_closed_form():
    """log N(y; A mean, A B A^T + R), whitened: R^-1/2 y has R = I."""
    whiten = np.linalg.inv(np.linalg.cholesky(OUTER))
    design, y = whiten @ LinearGaussian.design, whiten @ LinearGaussian.observed
    covariance = design @ B @ design.T + np.eye(4)
    misfit = y - design @ MEAN
    exact = -0.5 * (
        misfit @ np.linalg.solve(covariance, misfit)
        + np.linalg.slogdet(covariance)[1]
        + 4.0 * math.log(2.0 * math.pi)
    )
    assert log_evidence(full_b(), optimum().u) == pytest.approx(exact, rel=1e-10)


def test_identify_sees_the_correlated_prior():
    found = assess(linearised(full_b(), np.asarray(full_b().space.initial())))
    np.testing.assert_allclose(found.sd, np.sqrt(np.diag(COVARIANCE)), rtol=1e-8)
    np.testing.assert_allclose(found.sd_prior, SD, rtol=1e-10)
    np.testing.assert_allclose(
        found.linearised.prior.T @ found.linearised.prior, np.linalg.inv(B), rtol=1e-9
    )
    assert "correlation 0.424264 with x2" in found.linearised.entries[0].prior


def test_profiles_hold_the_parameter_and_not_an_entry_of_u():
    """Of a Gaussian the profile's interval is the marginal one, whichever root B has."""
    found = profile(full_b(), optimum().u)
    for k, name in enumerate(("x1", "x2")):
        low, high = found.parameters[name].intervals[0.95]
        reach = 1.959964 * math.sqrt(COVARIANCE[k, k])
        assert low.value == pytest.approx(EXACT[k] - reach, abs=1e-4)
        assert high.value == pytest.approx(EXACT[k] + reach, abs=1e-4)
    assert found.better is None


def test_an_ensemble_draws_from_the_correlated_prior_and_finds_the_closed_form():
    result = estimate(full_b(), "etki", members=60, seed=2)
    found = [result.parameters[n].estimate for n in result.names]
    np.testing.assert_allclose(found, EXACT, atol=1e-6)
    np.testing.assert_allclose(result.covariance, COVARIANCE, rtol=1e-6)


def test_whitening_of_the_sampler_has_the_covariance_of_the_closed_form():
    white = whitening(full_b(), optimum().u)
    scale = np.diag(SD) @ np.asarray(full_b().space.correlation.root)
    root = scale @ np.asarray(white.root)
    np.testing.assert_allclose(root @ root.T, COVARIANCE, rtol=1e-8)


@functools.cache
def curved() -> InverseProblem:
    x = np.linspace(0.0, 2.0, 9)
    problem = make_problem(
        lambda p, f: p["a"] * jnp.exp(-p["b"] * f["x"]) + p["c"] * f["x"] + p["e"] ** 2,
        {
            "a": LogNormal(2.0, 0.5),
            "b": Normal(0.8, 0.3, 0.1, 2.0),
            "c": Normal(0.0, 1.0),
            "e": Normal(0.0, 1.0),
        },
        {"a": 1.7, "b": 0.9, "c": 0.2, "e": 0.1},
        {"x": x},
        np.sin(3.0 * x),
        0.3,
    )
    return _with_space(
        problem, correlations={("a", "b"): 0.7, ("b", "c"): -0.4}, ties=[Tie("e", "a", -0.5)]
    )


def test_derivatives_through_correlated_and_tied_parameters():
    problem, u = curved(), jnp.asarray([0.3, -0.8, 0.5])
    assert problem.space.names == ("a", "b", "c")
    reverse = np.asarray(jax.jit(jax.grad(problem.cost))(u))
    equations = jax.jit(lambda u: problem.normal_equations(u))(u)
    np.testing.assert_allclose(equations.gradient, reverse, rtol=1e-10)
    cost, step = jax.jit(lambda u: problem.cost(u)), 1e-5
    finite = [(cost(u + step * e) - cost(u - step * e)) / (2.0 * step) for e in jnp.eye(3)]
    np.testing.assert_allclose(finite, reverse, rtol=1e-7)


def test_a_tied_parameter_is_reported_with_the_error_bar_of_the_other():
    space = curved().space
    a = ParameterEstimate("a", "a", "1", 1.8, 0.2, 0.1, (1.4, 2.2), 1.7, 0.0, 9.0, False)
    e = with_the_rest(space, {"a": a})["e"]
    assert (e.fixed, e.tied, e.estimate) == (True, "= -0.5 × a", -0.9)
    assert (e.sd, e.sd_naive, e.interval) == (0.1, 0.05, (-1.1, -0.7))
