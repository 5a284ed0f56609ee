"""A small experiment and a twin collection for it: three days, half-hourly, six nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import xarray as xr
from sites_cases import STEPS, configuration

import caliche
from caliche.sites import synthetic


@pytest.fixture
def write(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Writes small.toml into the current folder, a fresh one, and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(**more: Any) -> Path:
        Path("small.toml").write_text(tomli_w.dumps(configuration(**more)), encoding="utf-8")
        return Path("small.toml")

    return write


@pytest.fixture(scope="session")
def twins(tmp_path_factory) -> xr.Dataset:
    """Twenty sites with known parameters."""
    path = tmp_path_factory.mktemp("twins") / "small.toml"
    path.write_text(tomli_w.dumps(configuration()), encoding="utf-8")
    return synthetic(caliche.load_experiment(path), 20, seed=1, steps=STEPS)
