"""What was unknown is held alike for all methods, and which folder a comparison goes on in."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from caliche.cards.methods import METHODS
from caliche.commands.compare import run as compare
from caliche.commands.compare.folder import find_folder, what_is_compared
from caliche.commands.compare.run import (
    Asked,
    Row,
    best_row,
    compare_methods,
    expected_runs,
    hold_hyperparameters,
    prepare,
    read_methods,
)
from caliche.errors import InputError
from caliche.estimation import MEMBER_METHODS
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.experiments import load_experiment
from caliche.files.manifest import manifest

SEEN = "soil_temperature_0.05m"
SMALL = ["synthetic.hours=12", "model.nodes=11", "method.starts=1"]


@pytest.mark.parametrize("name", [*METHODS, *MEMBER_METHODS, "of-somebody-else"])
def test_every_method_has_a_cost_even_one_that_nobody_has_counted_for(name):
    assert expected_runs(Asked(name, name), 3) >= 20


def test_the_best_row_is_the_first_that_shares_the_lowest_misfit():
    rows = [Row("a", 0, misfit=m) for m in (np.nan, 30.0, 10.1, 10.0)]
    assert best_row(rows) == 2
    assert best_row(rows[:1]) is None


def test_without_a_folder_the_unfinished_one_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = what_is_compared("a mark", 3, ["lm"])
    for name, kept, table in (
        ("x-compare-1", run, None),
        ("x-compare-2", run, {"finished": False}),
        ("x-compare-3", run, {"finished": True}),
        ("x-compare-4", {**run, "seeds": 4}, None),
    ):
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(manifest("compare", kept)))
        if table is not None:
            (folder / "compare.json").write_text(json.dumps(table))
    assert find_folder(None, "x", run) == Path("runs/x-compare-2")
    assert not find_folder(None, "y", run).exists()
    with pytest.raises(InputError, match="does not exist yet"):
        find_folder(Path("runs"), "x", run)


def test_what_is_unknown_is_held_at_what_lm_finds(tmp_path, monkeypatch):
    """So that methods minimise the same misfit; found once a folder, kept to the last bit."""
    unknown = [*SMALL, f"observations.'{SEEN}'.estimate_sigma=true"]
    experiment, asked = load_experiment("twin-one-depth", unknown), read_methods("etki")
    found, called = Hyperparameters({}, {SEEN: 0.1 / 3.0}), []

    def fit(problem, method, unknown, seed, **options):
        called.append((method, unknown.sigma, options))
        return SimpleNamespace(hyperparameters=found, reason="")

    monkeypatch.setattr(compare, "estimate", fit)
    for _ in range(2):
        _, folder = prepare(experiment, asked, 1, tmp_path / "out")
        held = hold_hyperparameters(experiment, folder)
        assert not held.unknown
        np.testing.assert_array_equal(held.problem().observations.sigma, [0.1 / 3.0])
    assert called == [("lm", (SEEN,), {"starts": 1})]
    with pytest.raises(InputError, match="the same number of seeds"):
        prepare(experiment, asked, 2, tmp_path / "out")
    # Where nothing is unknown nothing is done, nor written.
    known = load_experiment("twin-one-depth", SMALL)
    _, folder = prepare(known, asked, 1, tmp_path / "new")
    assert hold_hyperparameters(known, folder) is known
    assert not (tmp_path / "new").exists()


def test_a_comparison_that_nothing_can_run_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise InputError("a method", "none", "another")

    monkeypatch.setattr(compare, "estimate", refuse)
    experiment = load_experiment("twin-one-depth", SMALL)
    with pytest.raises(InputError, match="a method that can run"):
        compare_methods(experiment, read_methods("etki"), 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
