"""Random search on surfaces with a curved valley, with three minima, and where it cannot see."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.inverse_problem import InverseProblem
from caliche.parameters import Flat
from problems import LinearGaussian, Rosenbrock, make_problem

MODES = np.array([[-np.pi, 12.275], [np.pi, 2.275], [3.0 * np.pi, 2.475]])


def _branin(params, forcing):
    parabola = (
        params["y"] - 5.1 / (4.0 * jnp.pi**2) * params["x"] ** 2 + 5.0 / jnp.pi * params["x"] - 6.0
    )
    # 10 (1 - 1 / 8 pi) (1 + cos x), as a square; what is left of Branin's function is 0.397887.
    wave = jnp.sqrt(20.0 * (1.0 - 0.125 / jnp.pi)) * jnp.cos(0.5 * params["x"])
    return jnp.where(forcing["which"] > 0.5, jnp.sqrt(2.0) * wave, jnp.sqrt(2.0) * parabola)


def branin_problem() -> InverseProblem:
    priors = {"x": Flat(-5.0, 10.0), "y": Flat(0.0, 15.0)}
    start = {"x": 2.0, "y": 7.0}
    return make_problem(_branin, priors, start, {"which": np.arange(2.0)}, np.zeros(2))


def test_many_starts_find_the_three_minima_of_branin():
    result = estimate(branin_problem(), "cma", starts=8, seed=2)
    assert result.converged
    ends = np.array([[s.estimate["x"], s.estimate["y"]] for s in result.starts if s.misfit < 1e-6])
    assert len(ends) >= 6
    nearest = np.argmin(np.linalg.norm(ends[:, None] - MODES, axis=2), axis=1)
    assert set(nearest) == {0, 1, 2}
    np.testing.assert_allclose(ends, MODES[nearest], atol=5e-3)


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
