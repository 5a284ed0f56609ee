"""Random search: a genetic algorithm and CMA-ES, as baselines that need neither gradient nor prior.

They minimise J in u. A member that fails ranks last. They give no posterior: error bars come from
the curvature at the best member, where the model has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from caliche.estimation.ensemble.core import (
    DROP,
    STOP,
    Verdict,
    check_common,
    check_members,
    half_square,
    need,
    normals,
    survived,
    uniforms,
)
from caliche.estimation.ensemble.members import Members
from caliche.parameters.space import ParameterSpace


def costs(space: ParameterSpace, u: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """J (N,) of members u (N, P) with residuals (N, n); infinite where a member failed."""
    ok = survived(residuals, compare=False)
    prior = 0.5 * np.sum(np.where(space.informative, u, 0.0) ** 2, axis=1)
    return np.where(ok, half_square(np.where(ok[:, None], residuals, 0.0)) + prior, np.inf)


@dataclass(frozen=True)
class _Search(Members):
    """What both have in common. `members` of 0 leaves their number to the method."""

    members: int = 0
    max_iterations: int = 300
    failures: str = DROP

    fewest = 1

    def __post_init__(self) -> None:
        check_common(self, (DROP, STOP))
        check_members(self.members, 4)

    def posterior(self, state: object) -> np.ndarray | None:
        return None


# -- genetic algorithm -------------------------------------------------------------------------


class GeneticState(NamedTuple):
    """Parents (N, P) with their costs (N,), their children, and since when nothing was better."""

    parents: np.ndarray
    cost: np.ndarray
    children: np.ndarray
    idle: int
    iteration: int
    seed: int


@dataclass(frozen=True)
class GeneticAlgorithm(_Search):
    """ga: tournaments of two, blend crossover (Eshelman and Schaffer 1993), mutations.

    A real-coded algorithm of the kind that land-surface models are calibrated with. Mutations are
    normal, a fifth of the population's spread, so that they become finer as it draws together.

    members : 0 for twenty a parameter, at least 40 and at most 100.
    crossover, mutation : probability for a pair, and for each parameter of a child.
    elite : parents that survive.  patience : generations without a fall of J by `tolerance` until
    it stops.
    """

    crossover: float = 0.9
    mutation: float = 0.2
    elite: int = 2
    patience: int = 40
    tolerance: float = 1e-3
    name: str = "ga"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("crossover", "mutation"):
            value = getattr(self, option)
            need(0.0 <= value <= 1.0, option, "between 0 and 1", value)
        need(self.elite >= 1, "elite", "of at least 1", self.elite)
        need(self.patience >= 1, "patience", "of at least 1", self.patience)
        need(self.tolerance > 0.0, "tolerance", "above 0", self.tolerance)

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> GeneticState:
        n = self.members or min(100, max(40, 20 * space.size))
        first = np.array(space.draw_starts(n, seed))
        first[0] = start
        return GeneticState(first[:0], np.zeros(0), first, 0, 0, seed)

    def proposal(self, state: GeneticState) -> np.ndarray:
        return state.children

    def update(
        self, space: ParameterSpace, state: GeneticState, members: np.ndarray, residuals: np.ndarray
    ) -> GeneticState:
        n = len(members)
        order = np.argsort(state.cost, kind="stable")[: self.elite]
        pool = np.concatenate([state.parents[order], members])
        cost = np.concatenate([state.cost[order], costs(space, members, residuals)])
        kept = np.argsort(cost, kind="stable")[:n]
        parents, cost = pool[kept], cost[kept]
        before = state.cost.min(initial=np.inf)
        better = cost[0] < before - self.tolerance or not np.isfinite(before)
        iteration = state.iteration + 1
        children = self._children(parents, cost, state.seed, iteration)
        idle = 0 if better else state.idle + 1
        return GeneticState(parents, cost, children, idle, iteration, state.seed)

    def _children(
        self, parents: np.ndarray, cost: np.ndarray, seed: int, iteration: int
    ) -> np.ndarray:
        n, p = parents.shape
        chance = uniforms(seed, iteration, 0, (5, n))
        # The parents are in order, so that the better of two has the lower number.
        candidates = np.minimum((chance[:4] * n).astype(int), n - 1)
        one, other = parents[candidates[:2].min(axis=0)], parents[candidates[2:4].min(axis=0)]
        # Anywhere between both parents and half their distance beyond, parameter by parameter.
        share = 2.0 * uniforms(seed, iteration, 1, (n, p)) - 0.5
        crossed = (chance[4] < self.crossover)[:, None]
        children = np.where(crossed, one + share * (other - one), one)
        finite = parents[np.isfinite(cost)]
        spread = np.std(finite if len(finite) > 1 else parents, axis=0)
        change = 0.2 * spread * normals(seed, iteration, 2, (n, p))
        mutated = uniforms(seed, iteration, 3, (n, p)) < self.mutation
        return children + np.where(mutated, change, 0.0)

    def verdict(self, state: GeneticState) -> Verdict | None:
        if state.idle >= self.patience:
            return Verdict(True, f"no better member in {self.patience} generations")
        if state.iteration >= self.max_iterations:
            return Verdict(False, "stopped at the limit of generations")
        return None

    def estimate(self, state: GeneticState) -> np.ndarray:
        return state.parents[0]


# -- CMA-ES --------------------------------------------------------------------------------------


class CovarianceState(NamedTuple):
    """The search distribution N(mean, sigma^2 covariance), its two paths, and the best so far."""

    mean: np.ndarray
    sigma: float
    covariance: np.ndarray
    path_sigma: np.ndarray
    path_covariance: np.ndarray
    best: np.ndarray
    best_cost: float
    recent: np.ndarray
    spread: float
    members: int
    iteration: int
    seed: int


@dataclass(frozen=True)
class CovarianceMatrixAdaptation(_Search):
    """cma: CMA-ES with its usual settings (Hansen 2016, arXiv:1604.00772).

    members : 0 for 4 + 3 log P.  spread : standard deviation of the first generation, in u.
    tolerance : it stops when J differs by no more within a generation and over the last ones.
    """

    max_iterations: int = 1000
    spread: float = 0.5
    tolerance: float = 1e-8
    name: str = "cma"

    def __post_init__(self) -> None:
        super().__post_init__()
        need(self.spread > 0.0, "spread", "above 0", self.spread)
        need(self.tolerance > 0.0, "tolerance", "above 0", self.tolerance)

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> CovarianceState:
        p = space.size
        members = self.members or 4 + int(3 * np.log(p))
        recent = np.full(10 + int(np.ceil(30 * p / members)), np.inf)
        start, zero = np.array(start, float), np.zeros(p)
        return CovarianceState(
            start,
            self.spread,
            np.eye(p),
            zero,
            zero,
            start,
            np.inf,
            recent,
            np.inf,
            members,
            0,
            seed,
        )

    def proposal(self, state: CovarianceState) -> np.ndarray:
        values, vectors = np.linalg.eigh(state.covariance)
        shape = (int(state.members), len(state.mean))
        z = normals(state.seed, state.iteration, 0, shape)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return state.mean + state.sigma * z @ root.T

    def update(
        self,
        space: ParameterSpace,
        state: CovarianceState,
        members: np.ndarray,
        residuals: np.ndarray,
    ) -> CovarianceState:
        p, cost = len(state.mean), costs(space, members, residuals)
        order = np.argsort(cost, kind="stable")
        finite = int(np.isfinite(cost).sum())
        selected = min(len(cost) // 2, finite)
        weights = np.log((len(cost) + 1) / 2) - np.log(np.arange(1, selected + 1))
        weights /= weights.sum()
        mass = 1.0 / np.sum(weights**2)
        c_sigma = (mass + 2.0) / (p + mass + 5.0)
        damping = 1.0 + 2.0 * max(0.0, np.sqrt((mass - 1.0) / (p + 1.0)) - 1.0) + c_sigma
        c_path = (4.0 + mass / p) / (p + 4.0 + 2.0 * mass / p)
        c_one = 2.0 / ((p + 1.3) ** 2 + mass)
        c_mu = min(1.0 - c_one, 2.0 * (mass - 2.0 + 1.0 / mass) / ((p + 2.0) ** 2 + mass))
        c_mu = max(c_mu, 0.0)
        length = np.sqrt(p) * (1.0 - 1.0 / (4.0 * p) + 1.0 / (21.0 * p**2))

        steps = (members[order[:selected]] - state.mean) / state.sigma
        step = weights @ steps
        values, vectors = np.linalg.eigh(state.covariance)
        values = np.maximum(values, 1e-300)
        whitened = vectors @ ((vectors.T @ step) / np.sqrt(values))
        path_sigma = (1.0 - c_sigma) * state.path_sigma
        path_sigma = path_sigma + np.sqrt(c_sigma * (2.0 - c_sigma) * mass) * whitened
        age = 1.0 - (1.0 - c_sigma) ** (2 * (state.iteration + 1))
        steady = np.linalg.norm(path_sigma) / np.sqrt(age) < (1.4 + 2.0 / (p + 1.0)) * length
        path = (1.0 - c_path) * state.path_covariance
        path = path + steady * np.sqrt(c_path * (2.0 - c_path) * mass) * step
        lost = (1.0 - steady) * c_path * (2.0 - c_path)
        covariance = (
            (1.0 - c_one - c_mu + c_one * lost) * state.covariance
            + c_one * np.outer(path, path)
            + c_mu * (steps.T * weights) @ steps
        )
        growth = c_sigma / damping * (np.linalg.norm(path_sigma) / length - 1.0)
        sigma = state.sigma * float(np.exp(min(1.0, growth)))

        best = int(order[0])
        better = cost[best] < state.best_cost
        return CovarianceState(
            state.mean + state.sigma * step,
            sigma,
            0.5 * (covariance + covariance.T),
            path_sigma,
            path,
            members[best] if better else state.best,
            float(min(cost[best], state.best_cost)),
            np.append(state.recent[1:], cost[best]),
            float(np.ptp(cost)) if finite == len(cost) else np.inf,
            state.members,
            state.iteration + 1,
            state.seed,
        )

    def verdict(self, state: CovarianceState) -> Verdict | None:
        if np.isfinite(state.recent).all():
            flat = max(float(np.ptp(state.recent)), state.spread)
            # A large misfit is not known to better than its rounding.
            if flat <= max(self.tolerance, 1e-13 * state.best_cost):
                return Verdict(True, f"J differs by no more than {flat:.1g} between members")
        if state.iteration >= self.max_iterations:
            return Verdict(False, "stopped at the limit of generations")
        return None

    def estimate(self, state: CovarianceState) -> np.ndarray:
        return state.best
