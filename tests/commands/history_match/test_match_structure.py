"""Persistence and discrepancy from the residuals of a fit."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.commands.history_match.structure import structure_of
from caliche.errors import InputError
from caliche.evaluation.experiment_metrics import match_metrics
from caliche.experiments import load_experiment
from caliche.metrics.errors import errors_of


def test_a_fit_says_what_persists_and_what_the_model_misses(caliche, tower, tmp_path):
    path, folder = tower.write(), tmp_path / "fit"
    assert caliche("estimate", path, "--out", folder).code in (0, 3)
    experiment = load_experiment(path)
    problem = experiment.problem()
    metrics, _ = match_metrics(experiment, ("mean", "diurnal"))
    declared = errors_of(problem.observations)
    found = structure_of(folder, problem, metrics, declared)
    assert np.all(found.errors.autocorrelation > 0.2)
    assert np.all(found.errors.autocorrelation < 1.0)
    assert found.discrepancy.shape == (len(metrics),)
    assert any("persist for" in text for text in found.sentences)

    other = load_experiment("twin-two-depths", ["synthetic.hours=30"]).problem()
    with pytest.raises(InputError, match="same streams"):
        structure_of(folder, other, metrics, declared)
