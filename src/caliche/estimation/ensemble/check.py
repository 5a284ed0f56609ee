"""Whether members stand for the posterior, which their own misfits tell.

Members are taken for draws from a Gaussian. The model's misfits at them say what the posterior
density there is; the ratio of both is an importance weight (Robert and Casella 2004,
doi:10.1007/978-1-4757-4145-2, section 3.3). Where the posterior is that Gaussian all weights are
equal. Near a bound it is not: it is cut off, in coordinates that stretch without end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from caliche.estimation.density import physical
from caliche.estimation.ensemble.core import (
    half_square,
    number_of_members,
    standard_ensemble,
    survived,
)
from caliche.estimation.ensemble.engine import NO_EFFECT, Engine
from caliche.estimation.ensemble.kalman import UNSCENTED_DRAWS
from caliche.estimation.ensemble.prior import normal_prior
from caliche.parameters.priors import LogNormal
from caliche.parameters.space import ParameterSpace

# Share of the members that has to count, of one parameter; each further one may cost a tenth.
ENOUGH, EACH_FURTHER = 0.5, 0.1
# Standard deviations by which the weights may move the mean.
MOVED = 0.5
# Near a bound: the share, the move, and the Gauss-Newton step that may be left.
NEAR = 0.7, 0.35, 0.5
# A bound is felt where one standard deviation away from it and one towards it differ by this share.
# In a tail that is the standard deviation over the distance, which is then some 12 of them.
FELT = 0.08
# Spread of members, in that of the prior, from which on the data may not have seen a parameter.
UNTAUGHT = 0.7


class Agreement(NamedTuple):
    """How members agree with their misfits; NaN where they are too few to have a covariance.

    share : effective number of members over their number.
    shift : of the mean by the weights, in standard deviations.
    left : length of the Gauss-Newton step still to go, see `step_left`.
    """

    share: float
    shift: float
    left: float

    def enough(self, members: int, size: int, chance: bool, near: bool) -> bool:
        """Whether members stand for a posterior of `size` parameters.

        chance : whether mean and covariance have sampling errors even where the model is linear.
        near : whether it may be cut off by a bound, where less is let pass.
        """
        lost = EACH_FURTHER * (size - 1)
        if near:
            # Errors of sampling hide too much of what the weights show.
            enough, moved, left = NEAR
            few = self.share < enough * math.exp(-lost)
            return not (chance or few or self.shift > moved or self.left > left)
        moved = MOVED
        if chance:
            lost += (0.5 * size * (size + 1) + size) / members
            moved += math.sqrt(size / members)
        return not (self.share < ENOUGH * math.exp(-lost) or self.shift > moved)


def agreement(
    members: np.ndarray, centre: np.ndarray, residual: np.ndarray, residuals: np.ndarray
) -> Agreement:
    """How members (N, P), in coordinates with the prior N(0, I), agree with their residuals (N, n).

    centre, residual : (P,) the estimate, and what the model gave there (n,).
    """
    n, p = members.shape
    away = members - members.mean(axis=0)
    if n <= p + 1 or np.linalg.matrix_rank(away) < p:
        return Agreement(math.nan, math.nan, math.nan)
    costs = half_square(residuals) + half_square(members)
    root = np.linalg.cholesky(away.T @ away / (n - 1))
    z = np.linalg.solve(root, away.T)
    log_weight = np.where(np.isfinite(costs), 0.5 * np.sum(z**2, axis=0) - costs, -np.inf)
    highest = log_weight.max()
    if not np.isfinite(highest):
        return Agreement(0.0, math.inf, math.inf)
    weight = np.exp(log_weight - highest)
    weight /= weight.sum()
    left = step_left(members, centre, residual[:, None], residuals[..., None])
    return Agreement(float(1.0 / (weight @ weight) / n), float(np.linalg.norm(z @ weight)), left)


def step_left(
    members: np.ndarray, centre: np.ndarray, residual: np.ndarray, residuals: np.ndarray
) -> float:
    """Length of the Gauss-Newton step that the members' own slopes ask for, in posterior standard
    deviations; NaN where they are too few to have slopes.

    Parameters
    ----------
    members, centre : (N, P), (P,) in coordinates whose prior is N(0, I).
    residual, residuals : of the centre (time + 1, stream), and of the members, in front.
    """
    known = np.isfinite(residuals).all(axis=(1, 2))
    spread = members[known] - members[known].mean(axis=0)
    n, p = spread.shape
    if n <= p + 1 or np.linalg.matrix_rank(spread) < p:
        return float("nan")
    seen = np.any(residuals[known] != 0.0, axis=0)
    found = residuals[known][:, seen]
    slopes = np.linalg.lstsq(spread, found - found.mean(axis=0), rcond=None)[0]
    gradient = slopes @ residual[seen] + centre
    hessian = slopes @ slopes.T + np.eye(p)
    return float(np.sqrt(gradient @ np.linalg.solve(hessian, gradient)))


def doubt_of(found: Agreement, members: int, near: tuple[str, ...]) -> str:
    """What to say of members that do not stand for the posterior.

    near : names of parameters near a bound.
    """
    verb = "is" if len(near) == 1 else "are"
    why = f", as {' and '.join(near)} {verb} near a bound" if near else ""
    return (
        f"its members do not stand for the posterior{why}: weighted by their own misfits, "
        f"{max(1, round(found.share * members))} of {members} would count, and the mean would move "
        f"by {found.shift:.1g} standard deviations; trust neither estimate nor interval, and "
        "use lm and a profile where the model has gradients"
    )


def near_bounds(space: ParameterSpace, method: str, members: np.ndarray) -> tuple[str, ...]:
    """Names of parameters so near a bound that members u (N, P) feel it.

    One standard deviation towards the bound is then a shorter way than one away from it.
    """
    prior = normal_prior(space, method)
    v = prior.from_u(members)
    sd = np.diag(v.std(axis=0, ddof=1))
    rows = v.mean(axis=0) + np.concatenate([np.zeros((1, len(sd))), sd, -sd])
    at, above, below = np.split(physical(space, prior.to_u(rows)), [1, 1 + len(sd)])
    up, down = np.diag(above) - at[0], at[0] - np.diag(below)
    found = []
    for k, entry in enumerate(space.entries):
        bounds = entry.parameter.prior
        lower = isinstance(bounds, LogNormal) and bounds.lower == 0.0  # which is no bound
        bound = (-math.inf if lower else bounds.lower) if up[k] > down[k] else bounds.upper
        if math.isfinite(bound) and not abs(math.log(up[k] / down[k])) <= FELT:
            found.append(entry.name)
    return tuple(found)


# -- a last look, at a model that is run elsewhere -------------------------------------------------


@dataclass
class LastLook:
    """Runs that a method asks for when it is done, where its answer may be none.

    Attributes
    ----------
    u : (k, P) control vectors to run: the estimate; members, of a method near a bound; then, for
        each of `asked`, two with this entry moved by one unit either way.
    centre, members : v (P,) of the estimate and (N, P) of those members; None where none are run.
    near : names of parameters near a bound.
    asked : entries that the data may not see.
    chance : whether members have sampling errors, see `Agreement.enough`.
    """

    u: np.ndarray
    centre: np.ndarray
    members: np.ndarray | None
    near: tuple[str, ...]
    asked: tuple[int, ...]
    chance: bool
    told: bool = False
    agreement: Agreement | None = None
    unseen: tuple[int, ...] = ()
    failed: int = 0

    def tell(self, residuals: np.ndarray) -> None:
        """Residuals (k, n), NaN where a run failed."""
        self.told = True
        self.failed = int((~survived(residuals, compare=False)).sum())
        n = 0 if self.members is None else len(self.members)
        if self.members is not None:
            seen = residuals[1 : n + 1]
            self.agreement = agreement(self.members, self.centre, residuals[0], seen)
        still = unmoved(np.concatenate([residuals[:1], residuals[n + 1 :]]))
        self.unseen = tuple(k for k, same in zip(self.asked, still, strict=True) if same)

    @property
    def doubt(self) -> str:
        """What to say of the members; empty if they stand for the posterior."""
        if self.agreement is None or self.members is None:
            return ""
        n, size = self.members.shape
        if self.agreement.enough(n, size, chance=self.chance, near=True):
            return ""
        return doubt_of(self.agreement, len(self.members), self.near)


def last_look(engine: Engine, space: ParameterSpace) -> LastLook | None:
    """What to look at when a method has come to its end; None where nothing is in doubt."""
    at, asked, near, members = engine.estimate, range(space.size), (), None
    drawn = engine.posterior
    centre, to_u = at, lambda v: v
    if drawn is not None:
        prior = normal_prior(space, engine.method.name)
        v = prior.from_u(drawn)
        near = near_bounds(space, engine.method.name, drawn)
        asked = np.flatnonzero(v.std(axis=0, ddof=1) > UNTAUGHT).tolist()
        if near:
            members = v if len(v) < UNSCENTED_DRAWS else _fewer(v)
        centre, to_u = prior.from_u(at), prior.to_u
    if not (len(asked) or near):
        return None
    moved = moved_either_way(centre, np.asarray(asked, int))
    between = [] if members is None else [members]
    u = to_u(np.concatenate([moved[:1], *between, moved[1:]]))
    return LastLook(u, centre, members, near, tuple(asked), engine.method.by_chance)


def moved_either_way(centre: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The centre (P,), then for each entry asked for two rows with it moved by one unit."""
    steps = np.eye(len(centre))[asked]
    pairs = np.stack([steps, -steps], axis=1).reshape(-1, len(centre))
    return centre + np.concatenate([np.zeros((1, len(centre))), pairs])


def unmoved(residuals: np.ndarray) -> np.ndarray:
    """Whether the residuals (1 + 2 k, n) of those rows are the same for each of the k entries."""
    moved = residuals[1:].reshape(-1, 2, residuals.shape[1]) - residuals[0]
    return (np.abs(moved) <= NO_EFFECT).all(axis=(1, 2))


def _fewer(v: np.ndarray) -> np.ndarray:
    """As many of the draws (N, P) as other methods have members, with their mean and covariance."""
    n = number_of_members(0, v.shape[1])
    root = np.linalg.cholesky(np.cov(v, rowvar=False).reshape(v.shape[1], -1))
    return v.mean(axis=0) + standard_ensemble(v[:n]) @ root.T
