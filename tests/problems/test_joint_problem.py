"""Several sites under one cost: closed forms, derivatives, and any method by the same calls."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.parameters import Flat, LogNormal, Normal
from caliche.parameters.shared import Sharing, share
from caliche.problems.joint import JointProblem, joint_problem
from caliche.sites.joint_fit import (
    controls_by_site,
    estimate_joint,
    fit_site,
    joint_equations,
    joint_posterior,
    site_result,
)
from caliche.sites.spread import best_spreads, log_evidence_at
from problems import line_problem, root_problem

SITES = ("dry", "wet", "far")
NOISE, SD = 0.5, 2.0
SHARED = {"intercept": Sharing(("",) * 3), "slope": Sharing(SITES, spread=0.4)}


def sites() -> dict:
    """Lines of 5, 8 and 6 points; intercept 1, slopes about 2; prior N(0, 2) of both."""
    generator = np.random.default_rng(3)
    found = {}
    for site, n, slope in zip(SITES, (5, 8, 6), (2.0, 2.4, 1.7), strict=True):
        x = np.linspace(0.0, 2.0, n)
        y = 1.0 + slope * x + NOISE * generator.standard_normal(n)
        y[1] = np.nan  # a gap
        found[site] = line_problem(x, y, NOISE, intercept=Normal(0.0, SD), slope=Normal(0.0, SD))
    return found


def closed_form(spread: float, unseen: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of intercept, slope_1, slope_2, slope_3 by linear algebra."""
    prior = np.eye(4) * SD**2
    prior[1:, 1:] = SD**2 * ((1.0 - spread**2) + spread**2 * np.eye(3))
    precision, right = np.linalg.inv(prior), np.zeros(4)
    for k, (site, problem) in enumerate(sites().items()):
        if site == unseen:
            continue
        x = np.asarray(problem.forcing["x"])
        y, seen = np.asarray(problem.observations.values)[:, 0], np.asarray(problem.mask)[:, 0]
        design = np.zeros((len(x), 4))
        design[:, 0], design[:, 1 + k] = 1.0, x
        precision += design[seen].T @ design[seen] / NOISE**2
        right += design[seen].T @ y[seen] / NOISE**2
    covariance = np.linalg.inv(precision)
    return covariance @ right, covariance


def by_itself(problem):
    return site_result(*fit_site(problem, None, LevenbergMarquardt())[:2], LevenbergMarquardt())


@pytest.fixture(scope="module")
def joined() -> JointProblem:
    return joint_problem(sites(), SHARED)


@pytest.fixture(scope="module")
def result(joined):
    return estimate_joint(joined)


