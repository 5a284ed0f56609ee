"""NROY of functions whose volume is known: fractions, regions apart, small volumes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caliche.errors import InputError
from caliche.history_matching.implausibility import NTH, Rule, Targets
from caliche.history_matching.nonimplausible import sample_nroy
from caliche.history_matching.subset_simulation import climb_down


def seven(x):
    """hmer's first vignette."""
    x = 0.6 * x[:, 0]
    return np.abs(2.0 * x + 3.0 * x * np.sin(5.0 * np.pi * (x - 0.1) / 0.4)) / 0.05


def two_outputs(x):
    """hmer's second vignette."""
    x, y = np.pi * (x[:, 0] - 0.5), 2.0 * x[:, 1] - 1.0
    first = 2.0 * np.cos(1.2 * x - 2.0) + 3.0 * np.sin(1.0 - 0.8 * y)
    return np.column_stack([first, y * np.sin(x) - 3.0 * np.cos(x * y)])


TWO = Targets(("f1", "f2"), np.array([1.2777787, -2.9576670]), np.sqrt([0.1, 0.005]), np.zeros(2))


def ball(radius):
    return lambda x: 3.0 * np.linalg.norm(2.0 * x - 1.0, axis=1) / radius


def discs(x):
    x = 2.0 * x - 1.0
    first, second = np.linalg.norm(x + 0.5, axis=1), np.linalg.norm(x - 0.6, axis=1)
    return 3.0 * np.minimum(first / 0.4, second / 0.04)


def test_seven_intervals_are_found_and_measured():
    found = sample_nroy(seven, 1, 3.0, members=1000)
    assert found.fraction == pytest.approx(0.2680990, rel=0.002)
    assert found.parts.size == 7
    ends = [np.sort(0.6 * found.points[found.regions == k, 0])[[0, -1]] for k in range(7)]
    ends.sort(key=lambda e: e[0])
    expected = [
        [0.0, 0.0962397],
        [0.1905998, 0.2088732],
        [0.2325114, 0.2476901],
        [0.3540885, 0.3637886],
        [0.3966936, 0.4053733],
        [0.5154340, 0.5220798],
        [0.5581625, 0.5643047],
    ]
    np.testing.assert_allclose(ends, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("rule", "which", "fraction"),
    [
        (Rule(), [0, 1], 0.24072),
        (Rule(), [0], 0.43621),
        (Rule(), [1], 0.62366),
        (Rule(NTH, 2), [0, 1], 0.81915),
    ],
)
def test_two_outputs_alone_and_together(rule, which, fraction):
    def implausibility(x):
        return rule.combine(TWO.only(np.array(which)), two_outputs(x)[:, which])

    found = sample_nroy(implausibility, 2, 3.0, members=300)
    assert found.fraction == pytest.approx(fraction, abs=0.001)
    assert found.parts.size == 1
    if len(which) == 2 and rule.n == 1:
        kept = found.searched[found.searched_statistic <= 3.0]
        assert np.pi * (kept[:, 0].max() - 0.5) == pytest.approx(0.50148, abs=0.01)


def test_equal_regions_apart():
    found = sample_nroy(lambda x: np.abs(np.prod(2 * x - 1, axis=1) - 0.5) / 0.05, 2, 3.0, 600)
    assert found.fraction == pytest.approx(0.1062856, rel=0.005)
    np.testing.assert_allclose(found.parts, [0.5, 0.5], atol=0.06)


def test_a_region_of_a_hundredth_is_found_beside_a_large_one():
    both, shares = 0, []
    for seed in range(20):
        found = sample_nroy(discs, 2, 3.0, 2000, points=2**14, seed=seed)
        both += found.parts.size == 2
        shares.append(found.parts[-1])
        assert found.fraction == pytest.approx(0.1269203, rel=0.02)
    assert both >= 19
    assert np.mean(shares) == pytest.approx(0.0099, rel=0.2)


@pytest.mark.parametrize(
    ("dimensions", "fraction"), [(2, 0.19635), (5, 5.1404e-3), (10, 2.4320e-6)]
)
def test_balls(dimensions, fraction):
    # The ladder's usual rungs scatter by 10 %; these by 3 %.
    rung = 32_000 if dimensions == 10 else None
    found = sample_nroy(ball(0.5), dimensions, 3.0, apart=False, rung=rung)
    assert found.fraction == pytest.approx(fraction, rel=0.1)
    assert abs(found.fraction - fraction) < 3.0 * found.error
    assert found.method == ("rejection" if dimensions < 10 else "subset simulation")
    radius = np.linalg.norm(2.0 * found.points - 1.0, axis=1) / 0.5
    assert radius.max() <= 1.0
    # Spread evenly: the radius to the power of the dimension is uniform.
    assert np.mean(radius**dimensions) == pytest.approx(0.5, abs=0.03)


