"""Ensembles near a bound, and models that do not depend on what is estimated.

y = a x with a between 0 and 1: the posterior is a normal distribution cut off at the bounds.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from caliche.errors import InputError
from caliche.estimation import MEMBER_METHODS, estimate
from caliche.estimation.ensemble.ask_tell import AskTell
from caliche.estimation.ensemble.check import Agreement, agreement, near_bounds
from caliche.models.base import ParameterDeclaration
from caliche.parameters import Flat, LogNormal, Normal, ParameterSpace
from caliche.parameters.space import free_parameter
from problems import each_method, make_problem

SD, N = 0.01, 20  # of the least-squares estimate of a; observations
SIGMA = SD * np.sqrt(N)
DRAWS = 12
ENSEMBLES = ("4denvar", "eki", "etki", "uki")


def declared(name: str, lower: float = 0.0, upper: float = 1.0) -> ParameterDeclaration:
    return ParameterDeclaration(name, name, "1", 0.5, lower, upper, "a test")


def posterior(truth: float, seed: int):
    """Observations of the truth, and the exact posterior."""
    observed = truth + SIGMA * np.random.default_rng(seed).standard_normal(N)
    best = observed.mean()
    return observed, stats.truncnorm((0.0 - best) / SD, (1.0 - best) / SD, best, SD)


def found_by(method: str, observed: np.ndarray, seed: int, **options):
    job = AskTell(method, [free_parameter(declared("a"))], observed, SIGMA, seed=seed, **options)
    while not job.done:
        job.tell(np.repeat(job.ask(), N, axis=1))
    return job.result()


def is_right(found, exact) -> bool:
    """Whether estimate and interval are those of the posterior, near enough to be printed."""
    low, high = found.interval["a"]
    off = abs(found.estimate["a"] - np.array([exact.mean(), exact.median()])).min()
    return bool(off < 0.5 * SD and exact.cdf(high) - exact.cdf(low) > 0.8)


@pytest.mark.parametrize("away", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("method", ENSEMBLES)
def test_near_a_bound_an_ensemble_is_right_or_says_that_it_is_not(method, away):
    for seed in range(DRAWS):
        observed, exact = posterior(1.0 - away * SD, seed)
        found = found_by(method, observed, seed)
        assert found.converged <= is_right(found, exact)
        if not found.converged:
            assert "do not stand for the posterior, as a is near a bound: w" in found.reason
            assert "trust neither estimate nor interval" in found.reason


@pytest.mark.parametrize("method", ["etki", "uki"])
def test_in_the_middle_an_ensemble_is_right_and_says_so(method):
    for seed in range(4):
        observed, exact = posterior(0.6, seed)
        found = found_by(method, observed, seed)
        assert found.converged
        assert found.reason.startswith("converged: reached the posterior, T = 1")
        assert is_right(found, exact)


def slope(params, forcing):
    return params["a"] * forcing["x"]


def problem_with(truth: float, seed: int = 0):
    observed, exact = posterior(truth, seed)
    forcing = {"x": np.ones(N)}
    return make_problem(slope, {"a": Flat(0.0, 1.0)}, {"a": 0.5}, forcing, observed, SIGMA), exact


@pytest.mark.parametrize("method", ["eki", "etki", "uki"])
def test_estimate_says_so_as_well(method):
    problem, exact = problem_with(1.0 - SD)
    result = estimate(problem, method)
    assert not result.converged
    assert "do not stand for the posterior, as a is near a bound" in result.reason
    assert any("do not stand for the posterior" in text for text in result.warnings)
    problem, exact = problem_with(0.6)
    result = estimate(problem, method, **({} if method == "uki" else {"members": 60}))
    assert result.converged
    assert result.parameters["a"].estimate == pytest.approx(exact.mean(), abs=0.3 * SD)


def test_members_that_are_the_posterior_agree_with_their_misfits():
    rng = np.random.default_rng(0)
    design, y = rng.standard_normal((9, 3)), rng.standard_normal(9)
    hessian = design.T @ design + np.eye(3)
    best = np.linalg.solve(hessian, design.T @ y)
    draws = rng.standard_normal((40, 3))
    draws -= draws.mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(np.cov(draws, rowvar=False)))
    members = best + (draws @ root) @ np.linalg.cholesky(np.linalg.inv(hessian)).T
    found = agreement(members, best, design @ best - y, members @ design.T - y)
    np.testing.assert_allclose(found, [1.0, 0.0, 0.0], atol=1e-9)
    assert found.enough(40, 3, chance=False, near=True)
    far = agreement(
        members + 1.0, best + 1.0, design @ (best + 1.0) - y, (members + 1.0) @ design.T - y
    )
    assert far.shift > 1.0
    assert not far.enough(40, 3, chance=False, near=False)
    assert all(np.isnan(agreement(members[:3], best, design @ best - y, members[:3] @ design.T)))
    assert Agreement(np.nan, np.nan, np.nan).enough(3, 3, chance=False, near=True)


def test_which_bounds_are_felt():
    free = {
        "low": free_parameter(declared("low")),
        "middle": free_parameter(declared("middle")),
        "cut": free_parameter(declared("cut", 0.4), Normal(0.5, 0.2)),
        "log": free_parameter(declared("log", 0.0, np.inf), LogNormal(0.5, 0.3)),
    }
    space = ParameterSpace.build([p.declaration for p in free.values()], free, {})
    u = np.array([-5.0, 0.2, -2.0, 1.0])
    members = u + 0.2 * np.random.default_rng(0).standard_normal((50, 4))
    assert near_bounds(space, "etki", members) == ("low", "cut")


# -- no effect -------------------------------------------------------------------------------------


def deaf(params, forcing):
    return forcing["x"] + 0.0 * params["a"]


@pytest.mark.parametrize("method", each_method(MEMBER_METHODS))
def test_a_model_that_does_not_depend_on_its_parameter_is_refused(method):
    forcing = {"x": np.ones(N)}
    problem = make_problem(deaf, {"a": Flat(0.0, 1.0)}, {"a": 0.5}, forcing, np.ones(N), SIGMA)
    message = r"depend on a free parameter \(a\). Got none that changes in any of \d+ runs"
    with pytest.raises(InputError, match=message):
        estimate(problem, method)
    job = AskTell(method, [free_parameter(declared("a"))], np.ones(N), SIGMA)
    with pytest.raises(InputError, match=message):
        job.tell(np.ones((len(job.ask()), N)))


@pytest.mark.parametrize("method", each_method(MEMBER_METHODS))
def test_a_parameter_that_no_output_depends_on_is_named(method):
    two = [free_parameter(declared("a")), free_parameter(declared("b"))]
    job = AskTell(method, two, np.full(N, 0.6), SIGMA)
    while not job.done:
        job.tell(np.repeat(job.ask()[:, :1], N, axis=1))
    found = job.result()
    assert found.no_effect == ("b",)
    assert found.estimate["a"] == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("method", ["4denvar", "etki", "uki"])
def test_estimate_names_a_parameter_without_effect(method):
    def half(params, forcing):
        return (params["a"] + 0.0 * params["b"]) * forcing["x"]

    priors = {"a": Flat(0.0, 1.0), "b": Normal(0.5, 0.1)}
    observed, guess = np.full(N, 0.6), {"a": 0.5, "b": 0.5}
    result = estimate(make_problem(half, priors, guess, {"x": np.ones(N)}, observed, 1.0), method)
    told = [text for text in result.warnings if text.startswith("The observations do not depend")]
    assert told == [
        "The observations do not depend on the number b: its estimate and interval are those of "
        "its prior."
    ]
    low, high = result.parameters["b"].interval
    assert (low, high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=0.06)


def test_what_a_last_look_needs_is_asked_again_after_a_stop(tmp_path):
    def job():
        return AskTell("etki", [free_parameter(declared("a"))], np.full(N, 0.99), SIGMA, seed=1)

    whole = job()
    while not whole.done:
        before = whole.iteration
        whole.tell(np.repeat(whole.ask(), N, axis=1))
        if whole.iteration > before:
            whole.save(tmp_path / "state.npz")
    again = job()
    again.restore(tmp_path / "state.npz")
    assert not again.done
    assert not again.result().converged
    again.tell(np.repeat(again.ask(), N, axis=1))
    assert again.done
    assert again.result().reason == whole.result().reason
    assert again.result().n_runs == whole.result().n_runs


def test_members_around_an_estimate_without_a_misfit_are_no_error_bar():
    """The model gives no number where the mean of the members comes to lie."""

    def hole(params, forcing):
        inside = jnp.abs(params["a"] - 0.6) < 0.02
        return jnp.where(inside, jnp.nan, params["a"]) * forcing["x"]

    observed = np.full(N, 0.6)
    priors = {"a": Flat(0.0, 1.0)}
    problem = make_problem(hole, priors, {"a": 0.5}, {"x": np.ones(N)}, observed, 5.0 * SIGMA)
    result = estimate(problem, "etki", members=60)
    assert not result.converged
    assert np.isnan(result.parameters["a"].sd)
    assert result.parameters["a"].interval == (0.0, 1.0)


# -- what is no list of parameters -----------------------------------------------------------------


@pytest.mark.parametrize("given", [{"a": (0.0, 1.0)}, ["a", "b"], [], "ab", None])
def test_what_is_no_list_of_parameters_is_told(given):
    with pytest.raises(
        InputError, match=r"a list of FreeParameter, or a ParameterSpace.*Try: make"
    ):
        AskTell("cma", given, [1.0, 2.0], 0.1)


def test_one_name_twice_is_told():
    with pytest.raises(InputError, match="parameters with different names"):
        AskTell("cma", [free_parameter(declared("a"))] * 2, [1.0, 2.0], 0.1)
