"""History matching wave by wave: emulators of the metrics, each wave over what the last one left.

Every emulator stays in force where it was trained, and says nothing elsewhere: what an early wave
ruled out stays out, and what a later one has never seen is not ruled out by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caliche.emulators.box import Box
from caliche.emulators.design import latin_hypercube
from caliche.emulators.emulator import Emulator, fit_emulator
from caliche.emulators.fit import Options as Fitting
from caliche.emulators.runs import Runs
from caliche.history_matching.audit import audit_of
from caliche.history_matching.conflict import Conflict, find_conflict
from caliche.history_matching.discrepancy import FACTORS
from caliche.history_matching.implausibility import Rule, Targets
from caliche.history_matching.nonimplausible import FEWEST_HITS, Nonimplausible, sample_nroy
from caliche.history_matching.removed import marginals, removed_by
from caliche.history_matching.result import Audit, Removed, Wave
from caliche.history_matching.simulator import REDRAW, Costs, best_mode
from caliche.history_matching.study import Study
from caliche.wording import number_of

# Of the box of what is left, on all sides together: how much wider the next wave is trained.
WIDER = 0.2
# Share of a wave's runs just outside of what is left, and how far outside, in cut-offs.
SENTINELS, SENTINEL_REACH = 0.1, 1.5
# Waves end where emulators hide less than this share of the other uncertainty, or where a wave
# takes less than that share away.
CLEAR, SHRINKS = 0.2, 0.05
# A run with slopes is worth so many of P + 1 runs without, at equal error of the emulator.
WORTH = 0.6
_TRIES = 3  # of runs that failed, where they are redrawn


@dataclass(frozen=True)
class Judge:
    """One wave's emulator, which judges what lies in its box."""

    emulator: Emulator
    targets: Targets
    rule: Rule
    cutoff: float

    def ratio(self, e: np.ndarray) -> np.ndarray:
        """(n,) implausibility over the cut-off of emulator inputs; 0 outside the box."""
        found = np.zeros(len(e))
        inside = self.emulator.box.contains(e)
        if inside.any():
            mean, variance = self.emulator.predict(e[inside])
            found[inside] = self.rule.combine(self.targets, mean, variance) / self.cutoff
        return found

    def each(self, e: np.ndarray) -> np.ndarray:
        """(n, K) implausibility of each metric; 0 outside the box."""
        found = np.zeros((len(e), len(self.targets)))
        inside = self.emulator.box.contains(e)
        if inside.any():
            found[inside] = self.targets.implausibility(*self.emulator.predict(e[inside]))
        return found

    def with_factor(self, factor: float) -> Judge:
        """The same with another discrepancy."""
        return Judge(self.emulator, self.targets.scaled(factor), self.rule, self.cutoff)


@dataclass(frozen=True)
class Waves:
    """What waves of emulators found; see `Matched`."""

    nroy: Nonimplausible
    waves: tuple[Wave, ...]
    outputs: np.ndarray
    outputs_sd: np.ndarray
    by_factor: tuple[tuple[float, float, float, bool], ...]
    audit: Audit | None
    conflict: Conflict | None
    judges: tuple[Judge, ...] = ()


def match_in_waves(study: Study, costs: Costs) -> Waves:
    """Waves until a stop rule holds."""
    options, ranges, names = study.options, study.ranges, study.targets.names
    slopes, mode = choose_slopes(study, costs)
    number = options.runs or (max(2 * ranges.size, 8) if slopes else 10 * ranges.size)
    runs, judges, waves = None, [], []
    box, nroy = ranges.box, None
    for wave in range(1, options.waves + 1):
        new = run_design(study, design(study, box, nroy, number, wave), mode if slopes else None)
        runs = new if runs is None else runs.joined(new)
        said = number_of(len(new), "run")
        study.say(f"Wave {wave}: {said}, {int(new.failed.sum())} failed; fitting emulators")
        emulator = fit_emulator(runs.inside(box), box, names, Fitting(seed=options.seed))
        judges.append(Judge(emulator, study.targets, study.rule, study.cutoff))
        last, nroy = nroy, search(study, judges, wave)
        waves.append(_wave(study, wave, new, slopes, judges, nroy, last))
        study.say(f"Wave {wave}: {nroy.fraction:.3g} of the ranges is left")
        if waves[-1].sentence:
            break
        kept = ranges.to_inputs(nroy.points)
        edge = 1e-6 * (ranges.upper - ranges.lower)
        box = Box(kept.min(axis=0) - edge, kept.max(axis=0) + edge, ranges.names)
        box = box.widened(WIDER, ranges.box)
    assert nroy is not None
    outputs = spread = np.zeros((0, len(names)))
    if not nroy.empty:
        outputs, spread = _outputs(judges, ranges.to_inputs(nroy.points))
    audit = None
    if options.audit and not nroy.empty:
        study.say(f"Audit: {number_of(options.audit, 'direct run')}")
        audit = audit_of(study, lambda x: statistic(study, judges, x), nroy)
    by_factor = tuple(_with_factor(study, judges, f, nroy) for f in FACTORS)
    conflict = _conflict(study, judges, nroy) if nroy.empty else None
    return Waves(nroy, tuple(waves), outputs, spread, by_factor, audit, conflict, tuple(judges))


