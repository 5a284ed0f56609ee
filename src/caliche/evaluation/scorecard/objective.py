"""A scorecard as what is minimised: changes of RMSE, with losses and damping held against them.

With the ratio r of RMSE to that of the control in each cell, the half width h of its interval, and
the ratio s of standard deviations, modelled over observed, the objective is the weighted mean over
the cells of

    (r - 1) + penalty max(0, r - 1 - h) + damping (ln^2 s - ln^2 s_control)

which is 0 for the control run. Sites count alike, however many values they have; so do the cells of
a site, unless weights say otherwise. Mean squares, variances and widths are smooth in the
parameters: they are what is emulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError, nearest
from caliche.evaluation.regimes import record as record_of
from caliche.evaluation.scorecard.card import Place, Record, Scorecard, places_of, scorecard
from caliche.evaluation.scorecard.conditions import CONDITIONS
from caliche.evaluation.scorecard.significance import difference
from caliche.experiments.experiment import Experiment
from caliche.names import at_site
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.problems.joint import JointProblem

PENALTY, DAMPING = 2.0, 0.1
# Least width of an interval, over the mean square of the control: that of the control itself is 0.
_LEAST_WIDTH = 1e-3


class Formula(eqx.Module):
    """From ingredients (3 c,) of c cells to the objective.

    The ingredients of a cell stand together: mean square of the errors, variance of the model, half
    the width of the interval of the mean square's change; the first and last over the mean square
    of the control, the second over the variance of the observations.

    Attributes
    ----------
    weight : (c,), sum 1.  damped : (c,) ln^2 of the control's ratio of standard deviations; NaN
        where the observations do not vary.
    """

    weight: Float[Array, " c"]
    damped: Float[Array, " c"]
    penalty: Float[Array, ""]
    damping: Float[Array, ""]

    def __call__(self, parts: Float[Array, " k"]) -> Float[Array, ""]:
        square, variance, width = parts.reshape(-1, 3).T
        change = jnp.sqrt(square) - 1.0
        loss = jnp.maximum(0.0, change - (jnp.sqrt(1.0 + width) - 1.0))
        known = jnp.isfinite(self.damped)
        spread = 0.25 * jnp.log(variance) ** 2 - jnp.where(known, self.damped, 0.0)
        lively = jnp.where(known, spread, 0.0)
        return self.weight @ (change + self.penalty * loss + self.damping * lively)


@dataclass(frozen=True)
class ScorecardObjective:
    """What a scorecard makes of a run, for `Bayes.minimising`.

    Attributes
    ----------
    records : by site.  control : modelled (time + 1, stream) by site, of the control run.
    places : of the cells.  formula : see `Formula`.
    columns : by site, which columns of a problem's predictions are its streams.
    conditions : of the rows.
    """

    records: Mapping[str, Record]
    control: Mapping[str, np.ndarray]
    places: tuple[Place, ...]
    formula: Any
    columns: Mapping[str, tuple[int, ...]]
    conditions: tuple[str, ...]

    def ingredients(self, prediction: np.ndarray) -> np.ndarray:
        """Ingredients (3 c,) of predictions (time + 1, stream); NaN where there is no number."""
        run, found = self.by_site(prediction), []
        for place in self.places:
            record, k = self.records[place.column], place.stream
            observed = record.observed[:, k]
            mine, other = run[place.column][:, k], self.control[place.column][:, k]
            values = mine[place.which]
            if not np.isfinite(values).all():
                return np.full(3 * len(self.places), np.nan)
            squares = [np.where(place.which, (m - observed) ** 2, np.nan) for m in (mine, other)]
            before = float(np.nanmean(squares[1]))
            reach = difference(squares[0] - squares[1], record.day).reach()
            spread = float(observed[place.which].var())
            found += [
                float(np.nanmean(squares[0])) / before,
                float(values.var()) / spread if spread > 0.0 else 1.0,
                reach / before + _LEAST_WIDTH,
            ]
        return np.array(found)

    def by_site(self, prediction: np.ndarray) -> dict[str, np.ndarray]:
        """The streams (time + 1, stream) of each site."""
        return {
            site: prediction[: len(record.observed), list(self.columns[site])]
            for site, record in self.records.items()
        }

    def card(self, prediction: np.ndarray) -> Scorecard:
        """The scorecard of predictions against the control."""
        return scorecard(self.records, self.by_site(prediction), self.control, self.conditions)


def scorecard_objective(
    problem: Problem,
    experiments: Mapping[str, Experiment],
    control: np.ndarray,
    conditions: Sequence[str] = CONDITIONS,
    weights: Mapping[str, float] | None = None,
    penalty: float = PENALTY,
    damping: float = DAMPING,
) -> ScorecardObjective:
    """The objective of a problem of one or several sites.

    Parameters
    ----------
    experiments : by site, in any order; of a problem of one site under any name.
    control : predictions (time + 1, stream) of the control run.
    weights : of streams, conditions or sites by name, 1 where nothing is said; those of a cell are
        multiplied.
    penalty : of significant losses.  damping : of a ratio of standard deviations away from 1.

    Raises
    ------
    InputError : no cell with days enough; a control run without a number, or without an error; a
        weight or penalty that cannot be.
    """
    records, columns = {}, {}
    names = problem.stream_names
    for site, experiment in experiments.items():
        one = _of_site(problem, site)
        joint = isinstance(problem, JointProblem)
        columns[site] = tuple(
            names.index(at_site(name, site) if joint else name) for name in one.stream_names
        )
        records[site] = _record(experiment, one)
    return objective_of(records, columns, control, conditions, weights, penalty, damping)


def objective_of(
    records: Mapping[str, Record],
    columns: Mapping[str, tuple[int, ...]],
    control: np.ndarray,
    conditions: Sequence[str] = CONDITIONS,
    weights: Mapping[str, float] | None = None,
    penalty: float = PENALTY,
    damping: float = DAMPING,
) -> ScorecardObjective:
    """The objective of records by site; see `scorecard_objective`.

    Parameters
    ----------
    columns : by site, which columns of the predictions are its streams.
    """
    wrong = [k for k, w in (weights or {}).items() if not w >= 0.0]
    if wrong or not (penalty >= 0.0 and damping >= 0.0):
        raise InputError(
            "weights and penalties of at least 0",
            f"{wrong[0]} below" if wrong else f"penalty {penalty:g} and damping {damping:g}",
            "leave it out for the usual one",
        )
    places, _ = places_of(records, conditions)
    known = {word for p in places for word in (p.name, p.condition, p.column)}
    unknown = [word for word in weights or {} if word not in known]
    if unknown:
        raise InputError(
            f"weights of {', '.join(sorted(known))}", unknown[0], nearest(unknown[0], known)
        )
    shown = {site: control[: len(r.observed), list(columns[site])] for site, r in records.items()}
    damped = []
    for place in places:
        observed = records[place.column].observed[place.which, place.stream]
        modelled = shown[place.column][place.which, place.stream]
        fine = np.isfinite(modelled).all()
        if not fine or not np.mean((modelled - observed) ** 2) > 0.0:
            raise InputError(
                f"a control run with errors of {place.row} at {place.column}",
                "none at all" if fine else "no number",
                "take another control run",
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            damped.append(0.25 * np.log(modelled.var() / observed.var()) ** 2)
    each = np.array([_weight(place, places, weights or {}) for place in places])
    if not each.sum() > 0.0:
        raise InputError("a weight above 0 in some cell", "none", "give some weights")
    formula = Formula(
        jnp.asarray(each / each.sum()),
        jnp.asarray(np.where(np.isfinite(damped), damped, np.nan)),
        jnp.asarray(float(penalty)),
        jnp.asarray(float(damping)),
    )
    return ScorecardObjective(records, shown, tuple(places), formula, columns, tuple(conditions))


def _weight(place: Place, places: Sequence[Place], weights: Mapping[str, float]) -> float:
    """Of a cell: its share of its site, times what is said of it."""
    mine = sum(other.column == place.column for other in places)
    said = [weights.get(word, 1.0) for word in (place.name, place.condition, place.column)]
    return float(np.prod(said)) / mine


def _of_site(problem: Problem, site: str) -> InverseProblem:
    if isinstance(problem, JointProblem):
        if site not in problem.sites:
            raise InputError(
                f"a site of the problem, one of {', '.join(problem.sites)}", site, "rename it"
            )
        return problem.problems[problem.sites.index(site)]
    if not isinstance(problem, InverseProblem):
        raise InputError(
            "a problem of one or several sites",
            type(problem).__name__,
            "pass that of an experiment",
        )
    return problem


def _record(experiment: Experiment, problem: InverseProblem) -> Record:
    """What the problem of an experiment fits."""
    mask = np.asarray(problem.mask)
    local, step, weather = record_of(experiment, len(mask))
    observed = np.where(mask, np.asarray(problem.observations.values), np.nan)
    return Record(problem.stream_names, observed, local, step, weather)
