"""Whether an experiment's observations lie within what its priors can produce, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caliche.evaluation.regimes import Regimes, record, regimes
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem
from caliche.sensitivity.prior_predictive import MEMBERS, PriorPredictive, prior_predictive
from caliche.variables import label, variable
from caliche.wording import number_of

# A regime is named where the share outside is so many times that of the record.
PRONOUNCED = 1.5
# Share of those outside that has to lie on one side for that side to be named.
ONE_SIDED = 0.8


@dataclass(frozen=True)
class PriorCheck:
    """The draws, and what there is to say of each stream.

    streams : names, in the order of the draws.  local_time : (time + 1,) ends of the steps.
    observed : (time + 1, stream), NaN where nothing is fitted.
    """

    streams: tuple[str, ...]
    local_time: np.ndarray
    step: np.timedelta64
    observed: np.ndarray
    draws: PriorPredictive
    sentences: tuple[str, ...]


def check_prior(
    experiment: Experiment,
    problem: InverseProblem | None = None,
    members: int = MEMBERS,
    seed: int = 0,
) -> PriorCheck:
    """Draw the priors of an experiment and hold its fitted streams against them.

    Raises
    ------
    InputError : see `caliche.sensitivity.prior_predictive`.
    """
    problem = experiment.problem() if problem is None else problem
    draws = prior_predictive(problem, members, seed)
    n_time = problem.observations.mask.shape[0]
    local, step, weather = record(experiment, n_time)
    ways = regimes(local, step, weather)
    names = tuple(stream.name for stream in problem.operator.streams)
    mask = np.asarray(problem.mask)
    said = [_stream(name, draws, k, mask[:, k], ways) for k, name in enumerate(names)]
    if draws.failed:
        said.insert(
            0, f"{draws.failed} of {members} draws failed: the model gave no usable numbers"
        )
    observed = np.where(mask, np.asarray(problem.observations.values), np.nan)
    return PriorCheck(names, local, step, observed, draws, tuple(said))


def _stream(
    name: str, draws: PriorPredictive, k: int, seen: np.ndarray, ways: list[Regimes]
) -> str:
    share, usual = draws.outside[k], draws.usual[k]
    observations = number_of(int(seen.sum()), "observation")
    what = f"{label(name)}: {_percent(share)} of {observations} outside the 95 % envelope"
    if not draws.conflict[k]:
        return (
            f"{what}; within what the priors can produce (95 % of draws: up to {_percent(usual)})"
        )
    below, above = int(draws.below[:, k].sum()), int(draws.above[:, k].sum())
    low, high = ("colder", "warmer") if variable(name).unit == "K" else ("lower", "higher")
    side = ""
    if max(below, above) >= ONE_SIDED * (below + above):
        side = f", {low if below > above else high} than the draws"
    out = draws.below[:, k] | draws.above[:, k]
    where = [text for way in ways if (text := _where(way, out, seen, share))]
    most = f", most {' and '.join(where[:2])}" if where else ""
    return (
        f"{what}{side}{most}: NOT within what the priors can produce (95 % of draws: up to "
        f"{_percent(usual)}); look at the priors, the model and the data before a fit"
    )


def _where(way: Regimes, out: np.ndarray, seen: np.ndarray, overall: float) -> str:
    """The regimes in which far more lies outside than elsewhere, and how much."""
    known = seen & (way.index >= 0)
    count = np.bincount(way.index[known], minlength=way.size)
    hits = np.bincount(way.index[known & out], minlength=way.size)
    share = np.where(count >= 5, hits / np.maximum(count, 1), 0.0)
    best = int(np.argmax(share))
    if share[best] < min(PRONOUNCED * overall, 0.5 * (1.0 + overall)):
        return ""
    members = way.run(share > 0.5 * (share[best] + overall), best)
    inside = hits[members].sum() / max(count[members].sum(), 1)
    return f"{way.words(members)} ({_percent(float(inside))})"


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %" if share >= 0.095 or share == 0.0 else f"{100.0 * share:.1f} %"
