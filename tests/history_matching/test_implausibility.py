"""Implausibility, how several become one, and cut-offs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from caliche.errors import InputError
from caliche.history_matching.implausibility import NTH, VECTOR, Rule, Targets, usual_rule


def targets(number: int, **changed) -> Targets:
    given = {
        "names": tuple(f"m{k}" for k in range(number)),
        "values": np.zeros(number),
        "error": np.ones(number),
        "discrepancy": np.zeros(number),
    }
    return Targets(**{**given, **changed})


def test_implausibility_counts_every_variance():
    one = Targets(("f",), np.array([1.2]), np.array([[0.05]]), np.array([np.sqrt(0.03)]))
    found = one.implausibility(np.array([[0.5]]), np.array([[0.04]]))
    assert found[0, 0] == pytest.approx(2.020726, abs=1e-6)
    # The published unit: |0.4 - 0.5| / sqrt(0.05 + 0.1 + 0.1).
    two = Targets(("f",), np.array([0.4]), np.array([[0.1]]), np.array([np.sqrt(0.1)]))
    assert two.implausibility(np.array([[0.5]]), 0.05)[0, 0] == pytest.approx(0.2)
    assert two.scaled(2.0).variance[0] == pytest.approx(0.5)


def test_inside_an_interval_nothing_is_implausible():
    found = targets(1, values=[10.0], half=np.array([2.0])).implausibility(
        np.array([[11.9], [12.5], [7.0]])
    )
    np.testing.assert_allclose(found[:, 0], [0.0, 0.5, 1.0])


@pytest.mark.parametrize(("number", "cutoff"), [(1, 2.81), (3, 3.14), (10, 3.48), (50, 3.89)])
def test_the_cutoff_grows_with_the_number_of_metrics(number, cutoff):
    rule = Rule()
    assert rule.cutoff(number) == pytest.approx(cutoff, abs=0.005)
    assert rule.chance(number, rule.cutoff(number)) == pytest.approx(0.005)


@pytest.mark.parametrize(("number", "chance"), [(1, 0.0027), (3, 0.0081), (10, 0.027), (50, 0.126)])
def test_three_standard_deviations_lose_the_truth_more_often_with_more_metrics(number, chance):
    assert Rule(given=3.0).chance(number, 3.0) == pytest.approx(chance, rel=0.02)


def test_vector_cutoffs_are_those_of_chi_square():
    squares = [Rule(VECTOR).cutoff(d) ** 2 for d in (1, 2, 3, 5, 10, 100)]
    np.testing.assert_allclose(squares, [7.879, 10.597, 12.838, 16.750, 25.188, 140.17], atol=5e-3)


def test_the_second_largest_has_the_chance_that_it_claims():
    rule, drawn = Rule(NTH, 2), np.random.default_rng(0).standard_normal((100_000, 12))
    found = rule.combine(targets(12), drawn)
    np.testing.assert_allclose(found, np.sort(np.abs(drawn), axis=1)[:, -2])
    share = np.mean(found > rule.cutoff(12))
    assert share == pytest.approx(0.005, abs=5 * np.sqrt(0.005 / 100_000))
    assert rule.cutoff(12) < Rule().cutoff(12)
    assert usual_rule(10) == Rule()
    assert usual_rule(11).n == 2


def test_correlated_errors_are_never_worse_than_sidak_says():
    correlation = np.full((6, 6), 0.9) + 0.1 * np.eye(6)
    rule = Rule()
    cutoff = rule.cutoff(6)
    assert rule.chance(6, cutoff, correlation) < 0.6 * rule.chance(6, cutoff)
    # The second largest of correlated ones is lost more often than that of independent ones.
    second = Rule(NTH, 2)
    assert second.chance(6, second.cutoff(6), correlation) > 1.5 * 0.005


def test_the_vector_form_knows_correlations_and_emulator_variance():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    one = targets(3, error=root @ root.T, discrepancy=np.array([0.1, 0.2, 0.3]))
    mean, variance = rng.normal(size=(7, 3)), rng.random((7, 3))
    found = Rule(VECTOR).combine(one, mean, variance)
    for k in range(7):
        whole = root @ root.T + np.diag(one.discrepancy**2) + np.diag(variance[k])
        assert found[k] == pytest.approx(np.sqrt(mean[k] @ np.linalg.solve(whole, mean[k])))
    exact = Rule(VECTOR).combine(one, mean)
    np.testing.assert_allclose(exact, Rule(VECTOR).combine(one, mean, np.full((7, 3), 1e-14)))
    drawn = rng.multivariate_normal(np.zeros(3), one.error + np.diag(one.discrepancy**2), 20_000)
    share = np.mean(Rule(VECTOR).combine(one, drawn) ** 2 > chi2.ppf(0.9, 3))
    assert share == pytest.approx(0.1, abs=0.01)


def test_a_run_that_failed_has_no_implausibility():
    mean = np.array([[0.0, np.nan, 9.0], [0.0, 1.0, 2.0]])
    for rule in (Rule(), Rule(NTH, 2), Rule(VECTOR)):
        found = rule.combine(targets(3), mean)
        assert np.isnan(found[0])
        assert np.isfinite(found[1])


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (lambda: Rule("median"), "use maximum"),
        (lambda: Rule(NTH, 0), "1 or more"),
        (lambda: Rule(level=1.0), "below 1"),
        (lambda: Rule(given=-3.0), "above zero"),
        (lambda: Rule(NTH, 3).cutoff(2), "at least 3 metrics"),
        (lambda: targets(2, error=np.zeros(2)), "above zero"),
        (lambda: targets(2, discrepancy=np.zeros(3)), "one for each value"),
    ],
)
def test_what_cannot_be_is_refused(make, phrase):
    with pytest.raises(InputError, match=phrase):
        make()
