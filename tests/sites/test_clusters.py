"""k-medoids on mixed predictors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.commands.joint import clusters
from caliche.commands.joint.clusters import gower, k_medoids
from caliche.errors import InputError


def test_gower_by_hand():
    found = gower({"cover": ["oak", "pine", "oak"], "rain": [100.0, 300.0, 500.0]}, {"rain": 3.0})
    assert found[0, 1] == pytest.approx((1.0 + 3.0 * 0.5) / 4.0)
    assert found[0, 2] == pytest.approx(3.0 / 4.0)
    assert (np.diag(found) == 0.0).all()


def test_what_is_missing_does_not_count():
    cover, rain = ["oak", "", "pine"], [1.0, 2.0, np.nan]
    found = gower({"cover": cover, "rain": rain, "height": [7.0, 7.0, 7.0]})
    assert found[0, 1] == pytest.approx(0.5)  # by rain and height
    assert found[0, 2] == pytest.approx(0.5)  # by cover and height
    assert found[1, 2] == 0.0  # by height alone
    with pytest.raises(InputError, match="both have"):
        gower({"cover": cover, "rain": rain})
    with pytest.raises(InputError, match="a predictor"):
        gower({})


def test_two_blobs_are_found_and_counted():
    x = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 5.3])
    found = k_medoids(np.abs(x[:, None] - x[None, :]))
    assert set(map(tuple, (np.flatnonzero(found.member == k) for k in range(2)))) == {
        (0, 1, 2),
        (3, 4, 5, 6),
    }
    assert found.medoids[0] == 1
    assert found.silhouette > 0.9


@given(st.integers(0, 10_000), st.integers(3, 8), st.integers(1, 3))
def test_exchange_is_never_better_than_all_sets_and_rarely_worse(seed, n, k):
    generator = np.random.default_rng(seed)
    points = generator.random((n, 2))
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=2)
    exact = k_medoids(distances, k)
    least = min(distances[:, list(m)].min(axis=1).sum() for m in combinations(range(n), k))
    assert exact.cost == pytest.approx(least)
    searched = clusters._exchange(distances, clusters._build(distances, k))
    assert exact.cost - 1e-12 <= clusters._cost(distances, searched) <= 1.5 * exact.cost + 1e-12
    assert all(exact.member[m] == number for number, m in enumerate(exact.medoids))


def test_a_number_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="between 1 and 2"):
        k_medoids(np.zeros((2, 2)), 3)
    assert k_medoids(np.zeros((2, 2))).medoids == (0,)
