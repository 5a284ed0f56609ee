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
def test_white_noise(coverage):
    result = coverage.study("twin-two-depths", "white", 0.0, "independent", 200, 1)
    assert result.converged == 200
    # 2 J is chi-square: its mean over 200 draws is within 4 standard errors.
    assert abs(result.twice_misfit - result.freedom) < 4 * (2 * result.freedom / 200) ** 0.5
    for kind in ("declared", "inflated", "profile"):
        share = result.covered[kind].mean(axis=0)
        assert ((share >= 0.90) & (share <= 0.99)).all(), kind


@pytest.mark.slow
def test_noise_that_lasts(coverage):
    """Declared errors taken as independent cover far too little; inflated ones enough."""
    result = coverage.study("twin-two-depths", "ar1", 0.8, "independent", 200, 1)
    assert (result.covered["declared"].mean(axis=0) < 0.75).all()
    assert (result.covered["inflated"].mean(axis=0) >= 0.90).all()
