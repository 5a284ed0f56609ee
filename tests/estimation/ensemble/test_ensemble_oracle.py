"""Ensemble methods where the posterior is known in closed form, and what goes wrong elsewhere.

The five tests that begin with `test_4denvar` each catch a mistake that is found in published codes
of 4DEnVar: a root that is not transposed, a root that moves the mean, a gradient without its
background, members beyond bounds, and matrices as large as the observations squared.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from caliche.cards.methods import method_of
from caliche.errors import InputError
from caliche.estimation.ensemble.ask_tell import AskTell
from caliche.estimation.ensemble.core import reduce, scaled_anomalies, standard_ensemble
from caliche.estimation.ensemble.engine import Engine
from caliche.estimation.ensemble.kalman import tempering
from caliche.estimation.ensemble.prior import normal_prior
from caliche.estimation.ensemble.variational import ensemble_cost, ensemble_gradient
from caliche.models.base import ParameterDeclaration
from caliche.parameters import Flat, FreeParameter, Normal, ParameterSpace, Prior
from problems import LinearGaussian


def space_of(start: tuple[float, float] | None = None, **priors: Prior) -> ParameterSpace:
    free = {}
    for name, prior in priors.items():
        value = prior.mean if isinstance(prior, Normal) else 0.5
        declaration = ParameterDeclaration(
            name, name, "1", value, prior.lower, prior.upper, "a test"
        )
        free[name] = FreeParameter(declaration, prior, value, start)
    return ParameterSpace.build([p.declaration for p in free.values()], free, {})


PLANE = space_of(w1=Normal(0.0, 1.0), w2=Normal(0.0, 1.0))
WHITEN = np.linalg.inv(np.linalg.cholesky(LinearGaussian.errors))
DESIGN = WHITEN @ LinearGaussian.design @ LinearGaussian.root
OFFSET = WHITEN @ (LinearGaussian.design @ LinearGaussian.mean - LinearGaussian.observed)


def linear(u: np.ndarray) -> np.ndarray:
    """Residuals of the linear-Gaussian problem: u are the w of `LinearGaussian`."""
    return u @ DESIGN.T + OFFSET


def solve(
    name: str, model: Callable = linear, space: ParameterSpace = PLANE, seed: int = 0, **options
) -> Engine:
    engine = Engine(method_of(name, options), space, np.zeros(space.size), seed)
    while engine.verdict is None:
        engine.tell(model(engine.ask()))
    return engine


def x_of(u: np.ndarray) -> np.ndarray:
    return LinearGaussian.mean + u @ LinearGaussian.root.T


EXACT = [
    ("4denvar", {"members": 30}),
    ("4denvar", {"members": 30, "iterated": True}),
    ("etki", {"members": 30, "steps": 4}),
    ("etki", {"members": 30}),
    ("uki", {"steps": 4}),
    ("uki", {}),
]


@pytest.mark.parametrize(("name", "options"), EXACT)
def test_linear_gaussian_posterior(name, options):
    """Mean and covariance, to the eleven digits that are given."""
    engine = solve(name, **options)
    members = engine.posterior
    np.testing.assert_allclose(x_of(engine.estimate), LinearGaussian.estimate, rtol=1e-11)
    np.testing.assert_allclose(x_of(members).mean(axis=0), LinearGaussian.estimate, rtol=1e-11)
    covariance = np.cov(x_of(members), rowvar=False)
    np.testing.assert_allclose(covariance, LinearGaussian.covariance, rtol=1e-9)
    assert engine.verdict.converged
    u = engine.estimate
    cost = 0.5 * np.sum(linear(u[None]) ** 2) + 0.5 * u @ u
    assert cost == pytest.approx(LinearGaussian.cost, rel=1e-12)


def test_four_steps_of_a_quarter():
    state = solve("etki", members=30, steps=4).state
    np.testing.assert_array_equal(state.times, [0.0, 0.25, 0.5, 0.75, 1.0])


def test_eki_agrees_on_average():
    """Perturbed observations are right in the mean over many ensembles; the mean of a single one is
    within 2 sd, and its spread within half."""
    engines = [solve("eki", members=50, steps=3, seed=seed) for seed in range(30)]
    sd = np.sqrt(np.diag(LinearGaussian.covariance))
    estimates = np.array([x_of(e.estimate) for e in engines])
    spreads = np.array([x_of(e.posterior).std(axis=0, ddof=1) for e in engines])
    assert np.all(np.abs(estimates - LinearGaussian.estimate) < 2.0 * sd)
    assert np.all(np.abs(estimates.mean(axis=0) - LinearGaussian.estimate) < 0.15 * sd)
    np.testing.assert_allclose(spreads.mean(axis=0), sd, rtol=0.1)
    assert np.all(np.abs(spreads / sd - 1.0) < 0.5)


# -- mistakes of others --------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 4.0])
def test_4denvar_covariance_is_that_of_the_weighted_analysis(gamma):
    """X M^-1 X^T with M = gamma I + Y R^-1 Y^T; the wrong root is 90 times off."""
    engine = solve("4denvar", members=30, gamma=gamma)
    expected = np.linalg.inv(gamma * np.eye(2) + DESIGN.T @ DESIGN)
    np.testing.assert_allclose(np.cov(engine.posterior, rowvar=False), expected, rtol=1e-10)
    np.testing.assert_allclose(engine.estimate, -expected @ DESIGN.T @ OFFSET, rtol=1e-10)


@pytest.mark.parametrize("name", ["4denvar", "etki"])
def test_4denvar_members_stay_around_the_estimate(name):
    """The symmetric root does not move the mean, with a curved model as well."""

    def curved(u):
        return linear(u + 0.1 * u**2)

    for options in ({}, {"members": 5}):
        state = Engine(method_of(name, options), PLANE, np.zeros(2), 3)
        state.tell(curved(state.ask()))
        members, estimate = state.posterior, state.estimate
        np.testing.assert_allclose(members.mean(axis=0), estimate, rtol=0, atol=1e-13)
    rng = np.random.default_rng(0)
    _, anomalies = scaled_anomalies(rng.normal(size=(7, 40)))
    _, root = reduce(anomalies).transform(anomalies @ rng.normal(size=40), 0.7, 2.0)
    np.testing.assert_allclose(root, root.T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(root @ np.ones(7), np.ones(7) / np.sqrt(2.0), rtol=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 3.0])
def test_4denvar_gradient_is_that_of_its_cost(gamma):
    """Background included, whatever gamma; and the analysis is where the gradient vanishes."""
    rng = np.random.default_rng(1)
    _, anomalies = scaled_anomalies(rng.normal(size=(6, 9)))
    residual, weights = rng.normal(size=9), rng.normal(size=6)
    gradient = ensemble_gradient(weights, anomalies, residual, gamma)
    for k, step in enumerate(1e-5 * np.eye(6)):
        above = ensemble_cost(weights + step, anomalies, residual, gamma)
        below = ensemble_cost(weights - step, anomalies, residual, gamma)
        assert gradient[k] == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-9)
    best, _ = reduce(anomalies).transform(anomalies @ residual, 1.0, gamma)
    at = ensemble_gradient(best, anomalies, residual, gamma)
    np.testing.assert_allclose(at, 0.0, rtol=0, atol=1e-13)


def test_4denvar_takes_sigma_for_a_standard_deviation():
    """One parameter N(0, 1), one observation 3 with sigma 0.5: mean 2.4, sd sqrt(0.2)."""
    job = AskTell("4denvar", space_of(a=Normal(0.0, 1.0)), [3.0], 0.5, members=12)
    job.tell(job.ask())
    found = job.result()
    assert found.estimate["a"] == pytest.approx(2.4, rel=1e-12)
    assert found.sd["a"] == pytest.approx(np.sqrt(0.2), rel=1e-12)


def test_4denvar_members_stay_within_bounds():
    """The data ask for more than the bounds allow; no member leaves them, and nothing is cut."""
    space = space_of(a=Flat(0.0, 1.0), b=Flat(-2.0, 3.0))
    for options in ({"iterated": True}, {}):
        job = AskTell("4denvar", space, [1.3, -2.5, 1.0], 0.1, **options)
        while not job.done:
            members = job.ask()
            job.tell(np.stack([members[:, 0], members[:, 1], members.sum(axis=1)], axis=1))
        members = job.result().members
        for column, (low, high) in zip(members.T, [(0.0, 1.0), (-2.0, 3.0)], strict=True):
            assert low <= column.min() < column.max() <= high
            assert len(np.unique(column)) == len(column)


def test_4denvar_makes_nothing_as_large_as_the_observations_squared():
    """100 000 observations of 20 members, in less than twenty times their own memory."""
    n = 100_000
    pattern = np.stack([np.sin(np.arange(n)), np.cos(0.7 * np.arange(n))])
    for name in ("4denvar", "etki", "eki", "uki"):
        options = {} if name == "uki" else {"members": 20}
        engine = Engine(method_of(name, options), PLANE, np.zeros(2), 0)
        residuals = engine.ask() @ pattern - 1.0
        tracemalloc.start()
        engine.tell(residuals)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * residuals.nbytes


@pytest.mark.parametrize("name", ["4denvar", "eki", "etki", "ga", "cma"])
def test_the_seed_alone_decides(name):
    """Global generators neither matter nor are touched."""
    bounded = space_of(w1=Normal(0.0, 1.0), w2=Normal(0.0, 1.0))
    options = {"max_iterations": 5} if name in ("ga", "cma") else {"members": 10}
    np.random.seed(1)  # noqa: NPY002
    once = solve(name, space=bounded, seed=5, **options)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    again = solve(name, space=bounded, seed=5, **options)
    other = solve(name, space=bounded, seed=6, **options)
    for field, value in once.state._asdict().items():
        np.testing.assert_array_equal(value, again.state._asdict()[field])
    np.testing.assert_array_equal(once.misfits, again.misfits)
    # These two find the closed form from any members, to rounding.
    exact = name in ("4denvar", "etki")
    assert exact or np.all(np.asarray(once.estimate) != other.estimate)
    assert not np.any(once.ask() == other.ask())
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


# -- tempering -----------------------------------------------------------------------------------


def test_tempering_ends_at_one_exactly():
    time, steps = 0.0, 0
    while time < 1.0:
        misfits = 500.0 * (1.2 - time) * np.array([1.0, 1.1, 0.9])
        new = tempering(misfits, 40, time, 0, steps)
        assert time < new <= 1.0
        time, steps = new, steps + 1
    assert time == 1.0
    assert steps > 3
    for number in (1, 3, 7, 10):
        times = [tempering(np.ones(3), 4, 0.0, number, done) for done in range(number)]
        assert times[-1] == 1.0
        assert times == sorted(times)
    assert tempering(np.zeros(4), 3, 0.3, 0, 0) == 1.0  # nothing left to fit


def test_a_stop_before_the_end_is_no_convergence():
    engine = solve("etki", members=20, max_iterations=2)
    assert not engine.verdict.converged
    assert engine.state.time < 1.0
    assert "stopped at T = " in engine.verdict.reason


def test_inflation_widens():
    plain, wide = (solve("etki", steps=1, inflation=f).posterior.std(axis=0) for f in (1.0, 1.2))
    np.testing.assert_allclose(wide, 1.2 * plain, rtol=1e-12)
    plain, wide = (solve("uki", steps=1, inflation=f).state.covariance for f in (1.0, 1.2))
    np.testing.assert_allclose(wide, 1.44 * plain, rtol=1e-12)


# -- few members -----------------------------------------------------------------------------


def test_sampling_correction_keeps_what_nobody_observes():
    """15 members, 20 parameters, 3 of them observed: chance correlations take half the variance of
    the other 17, and move them; corrected, most of it stays, as that of the prior should."""
    space = space_of(**{f"p{k}": Normal(0.0, 1.0) for k in range(20)})
    left, moved = {}, {}
    for corrected in (False, True):
        ratios, shifts = [], []
        for seed in range(10):
            options = {"members": 15, "sampling_correction": corrected}
            engine = Engine(method_of("eki", options), space, np.zeros(20), seed)
            before = engine.ask()
            while engine.verdict is None:
                engine.tell((engine.ask()[:, :3] - 1.0) / 0.1)
            ratios.append((engine.posterior.var(axis=0) / before.var(axis=0))[3:])
            shifts.append((engine.estimate - before.mean(axis=0))[3:])
            assert np.all(np.abs(engine.estimate[:3] - 1.0) < 0.3)  # the observed are found
        left[corrected], moved[corrected] = np.mean(ratios), np.sqrt(np.mean(np.square(shifts)))
    assert left[False] < 0.6
    assert left[True] > 0.75
    assert moved[True] < 0.6 * moved[False]


def test_an_ensemble_has_the_moments_it_should():
    draws = np.random.default_rng(2).normal(size=(9, 4))
    exact = standard_ensemble(draws)
    np.testing.assert_allclose(exact.mean(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(np.cov(exact, rowvar=False), np.eye(4), atol=1e-13)
    np.testing.assert_array_equal(standard_ensemble(draws.T), draws.T)  # too few to do so


# -- curved models -------------------------------------------------------------------------------


def test_an_analysis_over_a_prior_too_wide_is_refused_by_the_iterated_one():
    """exp(3 a) = 1.5: iterated, the optimum to all digits; in one go, somewhere else."""
    space = space_of(a=Normal(0.0, 1.0))

    def curved(u):
        return (np.exp(3.0 * u) - 1.5) / 0.01

    once = solve("4denvar", curved, space, members=40)
    engine = solve("4denvar", curved, space, members=40, iterated=True)
    optimum = np.log(1.5) / 3.0
    assert engine.estimate[0] == pytest.approx(optimum, abs=1e-5)
    assert engine.posterior.std(ddof=1) == pytest.approx(0.01 / 4.5, rel=0.02)
    assert abs(once.estimate[0] - optimum) > 0.05
    half_square = 0.5 * float(curved(once.estimate)[0]) ** 2
    verdict = once.method.promise_kept(once.state, half_square)
    assert not verdict.converged
    assert "iterated = true" in verdict.reason
    exact = solve("4denvar", members=30)
    at = 0.5 * float(np.sum(linear(exact.estimate[None]) ** 2))
    assert exact.method.promise_kept(exact.state, at) is None


def test_uniform_priors_are_normal_in_v():
    space = space_of(a=Flat(-1.0, 3.0), b=Normal(2.0, 0.5))
    prior = normal_prior(space, "eki")
    v = np.random.default_rng(3).normal(size=(2000, 2))
    u = prior.to_u(v)
    np.testing.assert_allclose(prior.from_u(u), v, rtol=1e-9, atol=1e-12)
    values = np.array([space.vector(jnp.asarray(row)) for row in u[:3]])
    np.testing.assert_allclose(values[:, 0], -1.0 + 4.0 * ndtr(v[:3, 0]), rtol=1e-12)
    np.testing.assert_allclose(values[:, 1], 2.0 + 0.5 * v[:3, 1], rtol=1e-12)
    far = prior.to_u(np.array([[-9.0, 0.0], [9.0, 0.0]]))
    np.testing.assert_allclose(prior.from_u(far)[:, 0], [-9.0, 9.0], rtol=1e-12)


def test_a_flat_prior_without_end_needs_a_start_range():
    with pytest.raises(InputError, match="a prior, two bounds or a start range of a"):
        solve("etki", space=space_of(a=Flat(0.0)))
    space = space_of((0.1, 0.9), a=Flat())
    engine = solve("etki", lambda u: 0.0 * u, space, members=50)  # which says nothing
    assert engine.posterior.std(ddof=1) == pytest.approx(0.4 / 1.96, rel=1e-3)
    assert engine.estimate[0] == pytest.approx(0.5, abs=1e-9)


SIRS_OBSERVED = np.array([615.5, 169.0, 210.0])
SIRS_SIGMA = np.array([17.75, 8.45, 5.5])


def sirs(members: np.ndarray) -> np.ndarray:
    """Susceptible, infected and recovered (N, 3) after 10 days, by Runge-Kutta steps of 0.1."""
    a, b, c = members.T
    y = np.repeat(np.array([[950.0], [50.0], [0.0]]), len(members), axis=1)

    def slope(y):
        infection, recovery, loss = a * y[0] * y[1] / 1000.0, b * y[1], c * y[2]
        return np.stack([loss - infection, infection - recovery, recovery - loss])

    for _ in range(100):
        k1 = slope(y)
        k2 = slope(y + 0.05 * k1)
        k3 = slope(y + 0.05 * k2)
        y = y + 0.1 / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + slope(y + 0.1 * k3))
    return y.T


def test_an_epidemic_against_its_posterior_on_a_grid():
    """Susceptible-infected-recovered-susceptible with uniform priors: mean and spread of a curved
    posterior in which one parameter is hardly seen."""
    middle = sirs(np.array([[0.45, 0.25, 0.025]]))[0]
    np.testing.assert_allclose(middle, [618.5768, 148.7652, 232.6580], atol=2e-4)
    bounds = np.array([[0.1, 0.8], [0.0, 0.5], [0.0, 0.05]])
    sides = [low + (high - low) * (np.arange(40) + 0.5) / 40 for low, high in bounds]
    grid = np.stack([g.ravel() for g in np.meshgrid(*sides, indexing="ij")], axis=1)
    misfit = 0.5 * np.sum(((sirs(grid) - SIRS_OBSERVED) / SIRS_SIGMA) ** 2, axis=1)
    weight = np.exp(misfit.min() - misfit)
    weight /= weight.sum()
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    free = [
        FreeParameter(
            ParameterDeclaration(n, n, "1", sum(r) / 2, *r, "a test"), Flat(*r), sum(r) / 2
        )
        for n, r in zip("abc", bounds.tolist(), strict=True)
    ]
    for name, options in (("etki", {"members": 60}), ("uki", {})):
        job = AskTell(name, free, SIRS_OBSERVED, SIRS_SIGMA, seed=1, **options)
        while not job.done:
            job.tell(sirs(job.ask()))
        found = job.result()
        for k, parameter in enumerate("abc"):
            assert abs(found.members[:, k].mean() - mean[k]) < 0.4 * sd[k]
            assert found.sd[parameter] == pytest.approx(sd[k], rel=0.3)
        assert found.n_runs == job.iteration * len(job.ask())
