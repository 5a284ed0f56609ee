"""The study of scripts/coverage.py: how often the 95 % intervals contain the truth."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "coverage.py"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_study", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_study"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("k", [0, 2, 8, 10])
def test_intervals_cover(coverage, k):
    """White noise, persistent errors, informative priors, a bound that is near."""
    result = coverage.study("twin-two-depths", coverage.CASES[k], 200, 1)
    assert result.converged == 200
    share = result.covered["reported"].mean(axis=0)
    assert ((share >= 0.90) & (share <= 0.99)).all()
    assert 0.93 <= share.mean() <= 0.975
    assert result.wider_than_prior == 0


@pytest.mark.slow
def test_errors_at_their_word_cover_too_little(coverage):
    result = coverage.study("twin-two-depths", coverage.CASES[2], 200, 1)
    assert (result.covered["declared"].mean(axis=0) < 0.75).all()
