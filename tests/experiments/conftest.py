"""One run of each kind, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caliche.experiments import load_experiment
from caliche.runs.run import Run, run_experiment


@pytest.fixture(scope="module")
def calibrate(tmp_path_factory) -> Callable[..., Run]:
    """Runs an experiment into a folder of its own; the same call twice is one run."""
    done: dict[tuple, Run] = {}

    def run(name: str, *overrides: str, starts: int | None = None) -> Run:
        key = (name, *overrides, starts)
        if key not in done:
            folder = tmp_path_factory.mktemp("runs") / "run"
            done[key] = run_experiment(load_experiment(name, overrides), starts=starts, out=folder)
        return done[key]

    return run
