"""Where nothing is left: which metrics exclude each other, and what would reconcile them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from caliche.history_matching.conflict import find_conflict
from caliche.history_matching.implausibility import Rule, Targets

CUBE = qmc.Sobol(2, rng=np.random.default_rng(0)).random_base2(9)


def test_the_pair_that_excludes_each_other_is_named():
    given = Targets(
        ("low", "high", "other"), np.array([0.2, 0.8, 0.5]), np.full(3, 0.02), np.full(3, 0.03)
    )
    found = find_conflict(lambda x: x[:, [0, 0, 1]], given, Rule(given=3.0), CUBE, 0)
    assert found.alone == ()
    assert [pair[:2] for pair in found.pairs] == [("low", "high")]
    assert found.pairs[0][2] == pytest.approx(0.3 / np.hypot(0.02, 0.03), rel=1e-3)
    # Halfway, both are 0.3 away: 0.3 / 3 = sqrt(s^2 + f^2 d^2).
    assert found.factor == pytest.approx(np.sqrt(0.1**2 - 0.02**2) / 0.03, rel=1e-3)
    assert found.best[0] == pytest.approx(0.5, abs=1e-3)


def test_a_metric_out_of_reach_is_named_alone():
    given = Targets(("far", "near"), np.array([2.0, 0.5]), np.full(2, 0.1), np.full(2, 0.0))
    found = find_conflict(lambda x: x, given, Rule(given=3.0), CUBE, 0)
    assert found.alone == ("far",)
    assert found.pairs == ()
    assert found.least[0] == pytest.approx(10.0, rel=1e-3)
    assert found.factor is None
