"""Waves of emulators whose runs have slopes: what they find, and going on where they stopped."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.history_matching import match, waves
from caliche.history_matching import recorder as keeping
from caliche.history_matching.match import history_match
from caliche.history_matching.observed import observed_targets
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.simulator import Costs, Simulator
from caliche.history_matching.study import Options
from caliche.metrics.vectors import Vector, vector_metrics
from caliche.parameters.priors import Flat
from problems import make_problem

TIME = np.linspace(0.0, 4.0, 41)
TRUTH = {"size": 2.2, "rate": 0.9}
ASKED = {"waves": 2, "runs": 8, "audit": 64, "points": 2**9, "members": 100}


def _decay(params, forcing):
    return params["size"] * jnp.exp(-params["rate"] * forcing["time"])


@functools.cache
def decay():
    """A decay with two unknowns, matched by its mean and its change."""
    observed = TRUTH["size"] * np.exp(-TRUTH["rate"] * TIME)
    problem = make_problem(
        _decay,
        {"size": Flat(1.0, 4.0), "rate": Flat(0.3, 2.0)},
        {"size": 2.0, "rate": 1.0},
        {"time": TIME},
        observed + 0.05 * np.random.default_rng(0).standard_normal(len(TIME)),
        sigma=0.05,
    )
    values, mask = np.asarray(problem.observations.values), np.asarray(problem.mask)
    made, _ = vector_metrics(Vector(problem.stream_names, values, mask), ("mean", "change"))
    metrics, targets, _, _ = observed_targets(problem, made)
    return problem, metrics, targets


@pytest.mark.ci
def test_waves_with_slopes_find_what_the_model_does_and_go_on_where_they_stopped(
    tmp_path, monkeypatch
):
    problem, metrics, targets = decay()
    # Which mode is cheaper is measured once and kept; two runs may find otherwise, to round-off.
    monkeypatch.setattr(Simulator, "costs", lambda *_: Costs(1e-3, 2e-3, 3e-3))
    direct = history_match(
        problem, metrics, targets, Options("model", points=2**11, members=50), truth=TRUTH
    )
    monkeypatch.setattr(waves, "CLEAR", 0.0)  # no end before the second wave
    monkeypatch.setattr(waves, "SHRINKS", 0.0)
    asked = Options("emulator", gradients="always", **ASKED)
    whole = history_match(problem, metrics, targets, asked, truth=TRUTH)
    assert [(wave.slopes, wave.runs) for wave in whole.waves] == [(True, 8), (True, 8)]
    assert whole.fraction == pytest.approx(direct.fraction, rel=0.15)
    assert whole.truth is not None
    assert whole.audit is not None
    assert whole.audit.wrongly_excluded < 0.03
    assert whole.audit.lowest_lost is None or whole.audit.lowest_lost > 2.5

    monkeypatch.setattr(keeping, "KEEP_EVERY", 0.0)
    mark = match.mark_of(problem, metrics, targets, asked)
    for stop_at in (8, 16):  # after the first wave, after the second

        def stop(runs: int, stop_at: int = stop_at) -> None:
            if runs >= stop_at:
                raise KeyboardInterrupt

        kept = Recorder(tmp_path, mark)
        with pytest.raises(KeyboardInterrupt):
            history_match(problem, metrics, targets, asked, kept, None, None, stop)
    again = history_match(problem, metrics, targets, asked, Recorder(tmp_path, mark), TRUTH)
    np.testing.assert_array_equal(again.nroy.points, whole.nroy.points)
    np.testing.assert_array_equal(again.outputs, whole.outputs)
    np.testing.assert_array_equal(again.outputs_sd, whole.outputs_sd)
    assert again.by_factor == whole.by_factor
    assert again.audit == whole.audit
