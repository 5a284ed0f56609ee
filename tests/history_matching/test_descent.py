"""Regions too small for a search are found by descent."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from caliche.history_matching.descent import isolated
from caliche.history_matching.implausibility import Rule, Targets
from caliche.history_matching.nonimplausible import sample_nroy
from caliche.history_matching.study import Options


class Plain:
    """A simulator, and ranges, of two functions that vanish together at two points."""

    size, names = 2, ("x", "y")
    lower, upper = np.zeros(2), np.ones(2)

    def __init__(self):
        from caliche.emulators.box import Box

        self.box = Box(self.lower, self.upper)

    def to_inputs(self, x):
        return x

    from_inputs = to_inputs

    def values(self, x):
        x, y = x.T
        return np.column_stack([(x - 0.2) * (x - 0.81), (y - 0.3) + 0.1 * (x - 0.2)])

    def with_slopes(self, e, _mode):
        x = e[:, 0]
        slopes = np.zeros((len(e), 2, 2))
        slopes[:, 0, 0] = 2.0 * x - 1.01
        slopes[:, 1, 0], slopes[:, 1, 1] = 0.1, 1.0
        return self.values(e), slopes


def test_a_second_tiny_region_is_found_by_descent():
    plain = Plain()
    targets = Targets(("a", "b"), np.zeros(2), np.full(2, 1e-4), np.zeros(2))
    rule = Rule(given=3.0)
    study = SimpleNamespace(
        simulator=plain, ranges=plain, targets=targets, rule=rule, options=Options()
    )
    study.exact = lambda x: rule.combine(targets, plain.values(x))
    # Of two equal regions the search is made to see the left one alone.
    half = sample_nroy(lambda x: np.where(x[:, 0] < 0.5, study.exact(x), 1e9), 2, 3.0, 100, 2**9)
    assert half.parts.size == 1
    found = isolated(study, half, "forward")
    assert len(found) == 1
    np.testing.assert_allclose(found[0], [0.81, 0.239], atol=1e-3)
