"""What was unknown is held alike for all methods, and which folder a comparison goes on in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caliche.errors import InputError
from caliche.experiments import compare, load_experiment
from caliche.experiments.compare import compare_methods, read_methods
from caliche.experiments.compare_folder import find_folder, what_is_compared

SMALL = ["synthetic.hours=12", "model.nodes=11", "method.starts=1"]


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
        (folder / "run.json").write_text(json.dumps(kept))
        if table is not None:
            (folder / "compare.json").write_text(json.dumps(table))
    assert find_folder(None, "x", run) == Path("runs/x-compare-2")
    assert not find_folder(None, "y", run).exists()
    with pytest.raises(InputError, match="does not exist yet"):
        find_folder(Path("runs"), "x", run)


def test_what_is_unknown_is_held_at_what_lm_finds(tmp_path):
    """So that methods minimise the same misfit; once a folder, and not again."""
    unknown = [*SMALL, "observations.'soil_temperature_0.05m'.estimate_sigma=true",
               "observations.'soil_temperature_0.05m'.sigma=0.4"]  # fmt: skip
    experiment = load_experiment("twin-one-depth", unknown)
    found = compare_methods(experiment, read_methods("lm"), 2, tmp_path / "out")
    held = found.summary["hyperparameters"]
    assert 0.03 < held["sigma"]["soil_temperature_0.05m"] < 0.3  # 0.1 K of noise
    first, second = found.rows
    assert first.misfit == pytest.approx(0.5 * 13, abs=2.5)
    assert first.from_best == first.farthest == 0.0
    assert 0.0 <= second.from_best <= second.farthest
    assert second.farthest <= 1.01 * second.from_best * np.sqrt(len(second.estimates))
    seen = []
    again = compare_methods(experiment, read_methods("lm"), 2, tmp_path / "out",
                            lambda row, there: seen.append(there))  # fmt: skip
    assert seen == [True, True]
    assert again.summary["hyperparameters"] == held
    assert list(again.rows) == list(found.rows)
    with pytest.raises(InputError, match="the same number of seeds"):
        compare_methods(experiment, read_methods("lm"), 3, tmp_path / "out")


def test_a_comparison_that_nothing_can_run_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise InputError("a method", "none", "another")

    monkeypatch.setattr(compare, "estimate", refuse)
    experiment = load_experiment("twin-one-depth", SMALL)
    with pytest.raises(InputError, match="a method that can run"):
        compare_methods(experiment, read_methods("etki"), 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
