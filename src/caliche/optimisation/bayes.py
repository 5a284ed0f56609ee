"""bo: Bayesian optimisation, for a misfit with several basins and runs that are dear.

An emulator of J is learned from all runs so far, with their exact slopes where the model has them;
the next run is made where the expected improvement is highest. What it finds is a basin: where
J has derivatives, `lm` goes on from there to the optimum.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.emulators.design import latin_hypercube
from caliche.emulators.plan import ALWAYS, AUTO, NEVER, check_gradients
from caliche.errors import InputError, nearest
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.ensemble.core import DROP, STOP, Runner, Verdict, check_common, need
from caliche.estimation.ensemble.engine import Engine
from caliche.estimation.ensemble.members import Members, of_search
from caliche.estimation.ensemble.search import costs
from caliche.estimation.method import History, Outcome, run_method
from caliche.history_matching.ranges import Ranges
from caliche.optimisation.composite import LearnedParts, Objective, learn_parts
from caliche.optimisation.minimum import minimum_of
from caliche.optimisation.of_objective import longer, outcome_of_objective
from caliche.optimisation.proposals import EDGE, propose, settle
from caliche.optimisation.runners import OneByOne, Predictions
from caliche.optimisation.surrogate import Learned, learn, unit_box
from caliche.optimisation.trust_region import FIRST_SIDE, LEAST_SIDE, MOST_SIDE, TrustRegion
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem
from caliche.wording import number_of

# Parameters from which on runs are kept in a trust region, unless asked otherwise.
MANY = 7
# Least probability of an improvement by a thousandth of the spread that is worth a run.
LEAST_CHANCE = 0.01
QUIET, NO_CHANCE, EXHAUSTED = 1, 2, 3
WHY = {
    QUIET: "no run is expected to lower the misfit any more",
    NO_CHANCE: "no run is likely to lower the misfit any more",
    EXHAUSTED: "its trust region shrank to nothing from several points",
}


class BayesState(NamedTuple):
    """All runs so far, what was learned of them, and what to run next.

    u, cost, slopes : (n, P), (n,), (n, P) of the runs: J, or the value of another objective,
    infinite where one failed, and its slopes by u, NaN where they are not known.
    parts : (n, K) ingredients of that objective; (n, 0) of J.
    told : (k, 1 + P, P) slopes and Gauss-Newton curvature of J at the members that are out.
    curvature : (P, P) at the best run, where it is known.  members : (k, P) what to run next.
    log_theta : (P + 2,) hyperparameters.  first : runs of the design.  since : run from which on
    the trust region's centre is sought; then that region.
    quiet : iterations in which little was expected.  ended : why it is done, 0 while it is not.
    last : 1 while the last run is out, where the mean is lowest; 2 when it is done.
    minimum : (3,) quantiles of the lowest J there is; NaN before it is known.
    """

    u: np.ndarray
    cost: np.ndarray
    slopes: np.ndarray
    parts: np.ndarray
    told: np.ndarray
    curvature: np.ndarray
    members: np.ndarray
    log_theta: np.ndarray
    first: int
    since: int
    side: float
    successes: int
    failures: int
    restarts: int
    quiet: int
    ended: int
    last: int
    minimum: np.ndarray
    iteration: int
    seed: int


@dataclass(frozen=True)
class Bayes(Members):
    """bo: where an emulator of J expects most of a run (logEI), in batches, with a trust region.

    It searches whole ranges: priors to 3 standard deviations, flat ones between their bounds.

    parallel : runs at the same time, each of which takes the mean of those before for granted.
    budget : runs at most, those of the design included; 0 for 20 and ten a parameter.
    design : runs that are spread over the ranges first; 0 leaves their number to the method.
    gradients : `auto` uses exact slopes of J where the model has them; `always`, `never`.
    trust_region : `auto` keeps runs in one from seven parameters on; `always`, `never`.
    side : of the trust region at first, over that of the ranges; small where the first guess is
    good already.
    finish : whether `lm` goes on from the best run, where the model has derivatives.
    tolerance : it stops when the expected improvement is below so much of the spread of the runs,
    twice in a row.
    """

    parallel: int = 1
    budget: int = 0
    design: int = 0
    gradients: str = AUTO
    trust_region: str = AUTO
    side: float = FIRST_SIDE
    finish: bool = True
    tolerance: float = 1e-3
    max_iterations: int = 1000
    failures: str = DROP
    name: str = "bo"
    objective: Objective | None = field(default=None, init=False, compare=False)

    fewest = 0

    def __post_init__(self) -> None:
        check_common(self, (DROP, STOP))
        check_gradients(self.gradients)
        words = (AUTO, ALWAYS, NEVER)
        if self.trust_region not in words:
            raise InputError(
                "auto, always or never for trust_region",
                repr(self.trust_region),
                nearest(self.trust_region, words),
            )
        need(1 <= self.parallel <= 8, "parallel", "of 1 to 8 runs", self.parallel)
        need(self.budget == 0 or self.budget >= 5, "budget", "of at least 5 runs", self.budget)
        need(self.design == 0 or self.design >= 4, "design", "of at least 4 runs", self.design)
        need(LEAST_SIDE < self.side <= MOST_SIDE, "side", "of 0.01 to 1.6", self.side)
        need(self.tolerance > 0.0, "tolerance", "above 0", self.tolerance)

    def minimising(self, objective: Objective) -> Bayes:
        """The same for another objective than J, by runs of values; `lm` does not go on from it."""
        other = copy.copy(self)
        object.__setattr__(other, "objective", objective)
        object.__setattr__(other, "finish", False)
        return other

    def posterior(self, state: BayesState) -> np.ndarray | None:
        return None

    # -- the search ------------------------------------------------------------------------------

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> BayesState:
        ranges, p = Ranges(space), space.size
        number = self.design or max(4, p + 2)
        x = latin_hypercube(number, unit_box(p), seed)
        first = _to_unit(ranges, np.asarray(start, float)[None])
        x[np.argmin(np.linalg.norm(x - first, axis=1))] = first[0]
        nothing = np.zeros((0, p))
        return BayesState(
            nothing,
            np.zeros(0),
            nothing,
            np.zeros((0, 0)),
            np.zeros((0, 1 + p, p)),
            np.full((p, p), np.nan),
            _to_u(ranges, x),
            np.zeros(0),
            number,
            0,
            *TrustRegion(self.side),
            0,
            0,
            0,
            np.full(3, np.nan),
            0,
            seed,
        )

    def proposal(self, state: BayesState) -> np.ndarray:
        return state.members

    def sloped(self, state: BayesState, slopes: np.ndarray) -> BayesState:
        return state._replace(told=slopes)

    def update(
        self, space: ParameterSpace, state: BayesState, members: np.ndarray, residuals: np.ndarray
    ) -> BayesState:
        new, parts = self._costs(space, state, members, residuals)
        cost = np.concatenate([state.cost, new])
        if not np.isfinite(cost).any():
            raise InputError(
                "a run that gives finite numbers",
                f"0 in iteration {int(state.iteration) + 1}",
                "narrow the priors or bounds, or run the model once and look at what it gives",
            )
        k, p = members.shape
        told = state.told if len(state.told) else np.full((k, 1 + p, p), np.nan)
        u, slopes = np.concatenate([state.u, members]), np.concatenate([state.slopes, told[:, 0]])
        best = int(np.argmin(cost)) - len(state.cost)
        known = state._replace(
            u=u,
            cost=cost,
            slopes=slopes,
            parts=parts,
            told=np.zeros((0, 1 + p, p)),
            curvature=told[best, 1:] if best >= 0 else state.curvature,
            iteration=int(state.iteration) + 1,
        )
        if state.last:
            return known._replace(last=2, members=members)
        ranges, random = Ranges(space), np.random.default_rng([state.seed, state.iteration])
        x, by_x = _to_unit(ranges, u), slopes * _slopes(ranges, u)
        # Hyperparameters change little where runs are many: once in a tenth more of them.
        every = max(1, len(cost) // 10 - 1)
        anew = len(cost) // every != len(state.cost) // every
        learned = (
            learn(x, cost, by_x, int(state.first), state.log_theta, anew)
            if self.objective is None
            else learn_parts(x, parts, cost, self.objective.formula, state.log_theta, anew)
        )
        region, since = self._region(space.size, state, cost, len(members))
        chosen, gain, chance = self._batch(learned, x, cost, region, since, random)
        quiet = int(state.quiet) + 1 if gain < self.tolerance or chance < LEAST_CHANCE else 0
        ended = 0
        if region is not None and region.exhausted:
            ended = EXHAUSTED
        elif quiet >= 2:
            ended = QUIET if gain < self.tolerance else NO_CHANCE
        # By values alone runs keep their distance; where the mean is lowest one more is made, of
        # which nothing is learned.
        sloped, order = np.isfinite(slopes).any(), np.argsort(cost, kind="stable")
        left = self._budget(space.size) - len(cost) - len(chosen)
        done = bool(ended) or left < (0 if sloped else 1)
        if done and not sloped:
            chosen = settle(learned.surrogate, x[order[:3]])[None]
        return known._replace(
            members=_to_u(ranges, chosen),
            log_theta=learned.log_theta,
            since=since,
            **(TrustRegion(self.side) if region is None else region)._asdict(),
            quiet=quiet,
            ended=ended,
            last=0 if not done else 2 if sloped else 1,
            minimum=minimum_of(learned, x[order[0]], random) if done else state.minimum,
        )

    def _costs(
        self, space: ParameterSpace, state: BayesState, members: np.ndarray, told: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is minimised (k,) at new members, and the ingredients (n, K) of all runs."""
        if self.objective is None:
            return costs(space, members, told), np.zeros((len(state.cost) + len(members), 0))
        before = state.parts if len(state.parts) else told[:0]
        fine: list[bool] = np.isfinite(told).all(axis=1).tolist()  # pyright: ignore
        values = [
            float(_composed(self.objective.formula, jnp.asarray(row))) if ok else np.inf
            for row, ok in zip(told, fine, strict=True)
        ]
        return np.array(values), np.concatenate([before, told])

    def misfit(self, state: BayesState) -> float | None:
        return None if self.objective is None else float(state.cost.min())

    def _budget(self, size: int) -> int:
        return self.budget or 20 + 10 * size

    def _region(
        self, size: int, state: BayesState, cost: np.ndarray, batch: int
    ) -> tuple[TrustRegion | None, int]:
        """The trust region after these runs, None without one, and the first run that it knows."""
        wanted = self.trust_region == ALWAYS or (self.trust_region == AUTO and size >= MANY)
        since = int(state.since)
        if not wanted:
            return None, since
        region = TrustRegion(
            float(state.side), int(state.successes), int(state.failures), int(state.restarts)
        )
        known = cost[since : len(state.cost)]
        if not np.isfinite(known).any():  # the design, or the first run after a restart
            return region, since
        good = cost[np.isfinite(cost)]
        gain = known[np.isfinite(known)].min() - cost[len(state.cost) :].min()
        after = region.after(float(gain), float(np.median(good) - good.min()), size, batch)
        return after, len(cost) if after.restarts > region.restarts else since

    def _batch(
        self,
        learned: Learned | LearnedParts,
        x: np.ndarray,
        cost: np.ndarray,
        region: TrustRegion | None,
        since: int,
        random: np.random.Generator,
    ) -> tuple[np.ndarray, float, float]:
        """What to run next (q, P) in the unit box; the expected improvement and its probability."""
        p = x.shape[1]
        known = cost[since:]
        local = region is not None and np.isfinite(known).any()
        centre = x[since + int(np.argmin(known))] if local else x[int(np.argmin(cost))]
        ends = (-np.ones(p), np.ones(p))
        if region is not None and local:
            ends = region.box(centre, learned.scales)
        taken, chosen, gain, chance, believed = x, [], 0.0, 0.0, learned
        for number in range(self.parallel):
            found = propose(
                believed.surrogate, believed.best, ends, centre, taken, learned.scales, random
            )
            if number == 0:
                gain, chance = float(np.exp(found.log_gain)), found.chance
            chosen.append(found.x)
            taken = np.concatenate([taken, found.x[None]])
            if number < self.parallel - 1:
                believed = believed.believing(found.x)
        return np.array(chosen), gain, chance

    def verdict(self, state: BayesState) -> Verdict | None:
        n = len(state.cost)
        if state.last == 2 and state.ended:
            return Verdict(
                True, f"{WHY[int(state.ended)]} after {number_of(n, 'run')}{_lowest(state)}"
            )
        if state.last == 2:
            return Verdict(False, f"stopped at the limit of {number_of(n, 'run')}{_lowest(state)}")
        if state.iteration >= self.max_iterations:
            return Verdict(False, f"stopped at the limit of iterations{_lowest(state)}")
        return None

    def estimate(self, state: BayesState) -> np.ndarray:
        return state.u[int(np.argmin(state.cost))]

    # -- on a problem ----------------------------------------------------------------------------

    def runner(self, problem: Problem) -> Runner:
        if self.objective is not None:
            return Predictions(problem, self.objective)
        return OneByOne(problem, self.parallel, self.gradients != NEVER)

    def ended(self, problem: Problem, engines: list[Engine]) -> Outcome:
        """Where `lm` goes to from the best runs, where that is asked for and one was found."""
        ends = jnp.asarray(np.stack([engine.estimate for engine in engines]))
        found = np.array([engine.misfits[-1] for engine in engines])
        if self.objective is not None:
            return outcome_of_objective(problem, engines)
        if not self.finish or not np.isfinite(found).all():
            return of_search(problem, engines)
        reached = run_method(LevenbergMarquardt(), problem, ends, known=_known(engines))
        runs = np.array([engine.runs for engine in engines]) + np.asarray(reached.final.model_runs)
        longest = max(len(engine.misfits) for engine in engines)
        history = History(
            np.stack([longer(np.array(e.misfits), longest) for e in engines]),
            np.stack([longer(np.array(e.controls), longest) for e in engines]),
        )
        verdicts = [engine.verdict or Verdict(False, "") for engine in engines]
        return Outcome(
            reached.final._replace(model_runs=runs),
            History(
                np.concatenate([history.misfit, reached.history.misfit], axis=1),
                np.concatenate([history.u, reached.history.u], axis=1),
            ),
            longest + reached.n_iterations,
            tuple(
                f"{last}. It began at the best run of bo: {verdict.reason}"
                for verdict, last in zip(verdicts, reached.reasons, strict=True)
            ),
            sum(sum(engine.failed) for engine in engines),
        )


