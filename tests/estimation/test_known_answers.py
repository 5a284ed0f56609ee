"""Methods against problems whose answer is known in closed form or certified."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import METHODS, Result, estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.method import at_bound
from caliche.parameters import Flat, Normal
from problems import (
    ECKERLE4,
    MGH10,
    MISRA1A,
    SEEN,
    LinearGaussian,
    Rosenbrock,
    line_problem,
    product_problem,
)


@functools.cache
def solved(name: str, method: str) -> Result:
    makers = {
        "linear": LinearGaussian.problem,
        "rosenbrock": Rosenbrock.problem,
        "product": product_problem,
    }
    # Three starts as in the contract test, which shares the compiled program.
    return estimate(makers[name](), method, starts=3 if name == "linear" else 1, seed=4)


@pytest.mark.parametrize(("method", "tolerance"), [("lm", 1e-6), ("lbfgs", 1e-3), ("adam", 1e-3)])
def test_linear_gaussian_posterior(method, tolerance):
    """The estimate within the method's tolerance (in sd), the covariance to all given digits."""
    result = solved("linear", method)
    assert result.converged
    sd = np.sqrt(np.diag(LinearGaussian.covariance))
    for k, name in enumerate(["x1", "x2"]):
        value, error, _, _ = result.derived[name]
        assert abs(value - LinearGaussian.estimate[k]) < tolerance * sd[k]
        assert error == pytest.approx(sd[k], rel=1e-9)
    # J is flat at its minimum: half the tolerance squared is what is left.
    excess = min(start.misfit for start in result.starts) - LinearGaussian.cost
    assert abs(excess) < max(tolerance**2, 1e-12)


def test_linear_gaussian_covariance():
    problem = LinearGaussian.problem()
    curvature = posterior(problem, solved("linear", "lm").u)
    covariance = LinearGaussian.root @ curvature.covariance_naive @ LinearGaussian.root.T
    np.testing.assert_allclose(covariance, LinearGaussian.covariance, rtol=1e-9)


@pytest.mark.parametrize("method", ["lm", "lbfgs"])
def test_rosenbrock(method):
    """The bottom of a curved valley, and the covariance there: the valley's long axis."""
    result = solved("rosenbrock", method)
    assert result.converged
    np.testing.assert_allclose(
        [result.parameters[n].estimate for n in result.names], Rosenbrock.estimate, rtol=2e-3
    )
    sd = [result.parameters[n].sd_naive for n in result.names]
    np.testing.assert_allclose(sd, np.sqrt(np.diag(Rosenbrock.covariance)), rtol=2e-3)


def test_adam_says_when_it_has_not_arrived():
    """5000 updates do not reach the end of Rosenbrock's valley; the result says so."""
    result = solved("rosenbrock", "adam")
    assert not result.converged
    assert "limit of iterations" in result.reason
    assert "would still move" in result.reason


@pytest.mark.parametrize(
    ("certified", "starts"),
    [
        pytest.param(MISRA1A, [0, 1], id="Misra1a"),
        # From NIST's first start, b1 falls by 400 000 times the way, and then creeps back.
        pytest.param(MGH10, [1], id="MGH10"),
        pytest.param(ECKERLE4, [0, 1], id="Eckerle4"),
    ],
)
def test_certified_least_squares(certified, starts):
    problem = certified.problem()
    result = estimate(problem, starts=certified.controls(problem)[np.array(starts)])
    for start in result.starts:
        assert start.converged
        assert 2.0 * start.misfit == pytest.approx(len(certified.y) - len(result.names), rel=1e-8)
        found = [start.estimate[name] for name in result.names]
        np.testing.assert_allclose(found, certified.estimate, rtol=1e-8)
    ratio = result.residuals[SEEN].variance_ratio
    assert ratio == pytest.approx(1.0, rel=1e-8)
    sd = [result.parameters[name].sd_naive * np.sqrt(ratio) for name in result.names]
    np.testing.assert_allclose(sd, certified.sd, rtol=1e-6)


@pytest.mark.parametrize("method", ["lm", "adam"])
def test_product_of_two_parameters(method):
    """Nothing separates a from b: no error bar for either, one for the product, and words."""
    result = solved("product", method)
    assert result.converged
    for name in ("a", "b"):
        parameter = result.parameters[name]
        assert parameter.sd == parameter.sd_naive == float("inf")
        assert parameter.interval == (parameter.lower, parameter.upper)
        assert any(f"do not constrain the number {name}" in w for w in result.warnings)
    value, sd, unit, _ = result.derived["product"]
    assert abs(value - 6.0) < 3.0 * sd
    assert 0.05 < sd < 0.3  # a line over 0 ... 1, eleven points, errors of 0.1: 0.095
    assert unit == "1"
    offset = result.parameters["c"]
    assert offset.sd_naive == pytest.approx(0.1 * np.sqrt(0.35 / 1.1), rel=1e-3)
    assert not any("number c" in warning for warning in result.warnings)


def test_unbounded_parameters_are_held_by_no_bound():
    """Values far from zero, in units of the scale, are not bounds."""
    x = np.linspace(-1.0, 1.0, 20)
    for sign in (1.0, -1.0):
        result = estimate(line_problem(x, sign * (300.0 + 90.0 * x)))
        assert result.converged
        for name, value in {"intercept": 300.0, "slope": 90.0}.items():
            assert not result.parameters[name].at_bound
            assert result.parameters[name].estimate == pytest.approx(sign * value, rel=1e-6)
            assert np.isfinite(result.parameters[name].sd)


def test_only_the_bounds_that_exist_can_hold():
    """Far out (20) on each side, pushed outwards and inwards: none, lower, both, and a prior."""
    x = np.linspace(-1.0, 1.0, 3)
    spaces = {
        "none": line_problem(x, x).space,
        "lower": line_problem(x, x, intercept=Flat(0.0), slope=Flat(-1.0)).space,
        "both": line_problem(x, x, intercept=Flat(0.0, 1.0), slope=Flat(-1.0, 1.0)).space,
        "prior": line_problem(x, x, intercept=Normal(0.0, 1.0), slope=Normal(0.0, 1.0)).space,
    }
    held_below = {"none": False, "lower": True, "both": True, "prior": False}
    held_above = {"none": False, "lower": False, "both": True, "prior": False}
    ends, outwards = np.array([-20.0, 20.0]), np.array([1.0, -1.0])  # gradient: downhill is out
    for name, space in spaces.items():
        expected = [held_below[name], held_above[name]]
        assert np.asarray(at_bound(space, ends, outwards)).tolist() == expected
        assert not np.asarray(at_bound(space, ends, -outwards)).any()
        assert not np.asarray(at_bound(space, 0.5 * ends, outwards)).any()


def test_a_tight_prior_keeps_its_parameter_and_spends_no_degree_of_freedom():
    x = np.linspace(-1.0, 1.0, 20)
    noise = np.cos(3.0 * np.arange(20.0) ** 2)
    problem = line_problem(x, 2.0 + noise, slope=Normal(0.0, 1e-3))
    result = estimate(problem)
    assert result.parameters["slope"].sd == pytest.approx(1e-3, rel=1e-3)
    mean = (2.0 + noise).mean()
    assert result.parameters["intercept"].estimate == pytest.approx(mean, rel=1e-5)
    expected = noise.var() * 20.0 / 19.0  # one parameter fitted, not two
    assert result.residuals[SEEN].variance_ratio == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("method", [*METHODS, "least-squares"])
def test_options_are_checked(method):
    with pytest.raises(InputError, match="name of a method" if method not in METHODS else "option"):
        estimate(LinearGaussian.problem(), method, momentum=0.9)