def test_two_tiny_regions_keep_their_shares():
    def tiny(x):
        x = 2.0 * x - 1.0
        first, second = np.linalg.norm(x - 0.5, axis=1), np.linalg.norm(x + 0.5, axis=1)
        return np.minimum(first / 0.03, second / 0.02)

    exact = math.pi**2 / 2.0 * np.array([0.03**4, 0.02**4]) / 2.0**4
    found = sample_nroy(tiny, 4, 1.0, 1000)
    assert abs(found.fraction - exact.sum()) < 3.0 * found.error
    np.testing.assert_allclose(found.parts, exact / exact.sum(), atol=0.08)


def test_the_error_of_a_small_volume_is_honest():
    exact = 5.1404e-3
    away = []
    for seed in range(30):
        found = sample_nroy(ball(0.5), 5, 3.0, 500, points=2**10, seed=seed, apart=False)
        assert found.method == "subset simulation"
        away.append((found.fraction - exact) / found.error)
    assert 0.6 < np.std(away) < 1.5
    assert abs(np.mean(away)) < 0.6


def test_sirs_on_the_simulator():
    """hmer's SIRS model, its targets as published (doi:10.18637/jss.v109.i10)."""

    def run(x):
        a, b, c = 0.1 + 0.7 * x[:, 0], 0.5 * x[:, 1], 0.05 * x[:, 2]

        def change(y):
            s, i, r = y
            new = a * s * i / 1000.0
            return np.array([c * r - new, new - b * i, b * i - c * r])

        y, h = np.tile([[950.0], [50.0], [0.0]], len(x)), 0.1
        for _ in range(100):
            k1 = change(y)
            k2 = change(y + 0.5 * h * k1)
            k3 = change(y + 0.5 * h * k2)
            y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + change(y + h * k3))
        return y.T

    np.testing.assert_allclose(
        run(np.full((1, 3), 0.5))[0], [618.5768, 148.7652, 232.6580], atol=1e-3
    )
    given = Targets(
        ("S", "I", "R"), np.array([615.5, 169.0, 210.0]), np.array([17.75, 8.45, 5.5]), np.zeros(3)
    )
    for rule, fraction in ((Rule(), 0.00478), (Rule(NTH, 2), 0.0208)):
        found = sample_nroy(
            lambda x, rule=rule: rule.combine(given, run(x)), 3, 3.0, 200, points=2**17, apart=False
        )
        assert found.fraction == pytest.approx(fraction, rel=0.03)
        if rule.n == 1:
            kept = found.searched[found.searched_statistic <= 3.0][:, :2]
            ends = [0.1, 0.0] + [0.7, 0.5] * np.array([kept.min(axis=0), kept.max(axis=0)])
            np.testing.assert_allclose(ends, [[0.372, 0.168], [0.470, 0.268]], atol=0.006)


def test_a_linear_model_with_correlated_errors_fills_its_ellipsoid():
    rng = np.random.default_rng(3)
    a, root = rng.normal(size=(6, 3)), np.tril(rng.normal(size=(6, 6))) + 2.0 * np.eye(6)
    spread = 4e-4 * root @ root.T
    given = Targets(tuple("abcdef"), np.zeros(6), spread, np.zeros(6))
    rule = Rule("vector", given=3.0)
    found = sample_nroy(lambda x: rule.combine(given, (2 * x - 1) @ a.T), 3, 3.0, 1000)
    volume = 4.0 / 3.0 * math.pi * 27.0 / math.sqrt(np.linalg.det(a.T @ np.linalg.solve(spread, a)))
    assert abs(found.fraction - volume / 8.0) < 3.0 * found.error
    assert found.parts.size == 1


def test_nothing_left_is_said_and_not_invented():
    found = sample_nroy(lambda x: 5.0 + np.linalg.norm(x - 0.3, axis=1), 2, 3.0, 200, 2**10)
    assert found.empty
    assert found.fraction <= 1e-11
    assert np.isnan(found.error)
    np.testing.assert_allclose(found.best, [0.3, 0.3], atol=1e-3)


def test_what_fails_is_not_judged():
    def failing(x):
        found = 3.0 * x[:, 0] / 0.5
        return np.where(x[:, 1] < 0.25, np.nan, found)

    found = sample_nroy(failing, 2, 3.0, 200, 2**12)
    assert found.failed == pytest.approx(0.25, abs=0.01)
    assert found.fraction == pytest.approx(0.5, abs=0.02)
    with pytest.raises(InputError, match="in at least 1 %"):
        sample_nroy(lambda x: np.full(len(x), np.nan), 2, 3.0)


def test_the_same_seed_gives_the_same_points():
    first, second = (sample_nroy(ball(0.3), 6, 3.0, 300, 2**10, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    assert first.fraction == second.fraction


def test_a_ladder_over_a_plateau_ends():
    x = np.random.default_rng(0).random((500, 2))
    flat = climb_down(lambda x: np.full(len(x), 9.0), x, np.full(500, 9.0), 3.0, 500, 0)
    assert flat.empty
