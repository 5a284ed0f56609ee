"""The trust region: when it grows, shrinks and begins again, and how long its sides are."""

from __future__ import annotations

import numpy as np

from caliche.optimisation.trust_region import LEAST_SIDE, TrustRegion


def after(region: TrustRegion, gains: list[float], size: int = 8, batch: int = 1) -> TrustRegion:
    for gain in gains:
        region = region.after(gain, 1.0, size, batch)
    return region


def test_it_doubles_after_three_successes_up_to_its_limit():
    region = after(TrustRegion(), [0.1, 0.1])
    assert (region.side, region.successes) == (0.8, 2)
    assert after(region, [0.1]).side == 1.6
    assert after(region, [0.1] * 7).side == 1.6


def test_a_gain_of_less_than_a_thousandth_is_none():
    assert after(TrustRegion(), [0.0009]).failures == 1
    assert after(TrustRegion(), [0.1, 0.1, 0.0009, 0.1]).side == 0.8


def test_it_is_halved_after_as_many_failures_as_parameters():
    assert after(TrustRegion(), [0.0] * 7).side == 0.8
    assert after(TrustRegion(), [0.0] * 8).side == 0.4
    assert after(TrustRegion(), [0.0] * 2, batch=4).side == 0.4
    assert after(TrustRegion(), [0.0] * 4, size=2).side == 0.4


def test_it_begins_again_where_it_has_shrunk_to_nothing_and_ends_after_three_times():
    region = after(TrustRegion(LEAST_SIDE), [0.0] * 8)
    assert (region.side, region.restarts, region.exhausted) == (0.8, 1, False)
    assert after(TrustRegion(LEAST_SIDE, restarts=3), [0.0] * 8).exhausted


def test_its_sides_follow_the_length_scales_within_the_box():
    low, high = TrustRegion(0.4).box(np.array([0.0, 0.9]), np.array([0.5, 2.0]))
    np.testing.assert_allclose(low, [-0.2, 0.1])
    np.testing.assert_allclose(high, [0.2, 1.0])