def choose_slopes(study: Study, costs: Costs) -> tuple[bool, str]:
    """Whether runs have slopes, and in which mode of differentiation."""
    mode, asked = best_mode(costs), study.options.gradients
    if asked == "never" or not study.simulator.differentiable:
        return False, mode
    best = min(costs.forward or np.inf, costs.reverse or np.inf)
    dearer, worth = best / costs.values, WORTH * (study.ranges.size + 1)
    use = asked == "always" or dearer < worth
    study.say(
        f"Runs {'with' if use else 'without'} slopes: one costs "
        f"{number_of(round(dearer, 1), 'run')} ({mode} mode) and teaches an emulator as much as "
        f"about {worth:.2g}"
    )
    return use, mode


def design(
    study: Study, box: Box, nroy: Nonimplausible | None, number: int, wave: int
) -> np.ndarray:
    """Emulator inputs (number, P): a Latin hypercube at first, then points that are left, far from
    each other, and some just outside."""
    seed = 1000 * study.options.seed + wave
    if nroy is None or nroy.empty:
        return latin_hypercube(number, box, seed)
    outside = nroy.searched[
        (nroy.searched_statistic > nroy.cutoff)
        & (nroy.searched_statistic <= SENTINEL_REACH * nroy.cutoff)
    ]
    outside = outside[box.contains(study.ranges.to_inputs(outside))]
    sentinels = min(round(SENTINELS * number), len(outside))
    some = farthest(study.ranges.to_inputs(nroy.points), box, number - sentinels)
    if not sentinels:
        return some
    return np.concatenate([some, farthest(study.ranges.to_inputs(outside), box, sentinels)])


def farthest(e: np.ndarray, box: Box, number: int) -> np.ndarray:
    """Some of the points, one after the other the one farthest from those chosen."""
    x = box.to_unit(e)
    chosen = [int(np.argmin(np.linalg.norm(x - x.mean(axis=0), axis=1)))]
    away = np.linalg.norm(x - x[chosen[0]], axis=1)
    while len(chosen) < min(number, len(x)):
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(x - x[chosen[-1]], axis=1))
    return e[chosen]


def run_design(study: Study, e: np.ndarray, mode: str | None) -> Runs:
    """The model at emulator inputs, with slopes in a mode of differentiation or without."""
    runs = _run(study, e, mode)
    box = Box(e.min(axis=0) - 1e-9, e.max(axis=0) + 1e-9)
    for again in range(_TRIES if study.options.failures == REDRAW else 0):
        lost = int(runs.failed.sum())
        if not lost:
            break
        more = latin_hypercube(max(lost, 2), box, 77 + again)[:lost]
        runs = runs.joined(_run(study, more, mode))
        if int(runs.failed[-lost:].sum()) == 0:
            break
    return runs


def _run(study: Study, e: np.ndarray, mode: str | None) -> Runs:
    if mode is None:
        return Runs(e, study.simulator.values(study.ranges.from_inputs(e)))
    return Runs(e, *study.simulator.with_slopes(e, mode))


def statistic(study: Study, judges: list[Judge], x: np.ndarray) -> np.ndarray:
    """(n,) the largest implausibility of all waves at points of the cube; a later wave is asked
    only where the earlier ones rule nothing out."""
    e = study.ranges.to_inputs(x)
    found = np.zeros(len(x))
    for judge in judges:
        left = np.flatnonzero(found <= 1.0)
        if len(left):
            found[left] = np.maximum(found[left], judge.ratio(e[left]))
    return found * study.cutoff


def search(study: Study, judges: list[Judge], wave: int) -> Nonimplausible:
    """What all waves so far leave."""
    options = study.options
    return sample_nroy(
        lambda x: statistic(study, judges, x),
        study.ranges.size,
        study.cutoff,
        options.members,
        options.points,
        options.seed + 100 * wave,
    )


