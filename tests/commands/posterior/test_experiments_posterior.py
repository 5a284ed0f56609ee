"""Do intervals agree, and how wide are predictive bands? Against closed forms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from caliche.commands.posterior.agreement import agreement, disagreement
from caliche.commands.posterior.ensembles import ensemble_entries, ensemble_posterior, remixed
from caliche.commands.posterior.run import _laplace
from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.evaluation.predictive import bands, crps_of
from caliche.models.base import ParameterDeclaration
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import Normal, ParameterSpace, random_walk
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem
from problems import SEEN, Formula, LinearGaussian, line_problem


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ((0.0, 2.0), (0.0, 2.0), 0.0),
        ((0.0, 2.0), (0.5, 2.5), 0.25),
        ((0.0, 2.0), (0.0, 4.0), 2.0 / 3.0),
        ((0.0, np.inf), (0.0, np.inf), 0.0),
        ((0.0, 2.0), (0.0, np.inf), np.inf),
        ((1.0, 1.0), (1.0, 1.0), 0.0),
    ],
)
def test_disagreement_is_a_share_of_the_width(one, other, share):
    assert disagreement(one, other) == pytest.approx(share)
    assert disagreement(other, one) == pytest.approx(share)


def entry(**intervals):
    return {method: {"interval95": ends} for method, ends in intervals.items()}


def test_only_what_differs_is_said():
    parameters = {
        "a": entry(laplace=[0.0, 2.0], profile=[0.1, 2.1], nuts=[0.0, 2.0]),
        "b": entry(laplace=[0.0, 2.0], profile=[0.0, 4.0], nuts=[0.0, 3.9]),
        "c": entry(laplace=None, profile=[0.0, 4.0], nuts=[0.0, 4.0]),
    }
    said = agreement(parameters)
    assert [s.partition(" differ")[0] for s in said] == [
        "The 95 % intervals by curvature (Laplace) and by profile",
        "The 95 % intervals by curvature (Laplace) and by sampling (NUTS)",
    ]
    assert "differ by up to 67 % of their width for b: the posterior is not Gaussian" in said[0]
    # Draws that cannot be used say nothing.
    assert len(agreement(parameters, left_out={"nuts"})) == 1


def test_bands_of_a_straight_line():
    """The sd of a fitted line is sqrt(x^T P x); an observation's error comes on top."""
    x, sigma = np.linspace(0.0, 4.0, 41), 0.5
    generator = np.random.default_rng(3)
    observed = 1.0 + 2.0 * x + sigma * generator.standard_normal(41)
    problem = line_problem(x, observed, sigma)
    curvature = posterior(problem, estimate(problem, "lm").u)
    root = np.linalg.cholesky(curvature.covariance_naive)
    draws = curvature.u + generator.standard_normal((4, 500, 2)) @ root.T
    band = bands(problem, draws, np.array([sigma]), observed[:, None], seed=1)[SEEN]
    design = np.stack([np.ones(41), x], axis=1)
    variance = np.einsum("ti,ij,tj->t", design, curvature.covariance_naive, design)
    for low, high, sd in (
        (band.lower, band.upper, np.sqrt(variance)),
        (band.lower_noisy, band.upper_noisy, np.sqrt(variance + sigma**2)),
    ):
        # 400 draws give the width to 4 % (one sd), the same draws at all times.
        np.testing.assert_allclose(high - low, 2 * 1.96 * sd, rtol=0.25)
        assert np.mean((high - low) / sd) == pytest.approx(2 * 1.96, rel=0.1)
    inside = (observed >= band.lower_noisy) & (observed <= band.upper_noisy)
    assert band.covered == pytest.approx(inside.mean())
    assert band.n == 41


def test_a_stream_without_declared_errors_has_no_noisy_band():
    x = np.linspace(0.0, 1.0, 6)
    problem = line_problem(x, np.where(x > 0.5, np.nan, x))
    unseen = np.full((6, 1), np.nan)
    band = bands(problem, np.zeros((7, 2)), np.array([np.nan]), unseen, seed=0)[SEEN]
    np.testing.assert_array_equal(band.lower, 0.0)
    assert np.isnan(band.upper_noisy).all()
    assert np.isnan(band.covered)
    assert band.n == 0


def test_an_ensemble_is_held_against_the_best_of_the_others():
    ends = {"laplace": [0.0, 2.0], "profile": [0.0, 2.0], "nuts": [0.0, 2.0]}
    parameters = {"a": entry(**ends, etki=[0.5, 2.5], eki=[0.1, 2.0], **{"4denvar": [0.9, 1.1]})}
    said = agreement(parameters, left_out={"4denvar"})
    assert len(said) == 1
    assert said[0].startswith(
        "The 95 % intervals by sampling (NUTS) and by ensemble (ETKI) differ by up to 25 % of"
    )
    assert said[0].endswith("believe the draws of NUTS.")
    said = agreement(parameters, left_out={"nuts", "etki"})
    assert [s.rpartition("; ")[2] for s in said] == ["believe the profile."]


# -- ensembles -------------------------------------------------------------------------------