def _known(engines: list[Engine]) -> NormalEquations | None:
    """The normal equations at the best runs, where they were made."""
    best = [int(np.argmin(engine.state.cost)) for engine in engines]
    found = NormalEquations(
        jnp.asarray([e.state.cost[k] for e, k in zip(engines, best, strict=True)]),
        jnp.asarray([e.state.slopes[k] for e, k in zip(engines, best, strict=True)]),
        jnp.asarray([e.state.curvature for e in engines]),
    )
    finite = [bool(np.isfinite(np.asarray(part)).all()) for part in found]
    return found if all(finite) else None


def _lowest(state: BayesState) -> str:
    """What the emulator says of the lowest value there is, as the end of a sentence."""
    of_j = not state.parts.shape[1]
    low, middle, high = np.maximum(state.minimum, 0.0) if of_j else state.minimum
    if not np.isfinite(middle):
        return ""
    return (
        f"; by its emulator the lowest {'J' if of_j else 'value'} within the ranges is "
        f"{middle:.4g} ({low:.4g} to {high:.4g} with 95 %)"
    )


@jax.jit
def _composed(formula: Any, parts: Float[Array, " k"]) -> Float[Array, ""]:
    return formula(parts)


# -- between u and the unit box [-1, 1] ------------------------------------------------------------


def _to_unit(ranges: Ranges, u: np.ndarray) -> np.ndarray:
    return np.clip(ranges.box.to_unit(ranges.inputs_of(u)), EDGE - 1.0, 1.0 - EDGE)


def _to_u(ranges: Ranges, x: np.ndarray) -> np.ndarray:
    inside = np.clip(x, EDGE - 1.0, 1.0 - EDGE)
    return ranges.inputs_to_u(ranges.box.from_unit(inside))


def _slopes(ranges: Ranges, u: np.ndarray) -> np.ndarray:
    """(n, P) du / dx."""
    inputs = ranges.box.from_unit(_to_unit(ranges, u))
    return ranges.slopes(inputs) * ranges.box.half
