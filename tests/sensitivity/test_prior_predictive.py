"""Observations against draws of the prior: calibrated where the prior is right, and told if not."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.parameters import Flat, Normal
from caliche.problems.inverse import InverseProblem
from caliche.sensitivity.prior_predictive import prior_predictive
from problems import line_problem, make_problem, with_observed

X = np.linspace(0.0, 1.0, 40)


@functools.cache
def line() -> InverseProblem:
    return line_problem(
        X, np.zeros(40), 0.2, intercept=Normal(0.0, 1.0), slope=Normal(1.0, 0.5, -2.0, 4.0)
    )


def test_a_record_of_the_prior_itself_is_in_conflict_one_time_in_twenty():
    """Truths drawn from the prior, errors from the error model: the rule's own 5 %."""
    generator, problem, found = np.random.default_rng(5), line(), []
    for trial in range(100):
        intercept, slope = generator.standard_normal(2) * [1.0, 0.5] + [0.0, 1.0]
        observed = intercept + slope * X + 0.2 * generator.standard_normal(40)
        draws = prior_predictive(with_observed(problem, observed[:, None]), seed=trial)
        found.append((draws.outside[0], draws.conflict[0]))
    outside, conflict = np.mean(found, axis=0)
    assert outside == pytest.approx(0.05, abs=0.03)
    assert 0.01 <= conflict <= 0.10


def test_a_record_that_is_shifted_out_is_in_conflict():
    for shift, side in ((6.0, "above"), (-6.0, "below")):
        draws = prior_predictive(with_observed(line(), (shift + X)[:, None]))
        assert draws.conflict[0]
        assert draws.outside[0] == 1.0
        assert getattr(draws, side).all()


def test_only_what_was_observed_counts():
    observed = np.where(X > 0.5, np.nan, 6.0)[:, None]
    draws = prior_predictive(with_observed(line(), observed))
    assert draws.above.sum() == (X <= 0.5).sum()
    assert np.isnan(draws.lower[X > 0.5]).all()


def test_draws_that_fail_are_counted_and_too_few_refused():
    def root(edge):
        return make_problem(
            lambda p, f: jnp.sqrt(p["a"]) * f["x"],
            {"a": Flat(edge, 9.0)},
            {"a": 1.0},
            {"x": X},
            2.0 * X,
            0.1,
        )

    draws = prior_predictive(root(-1.0))  # a tenth of the draws has no root
    assert 0 < draws.failed < 20
    assert len(draws.u) == len(draws.predictions) == 79 - draws.failed
    assert not draws.conflict[0]
    with pytest.raises(InputError, match="draws of the prior that the model can run"):
        prior_predictive(root(-81.0))


def test_what_cannot_be_drawn_is_told():
    with pytest.raises(InputError, match="from which the prior predictive check draws"):
        prior_predictive(line_problem(X, X))
    with pytest.raises(InputError, match="at least 39 draws of the prior"):
        prior_predictive(line(), 20)
