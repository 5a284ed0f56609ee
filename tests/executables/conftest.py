"""A tiny executable in the folder of a test."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from executable_cases import write_study


@pytest.fixture
def study(tmp_path) -> Callable[..., Path]:
    """Writes the executable and its file; the path of the latter."""
    return functools.partial(write_study, tmp_path)
