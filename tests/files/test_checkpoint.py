"""What a kept state belongs to: problems that differ in anything have another fingerprint."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.files.checkpoint import fingerprint
from caliche.models import SoilHeat
from problems import line_problem

X = np.linspace(0.0, 1.0, 5)


def test_the_same_problem_has_the_same_fingerprint():
    assert fingerprint(line_problem(X, X)) == fingerprint(line_problem(X, X))
    assert fingerprint(np.arange(3.0)) == fingerprint(jnp.arange(3.0))


def test_whatever_differs_gives_another():
    problem = line_problem(X, X)
    later = np.array([0.0, 0.25, 0.5, 0.75, 1.0 + 1e-15])
    model = SoilHeat((0.0, 0.1, 0.3), 1800.0)
    differing = [
        problem,
        line_problem(later, X),
        line_problem(X, later),
        line_problem(X, X, 2.0),
        LevenbergMarquardt(),
        LevenbergMarquardt(tolerance=1e-4),
        model,
        dataclasses.replace(model, scheme="backward-euler"),
        dataclasses.replace(model, scheme="crank-nicolson"),
        np.zeros(4),
        np.zeros((2, 2)),
        np.zeros(4, int),
        "ab",
        ["a", "b"],
        [["a"], "b"],
        test_the_same_problem_has_the_same_fingerprint,
    ]
    assert len({fingerprint(what) for what in differing}) == len(differing)
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
