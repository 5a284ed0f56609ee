"""Members that fail: none, one, a third, all but one, all; and how they fail."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.cards.methods import method_of
from caliche.errors import InputError
from caliche.estimation import MEMBER_METHODS, estimate
from caliche.estimation.ensemble.ask_tell import AskTell
from caliche.estimation.ensemble.check import step_left
from caliche.estimation.ensemble.core import survived
from caliche.estimation.ensemble.engine import Engine
from caliche.parameters import Normal
from problems import LinearGaussian, make_problem, root_problem

SPACE = LinearGaussian.problem().space
DESIGN = np.array([[3.0, 0.0], [3.0, 3.0], [0.0, 2.0]])
TARGET = np.array([1.0, 2.0, 0.5])
COVARIANCE = np.linalg.inv(np.eye(2) + DESIGN.T @ DESIGN)
MEAN = COVARIANCE @ DESIGN.T @ TARGET
SD = np.sqrt(np.diag(COVARIANCE))

ENSEMBLES = ("4denvar", "eki", "etki", "uki")
SEARCHES = ("ga", "cma", "bo")
# One that learns an emulator after each run has tests of its own, in tests/optimisation.
QUICK = [name for name in MEMBER_METHODS if name != "bo"]
BROKEN = {"nan": np.nan, "inf": np.inf, "huge": 1e12, "overflow": 1e200}


def options_of(name: str) -> dict:
    return {"uki": {}, "cma": {"members": 20}, "bo": {"design": 8}}.get(name, {"members": 40})


def broken(first: Callable, value: float) -> Callable:
    """A model whose members fail in the first iteration where `first(number of members)` says."""
    calls = []

    def model(u: np.ndarray) -> np.ndarray:
        residuals = u @ DESIGN.T - TARGET
        if not calls:
            residuals[first(len(u))] = value
        calls.append(len(u))
        return residuals

    return model


def run(name: str, model: Callable, **options) -> Engine:
    engine = Engine(method_of(name, {**options_of(name), **options}), SPACE, np.full(2, 0.3), 3)
    while engine.verdict is None:
        engine.tell(model(engine.ask()))
    return engine


def share(fraction: float) -> Callable:
    """Every so many members, but never the first one."""
    return lambda n: np.arange(1, n)[np.arange(1, n) % round(1.0 / fraction) == 0]


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("policy", ["drop", "redraw"])
@pytest.mark.parametrize("name", QUICK)
def test_a_third_fails_and_the_rest_goes_on(name, policy, value):
    if policy == "redraw" and name in ("uki", *SEARCHES):
        with pytest.raises(InputError, match="failures to be one of drop, stop"):
            method_of(name, {"failures": policy})
        return
    if name in SEARCHES and value == BROKEN["huge"]:
        return  # a search ranks what is finite, however bad
    engine = run(name, broken(share(0.3), value), failures=policy)
    assert engine.verdict.converged
    first = share(0.3)(2 * SPACE.size + 1 if name == "uki" else 40)
    if name == "cma":
        first = share(0.3)(20)
    if name == "4denvar":
        first = share(0.3)(41)
    assert sum(engine.failed) == len(first)
    # Without its directions uki learns them in later steps only; eki has chance errors besides.
    assert np.all(np.abs(engine.estimate - MEAN) < SD)
    members = engine.posterior
    if members is not None:
        assert np.isfinite(members).all()
        np.testing.assert_allclose(members.std(axis=0, ddof=1), SD, rtol=0.6)
        if name in ("eki", "etki"):
            assert len(members) == (40 if policy == "redraw" else 40 - len(first))


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", QUICK)
def test_one_member_fails(name, value):
    engine = run(name, broken(lambda n: [n - 1], value))
    # A search ranks what is finite, however bad.
    assert engine.failed[0] == (0 if name in SEARCHES and value == BROKEN["huge"] else 1)
    assert np.all(np.abs(engine.estimate - MEAN) < SD)


@pytest.mark.parametrize("name", QUICK)
def test_none_fails(name):
    engine = run(name, broken(lambda n: [], np.nan))
    assert engine.verdict.converged
    assert sum(engine.failed) == 0
    assert engine.posterior is not None or name in SEARCHES
    assert np.all(np.abs(engine.estimate - MEAN) < 0.5 * SD)


@pytest.mark.parametrize("name", ["4denvar", "uki"])
def test_the_run_at_the_estimate_itself_may_fail(name):
    options = {"iterated": True} if name == "4denvar" else {}
    engine = run(name, broken(lambda n: [0], np.nan), **options)
    assert engine.failed[0] == 1
    assert np.all(np.abs(engine.estimate - MEAN) < 0.1 * SD)


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", QUICK)
def test_all_but_one_fail(name, value):
    # Beside one that is sound, huge is what no sigma could mean.
    model = broken(lambda n: np.arange(n - 1), 1e16 if value == BROKEN["huge"] else value)
    if name in SEARCHES:  # one that ranks first is enough for a search
        assert np.all(np.abs(run(name, model).estimate - MEAN) < SD)
        return
    with pytest.raises(InputError, match=f"at least 2 of the .* members of {name}.*1 in iteration"):
        run(name, model)


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", MEMBER_METHODS)
def test_all_fail(name, value):
    if value == BROKEN["huge"]:
        value = 1e16  # beside nothing else, huge is what no sigma could mean
    with pytest.raises(InputError, match=r"finite numbers\. Got 0 in iteration 1\. Try: narrow"):
        run(name, broken(lambda n: np.arange(n), value))


@pytest.mark.parametrize("name", QUICK)
def test_a_stop_where_one_was_asked_for(name):
    with pytest.raises(InputError, match=r"no member to fail.*1 of .* in iteration 1"):
        run(name, broken(lambda n: [2], np.nan), failures="stop")
    assert run(name, broken(lambda n: [], np.nan), failures="stop").verdict.converged


def test_members_that_fail_again_and_again_are_drawn_three_times_only():
    """Where a parameter is above one nothing runs; drawn anew, members come to lie below."""

    def model(u):
        residuals = u @ DESIGN.T - TARGET
        residuals[u[:, 0] > 1.0] = np.nan
        return residuals

    engine = run("etki", model, failures="redraw")
    assert engine.verdict.converged
    assert engine.runs > 40 * len(engine.failed)
    assert engine.failed[0] > 3
    assert len(engine.posterior) >= 38
    assert np.all(np.abs(engine.estimate - MEAN) < SD)
    always = broken(lambda n: [5], np.nan)
    engine = Engine(method_of("etki", {"members": 10, "failures": "redraw"}), SPACE, MEAN, 0)
    engine.tell(always(engine.ask()))
    for number in (1, 2, 3):
        assert engine.tries == number
        assert engine.ask().shape == (1, 2)
        engine.tell(np.full((1, 3), np.nan))
    assert len(engine.ask()) == 9  # given up
    assert engine.failed == [4]


@pytest.mark.parametrize("cut", ["one", "third", "all but one", "all"])
@pytest.mark.parametrize("name", QUICK)
def test_runs_that_were_cut_off(name, cut):
    """Rows too short, too long or missing, told through ask and tell."""
    job = AskTell(name, SPACE, TARGET, 1.0, seed=3, **options_of(name))
    rows: list = (job.ask() @ DESIGN.T).tolist()
    n = len(rows)
    lost = {"one": [n - 1], "third": share(0.3)(n), "all but one": range(n - 1), "all": range(n)}
    for k in lost[cut]:
        rows[k] = [rows[k][:2], [*rows[k], 0.0], None, []][k % 4]
    if cut == "all" or (cut == "all but one" and name not in SEARCHES):
        told = r"outputs of shape \(.*give a row of NaN" if cut == "all" else "1 in iteration 1"
        with pytest.raises(InputError, match=told):
            job.tell(rows)
        return
    job.tell(rows)
    while not job.done:
        job.tell(job.ask() @ DESIGN.T)
    found = job.result()
    assert found.converged
    assert found.n_failed == len(lost[cut])
    assert np.all(np.abs(np.array([found.estimate["w1"], found.estimate["w2"]]) - MEAN) < SD)


def test_huge_is_judged_beside_the_others():
    residuals = np.array([[1.0, 2.0], [3.0, 1.0], [1e5, 0.0], [np.nan, 0.0], [1e300, 1e300]])
    np.testing.assert_array_equal(survived(residuals, True), [True, True, False, False, False])
    np.testing.assert_array_equal(survived(residuals, False), [True, True, True, False, False])
    assert survived(1e6 * np.ones((4, 3)), True).all()  # all of them far away is a bad prior


@pytest.mark.parametrize("name", ["etki", "4denvar"])
def test_a_model_that_gives_no_number_over_a_tenth_of_the_prior(name):
    """In one compiled batch: lanes that fail leave the others as they are."""
    options = {"iterated": True} if name == "4denvar" else {}
    result = estimate(root_problem(), name, members=30, **options)
    assert result.converged
    assert result.parameters["a"].estimate == pytest.approx(4.0, abs=0.1)
    assert 0 < result.ensemble.failed[0] < 10
    assert any("The model failed in" in warning for warning in result.warnings)
    assert np.isfinite(result.ensemble.physical).all()


# -- an ensemble that says it has arrived ---------------------------------------------------------


def test_the_step_left_is_that_of_the_closed_form():
    generator = np.random.default_rng(0)
    design, y = generator.standard_normal((7, 3)), generator.standard_normal(7)
    hessian = design.T @ design + np.eye(3)
    best = np.linalg.solve(hessian, design.T @ y)
    members = best + 0.1 * generator.standard_normal((20, 3))

    def residuals(v):
        return (v @ design.T - y)[..., None]

    assert step_left(members, best, residuals(best), residuals(members)) < 1e-10
    off = best + np.array([0.3, -0.2, 0.1])
    away = np.sqrt((off - best) @ hessian @ (off - best))
    assert step_left(members, off, residuals(off), residuals(members)) == pytest.approx(away)
    assert np.isnan(step_left(members[:3], best, residuals(best), residuals(members[:3])))


def test_one_long_step_through_a_bend_is_not_called_converged():
    x = np.linspace(0.1, 2.0, 40)

    def bent(params, forcing):
        return jnp.exp(3.0 * params["a"] * forcing["x"])

    problem = make_problem(
        bent, {"a": Normal(0.0, 1.0)}, {"a": 0.0}, {"x": x}, np.exp(3.0 * 0.8 * x), 0.1
    )
    found = estimate(problem, "etki", steps=1, members=40)
    assert not found.converged
    assert "by the members' own slopes" in found.reason
