"""`caliche identify`: what observations can say about parameters, before any fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caliche.errors import InputError
from caliche.evaluation.candidates import other_streams, sigma_of
from caliche.experiments.experiment import Experiment
from caliche.identifiability.combinations import Combination, unobservable
from caliche.identifiability.linearised import (
    IDENTIFIED,
    PRECISE,
    VAGUE,
    VERDICTS,
    Identifiability,
    assess,
    derived_gradients,
    invert,
    linearised,
)
from caliche.identifiability.sensors import Candidate, factors, sensitivities
from caliche.problems.inverse import InverseProblem
from caliche.runs.folder import finite, versions
from caliche.runs.open_run import read_hyperparameters
from caliche.runs.points import control

STRONG_CORRELATION = 0.95
COLLINEAR = 15.0  # a collinearity index from which combinations are known better than parameters
NOTABLE = 0.5  # a sensor is worth naming if it brings a standard deviation below this share of it
MOST_NAMED = 3


def identify_experiment(
    experiment: Experiment, at: str | None = None, points: int = 0, seed: int = 0
) -> dict[str, Any]:
    """What the fitted observations of an experiment can say about its free parameters.

    Parameters
    ----------
    at : where to linearise: `truth` (of a twin, where it is the default), `initial` (the first
        guesses, else the default), or the folder of a run, for its estimates.
    points : number of further points, drawn over start ranges, priors or bounds, at which the
        verdicts are given as well.

    Returns
    -------
    The content of the JSON file, see docs/identify.md; None for what is infinite or does not exist.

    Raises
    ------
    InputError : an experiment that cannot run, or a point that it has not.
    """
    if points < 0:
        raise InputError("a number of points that is not negative", f"{points}", "leave it out")
    if at not in (None, "initial", "truth") and (Path(str(at)) / "summary.json").is_file():
        experiment = experiment.calibrated(read_hyperparameters(Path(str(at))))
    problem = experiment.problem()
    u, where = control(experiment, problem, at)
    found = assess(linearised(problem, u))
    linear = found.linearised
    extra = other_streams(problem.model, [s.name for s in problem.operator.streams])
    candidates = [Candidate(name, sigma_of(experiment, name)) for name in extra]
    of_extra = factors(sensitivities(problem, u, extra), candidates) if extra else np.zeros((0,))
    gaps = [
        _combination(c, found, candidates, of_extra, experiment)
        for c in unobservable(problem, linear)
    ]
    observations, mask = experiment.config.observations, np.asarray(problem.mask)
    return finite(
        {
            "experiment": experiment.config.name,
            "title": experiment.config.title,
            "at": where,
            "n_observations": problem.n_observations,
            "streams": {
                s.name: {"n": int(mask[:, k].sum()), "sigma": observations[s.name].sigma}
                for k, s in enumerate(problem.operator.streams)
            },
            "parameters": _parameters(found),
            "rank": found.rank,
            "condition_number": found.condition_number,
            "singular_values": found.singular_values.tolist(),
            "collinearity": found.collinearity,
            "degrees_of_freedom_for_signal": found.dfs,
            "correlation": {"names": list(linear.names), "matrix": found.correlation.tolist()},
            "strong_correlations": _strong(found),
            "unobservable": gaps,
            "valley": _valley(found),
            "derived": _derived(problem, found),
            "suggestions": _suggestions(found, candidates, of_extra, experiment),
            "points": _points(problem, points, seed) if points else None,
            "thresholds": {"precise": PRECISE, "vague": VAGUE},
            "versions": versions(),
        }
    )


# -- sensors that are not there -----------------------------------------------------------------


# -- the parts of the summary ---------------------------------------------------------------------


def _parameters(found: Identifiability) -> dict[str, Any]:
    return {
        entry.name: {
            "value": entry.value,
            "unit": entry.unit,
            "long_name": entry.long_name,
            "prior": entry.prior,
            "sd_prior": float(found.sd_prior[k]),
            "sd": float(found.sd[k]),
            "sd_data": float(found.sd_data[k]),
            "cramer_rao_sd": float(found.sd_alone[k]),
            "relative_sd": float(found.sd[k] / entry.value) if entry.ratio_scale else None,
            "shrinkage": float(found.shrinkage[k]),
            "yardstick": entry.yardstick,
            "step": entry.step,
            "ratio_scale": entry.ratio_scale,
            "verdict": found.verdict[k],
        }
        for k, entry in enumerate(found.linearised.entries)
    }


def _strong(found: Identifiability) -> list[dict[str, Any]]:
    names, matrix = found.linearised.names, found.correlation
    return [
        {"parameters": [names[j], names[i]], "correlation": float(matrix[i, j])}
        for i in range(len(names))
        for j in range(i)
        if abs(matrix[i, j]) > STRONG_CORRELATION
    ]


def _valley(found: Identifiability) -> dict[str, Any] | None:
    """The direction that the data see worst, where parameters trade places but not wholly.

    The change of each parameter along one posterior standard deviation of it, in physical units.
    """
    if not COLLINEAR < found.collinearity < math.inf:
        return None
    linear, scale = found.linearised, found.data.scale
    shares = np.linalg.svd(linear.data / scale)[2][-1]  # of the misfits each causes by itself
    shares = shares * np.sign(shares[np.abs(shares).argmax()])
    axis = shares / scale
    axis = axis / np.linalg.norm(np.concatenate([linear.data, linear.prior]) @ axis)
    kept = np.abs(shares) > 0.1 * np.abs(shares).max()
    return dict(zip(np.array(linear.names)[kept].tolist(), axis[kept].tolist(), strict=True))


def _derived(problem: InverseProblem, found: Identifiability) -> dict[str, Any]:
    labels, result = problem.model.derived_labels, {}
    names = np.array(found.linearised.names)
    for name, (value, slope) in derived_gradients(problem, found.linearised.u).items():
        if np.any(slope != 0.0):
            unit, long_name = labels[name]
            result[name] = {
                "value": value,
                "sd": found.posterior.sd(slope),
                "unit": unit,
                "long_name": long_name,
                "of": names[slope != 0.0].tolist(),
            }
    return result


def _combination(
    gap: Combination,
    found: Identifiability,
    candidates: Sequence[Candidate],
    of_extra: np.ndarray,
    experiment: Experiment,
) -> dict[str, Any]:
    """A gap with the sensors that would close it, the most telling first."""
    linear = found.linearised
    members = [linear.names.index(name) for name in gap.parameters]
    observe = []
    for k, candidate in enumerate(candidates):
        sd = invert(np.concatenate([linear.data, of_extra[k]]), linear.steps).sds()[members]
        relative = sd / linear.yardsticks[members]
        if np.all(relative <= VAGUE):
            named = dict(zip(gap.parameters, sd.tolist(), strict=True))
            observe.append((float(relative.max()), _sensor(candidate, experiment) | {"sd": named}))
    observe.sort(key=lambda item: item[0])
    return {
        "parameters": list(gap.parameters),
        "unseen_directions": gap.unseen,
        "constrained": gap.constrained,
        "derived": list(gap.derived),
        "direction": gap.direction,
        "fix": [list(names) for names in gap.fix],
        "observe": [item for _, item in observe],
    }


def _suggestions(
    found: Identifiability,
    candidates: Sequence[Candidate],
    of_extra: np.ndarray,
    experiment: Experiment,
) -> dict[str, list[dict[str, Any]]]:
    """For each parameter that is not identified, the sensors that would tell most about it."""
    linear, result = found.linearised, {}
    given = np.concatenate([linear.data, linear.prior])
    sds = [invert(np.concatenate([given, r]), linear.steps).sds() for r in of_extra]
    for k, name in enumerate(linear.names):
        if found.verdict[k] == IDENTIFIED:
            continue
        helpful = sorted(
            (float(sd[k]), i) for i, sd in enumerate(sds) if sd[k] < NOTABLE * found.sd[k]
        )
        result[name] = [
            _sensor(candidates[i], experiment) | {"sd": sd} for sd, i in helpful[:MOST_NAMED]
        ]
    return result


def _sensor(candidate: Candidate, experiment: Experiment) -> dict[str, Any]:
    there = candidate.stream in experiment.config.observations
    return {"stream": candidate.stream, "sigma": candidate.sigma, "observed_not_fitted": there}


def _points(problem: InverseProblem, number: int, seed: int) -> dict[str, Any]:
    """Verdicts at points drawn over start ranges, priors or bounds."""
    names = problem.space.names
    counts: dict[str, dict[str, int]] = {name: dict.fromkeys(VERDICTS, 0) for name in names}
    relative, failed = [], 0
    for u in np.asarray(problem.space.draw_starts(number + 1, seed))[1:]:
        try:
            found = assess(linearised(problem, u))
        except InputError:
            failed += 1
            continue
        for name, verdict in zip(names, found.verdict, strict=True):
            counts[name][verdict] += 1
        relative.append(found.sd)
    spread = np.array(relative) if relative else np.full((1, len(names)), np.nan)
    return {
        "number": number,
        "failed": failed,
        "seed": seed,
        "verdicts": counts,
        "sd": {
            name: {
                "smallest": float(column.min()),
                "median": float(np.median(column)),
                "largest": float(column.max()),
            }
            for name, column in zip(names, spread.T, strict=True)
        },
    }
