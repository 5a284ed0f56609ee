"""Which optima the starts of a search ended at: one found many times, or several.

One rule serves the terminal, the report and every count of starts. Two ends share an optimum if
they lie within half a posterior standard deviation of one another, to first order: |J d| < 1/2 for
a step d in u and the Jacobian J of the residuals; and if their misfits differ by less than such a
step costs at an optimum, 1/2 (1/2)^2. Where the data do not see a direction, ends lie anywhere
along a valley, and the misfit alone decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caliche.estimation.curvature import Posterior, linearised
from caliche.estimation.method import CONVERGED, Iterate, at_bound
from caliche.problems.base import Problem
from caliche.remarks import EQUALLY_GOOD, SAME, same_misfit

MOST_OPTIMA = 12  # that are told apart
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Optimum:
    """A place where starts ended: physical values, J there, and how many starts."""

    estimate: Mapping[str, float]
    misfit: float
    starts: int


def find_optima(
    problem: Problem, final: Iterate, ends: np.ndarray, best: int, curvature: Posterior
) -> tuple[tuple[Optimum, ...], tuple[int | None, ...]]:
    """Distinct optima among the starts that converged, the estimate's first, then by misfit; and
    which of them each start reached.

    There are none if the best start did not converge, or if its optimum is a valley: then all
    starts of the same misfit share the estimate's.

    Parameters
    ----------
    final : with a leading start axis.  ends : physical values (start, P).
    best : the start of the estimate.  curvature : there.
    """
    status, u, cost = np.asarray(final.status), np.asarray(final.u), np.asarray(final.cost)
    reached: list[int | None] = [None] * len(cost)
    if status[best] != CONVERGED or curvature.unseen.shape[1]:
        for k in np.flatnonzero(same_misfit(cost, cost[best])):
            reached[k] = 0
        return (), tuple(reached)
    order = np.argsort(cost, kind="stable")
    left = np.array([best, *(k for k in order if k != best and np.isfinite(cost[k]))])
    beyond = np.array([at_bound(problem.space, row, np.zeros_like(row)) for row in u])
    found = []
    while len(left) and len(found) < MOST_OPTIMA:
        here = left[0]
        if status[here] != CONVERGED:  # where it stopped is no optimum of its own
            left = left[1:]
            continue
        same = same_misfit(cost[left], cost[here]) & (beyond[left] == beyond[here]).all(axis=1)
        if len(left) > 1:
            _, jacobian = linearised(problem, u[here])
            steps = np.where(beyond[here], 0.0, u[left] - u[here])
            same &= np.linalg.norm(steps @ jacobian.T, axis=1) < SAME
        same[0] = True
        for k in left[same]:
            reached[k] = len(found)
        values = dict(zip(problem.space.names, ends[here].tolist(), strict=True))
        found.append(Optimum(values, float(cost[here]), int(same.sum())))
        left = left[~same]
    return tuple(found), tuple(reached)


def equally_good(optima: Sequence[Optimum]) -> tuple[Optimum, ...]:
    """Those that the data do not tell from the first."""
    return tuple(o for o in optima if o.misfit <= optima[0].misfit + EQUALLY_GOOD)


def optima_note(optima: Sequence[Optimum], sds: Mapping[str, float | None]) -> tuple[str, ...]:
    """A sentence on optima between which the data do not choose, if there are any.

    `sds` of the first say which parameters are worth naming: those that differ by more than one.
    """
    rivals = equally_good(optima)
    if len(rivals) < 2:
        return ()
    count = _NUMBERS[len(rivals)] if len(rivals) < len(_NUMBERS) else str(len(rivals))
    apart = [
        name for name, sd in sds.items() if name in rivals[0].estimate and _differ(rivals, name, sd)
    ]
    names = apart[:5] or list(rivals[0].estimate)[:5]
    places = "; ".join(
        ", ".join(f"{name} = {o.estimate[name]:.4g}" for name in names)
        + f" ({o.starts} start{'' if o.starts == 1 else 's'})"
        for o in rivals
    )
    return (
        f"The starts found {count} optima that fit the data about equally well: {places}. The "
        "estimate is the first of them, and its error bars do not know of the others: more "
        "observations, or a prior, must choose.",
    )


def _differ(optima: Sequence[Optimum], name: str, sd: float | None) -> bool:
    spread = np.ptp([o.estimate[name] for o in optima])
    return bool(sd is None or not np.isfinite(sd) or spread > sd)
