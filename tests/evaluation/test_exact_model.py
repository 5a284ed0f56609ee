"""An estimate held against the exact problem: distances that are known."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.evaluation.exact_model import hold_against
from problems import LinearGaussian


def test_the_distance_from_the_optimum_of_a_linear_problem_is_exact():
    problem = LinearGaussian.problem()
    hessian = np.asarray(problem.normal_equations(problem.space.initial()).hessian)
    whole = hold_against(problem, {"w1": 0.0, "w2": 0.0})
    assert whole.converged
    assert whole.steps == 1
    assert whole.first == pytest.approx(whole.distance, rel=1e-9)
    # From a point two standard deviations away along one direction.
    root = np.linalg.inv(np.linalg.cholesky(hessian)).T
    away = np.array([whole.exact_values["w1"], whole.exact_values["w2"]]) + 2.0 * root[:, 0]
    near = hold_against(problem, {"w1": away[0], "w2": away[1]})
    assert near.distance == pytest.approx(2.0, rel=1e-6)
    assert near.exact_cost == pytest.approx(LinearGaussian.cost, rel=1e-9)
    assert near.cost - near.exact_cost == pytest.approx(2.0, rel=1e-6)
    at = hold_against(problem, near.exact_values)
    assert at.steps == 0
    assert at.distance == 0.0
