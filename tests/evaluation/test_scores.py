"""Every score against numbers worked out by hand, and in its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.evaluation.scores import Score, normalised_scores, overlap, score

OBSERVED = np.array([1.0, 2.0, 3.0, 4.0])
MODELLED = np.array([2.0, 2.0, 4.0, 6.0])


def test_scores_worked_out_by_hand():
    # Errors 1, 0, 1, 2; means 2.5 and 3.5; squared deviations 5 and 11; their product 7.
    s = score(OBSERVED, MODELLED)
    r = 7.0 / math.sqrt(55.0)
    alpha, beta = math.sqrt(11.0 / 5.0), 1.4
    assert s.n == 4
    assert s.rmse == pytest.approx(math.sqrt(1.5))
    assert s.bias == pytest.approx(1.0)
    assert s.mae == pytest.approx(1.0)
    assert s.percent_bias == pytest.approx(40.0)
    assert s.r == pytest.approx(r)
    assert s.r2 == pytest.approx(49.0 / 55.0)
    assert s.nse == pytest.approx(1.0 - 6.0 / 5.0)
    assert s.sd_obs == pytest.approx(math.sqrt(1.25))
    assert s.sd_model == pytest.approx(math.sqrt(2.75))
    assert s.nme == pytest.approx(1.0)  # the observations' mean is off by 1 on average too
    assert s.kge_2009 == pytest.approx(
        1.0 - math.sqrt((r - 1.0) ** 2 + (alpha - 1.0) ** 2 + 0.4**2)
    )
    assert s.kge_2012 == pytest.approx(
        1.0 - math.sqrt((r - 1.0) ** 2 + (alpha / beta - 1.0) ** 2 + 0.4**2)
    )
    # Percentiles interpolate between sorted values: 5 % lies 0.15 of the way from the first.
    assert s.error_p05 == pytest.approx(2.0 - 1.15)
    assert s.error_p95 == pytest.approx((4.0 + 0.85 * 2.0) - (3.0 + 0.85))


def test_a_perfect_model_has_perfect_scores():
    s = score(OBSERVED, OBSERVED.copy())
    assert (s.rmse, s.bias, s.mae, s.percent_bias, s.nme) == (0, 0, 0, 0, 0)
    assert (s.error_p05, s.error_p95) == (0, 0)
    for value in (s.r, s.r2, s.nse, s.kge_2009, s.kge_2012, s.overlap):
        assert value == pytest.approx(1.0)


def test_the_observed_mean_as_a_model():
    y = np.array([3.0, 7.1, 0.4, 5.5, 11.3])
    s = score(y, np.full(5, y.mean()))
    assert s.nse == pytest.approx(0.0)
    assert s.kge_2009 == pytest.approx(1.0 - math.sqrt(2.0))
    assert s.kge_2012 == pytest.approx(1.0 - math.sqrt(2.0))
    assert s.nme == pytest.approx(1.0)
    assert s.r is None
    assert s.r2 is None


def test_a_model_of_doubled_size():
    s = score(OBSERVED, 2.0 * OBSERVED)
    assert s.percent_bias == pytest.approx(100.0)
    assert s.kge_2009 == pytest.approx(1.0 - math.sqrt(2.0))  # alpha = beta = 2
    assert s.kge_2012 == pytest.approx(0.0)  # the coefficients of variation agree


def test_only_steps_with_both_values_count():
    y, m = np.array([1.0, np.nan, 3.0]), np.array([2.0, 5.0, np.nan])
    s = score(y, m)
    assert (s.n, s.bias, s.nse, s.kge_2009, s.overlap) == (1, 1.0, None, None, None)
    assert score(y, np.full(3, np.nan)) == Score(0)


def test_ratios_of_temperatures_are_left_out():
    s = score(OBSERVED + 273.15, MODELLED + 273.15, natural_zero=False)
    assert s.percent_bias is s.kge_2009 is s.kge_2012 is None
    celsius = score(OBSERVED, MODELLED, natural_zero=False)
    for name in ("rmse", "bias", "r", "nse", "mae", "nme", "error_p05", "error_p95", "overlap"):
        assert getattr(s, name) == pytest.approx(getattr(celsius, name))


def test_overlap_of_histograms_counted_by_hand():
    # Eight values: four bins between 0 and 8, edges 0, 2, 4, 6, 8, and one on either side.
    y = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])  # two in each bin
    m = np.array([-1.0, 0.5, 0.6, 0.7, 4.5, 8.0, 8.1, 9.0])  # below 1; 3, 0, 1, 1; above 2
    assert overlap(y, m) == pytest.approx((2 + 0 + 1 + 1) / 8)
    assert overlap(y, y + 100.0) == 0.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40), st.integers(0, 2**32 - 1))
def test_overlap_does_not_depend_on_order_and_stays_within_0_and_1(values, seed):
    y = np.array(values)
    generator = np.random.default_rng(seed)
    m = generator.permutation(y)
    if y.min() == y.max():
        assert overlap(y, m) is None
        return
    assert overlap(y, m) == pytest.approx(1.0)
    assert 0.0 <= overlap(y, y + generator.normal(size=y.size)) <= 1.0 + 1e-12


def test_normalised_scores_run_from_best_to_worst():
    y = np.random.default_rng(1).normal(100.0, 30.0, 500)
    scores = {
        "perfect": score(y, y),
        "shifted": score(y, y + 10.0),
        "far": score(y, -2.0 * y),
    }
    found = normalised_scores(scores)
    assert found["perfect"] == pytest.approx(0.0, abs=1e-12)
    assert found["far"] == pytest.approx(1.0)
    # Shifting changes neither spread nor correlation, so two of seven metrics stay at 0.
    s, f = scores["shifted"], scores["far"]
    expected = [
        s.mae / f.mae,
        10.0 / abs(f.bias),
        0.0,
        0.0,
        10.0 / abs(f.error_p05),
        10.0 / abs(f.error_p95),
        (1.0 - s.overlap) / (1.0 - f.overlap),
    ]
    assert found["shifted"] == pytest.approx(np.mean(expected))


def test_equal_models_share_the_best_score_and_nothing_observed_gives_none():
    s = score(OBSERVED, MODELLED)
    assert normalised_scores({"a": s, "b": s}) == {"a": 0.0, "b": 0.0}
    assert all(math.isnan(v) for v in normalised_scores({"a": Score(0), "b": Score(0)}).values())
