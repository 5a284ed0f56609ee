"""Profile likelihoods against closed forms, and against re-fits by scipy."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.hyperparameters import information_at
from caliche.estimation.information import with_information
from caliche.parameters import Flat, Normal, random_walk
from caliche.posterior.profile import profile
from caliche.posterior.profile_result import Profiles
from caliche.problems.inverse import InverseProblem
from problems import (
    MISRA1A,
    LinearGaussian,
    Rosenbrock,
    line_problem,
    make_problem,
    product_problem,
    root_problem,
    with_observed,
)

QUANTILE = 1.959963984540054


def optimum(problem: InverseProblem) -> np.ndarray:
    return estimate(problem, "lm", tolerance=1e-12).u


def interval(found: Profiles, name: str, level: float = 0.95) -> tuple[float, float]:
    low, high = found.parameters[name].intervals[level]
    assert low.closed
    assert high.closed
    return low.value, high.value


def test_a_linear_gaussian_profile_is_a_parabola():
    problem = LinearGaussian.problem()
    u = optimum(problem)
    found = profile(problem, u)
    sd = np.sqrt(np.diag(posterior(problem, u).covariance_naive))
    for k, name in enumerate(problem.space.names):
        p = found.parameters[name]
        rise = 2.0 * (p.misfit - found.misfit)
        np.testing.assert_allclose(rise, ((p.u - u[k]) / sd[k]) ** 2, atol=1e-10)
        # w has a standard normal prior: its physical value is u itself.
        np.testing.assert_allclose(
            interval(found, name), u[k] + QUANTILE * sd[k] * np.array([-1.0, 1.0]), atol=1e-8
        )
        np.testing.assert_allclose(
            interval(found, name, 0.68),
            u[k] + 0.994457883210 * sd[k] * np.array([-1.0, 1.0]),
            atol=1e-8,
        )
        assert p.converged.all()
        assert p.verdict == ""
    assert found.better is None
    assert found.warnings == ()


def test_the_others_lie_on_their_regression_line():
    """Held away from the optimum, the other parameter moves by covariance over variance."""
    problem = LinearGaussian.problem()
    u = optimum(problem)
    covariance = posterior(problem, u).covariance_naive
    p = profile(problem, u, names=["w1"]).parameters["w1"]
    slope = covariance[1, 0] / covariance[0, 0]
    np.testing.assert_allclose(p.others[:, 1], u[1] + slope * (p.u - u[0]), atol=1e-8)


@pytest.mark.parametrize("name", ["b1", "b2"])
def test_a_curved_profile_against_scipy(name):
    problem = MISRA1A.problem()
    found = profile(problem, optimum(problem), names=[name])
    sigma2 = MISRA1A.residual_sum / (len(MISRA1A.y) - 2)
    scale = {"b1": 1.0, "b2": 1e-6}

    def misfit(value: float) -> float:
        def of_the_other(other: float) -> float:
            b1, b2 = (value, other * 1e-6) if name == "b1" else (other, value)
            return float(np.sum((b1 * (1.0 - np.exp(-b2 * MISRA1A.x)) - MISRA1A.y) ** 2))

        bracket = (540.0, 560.0) if name == "b1" else (230.0, 250.0)
        lowest = minimize_scalar(of_the_other, bracket=bracket, tol=1e-14)
        return 0.5 * float(lowest.fun) / sigma2

    best = dict(zip(("b1", "b2"), MISRA1A.estimate, strict=True))[name]
    width = 6.0 * dict(zip(("b1", "b2"), MISRA1A.sd, strict=True))[name]
    ends = [
        brentq(
            lambda x: 2.0 * (misfit(x) - found.misfit) - QUANTILE**2,
            best,
            best + side * width,
            xtol=1e-9 * scale[name],
        )
        for side in (-1.0, 1.0)
    ]
    np.testing.assert_allclose(interval(found, name), ends, rtol=2e-6)
    # It is not symmetric: what the Gaussian misses.
    asymmetry = (ends[1] - best) / (best - ends[0])
    assert abs(asymmetry - 1.0) > 0.001


def test_a_bent_valley():
    """min over b of Rosenbrock's function is (1 - a)^2; min over a needs scipy."""
    found = profile(Rosenbrock.problem(), optimum(Rosenbrock.problem()))
    np.testing.assert_allclose(interval(found, "a"), 1.0 + QUANTILE * np.array([-1, 1]), atol=1e-6)

    def rise(b: float) -> float:
        starts = [(-3.0, 0.0), (0.0, 3.5)]
        lowest = min(
            minimize_scalar(
                lambda a: (1.0 - a) ** 2 + 100.0 * (b - a**2) ** 2,
                bounds=bounds,
                method="bounded",
                options={"xatol": 1e-12},
            ).fun
            for bounds in starts
        )
        return lowest - QUANTILE**2

    ends = [brentq(rise, -0.5, 0.9), brentq(rise, 1.0, 12.0)]
    np.testing.assert_allclose(interval(found, "b"), ends, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_known_is_open_and_bounds_of_others_are_named():
    """Only a b is known: a is open above, and below ends only where b reaches its bound."""
    problem = product_problem()
    found = profile(problem, optimum(problem))
    x = np.linspace(0.0, 1.0, 11)
    slope, _ = np.polyfit(x, np.asarray(problem.observations.values)[:, 0], 1)
    smallest = (slope - QUANTILE * 0.1 / np.sqrt(np.sum((x - x.mean()) ** 2))) / 50.0
    for name, other in (("a", "b"), ("b", "a")):
        low, high = found.parameters[name].intervals[0.95]
        assert not high.closed
        assert high.value == pytest.approx(50.0)
        assert low.held == (other,)
        assert not low.known
        # The problem is the same for both: so is the end, where 50 times it is a b too small.
        assert low.value == pytest.approx(smallest, rel=2e-4)
        verdict = found.parameters[name].verdict
        assert verdict.startswith("the observations do not bound it on either side")
        assert f"its lower end is where {other} reached a bound" in verdict
    assert found.parameters["c"].verdict == ""
    flat = found.parameters["a"]
    inside = (flat.value > 0.13) & (flat.value < 49.0)
    assert np.ptp(flat.misfit[inside]) < 1e-8


def test_a_parameter_on_its_bound():
    """The data ask for less than the bound allows: open below, closed above."""
    x = np.linspace(0.0, 1.0, 5)
    problem = line_problem(x, -0.5 * x, 0.5, slope=Flat(0.0, 10.0))
    u = estimate(problem, "lm").u
    low, high = profile(problem, u, names=["slope"]).parameters["slope"].intervals[0.95]
    assert not low.closed
    assert low.value == pytest.approx(0.0, abs=1e-5)
    assert high.closed
    # With the intercept free the slope's sd is 0.5 / sqrt(sum((x - mean)^2)), its estimate -0.5.
    sd = 0.5 / np.sqrt(np.sum((x - x.mean()) ** 2))
    at_bound = 0.5 / sd
    assert high.value == pytest.approx(-0.5 + sd * np.hypot(at_bound, QUANTILE), rel=1e-4)


def test_the_model_fails_on_the_way():
    """Below a = 0 there is no misfit: the end is open, at the last value that has one."""
    problem = with_observed(root_problem(), 0.05 * np.linspace(0.0, 1.0, 5)[:, None])
    found = profile(problem, optimum(problem)).parameters["a"]
    low, high = found.intervals[0.95]
    assert not low.closed
    assert 0.0 <= low.value < 0.0025
    assert high.closed
    assert "did not converge" in found.verdict


def test_a_better_optimum_on_the_way_is_told():
    problem = make_problem(
        lambda p, f: p["a"] ** 2 - 1.0 + f["which"] * (0.3 * p["a"] - 0.3 - p["a"] ** 2 + 1.0),
        {"a": Flat()},
        {"a": -1.2},
        {"which": np.arange(2.0)},
        np.zeros(2),
    )
    u = optimum(problem)
    assert u[0] < 0.0
    found = profile(problem, u)
    assert found.better is not None
    np.testing.assert_allclose(found.better, 1.0, atol=0.3)
    assert "Run it again with more starts." in found.warnings[0]


def test_with_what_the_observations_tell_it_is_the_interval_of_the_standard_deviations():
    x = np.arange(40.0)
    problem = line_problem(x, 1.0 + 0.5 * x + 3.0 * np.cos(0.4 * x))
    u = optimum(problem)
    curvature = posterior(problem, u)
    found = profile(with_information(problem, information_at(problem, u, declared=True)), u)
    for k, name in enumerate(problem.space.names):
        sd = curvature.sd(np.eye(2)[k])
        assert sd > 2.0 * curvature.sd(np.eye(2)[k], naive=True)
        np.testing.assert_allclose(
            interval(found, name), u[k] + QUANTILE * sd * np.array([-1.0, 1.0]), rtol=1e-4
        )


def test_an_unknown_parameter_is_refused():
    problem = LinearGaussian.problem()
    with pytest.raises(InputError, match="the name of a free parameter"):
        profile(problem, np.asarray(jnp.zeros(2)), names=["w3"])


def test_a_parameter_that_varies_in_time_has_no_profile():
    """Entries of u are its mean and increments: to hold one is not to hold the value of a knot."""
    days, knots = np.arange(41) / 10.0, [0.0, 2.0, 4.0]
    problem = line_problem(
        days, 2.0 + np.sin(days), 0.3, slope=Normal(0.0, 0.5), intercept=Normal(0.0, 3.0)
    )
    walk = random_walk(days, knots, [f"{k:g}" for k in knots], "linear", 0.3)
    space = dataclasses.replace(problem.space, variations={"intercept": walk})
    problem = dataclasses.replace(problem, space=space)
    u = optimum(problem)
    found = profile(problem, u)
    assert list(found.parameters) == ["slope"]
    assert "no profile" in found.warnings[-1]
    slopes = np.asarray(jax.jacfwd(problem.space.vector)(jnp.asarray(u)))
    k = problem.space.names.index("slope")
    sd = posterior(problem, u).sd(slopes[k], naive=True)
    centre = float(problem.space.vector(jnp.asarray(u))[k])
    np.testing.assert_allclose(
        interval(found, "slope"), centre + QUANTILE * sd * np.array([-1.0, 1.0]), rtol=1e-4
    )
    with pytest.raises(InputError, match="constant in time"):
        profile(problem, u, names=["intercept[0]"])
