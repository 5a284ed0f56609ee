"""Predictions with bands and without."""

from __future__ import annotations

import numpy as np

from caliche.evaluation.prediction import predict
from caliche.experiments import load_experiment


def test_streams_alone_are_those_of_the_run_with_tangents():
    problem = load_experiment("twin-one-depth").scoring_problem()
    u = np.asarray(problem.space.initial())
    whole = predict(problem, u, np.eye(len(u)))
    alone = predict(problem, u, np.eye(len(u)), streams_alone=True)
    assert list(alone.streams) == list(whole.streams)
    for name, values in whole.streams.items():
        np.testing.assert_allclose(alone.streams[name], values, rtol=1e-12, equal_nan=True)
    assert whole.band
    assert not alone.band
    assert not alone.energy
