"""What is said of a result: priors, bounds, effects, sizes of errors, starts and rough misfits."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.hyperparameters import Unknown
from caliche.estimation.method import (
    CONVERGED,
    GIVEN_UP,
    RUNNING,
    STATUS,
    Iterate,
    creeping,
    reason_of,
)
from caliche.estimation.verdict import prior_distance
from caliche.parameters import Flat, LogNormal, Normal
from caliche.remarks import headline
from oracle_models import Branin
from problems import SEEN, line_problem, make_problem

X = np.linspace(-1.0, 1.0, 20)
NOISE = np.random.default_rng(3).standard_normal(20)
LINE = line_problem(X, 2.0 + X + 0.1 * NOISE, 0.1)


def kinds(result, serious=True):
    return {(r.kind, r.about) for r in result.remarks if r.serious or not serious}


def sentence(result, kind):
    (found,) = [r.sentence for r in result.remarks if r.kind == kind]
    return found


def test_nothing_is_said_of_a_plain_line():
    result = estimate(LINE)
    assert result.remarks == ()
    assert result.warnings == ()


# -- priors and bounds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prior", [Normal(0.0, 0.2), Normal(0.0, 0.2, -5.0, 5.0), LogNormal(0.1, 0.05)]
)
@pytest.mark.parametrize("method", ["lm", "etki"])
def test_an_estimate_far_from_its_prior_is_told(prior, method):
    problem = line_problem(X, 2.0 + X + 0.1 * NOISE, 0.1, slope=prior, intercept=Normal(2.0, 1.0))
    options = {"members": 40} if method == "etki" else {}
    result = estimate(problem, method, **options)
    away = float(prior_distance(prior, result.parameters["slope"].estimate))
    assert away > 3.0
    assert ("far-from-prior", ("slope",)) in kinds(result)
    assert f"{away:.1f} prior standard deviations above its prior mean" in sentence(
        result, "far-from-prior"
    )
    assert ("far-from-prior", ("intercept",)) not in kinds(result)


def test_distances_from_priors():
    assert prior_distance(Normal(2.0, 0.5), 1.0) == -2.0
    assert prior_distance(Flat(0.0, 1.0), 0.5) == 0.0
    log_normal = LogNormal(150.0, 150.0)
    found = prior_distance(log_normal, np.exp(log_normal.log_mean + 4.0 * log_normal.log_sd))
    assert found == pytest.approx(4.0)
    np.testing.assert_array_equal(
        prior_distance(Normal(0.0, 1.0), np.array([3.5, np.nan])), [3.5, 0]
    )


def test_a_parameter_at_its_bound_is_in_the_first_line():
    problem = line_problem(X, 2.0 + X + 0.1 * NOISE, 0.1, slope=Flat(0.0, 0.5))
    result = estimate(problem)
    assert result.converged
    assert headline("converged", result.remarks).startswith(
        "converged, with 1 parameter at its bound (slope)"
    )


def test_a_truncated_prior_that_holds_an_estimate_is_told_alike():
    problem = line_problem(X, 2.0 + X + 0.1 * NOISE, 0.1, slope=Normal(0.0, 0.5, -0.5, 0.5))
    result = estimate(problem)
    assert ("bound", ("slope",)) in kinds(result)
    assert "upper bound, 0.5" in sentence(result, "bound")


# -- parameters without effect -------------------------------------------------------------------


def _first_alone(params, forcing):
    return params["a"] * forcing["x"] + 0.0 * params["b"]


def _nothing(params, forcing):
    return 2.0 * forcing["x"] + 0.0 * params["a"]


@pytest.mark.parametrize("prior", [Flat(0.0, 10.0), Normal(1.0, 0.5)])
def test_a_parameter_without_effect_has_no_estimate(prior):
    problem = make_problem(
        _first_alone, {"a": Flat(), "b": prior}, {"a": 1.0, "b": 1.5}, {"x": X}, 2.0 * X, 0.1
    )
    result = estimate(problem)
    assert result.converged
    assert ("no-effect", ("b",)) in kinds(result)
    assert "not an estimate" in sentence(result, "no-effect")
    assert not any("number a" in text for text in result.warnings)


def test_nothing_depends_on_anything():
    """Whatever a method makes of it: there is no estimate."""
    problem = make_problem(_nothing, {"a": Flat(0.0, 9.0)}, {"a": 1.0}, {"x": X}, 2.1 * X, 0.1)
    for method in ("cma", "ga"):
        with pytest.raises(InputError, match="outputs that depend on a free parameter"):
            estimate(problem, method)
    result = estimate(problem)
    assert not result.converged
    assert result.reason.startswith("nothing that is fitted depends on any free parameter")
    assert ("no-effect", ("a",)) in kinds(result)


# -- sizes of errors -----------------------------------------------------------------------------


def test_an_estimated_sigma_far_above_the_declared_one_is_told():
    problem = line_problem(X, 2.0 + X + 6.0 * NOISE, 0.1)
    result = estimate(problem, unknown=Unknown(sigma=(SEEN,)))
    assert result.converged
    assert ("errors-too-small", (SEEN,)) in kinds(result)
    times = result.hyperparameters.sigma[SEEN] / 0.1
    assert 30.0 < times < 90.0
    assert f"The estimated errors of surface (skin) temperature are {times:.1f} times" in sentence(
        result, "errors-too-small"
    )


def test_a_declared_sigma_a_hundred_times_too_large_is_told():
    result = estimate(line_problem(X, 2.0 + X + 0.1 * NOISE, 10.0))
    assert ("errors-too-large", (SEEN,)) in kinds(result)
    assert "the sigma is too large" in sentence(result, "errors-too-large")


# -- starts --------------------------------------------------------------------------------------


def test_one_rule_says_which_starts_reached_the_optimum():
    """Three optima with one misfit: the first line, the note and the list of optima agree."""
    result = estimate(Branin.problem(), starts=16, seed=2)
    reached = [start.optimum for start in result.starts]
    assert [reached.count(k) for k in range(3)] == [o.starts for o in result.optima]
    first = reached.count(0)
    assert f"{first} of 16 starts reached this optimum" in headline(
        "converged", result.remarks, result.starts
    )
    assert sentence(result, "starts").startswith(f"{first} of 16 starts reached the optimum")
    assert ("rival-optima", ()) in kinds(result)


def test_a_start_that_did_not_converge_may_have_reached_the_optimum():
    starts = jnp.array([[0.5, -1.0], [2.0, 1.0]])
    result = estimate(LINE, starts=starts, max_iterations=4, tolerance=1e-9)
    ends = np.array([start.misfit for start in result.starts])
    assert np.ptp(ends) < 0.1
    assert [start.optimum for start in result.starts] == [0, 0]


# -- rough misfits and starts that creep ---------------------------------------------------------


def _iterate(remaining):
    one = jnp.ones(1)
    return Iterate(one[None], one, one * remaining, jnp.array([CONVERGED]), jnp.array([5]))


def test_the_rule_for_rough_misfits_says_that_it_decided():
    method = LevenbergMarquardt()
    text = reason_of(method, _iterate(0.31), 0)
    assert text.startswith("converged to 0.31 posterior standard deviations and no nearer")
    assert "rough" in text
    for remaining in (1e-7, 5e-4):
        assert "rough" not in reason_of(method, _iterate(remaining), 0)
    assert "rough" not in reason_of(dataclasses.replace(method, tolerance=0.01), _iterate(5e-3), 0)


def _rough(params, forcing):
    """A parabola with a fine saw on it, so that no step lowers the misfit near the optimum."""
    a = params["a"]
    return forcing["x"] * a + 0.02 * jnp.floor(40.0 * a)


def test_a_rough_misfit_is_told():
    problem = make_problem(_rough, {"a": Flat()}, {"a": 3.0}, {"x": X + 1.0}, X + 1.0, 0.3)
    result = estimate(problem)
    left = [r for r in result.remarks if r.kind == "rough"]
    assert bool(left) == result.reason.startswith("converged to ")


def paths(*ends, length=30):
    """J of starts that fall in a straight line from 1000 to `ends`, after each iteration."""
    return list(np.linspace(np.full(len(ends), 1000.0), np.array(ends), length))


def test_a_start_that_creeps_is_given_up():
    status = np.array([CONVERGED, RUNNING, RUNNING, RUNNING])
    costs = paths(10.0, 990.0, 500.0, 12.0)
    found = creeping(costs, status, left=100)
    # 10 in 29 iterations would need thousands; 500 in 29 will be there in time; 12 is near.
    assert found.tolist() == [False, True, False, False]
    assert STATUS[GIVEN_UP].startswith("given up: ")


def test_no_start_is_given_up_before_another_one_has_arrived():
    running = np.array([RUNNING, RUNNING])
    assert not creeping(paths(10.0, 999.0), running, left=100).any()
    assert not creeping(paths(10.0, 999.0, length=20), np.array([1, 0]), left=100).any()


def _plateau(params, forcing):
    """A slope that is all but flat far from the optimum at zero."""
    return jnp.arctan(params["a"]) * forcing["x"] * 20.0 + 1e-4 * params["a"]


def test_given_up_starts_leave_the_optimum_as_it_is():
    problem = make_problem(_plateau, {"a": Flat()}, {"a": 0.5}, {"x": X + 1.5}, 0.0 * X, 0.1)
    alone = estimate(problem)
    many = estimate(problem, starts=jnp.array([[0.5], [2.0], [1e6]]))
    assert many.parameters["a"].estimate == pytest.approx(alone.parameters["a"].estimate, abs=1e-9)
    assert many.n_iterations < 200
