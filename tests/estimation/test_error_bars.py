"""Error bars: at bounds, with correlated errors, and whether they cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.estimation.curvature import lag1_autocorrelation
from caliche.parameters import Flat
from problems import SEEN, line_problem, with_observed

X = np.linspace(0.0, 1.0, 11)


@pytest.mark.parametrize("outside", [-2.0, 2.0])
def test_an_optimum_outside_the_bounds_ends_on_the_bound(outside):
    """It is flagged, and its interval ends there; those of the others allow for values inside."""
    noise = 0.01 * np.cos(2.0 * np.arange(11.0) ** 2)
    problem = line_problem(X, 3.0 + outside * X + noise, 0.1, slope=Flat(-1.0, 1.0))
    result = estimate(problem)
    assert result.converged
    slope, intercept = result.parameters["slope"], result.parameters["intercept"]
    assert slope.at_bound
    assert slope.estimate == pytest.approx(np.sign(outside), abs=1e-5)
    assert np.isnan(slope.sd)
    assert np.isnan(slope.sd_naive)
    low, high = sorted(np.sign(outside) * np.array(slope.interval))
    assert high == pytest.approx(1.0)
    assert -1.0 < low < 1.0
    assert intercept.sd > intercept.sd_naive
    assert not intercept.at_bound
    mean = np.mean(3.0 + outside * X + noise - np.sign(outside) * X)
    assert intercept.estimate == pytest.approx(mean, rel=1e-5)
    assert intercept.sd_naive == pytest.approx(0.1 / np.sqrt(11.0), rel=1e-9)
    side = "upper" if outside > 0.0 else "lower"
    told = [w for w in result.warnings if w.lower().startswith("number slope")]
    assert any(f"its {side} bound" in w for w in told)


def test_lag1_autocorrelation_of_hourly_values_on_a_half_hourly_axis_with_gaps():
    rng = np.random.default_rng(3)
    hourly = np.zeros(4000)
    for k in range(1, len(hourly)):
        hourly[k] = 0.7 * hourly[k - 1] + rng.standard_normal()
    assert lag1_autocorrelation(hourly) == pytest.approx(0.7, abs=0.03)
    half_hourly = np.full(2 * len(hourly), np.nan)
    half_hourly[::2] = hourly
    assert lag1_autocorrelation(half_hourly) == lag1_autocorrelation(hourly)
    gaps = half_hourly.copy()
    for start in rng.integers(0, len(gaps), 150):
        gaps[start : start + rng.integers(1, 20)] = np.nan
    assert np.isfinite(gaps).sum() < 3500
    assert lag1_autocorrelation(gaps) == pytest.approx(0.7, abs=0.04)


def test_lag1_autocorrelation_where_there_is_little_to_tell_it_from():
    assert lag1_autocorrelation(np.ones(9)) == 0.0
    assert lag1_autocorrelation(np.zeros(50)) == 0.0
    assert lag1_autocorrelation(np.full(50, np.nan)) == 0.0
    alternating = np.cos(np.pi * np.arange(50.0))
    assert lag1_autocorrelation(alternating) == pytest.approx(-1.0)


@pytest.mark.parametrize(("size", "expected"), [(0.5, 1.0), (2.0, 4.0)])
def test_inflation(size, expected):
    """Errors smaller than declared are not believed; larger ones are."""
    x = np.linspace(-1.0, 1.0, 400)
    noise = size * np.random.default_rng(2).standard_normal(400)
    found = estimate(line_problem(x, x + noise)).residuals[SEEN]
    assert found.inflation == pytest.approx(expected, rel=0.3)
    assert found.inflation >= 1.0


def autoregressive(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    """Stationary AR(1) series of unit variance."""
    values = rng.standard_normal(n)
    for k in range(1, n):
        values[k] = rho * values[k - 1] + np.sqrt(1.0 - rho**2) * values[k]
    return values


@pytest.mark.ci
@pytest.mark.parametrize(
    ("rho", "naive_coverage"), [(0.0, (0.90, 0.99)), (0.5, (0.6, 0.83)), (0.7, (0.4, 0.72))]
)
def test_coverage_with_correlated_errors(rho, naive_coverage):
    """95 % intervals over 200 series of 300: the naive ones fail as the memory grows."""
    x = np.linspace(-1.0, 1.0, 300)
    problem = line_problem(x, x)
    rng = np.random.default_rng(11)
    truth = {"intercept": 1.5, "slope": -0.7}
    covered = {"sd": [], "sd_naive": []}
    for _ in range(200):
        series = truth["intercept"] + truth["slope"] * x + autoregressive(rng, 300, rho)
        result = estimate(with_observed(problem, series[:, None]))
        for name, value in truth.items():
            p = result.parameters[name]
            for kind, hits in covered.items():
                hits.append(abs(p.estimate - value) < 1.959964 * getattr(p, kind))
    coverage = {kind: np.mean(hits) for kind, hits in covered.items()}
    assert 0.90 <= coverage["sd"] <= 0.99
    assert naive_coverage[0] <= coverage["sd_naive"] <= naive_coverage[1]


def test_larger_residuals_widen_the_bars_and_are_told():
    x = np.linspace(-1.0, 1.0, 200)
    noise = 3.0 * np.random.default_rng(5).standard_normal(200)
    result = estimate(line_problem(x, x + noise))
    ratio = result.residuals[SEEN].variance_ratio
    assert ratio == pytest.approx(9.0, rel=0.25)
    slope = result.parameters["slope"]
    assert slope.sd >= slope.sd_naive * np.sqrt(ratio) * (1.0 - 1e-12)
    assert any(
        "3.0 times the declared sigma" in w or "2.9 times" in w or "3.1 times" in w
        for w in result.warnings
    )