def test_ensembles_of_a_straight_line_have_the_posterior_of_its_closed_form():
    """Linear, Gaussian priors: mean and sd of ETKI exactly, of EKI by chance."""
    problem = LinearGaussian.problem()
    result = estimate(problem, "lm")
    sd = np.sqrt(np.diag(posterior(problem, result.u).covariance_naive))
    for method, loose in (("etki", 1e-6), ("eki", 0.35)):
        u, said = ensemble_posterior(problem, method, 100, 4)
        assert said["usable"], said["verdict"]
        assert said["members"] == len(u) == 100
        assert said["verdict"].startswith("100 members, ")
        entries = ensemble_entries(problem, method, u)
        for k, name in enumerate(problem.space.names):
            found = entries[name]
            assert found["sd"] == pytest.approx(sd[k], rel=loose)
            assert found["mean"] == pytest.approx(result.u[k], abs=loose * sd[k])
            low, high = found["interval95"]
            assert high - low == pytest.approx(2 * 1.959964 * found["sd"], rel=1e-6)
            assert low < found["interval68"][0] < found["interval68"][1] < high


def test_what_mixing_keeps_and_what_it_mends():
    """Mean and covariance stay; members in one clump with few far out become a sample."""
    space = LinearGaussian.problem().space
    generator = np.random.default_rng(0)
    u = 0.2 * generator.standard_normal((200, 2))
    u[:4] *= 50.0
    mixed = remixed(space, u, seed=1)
    np.testing.assert_allclose(mixed.mean(axis=0), u.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(np.cov(mixed.T), np.cov(u.T), rtol=1e-9)
    fourth = [np.mean((x[:, 0] - x[:, 0].mean()) ** 4) / np.var(x[:, 0]) ** 2 for x in (u, mixed)]
    assert fourth[0] > 20.0
    assert fourth[1] == pytest.approx(3.0, abs=1.5)


# -- skill -----------------------------------------------------------------------------------


def test_the_score_of_a_normal_forecast_is_that_of_its_closed_form():
    """CRPS of N(m, s^2): s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - m) / s."""
    generator = np.random.default_rng(2)
    y, s = np.array([-1.0, 0.0, 0.3, 2.5]), 0.7
    draws = s * generator.standard_normal((20000, 4))
    z = y / s
    expected = s * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(crps_of(y, draws), expected, rtol=0.03)
    # Without spread it is the absolute error, and it does not lean on the number of draws.
    np.testing.assert_allclose(crps_of(y, np.zeros((2, 4))), np.abs(y))
    few = [crps_of(y, part).mean() for part in draws.reshape(-1, 5, 4)]
    assert np.mean(few) == pytest.approx(expected.mean(), rel=0.03)


def test_skill_is_told_apart_by_window():
    x = np.linspace(0.0, 1.0, 11)
    observed = np.where(x > 0.75, 5.0, 0.0)
    observed[2] = np.nan
    problem = line_problem(x, observed)
    found = bands(problem, np.zeros((3, 2)), np.array([1.0]), observed[:, None], seed=0, n_fit=8)
    fit, held = found[SEEN].skill["fit"], found[SEEN].skill["holdout"]
    assert (fit.n, held.n) == (7, 3)
    assert (fit.rmse, held.rmse) == (0.0, 5.0)
    assert (fit.covered, held.covered) == (1.0, 0.0)
    assert fit.width == pytest.approx(2 * 1.96, rel=0.1)
    assert held.crps == pytest.approx(5.0 - 1.0 / np.sqrt(np.pi), abs=0.15)
    whole = bands(problem, np.zeros((3, 2)), np.array([np.nan]), observed[:, None], seed=0)
    assert list(whole[SEEN].skill) == ["fit"]
    assert np.isnan(whole[SEEN].skill["fit"].crps)


def test_the_gaussian_interval_of_a_knot_is_the_reported_one():
    """A knot's value follows from several entries of u, not from its own alone."""
    days = np.arange(31) / 10.0
    level = ParameterDeclaration("level", "level", "1", 0.0, -100.0, 100.0, "a test")
    model = Formula(
        lambda params, forcing: params["level"] + forcing["offset"], (level,), ("offset",)
    )
    space = ParameterSpace.build(
        [level],
        {"level": free_parameter(level, Normal(0.0, 10.0))},
        {},
        {"level": random_walk(days, [0.0, 1.5, 3.0], ["a", "b", "c"], "linear", 0.1)},
    )
    observed = np.sin(days) + 0.1 * np.random.default_rng(1).standard_normal(31)
    problem = InverseProblem(
        model,
        {"offset": jnp.zeros(31)},
        make_operator(model, [Stream(SEEN)]),
        Observations.from_series({SEEN: observed}, {SEEN: 0.1}),
        space,
    )
    result = estimate(problem, "lm")
    entries = _laplace(problem, result, posterior(problem, result.u), {})
    for name, found in entries.items():
        expected = result.parameters[name].interval
        np.testing.assert_allclose(found["laplace"]["interval95"], expected, rtol=1e-9)
