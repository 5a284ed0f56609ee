"""logEI at any distance, and the other acquisition functions, against numbers of 60 digits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.optimisation.acquisition import (
    log_expected_improvement,
    log_h,
    lower_confidence_bound,
    probability_of_improvement,
)

ORACLE = {
    1.0: 0.08002621884930694,
    0.0: -0.9189385332046727,
    -1.0: -2.485121025712641,
    -5.0: -16.74430116266099,
    -40.0: -808.2985683566,
    -1000.0: -500014.7344520912,
}


def test_log_h_is_exact_to_nine_digits_behind_the_point():
    found = log_h(jnp.asarray(list(ORACLE)))
    np.testing.assert_allclose(found, list(ORACLE.values()), rtol=0.0, atol=1e-9)


def test_expected_improvement_and_its_rivals():
    mean, sd, best = (jnp.asarray(x) for x in (0.2, 0.5, 0.0))
    log_gain = log_expected_improvement(mean, sd, best)
    np.testing.assert_allclose(jnp.exp(log_gain), 0.1152194184737265, atol=1e-12)
    np.testing.assert_allclose(log_gain, -2.160916981785529, atol=1e-12)
    np.testing.assert_allclose(
        probability_of_improvement(mean, sd, best), 0.34457825839, atol=1e-11
    )
    np.testing.assert_allclose(lower_confidence_bound(mean, sd), -0.8, atol=1e-15)


@pytest.mark.parametrize("edge", [-1.0, -12.0])
def test_the_pieces_of_log_h_meet_with_their_slopes(edge):
    below, above = (jnp.asarray(edge + d) for d in (-1e-9, 1e-9))
    np.testing.assert_allclose(log_h(above), log_h(below), rtol=2e-9)
    slope = jax.grad(log_h)
    np.testing.assert_allclose(slope(above), slope(below), rtol=1e-8)


def test_the_slope_lives_where_that_of_the_improvement_itself_is_lost():
    # ln h falls like -z^2 / 2 there.
    np.testing.assert_allclose(jax.grad(log_h)(jnp.asarray(-1e5)), 1e5, rtol=1e-9)
    assert np.exp(float(log_h(jnp.asarray(-40.0)))) == 0.0