def test_partial_pooling_is_the_hierarchical_regression(joined, result):
    mean, covariance = closed_form(0.4)
    assert result.converged
    assert result.names == ("intercept", "slope@dry", "slope@wet", "slope@far")
    values = [result.parameters[n].estimate for n in result.names]
    np.testing.assert_allclose(values, mean, atol=1e-9)
    sd = [result.parameters[n].sd_naive for n in result.names]
    np.testing.assert_allclose(sd, np.sqrt(np.diag(covariance)), rtol=1e-9)
    naive = joint_posterior(joined, result.u).covariance_naive
    slopes = np.asarray(jax.jacfwd(joined.space.vector)(jnp.asarray(result.u)))
    np.testing.assert_allclose(slopes @ naive @ slopes.T, covariance, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("method", ["lm", "lbfgs"])
def test_other_methods_take_it_as_they_take_a_site(joined, result, method):
    found = estimate(joined, method)
    assert found.converged
    for name in result.names:
        assert found.parameters[name].estimate == pytest.approx(
            result.parameters[name].estimate, abs=1e-5
        )
    assert set(found.residuals) == {f"surface_temperature@{site}" for site in SITES}


def test_an_ensemble_takes_it_too(joined):
    mean, covariance = closed_form(0.4)
    found = estimate(joined, "etki", members=400, seed=1)
    for k, name in enumerate(found.names):
        sd = np.sqrt(covariance[k, k])
        assert abs(found.parameters[name].estimate - mean[k]) < 0.35 * sd
        assert found.parameters[name].sd == pytest.approx(sd, rel=0.25)


def test_equations_posterior_and_residual_agree(joined):
    u = jnp.asarray([0.3, -0.7, 0.2, 1.1])
    residual, jacobian = jax.jit(JointProblem.linearise)(joined, u)
    both = [jax.jit(JointProblem.normal_equations)(joined, u), joint_equations(joined, u)]
    for found in both:
        assert float(found.cost) == pytest.approx(float(0.5 * residual @ residual), rel=1e-12)
        np.testing.assert_allclose(found.gradient, jacobian.T @ residual, atol=1e-9)
        np.testing.assert_allclose(found.hessian, jacobian.T @ jacobian, rtol=1e-10, atol=1e-9)
    cost, same = jax.jit(lambda p, u: (p.cost(u), p.residual(u)))(joined, u)
    assert float(cost) == pytest.approx(float(0.5 * residual @ residual), rel=1e-12)
    np.testing.assert_allclose(same, residual, rtol=1e-12)
    dense, by_site = posterior(joined, np.asarray(u)), joint_posterior(joined, np.asarray(u))
    np.testing.assert_allclose(dense.covariance_naive, by_site.covariance_naive, rtol=1e-9)
    # By site, errors of different sites are independent; at once, that is asked of the residuals.
    sd = [np.sqrt(np.diag(found.covariance)) for found in (dense, by_site)]
    np.testing.assert_allclose(*sd, rtol=0.3)
    for name, mine in by_site.residuals.items():
        assert mine.n == dense.residuals[name].n
        assert mine.variance_ratio == pytest.approx(dense.residuals[name].variance_ratio)


def test_gradient_forward_reverse_and_by_differences(joined):
    u = jnp.asarray([0.3, -0.7, 0.2, 1.1])

    def cost(u):
        return joined.cost(u)

    forward, reverse = jax.jit(jax.jacfwd(cost))(u), jax.jit(jax.grad(cost))(u)
    np.testing.assert_allclose(forward, reverse, rtol=1e-11)
    np.testing.assert_allclose(forward, joint_equations(joined, u).gradient, rtol=1e-10)
    h = 1e-5
    for k in range(4):
        e = jnp.zeros(4).at[k].set(h)
        assert float((cost(u + e) - cost(u - e)) / (2 * h)) == pytest.approx(
            float(forward[k]), rel=1e-6
        )


def test_ends_of_pooling_are_one_value_and_a_value_each():
    one = estimate_joint(joint_problem(sites(), {"slope": Sharing(("",) * 3)}))
    nearly = estimate_joint(joint_problem(sites(), {"slope": Sharing(SITES, 0.01)}))
    for site in SITES:
        assert nearly.parameters[f"slope@{site}"].estimate == pytest.approx(
            one.parameters["slope"].estimate, abs=5e-3
        )
    apart = estimate_joint(joint_problem(sites()))
    for site, problem in sites().items():
        alone = by_itself(problem)
        for name in ("intercept", "slope"):
            together, mine = apart.parameters[f"{name}@{site}"], alone.parameters[name]
            assert together.estimate == pytest.approx(mine.estimate, abs=1e-8)
            assert together.sd_naive == pytest.approx(mine.sd_naive, rel=1e-8)


def test_groups_share_within_and_not_between():
    groups = Sharing(("arid", "humid", "arid"))
    found = estimate_joint(joint_problem(sites(), {"slope": groups}))
    assert found.names == tuple([f"intercept@{s}" for s in SITES] + ["slope@arid", "slope@humid"])
    alone = by_itself(sites()["wet"])
    assert found.parameters["slope@humid"].estimate == pytest.approx(
        alone.parameters["slope"].estimate, abs=1e-8
    )


def test_a_site_left_out_gets_what_the_others_say(joined):
    left = estimate_joint(joined.without("far"))
    mean, covariance = closed_form(0.4, "far")
    values = [left.parameters[n].estimate for n in left.names]
    np.testing.assert_allclose(values, mean, atol=1e-9)
    assert left.parameters["slope@far"].sd_naive == pytest.approx(np.sqrt(covariance[3, 3]))
    own = controls_by_site(joined, left.u)["far"]
    np.testing.assert_allclose(own * SD, mean[[0, 3]], atol=1e-9)


def test_starts_do_not_matter(joined, result):
    found = estimate_joint(joined, LevenbergMarquardt(), jnp.asarray([3.0, -3.0, 3.0, -3.0]))
    np.testing.assert_allclose(found.u, result.u, atol=1e-6)


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=3, max_size=3))
def test_every_site_finds_its_own_values(labels):
    problems = sites()
    shared = share(SITES, [p.space for p in problems.values()], {"slope": Sharing(tuple(labels))})
    v = np.arange(1.0, shared.space.size + 1.0)
    joint = shared.space.to_physical(jnp.asarray(v))
    for k, (site, problem) in enumerate(problems.items()):
        own = problem.space.to_physical(jnp.asarray(shared.slopes(k) @ v))
        assert float(own["slope"]) == pytest.approx(float(joint[f"slope@{labels[k]}"]))
        assert float(own["intercept"]) == pytest.approx(float(joint[f"intercept@{site}"]))


