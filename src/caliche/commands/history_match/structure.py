"""What a run that was fitted says about the errors of its streams: their memory and structure.

Residuals of the optimum persist for so long; and what they depend on (hour, month, rain, wind, sun)
and parameters could not take away is what the model misses, carried over to each metric.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from caliche.errors import InputError
from caliche.estimation.score_covariance import memory_of
from caliche.evaluation.regimes import record
from caliche.evaluation.structural_error import Conditional, deviations, of_series
from caliche.metrics.errors import SeriesErrors
from caliche.metrics.metric import Metrics
from caliche.problems.inverse import InverseProblem
from caliche.runs.open_run import open_run
from caliche.wording import number_of

# Of the usual discrepancy: the least that a run may leave of it.
LEAST = 0.25


@dataclasses.dataclass(frozen=True)
class Structure:
    """errors : with the memory of the residuals.  discrepancy : (K,), NaN where nothing was found.
    sentences : what was taken from the run."""

    errors: SeriesErrors
    discrepancy: np.ndarray
    sentences: tuple[str, ...]


def structure_of(
    run: Path, problem: InverseProblem, metrics: Metrics, errors: SeriesErrors
) -> Structure:
    """Memory and structure of the residuals of a run.

    Parameters
    ----------
    errors : as the error model says.

    Raises
    ------
    InputError : no run that can be read, or one of other streams or another record.
    """
    fitted, values = open_run(run)
    theirs = fitted.problem()
    same = theirs.stream_names == problem.stream_names
    if not same or theirs.observations.values.shape != problem.observations.values.shape:
        raise InputError(
            f"a run of the same streams ({', '.join(problem.stream_names)}) and window",
            f"{run}, of {', '.join(theirs.stream_names)}",
            "give the folder of an estimate of this experiment",
        )
    prediction = np.asarray(theirs.forward(theirs.space.to_whitened(values)))
    mask, observed = np.asarray(problem.mask), np.asarray(problem.observations.values)
    residual = np.where(mask, prediction - observed, 0.0)
    memory = memory_of(residual, mask)
    found = np.maximum(errors.autocorrelation, np.clip((memory - 1.0) / (memory + 1.0), 0.0, 0.999))
    local, step, weather = record(fitted, len(mask))
    series = {
        name: np.where(mask[:, k], residual[:, k], np.nan)
        for k, name in enumerate(problem.stream_names)
    }
    square = np.full(len(metrics), np.nan)
    base = np.asarray(metrics(jnp.asarray(np.where(mask, prediction, 0.0))))
    told = [
        f"Errors of {name} persist for {number_of(float(round(memory[k], 1)), 'step')} in "
        f"{run.name}: an autocorrelation of {found[k]:.3f}."
        for k, name in enumerate(problem.stream_names)
        if found[k] > errors.autocorrelation[k]
    ]
    for name, (ways, entry) in of_series(local, step, series, weather).items():
        k = problem.stream_names.index(name)
        real = [way for way in ways if way.clear.any() and (way.real or way.regimes.size == 1)]
        for way in real:
            without = prediction.copy()
            without[:, k] -= _pattern(way)
            moved = np.asarray(metrics(jnp.asarray(np.where(mask, without, 0.0)))) - base
            mine = np.array([metric.stream == k for metric in metrics.metrics])
            square = np.where(mine, np.nan_to_num(square) + moved**2, square)
        if real:
            told.append(f"Discrepancy from {run.name}: {entry.sentence}")
    return Structure(
        dataclasses.replace(errors, autocorrelation=found), np.sqrt(square), tuple(told)
    )


def _pattern(way: Conditional) -> np.ndarray:
    """(time + 1,) the mean error of the class of each time, less the overall one; 0 if unknown."""
    away = np.nan_to_num(deviations(way))
    return np.where(way.regimes.index >= 0, away[way.regimes.index], 0.0)
