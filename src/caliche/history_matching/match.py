"""History matching of a problem: on the model itself where it is fast, else wave by wave."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from caliche.emulators.design import latin_hypercube
from caliche.emulators.emulator import fit_emulator
from caliche.emulators.runs import Runs
from caliche.errors import InputError
from caliche.files.checkpoint import fingerprint
from caliche.history_matching.conflict import Conflict, find_conflict
from caliche.history_matching.descent import isolated
from caliche.history_matching.discrepancy import FACTORS, SHARE
from caliche.history_matching.implausibility import Targets, usual_rule
from caliche.history_matching.nonimplausible import (
    FEWEST_HITS,
    MEMBERS,
    POINTS,
    Nonimplausible,
    sample_nroy,
)
from caliche.history_matching.observed import observed_targets
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.removed import BINS, marginals, removed_by
from caliche.history_matching.result import Matched, Wave
from caliche.history_matching.simulator import FORWARD, REVERSE, Costs, MetricRuns, Simulator
from caliche.history_matching.study import EMULATOR, MODEL, Options, Study
from caliche.history_matching.waves import match_in_waves
from caliche.metrics.metric import Metrics
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.wording import number_of

# Runs that a search of the model itself takes, typically: the points, and telling regions apart.
TYPICAL_RUNS = POINTS + 8 * MEMBERS
# Seconds up to which a search of the model itself is not worth an emulator.
PATIENCE = 600.0


def history_match(
    problem: InverseProblem,
    metrics: Metrics,
    targets: Targets | None = None,
    options: Options | None = None,
    recorder: Recorder | None = None,
    truth: Mapping[str, float] | None = None,
    say: Callable[[str], None] | None = None,
    counted: Callable[[int], None] | None = None,
    left_out: tuple[str, ...] = (),
) -> Matched:
    """Which values of the free parameters the observations do not rule out.

    Parameters
    ----------
    metrics : what is matched, from `make_metrics` or `caliche.match_metrics(experiment)`.
    targets : of these metrics; by default those of the problem's observations, with errors from its
        error model and a discrepancy of a tenth of each series' standard deviation.
    recorder : remembers runs, to go on where a search was stopped.
    truth : of a twin, to say whether it is kept.
    say, counted : are told what happens, and how many runs have been made.

    Raises
    ------
    InputError : anything wrong with these; a model that hardly runs.
    """
    options = options or Options()
    if targets is None:
        metrics, targets, _, told = observed_targets(problem, metrics, share=SHARE)
        left_out = (*left_out, *told)
    if len(targets) != len(metrics):
        raise InputError(
            f"a target for each of {len(metrics)} metrics", f"{len(targets)}", "give one for each"
        )
    ranges = Ranges(problem.space, options.starts)
    recorder = recorder or Recorder(None)
    simulator = Simulator(problem, metrics, ranges, recorder, options.failures, counted)
    return match_study(study_of(simulator, ranges, targets, options, say), truth, left_out)


def study_of(
    simulator: MetricRuns,
    ranges: Ranges,
    targets: Targets,
    options: Options,
    say: Callable[[str], None] | None = None,
) -> Study:
    """What `match_study` takes.

    Raises
    ------
    InputError : a rule that needs more metrics.
    """
    rule = options.rule or usual_rule(len(targets))
    rule.cutoff(len(targets))  # refuses too few metrics
    return Study(simulator, ranges, targets, rule, options, say or (lambda _text: None))


def match_study(
    study: Study, truth: Mapping[str, float] | None = None, left_out: tuple[str, ...] = ()
) -> Matched:
    """What is left, of any model that runs; see `history_match`."""
    simulator, ranges, targets = study.simulator, study.ranges, study.targets
    method, why, costs = choose(study)
    study.say(why)
    if method == MODEL:
        nroy = search_model(study)
        waves: tuple[Wave, ...] = (_exact_wave(study, nroy),)
        outputs = simulator.values(nroy.points) if not nroy.empty else np.zeros((0, len(targets)))
        spread = np.zeros_like(outputs)
        by_factor = tuple(_with_factor(study, f, nroy) for f in FACTORS)
        audit, apart = None, np.zeros((0, ranges.size))
        if simulator.differentiable:
            apart = isolated(study, nroy, mode_of(study))
        conflict = _conflict(study, nroy) if nroy.empty and not len(apart) else None
    else:
        found = match_in_waves(study, costs)
        nroy, waves, outputs, spread = found.nroy, found.waves, found.outputs, found.outputs_sd
        by_factor, audit, conflict = found.by_factor, found.audit, found.conflict
        apart = np.zeros((0, ranges.size))
    simulator.recorder.flush()
    return _matched(
        study,
        nroy,
        {
            "waves": waves,
            "outputs": outputs,
            "outputs_sd": spread,
            "by_factor": by_factor,
            "audit": audit,
            "conflict": conflict,
            "method": method,
            "why": why,
            "seconds": tuple(np.nan if c is None else float(c) for c in costs),
            "left_out": left_out,
            "isolated": ranges.physical(apart) if len(apart) else apart,
        },
        truth,
    )


def mark_of(problem: Problem, metrics: Metrics, targets: Targets, options: Options) -> str:
    """What runs that are kept belong to."""
    return fingerprint(problem, metrics, targets, replace(options, audit=0))


def choose(study: Study) -> tuple[str, str, Costs]:
    """Model or emulator, and why: measured once, and remembered."""
    method, simulator = study.options.method, study.simulator
    measure = method != MODEL and simulator.differentiable

    def ask(_: np.ndarray) -> np.ndarray:
        return np.array([np.nan if c is None else c for c in simulator.costs(measure)])

    values, forward, reverse = simulator.recorder("costs", ask, np.array([float(measure)]))
    simulator.recorder.flush()  # what follows depends on it
    costs = Costs(float(values), *(None if np.isnan(c) else float(c) for c in (forward, reverse)))
    each = 1e3 * costs.values
    whole = TYPICAL_RUNS * costs.values
    if method == MODEL:
        return MODEL, f"The model itself is searched: {each:.3g} ms a run.", costs
    slopes = "without slopes, as it is an executable"
    if simulator.differentiable:
        slopes = f"{1e3 * forward:.3g} ms with slopes forward, {1e3 * reverse:.3g} ms in reverse"
    if method == EMULATOR:
        return EMULATOR, f"Emulators are used: a run takes {each:.3g} ms, {slopes}.", costs
    if whole <= PATIENCE:
        return (
            MODEL,
            f"The model itself is searched, without an emulator: a run takes {each:.3g} ms, so "
            f"that some {number_of(TYPICAL_RUNS, 'run')} take about {whole:.0f} s, and they "
            "are exact.",
            costs,
        )
    fit = float(simulator.recorder("fitting", lambda _: fitting_seconds(study), np.zeros(1))[0])
    runs = 10 * study.ranges.size
    waves = study.options.waves * (runs * costs.values + len(study.targets) * fit)
    told = (
        f"a run takes {each:.3g} ms ({slopes}), so that searching the model itself would take "
        f"about {whole / 60.0:.0f} min; {number_of(study.options.waves, 'wave')} of "
        f"{number_of(runs, 'run')}, with {fit:.2g} s to fit a metric, some {waves / 60.0:.1f} min."
    )
    if waves >= whole:
        return MODEL, f"The model itself is searched: {told}", costs
    return EMULATOR, f"Emulators are used: {told}", costs


def fitting_seconds(study: Study) -> np.ndarray:
    """(1,) seconds to fit an emulator of one smooth output to a wave of runs, compiled before."""
    box = study.ranges.box
    e = latin_hypercube(10 * box.size, box, 0)
    x = box.to_unit(e)
    runs = Runs(e, np.sum(np.sin(2.0 * x) + x**2, axis=1, keepdims=True))
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        fit_emulator(runs, box, ("smooth",))
        seconds = time.perf_counter() - began
    return np.array([seconds])


def mode_of(study: Study) -> str:
    """The cheaper mode of differentiation, by a rule of thumb where nobody asked for costs."""
    forward = study.ranges.size <= 8 or len(study.targets) > study.ranges.size // 2
    return FORWARD if forward else REVERSE


def search_model(study: Study) -> Nonimplausible:
    """NROY of the model itself."""
    options = study.options
    return sample_nroy(
        study.exact,
        study.ranges.size,
        study.cutoff,
        options.members,
        options.points,
        options.seed,
    )


def _exact_wave(study: Study, nroy: Nonimplausible) -> Wave:
    """The one wave of a search of the model itself."""
    cube = nroy.searched[: nroy.cube]
    each = study.targets.implausibility(study.simulator.values(cube))
    return Wave(
        1,
        nroy.runs,
        round(nroy.failed * nroy.cube / max(1e-9, 1.0 - nroy.failed)),
        False,
        nroy.fraction,
        nroy.error,
        marginals(nroy.points, study.ranges.size),
        removed_by(study.rule, each, study.cutoff),
    )


def _with_factor(
    study: Study, factor: float, nroy: Nonimplausible
) -> tuple[float, float, float, bool]:
    """What is left with another discrepancy; the runs of the search serve again."""
    if factor == 1.0:
        return factor, nroy.fraction, nroy.error, nroy.empty
    targets = study.targets.scaled(factor)

    def ask(x: np.ndarray) -> np.ndarray:
        return study.rule.combine(targets, study.simulator.values(x))

    options = study.options
    found = sample_nroy(
        ask,
        study.ranges.size,
        study.cutoff,
        FEWEST_HITS,
        options.points,
        options.seed,
        apart=False,
        rung=2 * options.members,
    )
    return factor, found.fraction, found.error, found.empty


def _conflict(study: Study, nroy: Nonimplausible) -> Conflict:
    study.say("Nothing is left; looking for what excludes what")
    return find_conflict(
        study.simulator.values, study.targets, study.rule, nroy.searched, study.options.seed
    )


def _matched(
    study: Study, nroy: Nonimplausible, parts: dict[str, Any], truth: Mapping[str, float] | None
) -> Matched:
    ranges, targets = study.ranges, study.targets
    size = ranges.size
    corners = np.stack([np.zeros(size), np.ones(size)])
    physical = ranges.physical(nroy.points) if not nroy.empty else np.zeros((0, size))
    after = np.full((size, 2), np.nan)
    if not nroy.empty:
        after = np.stack([physical.min(axis=0), physical.max(axis=0)], axis=1)
    known = None
    if truth is not None and set(truth) >= set(ranges.names):
        at = ranges.from_values({name: truth[name] for name in ranges.names})
        known = at, float(study.exact(at[None])[0])
    return Matched(
        names=ranges.names,
        units=tuple(e.parameter.declaration.unit for e in ranges.entries),
        targets=targets,
        rule=study.rule,
        cutoff=study.cutoff,
        chance=study.rule.chance(len(targets), study.cutoff, targets.correlation),
        nroy=nroy,
        physical=physical,
        before=ranges.physical(corners).T,
        after=after,
        edges=ranges.physical(np.tile(np.linspace(0.0, 1.0, BINS + 1)[:, None], size)).T,
        runs=study.simulator.runs,
        truth=known,
        **parts,
    )