def test_what_cannot_be_shared_is_refused():
    problems = sites()
    spaces = [p.space for p in problems.values()]
    with pytest.raises(InputError, match=r"'slop'.*slope"):
        share(SITES, spaces, {"slop": Sharing(("",) * 3)})
    with pytest.raises(InputError, match="a name of its own"):
        share(("a", "a", "b"), spaces)
    other = line_problem(np.arange(3.0), np.arange(3.0), slope=LogNormal(1.0, 1.0)).space
    with pytest.raises(InputError, match=r"one prior of slope .* at far"):
        share(SITES, [*spaces[:2], other], {"slope": Sharing(("",) * 3)})
    flat = line_problem(np.arange(3.0), np.arange(3.0)).space
    with pytest.raises(InputError, match="flat prior"):
        share(SITES, [flat] * 3, {"slope": Sharing(SITES, 0.5)})
    with pytest.raises(InputError, match="spread"):
        share(SITES, spaces, {"slope": Sharing(SITES, 1.5)})


def test_a_model_that_fails_at_one_site_is_told():
    root = root_problem()
    bad = dataclasses.replace(root, forcing={"x": jnp.full(5, jnp.nan)})
    found = estimate_joint(joint_problem({"good": root, "bad": bad}))
    assert not found.converged
    assert "no finite misfit" in found.reason


def test_flat_priors_are_shared_as_well():
    root = root_problem()
    found = estimate_joint(joint_problem({"a": root, "b": root}, {"a": Sharing(("", ""))}))
    assert isinstance(root.space.free[0].prior, Flat)
    alone = by_itself(root)
    assert found.parameters["a"].estimate == pytest.approx(4.0, abs=1e-6)
    assert found.parameters["a"].sd_naive == pytest.approx(
        alone.parameters["a"].sd_naive / np.sqrt(2.0), rel=1e-6
    )


# -- how far apart sites are -------------------------------------------------------------------


def test_evidence_is_that_of_the_marginal_normal_distribution():
    generator = np.random.default_rng(0)
    design = generator.standard_normal((6, 3))
    y = generator.standard_normal(6)
    mix = np.linalg.cholesky(0.7 + 0.3 * np.eye(3))
    w = generator.standard_normal(3)
    residual = design @ w - y
    found = [
        log_evidence_at(m, np.ones(3, bool), w, design.T @ residual, design.T @ design)
        for m in (mix, np.eye(3))
    ]
    exact = []
    for m in (mix, np.eye(3)):
        covariance = np.eye(6) + design @ m @ m.T @ design.T
        exact.append(-0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1]))
    assert found[0] - found[1] == pytest.approx(exact[0] - exact[1], rel=1e-10)


@pytest.mark.parametrize("true", [0.1, 0.6])
def test_the_spread_of_many_sites_is_found(true):
    generator = np.random.default_rng(1)
    names = [f"s{k}" for k in range(40)]
    centre = 0.8 * SD
    slopes = centre + true * SD * generator.standard_normal(40)
    x = np.linspace(0.0, 2.0, 6)
    problems = {
        name: line_problem(
            x,
            slope * x + 0.1 * generator.standard_normal(6),
            0.1,
            intercept=Normal(0.0, SD),
            slope=Normal(0.0, SD),
        )
        for name, slope in zip(names, slopes, strict=True)
    }

    def space(spreads):
        pooled = {n: Sharing(tuple(names), s) for n, s in spreads.items()}
        return share(names, [p.space for p in problems.values()], pooled)

    joined = JointProblem.build(problems, space({"slope": 0.3}))
    u = np.asarray(joined.space.initial())
    found = joint_equations(joined, jnp.asarray(u))  # linear: any point will do
    gradient = np.asarray(found.gradient) - u
    hessian = np.asarray(found.hessian) - np.eye(len(u))
    spread = best_spreads(joined, u, gradient, hessian, {"slope": 0.3}, space)["slope"]
    assert spread == pytest.approx(np.std(slopes) / SD, rel=0.15)
