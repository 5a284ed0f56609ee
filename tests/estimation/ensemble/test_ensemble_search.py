"""Random search on surfaces with a curved valley, with three minima, and where it cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from oracle_models import Branin
from problems import LinearGaussian, Rosenbrock


@pytest.mark.ci
def test_many_starts_find_the_three_minima_of_branin():
    result = estimate(Branin.problem(), "cma", starts=8, seed=2)
    assert result.converged
    ends = np.array([[s.estimate["x"], s.estimate["y"]] for s in result.starts if s.misfit < 1e-6])
    assert len(ends) >= 6
    nearest = np.argmin(np.linalg.norm(ends[:, None] - Branin.optima, axis=2), axis=1)
    assert set(nearest) == {0, 1, 2}
    np.testing.assert_allclose(ends, Branin.optima[nearest], atol=5e-3)
    assert any(text.startswith("The starts found three optima") for text in result.warnings)


def test_cma_follows_rosenbrocks_valley():
    result = estimate(Rosenbrock.problem(), "cma", seed=1)
    assert result.converged
    found = [result.parameters[n].estimate for n in result.names]
    np.testing.assert_allclose(found, Rosenbrock.estimate, atol=5e-3)
    assert result.error_bars == "curvature"
    assert result.ensemble is None
    sd = [result.parameters[n].sd_naive for n in result.names]
    np.testing.assert_allclose(sd, np.sqrt(np.diag(Rosenbrock.covariance)), rtol=2e-2)
    assert result.n_model_runs < 2000


def test_a_genetic_algorithm_says_how_far_it_is_from_the_optimum():
    result = estimate(LinearGaussian.problem(), "ga", members=8, patience=4, seed=1)
    assert not result.converged
    assert "no better member in 4 generations, but a Gauss-Newton step" in result.reason
    assert "has not found the optimum" in result.reason
    # What was best so far never gets worse.
    assert np.all(np.diff(result.misfit[0]) <= 0.0)


def test_a_genetic_algorithm_needs_ranges():
    with pytest.raises(InputError, match="a range from which to draw starts of a"):
        estimate(Rosenbrock.problem(), "ga")


def test_the_limit_of_generations_is_told():
    result = estimate(LinearGaussian.problem(), "cma", max_iterations=3)
    assert not result.converged
    assert result.reason.startswith("stopped at the limit of generations")
