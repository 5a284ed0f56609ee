"""What parameters could do about a pattern in the residuals, within their priors.

Of a stream the means over the classes of a regime are functions m(x) of the parameters. The least
that is left of their departures is searched for from the optimum by bounded Gauss-Newton steps on
these means alone: whatever it costs in the rest of the fit, and in the model itself, not in its
linearisation. A parameter moves within the 95 % of its prior, or within its bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caliche.constants import NORMAL_QUANTILE
from caliche.evaluation.prediction import Prediction, observed_series, predict_slopes
from caliche.evaluation.regimes import record
from caliche.evaluation.structural_error import (
    Conditional,
    StreamStructure,
    of_series,
    told,
    worst,
)
from caliche.experiments.experiment import Experiment
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem

# The logistic coordinate of a flat prior goes so far: to within 0.25 % of the range.
LOGISTIC_REACH = 6.0
# Longest step in u, and how many runs of the model a search may take from each of its starts.
LONGEST_STEP = 2.0
RUNS = 15
# The search ends where a step promises no more than this share of the pattern's square, or where
# so little of its size is left that the rest makes no difference to what is said.
ENOUGH, NEARLY_ALL = 0.005, 0.1
# Of the largest singular value squared: keeps directions that do nothing where they are.
RIDGE = 1e-8


def structural_error(
    experiment: Experiment, problem: InverseProblem, u: np.ndarray, prediction: Prediction
) -> dict[str, StreamStructure]:
    """Conditional means of every stream's residuals, and what parameters could do about the worst.

    Parameters
    ----------
    problem : of all scored streams over fit and hold-out.  u, prediction : at the optimum.

    Returns
    -------
    By stream, the entry of summary.json.
    """
    observed = observed_series(experiment)
    residuals = {name: prediction.streams[name] - values for name, values in observed.items()}
    local, step, weather = record(experiment)
    names = [stream.name for stream in problem.operator.streams]
    entries = {}
    for name, (found, entry) in of_series(local, step, residuals, weather).items():
        pattern = worst(found)
        if pattern is not None:
            k = names.index(name)
            entry = told(name, entry, removable(problem, u, k, observed[name], pattern))
        entries[name] = entry
    return entries


def removable(
    problem: InverseProblem, u: np.ndarray, stream: int, observed: np.ndarray, found: Conditional
) -> float | None:
    """The share of a pattern's size that other parameters take away, 0 to 1.

    None where the slopes at the optimum are not finite.

    Parameters
    ----------
    u : (P,) the optimum.  stream : its column.  observed : (time + 1,), NaN where missing.
    """
    weight = np.sqrt(np.where(np.isfinite(found.mean), found.n, 0.0))

    def pattern(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted departures (class,) and their slopes (class, P)."""
        values, slopes = predict_slopes(problem, at)
        rows = np.column_stack([values[:, stream] - observed, slopes[:, stream]])
        means = _class_means(rows, found)
        return means[:, 0] * weight, means[:, 1:] * weight[:, None]

    low, high = reach(problem.space, u)
    departures, slopes = pattern(u)
    first = float(departures @ departures)
    if not (first > 0.0 and np.isfinite(slopes).all()):
        return None
    left = _search(pattern, u, low, high, first)
    if left > NEARLY_ALL**2 * first:  # perhaps not from there: from the middle of the priors
        left = min(left, _search(pattern, np.clip(0.0 * u, low, high), low, high, first))
    return float(1.0 - np.sqrt(left / first))


def _search(
    pattern: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    first: float,
) -> float:
    """The least sum of squares of a pattern found from a start; infinite if nothing runs there."""
    at, longest = start, LONGEST_STEP
    departures, slopes = pattern(at)
    best = float(departures @ departures)
    if not (np.isfinite(best) and np.isfinite(slopes).all()):
        return np.inf
    for _ in range(RUNS - 1):
        step = _bounded_step(departures, slopes, at, low, high, longest)
        expected = float(np.sum((departures + slopes @ step) ** 2))
        if best < NEARLY_ALL**2 * first or best - expected < ENOUGH * first:
            break
        new, new_slopes = pattern(at + step)
        left = float(new @ new)
        if left < best and np.isfinite(new_slopes).all():
            at, best, departures, slopes = at + step, left, new, new_slopes
            longest = min(2.0 * longest, LONGEST_STEP)
        else:
            longest = 0.25 * float(np.abs(step).max())
    return best


def _class_means(rows: np.ndarray, found: Conditional) -> np.ndarray:
    """Means of rows (time + 1, k) over the classes, less the overall ones; zero where unknown."""
    way, seen = found.regimes, np.isfinite(found.mean)
    inside = np.isfinite(rows).all(axis=1) & (way.index >= 0)
    means = np.zeros((way.size, rows.shape[1]))
    np.add.at(means, way.index[inside], rows[inside])
    means /= np.maximum(found.n, 1)[:, None]
    if way.size > 1:
        means = means - np.average(means[seen], axis=0, weights=found.n[seen])
    return np.where(seen[:, None], means, 0.0)


def _bounded_step(
    departures: np.ndarray,
    slopes: np.ndarray,
    at: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    longest: float,
) -> np.ndarray:
    """The step that leaves least of the departures, as far as the slopes hold."""
    from scipy.optimize import lsq_linear  # not worth its import time where there is no pattern

    below = np.maximum(low - at, -longest)
    above = np.minimum(high - at, longest)
    above = np.maximum(above, below + 1e-9)
    ridge = np.sqrt(RIDGE) * max(np.linalg.norm(slopes), 1e-300)
    matrix = np.concatenate([slopes, ridge * np.eye(len(at))])
    right = np.concatenate([-departures, np.zeros(len(at))])
    step = lsq_linear(matrix, right, (below, above), method="bvls").x
    return np.clip(step, below, above)


def reach(space: ParameterSpace, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest u (P,) within the priors; never short of where the optimum is."""
    informative = np.asarray(space.informative)
    priors = [entry.parameter.prior for entry in space.entries]
    low = np.where([np.isfinite(p.lower) for p in priors], -LOGISTIC_REACH, -np.inf)
    high = np.where([np.isfinite(p.upper) for p in priors], LOGISTIC_REACH, np.inf)
    low = np.where(informative, -NORMAL_QUANTILE, low)
    high = np.where(informative, NORMAL_QUANTILE, high)
    return np.minimum(low, u), np.maximum(high, u)
