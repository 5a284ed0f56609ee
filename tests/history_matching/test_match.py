"""History matching of a twin: the model itself, waves of emulators, going on where it stopped."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from caliche.errors import InputError
from caliche.evaluation.experiment_metrics import match_metrics
from caliche.experiments import load_experiment
from caliche.history_matching import conflict, match
from caliche.history_matching import recorder as keeping
from caliche.history_matching.implausibility import Rule
from caliche.history_matching.match import history_match
from caliche.history_matching.observed import observed_targets
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.simulator import FORWARD, REVERSE, Costs, Simulator, best_mode
from caliche.history_matching.study import Options, Study
from caliche.history_matching.waves import choose_slopes

SHORT = ("synthetic.hours=48", "model.nodes=21")


@functools.cache
def twin():
    experiment = load_experiment("twin-two-depths", SHORT)
    metrics, _ = match_metrics(experiment)
    problem = experiment.problem()
    metrics, targets, _, _ = observed_targets(problem, metrics)
    return experiment, problem, metrics, targets


def options(**changed) -> Options:
    given = {"method": "model", "points": 2**11, "members": 150, "starts": True}
    return Options(**{**given, **changed})


@functools.cache
def exact():
    experiment, problem, metrics, targets = twin()
    return history_match(problem, metrics, targets, options(), truth=experiment.truth)


def test_the_truth_is_kept_and_the_volume_is_that_of_direct_runs():
    _, problem, metrics, targets = twin()
    found = exact()
    assert found.method == "model"
    assert found.truth is not None
    assert found.truth[1] < 1.0
    ranges = Ranges(problem.space, True)
    x = np.random.default_rng(5).random((2000, ranges.size))
    mine = found.rule.combine(
        targets, Simulator(problem, metrics, ranges, Recorder(None)).values(x)
    )
    share = np.mean(mine <= found.cutoff)
    assert found.fraction == pytest.approx(share, abs=4.0 * np.sqrt(share / 2000))
    assert np.all(found.nroy.statistic <= found.cutoff)
    assert np.all(targets.implausibility(found.outputs) <= found.cutoff)
    fractions = {factor: value for factor, value, *_ in found.by_factor}
    assert fractions[0.5] < fractions[1.0] < fractions[2.0]
    removed = found.waves[0].removed
    assert np.all(removed.added <= removed.alone + 1e-12)
    frame = found.to_frame()
    assert len(frame) == 150
    assert "albedo" in frame
    assert found.before[0] == pytest.approx([0.05, 0.5])


def test_the_figures_of_a_result():
    found = exact()
    assert len(found.plot().axes) == 5 * 5 + 2
    assert found.plot_outputs().axes


def test_slopes_by_the_ranges_agree_between_modes_and_with_differences():
    _, problem, metrics, _ = twin()
    ranges = Ranges(problem.space)
    run = Simulator(problem, metrics, ranges, Recorder(None))
    x = 0.3 + 0.4 * np.random.default_rng(0).random((2, ranges.size))
    e = ranges.to_inputs(x)
    np.testing.assert_allclose(ranges.from_inputs(e), x, rtol=1e-12)
    value, forward = run.with_slopes(e, FORWARD)
    again, backward = run.with_slopes(e, REVERSE)
    np.testing.assert_allclose(value, run.values(x), rtol=1e-10)
    np.testing.assert_allclose(value, again, rtol=1e-10)
    np.testing.assert_allclose(forward, backward, rtol=1e-7, atol=1e-12)
    for k in range(ranges.size):
        step = 1e-5 * (ranges.upper - ranges.lower)[k]
        moved = np.zeros(ranges.size)
        moved[k] = step
        up, down = (run.values(ranges.from_inputs(e + s * moved)) for s in (1.0, -1.0))
        np.testing.assert_allclose(forward[:, :, k], (up - down) / (2 * step), rtol=1e-4, atol=1e-9)


def test_it_goes_on_where_it_was_stopped_to_the_last_bit(tmp_path, monkeypatch):
    experiment, problem, metrics, targets = twin()
    monkeypatch.setattr(keeping, "KEEP_EVERY", 0.0)
    calls = []

    def stop(runs: int) -> None:
        calls.append(runs)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        history_match(
            problem, metrics, targets, options(), Recorder(tmp_path, "a"), None, None, stop
        )
    kept = Recorder(tmp_path, "a")
    assert kept.number >= 3
    again = history_match(problem, metrics, targets, options(), kept, experiment.truth)
    whole = exact()
    np.testing.assert_array_equal(again.nroy.points, whole.nroy.points)
    np.testing.assert_array_equal(again.outputs, whole.outputs)
    assert again.by_factor == whole.by_factor
    with pytest.raises(InputError, match="of the same experiment"):
        Recorder(tmp_path, "b")


def test_nothing_left_names_what_excludes_what(monkeypatch):
    monkeypatch.setattr(conflict, "_SMALLEST", 1e-3)
    _, problem, metrics, targets = twin()
    values = targets.values.copy()
    names = targets.names
    k = names.index("soil_temperature_0.05m: mean")
    values[k] += 40.0 * np.sqrt(targets.variance[k])
    moved = dataclasses.replace(targets, values=values)
    found = history_match(problem, metrics, moved, options(points=2**9, members=50))
    assert found.nroy.empty
    assert found.conflict is not None
    named = {*found.conflict.alone, *(n for pair in found.conflict.pairs for n in pair[:2])}
    assert names[k] in named
    assert found.conflict.factor > 1.0


def test_runs_that_fail_are_refused_only_if_asked(monkeypatch):
    _, problem, metrics, targets = twin()
    whole = Simulator._values

    def failing(self, x):
        found = whole(self, x)
        found[x[:, 0] < 0.1] = np.nan
        return found

    monkeypatch.setattr(Simulator, "_values", failing)
    found = history_match(problem, metrics, targets, options(points=2**9, members=50))
    assert found.nroy.failed == pytest.approx(0.1, abs=0.03)
    with pytest.raises(InputError, match="no run to fail"):
        history_match(problem, metrics, targets, options(points=2**9, failures="stop"))


@functools.cache
def two_means():
    """The twin matched by two means, by the model itself."""
    experiment, problem, metrics, targets = twin()
    few = np.array([targets.names.index(f"{name}: mean") for name in problem.stream_names])
    metrics, targets = metrics.only(few), targets.only(few)
    direct = history_match(problem, metrics, targets, options(points=2**10, members=50))
    return experiment, problem, metrics, targets, direct


def test_waves_of_emulators_find_what_the_model_does():
    experiment, problem, metrics, targets, direct = two_means()
    lines: list[str] = []
    found = history_match(
        problem,
        metrics,
        targets,
        options(method="emulator", waves=2, runs=30, gradients="never", audit=400, points=2**10),
        truth=experiment.truth,
        say=lines.append,
    )
    assert found.truth is not None
    assert found.fraction == pytest.approx(direct.fraction, rel=0.1)
    assert found.audit is not None
    assert found.audit.lowest_lost is None or found.audit.lowest_lost > 2.0
    assert found.audit.wrongly_excluded < 0.05
    assert found.waves[-1].sentence.startswith("Waves end")
    assert np.nanmax(found.outputs_sd / np.sqrt(targets.variance)) < 2.0


def test_a_slow_model_gets_emulators_and_says_why(monkeypatch):
    _, problem, metrics, targets = twin()
    monkeypatch.setattr(Simulator, "costs", lambda *_: Costs(30.0, 90.0, 70.0))
    monkeypatch.setattr(match, "fitting_seconds", lambda _: np.array([0.5]))
    ranges = Ranges(problem.space)
    run = Simulator(problem, metrics, ranges, Recorder(None))
    study = Study(run, ranges, targets, Rule(), Options())
    method, why, costs = match.choose(study)
    assert method == "emulator"
    assert "3e+04 ms" in why
    assert "0.5 s to fit a metric" in why
    assert best_mode(costs) == REVERSE
    said = []
    assert choose_slopes(dataclasses.replace(study, say=said.append), costs) == (True, REVERSE)
    assert "Runs with slopes" in said[0]
    monkeypatch.setattr(Simulator, "costs", lambda *_: Costs(1e-4, 3e-4, 2e-4))
    run = Simulator(problem, metrics, ranges, Recorder(None))
    assert match.choose(dataclasses.replace(study, simulator=run))[0] == "model"


def test_options_that_cannot_be_are_refused():
    for wrong, phrase in (
        ({"method": "modle"}, "did you mean 'model'"),
        ({"waves": 0}, "1 or more waves"),
        ({"failures": "ignore"}, "drop, redraw, stop"),
        ({"gradients": "yes"}, "auto, always or never"),
        ({"runs": 2}, "4 or more runs"),
    ):
        with pytest.raises(InputError, match=phrase):
            Options(**wrong)