def _wave(
    study: Study,
    number: int,
    new: Runs,
    slopes: bool,
    judges: list[Judge],
    nroy: Nonimplausible,
    last: Nonimplausible | None,
) -> Wave:
    emulator, size = judges[-1].emulator, study.ranges.size
    passed = emulator.checks.passed
    refused = tuple(
        f"wave {number}: {text}"
        for text, good in zip(emulator.checks.sentences, passed, strict=True)
        if not good
    )
    removed = Removed(np.zeros(len(passed)), np.zeros(len(passed)))
    cube = study.ranges.to_inputs(nroy.searched[: nroy.cube])
    if len(cube):
        removed = removed_by(study.rule, judges[-1].each(cube), study.cutoff)
    hidden = 0.0
    if not nroy.empty and passed.any():
        _, spread = _outputs(judges, study.ranges.to_inputs(nroy.points))
        share = spread[:, passed] / np.sqrt(study.targets.variance[passed])
        hidden = float(np.nanmax(share))
    wave = Wave(
        number,
        len(new),
        int(new.failed.sum()),
        slopes,
        nroy.fraction,
        nroy.error,
        marginals(nroy.points, size),
        removed,
        refused,
        hidden,
    )
    return _stopped(study, wave, passed, nroy, last)


def _stopped(
    study: Study,
    wave: Wave,
    passed: np.ndarray,
    nroy: Nonimplausible,
    last: Nonimplausible | None,
) -> Wave:
    """The wave, with the reason if it is the last."""
    text = ""
    if nroy.empty:
        text = f"Waves end with the {wave.number}. as nothing is left."
    elif not passed.any():
        text = "Waves end, as no emulator passed its checks; give a wave more --runs."
    elif wave.emulator_share < CLEAR and passed.all():
        text = (
            f"Waves end with number {wave.number}: the emulators' standard deviation is at most "
            f"{wave.emulator_share:.2g} of the other uncertainty, so that more runs would change "
            "little."
        )
    elif last is not None and nroy.fraction > (1.0 - SHRINKS) * last.fraction:
        text = f"Waves end with number {wave.number}, which took less than 5 % away."
    elif wave.number == study.options.waves:
        text = f"Waves end with number {wave.number}, as asked; more would rule out more."
    return Wave(**{**vars(wave), "sentence": text})


def _outputs(judges: list[Judge], e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) metrics and standard deviations by the last emulator that knows each point and metric;
    NaN where none does."""
    number = len(judges[0].targets)
    mean, spread = (np.full((len(e), number), np.nan) for _ in range(2))
    for judge in judges:
        inside = judge.emulator.box.contains(e)
        if not inside.any():
            continue
        found, variance = judge.emulator.predict(e[inside])
        known = np.isfinite(variance)
        mean[inside] = np.where(known, found, mean[inside])
        spread[inside] = np.where(known, np.sqrt(np.where(known, variance, 0.0)), spread[inside])
    return mean, spread


def _with_factor(
    study: Study, judges: list[Judge], factor: float, nroy: Nonimplausible
) -> tuple[float, float, float, bool]:
    if factor == 1.0:
        return factor, nroy.fraction, nroy.error, nroy.empty
    others = [judge.with_factor(factor) for judge in judges]
    options = study.options
    found = sample_nroy(
        lambda x: statistic(study, others, x),
        study.ranges.size,
        study.cutoff,
        FEWEST_HITS,
        options.points,
        options.seed,
        apart=False,
        rung=options.members,
    )
    return factor, found.fraction, found.error, found.empty


def _conflict(study: Study, judges: list[Judge], nroy: Nonimplausible) -> Conflict:
    """What excludes what, by the first wave's emulator, which knows all of the ranges."""
    first = judges[0].emulator
    passed = first.checks.passed
    cube = study.ranges.to_inputs(nroy.searched)
    variance = np.median(first.predict(cube).variance[:, passed], axis=0)
    few = study.targets.only(passed)
    widened = Targets(
        few.names, few.values, few.error + np.diag(variance), few.discrepancy, few.half, few.units
    )

    def values(x: np.ndarray) -> np.ndarray:
        return first.predict(study.ranges.to_inputs(x)).mean[:, passed]

    found = find_conflict(values, widened, study.rule, nroy.searched, study.options.seed)
    least = np.full(len(passed), np.nan)
    least[passed] = found.least
    return Conflict(least, found.alone, found.pairs, found.factor, found.best)
