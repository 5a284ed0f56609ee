"""A new method is one card: it runs, it is known by name, and everything speaks of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from caliche.cards.methods import METHODS, MethodCard, method_names, method_of, register
from caliche.commands.compare.run import Asked, expected_runs, read_methods
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.report.run import words
from caliche.runs.run_summary import ParameterEntry, RunSummary
from problems import line_problem


def careful(max_iterations: int = 50, closeness: float = 1e-8) -> LevenbergMarquardt:
    return LevenbergMarquardt(max_iterations=max_iterations, tolerance=closeness)


@pytest.fixture
def card() -> Iterator[MethodCard]:
    made = MethodCard(
        "careful", "Careful", "small steps downhill", careful, "descent", "Where nothing else ends."
    )
    register(made)
    yield made
    del METHODS["careful"]


def test_options_are_those_of_the_maker(card):
    assert card.options == {"max_iterations": 50, "closeness": 1e-8}
    assert method_of("careful", {"closeness": 1e-3}).tolerance == 1e-3
    with pytest.raises(InputError, match=r"options that method careful has.*step.*max_iterations"):
        method_of("careful", {"step": 1})


def test_a_new_method_estimates(card):
    x = np.linspace(0.0, 1.0, 20)
    found = estimate(line_problem(x, 1.0 + 2.0 * x), "careful")
    assert found.converged
    np.testing.assert_allclose(found.parameters["slope"].estimate, 2.0, rtol=1e-6)


def test_a_new_method_is_known_everywhere(card):
    assert "careful" in method_names()
    (asked,) = read_methods("careful:closeness=1e-9")
    assert asked.options == {"closeness": 1e-9}
    assert expected_runs(Asked("careful", "careful"), 3) == 200
    entry = ParameterEntry(estimate=1.0)
    summary = RunSummary(
        title="", method="careful", converged=True, reason="", fit={}, parameters={"k": entry}
    )
    period = np.datetime64("2020-01-01"), np.datetime64("2020-01-02")
    said = words.what_was_done(summary, [("k", 3)], period, 0.0, "")
    assert said.endswith("with small steps downhill.")
