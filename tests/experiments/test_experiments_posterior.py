"""Do intervals agree, and how wide are predictive bands? Against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.estimation.posterior import posterior
from caliche.experiments.posterior import agreement, disagreement
from caliche.experiments.predictive import bands
from problems import SEEN, line_problem


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
    assert len(agreement(parameters, sampled=False)) == 1


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
