"""4DEnVar: the variational analysis in the space of an ensemble.

The cost gamma |w|^2 / 2 + |r + Y^T w|^2 / 2 is minimised over weights w of the members' anomalies,
with Y the anomalies of their residuals (Liu, Xiao and Wang 2008, doi:10.1175/2008MWR2312.1;
for parameters of land-surface models Pinnington et al. 2020, doi:10.5194/gmd-13-55-2020). It is
quadratic, and is minimised in closed form. The posterior ensemble comes from the symmetric root.

Iterated, it is a Gauss-Newton method whose slopes come from an ensemble that shrinks to the
posterior around the current estimate (Bocquet and Sakov 2014, doi:10.1002/qj.2236): the answer no
longer depends on how straight the model is over the width of the prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from caliche.estimation.ensemble.core import (
    DROP,
    REDRAW,
    STOP,
    Verdict,
    check_common,
    check_members,
    need,
    normals,
    number_of_members,
    reduce,
    scaled_anomalies,
    standard_ensemble,
    survived,
)
from caliche.estimation.ensemble.members import Members
from caliche.parameters.space import ParameterSpace

_BEGIN = 0
MOST_HALVINGS = 10
# A step is halved if J rose by more. Slopes over the width of the members vanish a little beside
# the minimum of J, so that the last steps may climb; half a unit of J is one standard deviation.
NEGLIGIBLE_RISE = 0.01
# Singular values of the anomalies below this share of the largest carry no slope.
RANK = 1e-10


class VariationalState(NamedTuple):
    """Where the analysis stands, in v.

    background : (N, P) scaled anomalies of the prior ensemble, whose mean is 0.
    weights : (N,) the estimate is weights @ background.  root : (N, N) of the members around it.
    accepted, cost, step : weights, cost and step of the last point that was better than before.
    remaining : length of the step still to go, in posterior standard deviations.
    """

    background: np.ndarray
    weights: np.ndarray
    root: np.ndarray
    accepted: np.ndarray
    cost: float
    step: np.ndarray
    halvings: int
    remaining: float
    done: bool
    iteration: int
    seed: int


def ensemble_cost(
    weights: np.ndarray, anomalies: np.ndarray, residual: np.ndarray, gamma: float = 1.0
) -> float:
    """gamma |w|^2 / 2 + |r + Y^T w|^2 / 2, for anomalies Y (N, n) and a residual r (n,)."""
    explained = residual + weights @ anomalies
    return float(0.5 * gamma * weights @ weights + 0.5 * explained @ explained)


def ensemble_gradient(
    weights: np.ndarray, anomalies: np.ndarray, residual: np.ndarray, gamma: float = 1.0
) -> np.ndarray:
    """Its gradient (N,) by the weights."""
    return gamma * weights + anomalies @ (residual + weights @ anomalies)


@dataclass(frozen=True)
class FourDEnVar(Members):
    """4denvar.

    members : 0 for ten a parameter, at least 20 and at most 100.
    gamma : weight of the background; more than 1 stays closer to it.
    iterated : run again around the estimate until the step still to go is below `tolerance`
    posterior standard deviations.
    failures : what becomes of members that fail: dropped, redrawn, or a stop.
    """

    members: int = 0
    gamma: float = 1.0
    iterated: bool = False
    max_iterations: int = 30
    tolerance: float = 1e-3
    failures: str = DROP
    name: str = "4denvar"

    gives_posterior = True
    centre_first = True
    fewest = 2

    def __post_init__(self) -> None:
        check_common(self, (DROP, REDRAW, STOP))
        check_members(self.members)
        need(self.gamma > 0.0, "gamma", "above 0", self.gamma)
        need(0.0 < self.tolerance < 1.0, "tolerance", "between 0 and 1", self.tolerance)

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> VariationalState:
        shape = (number_of_members(self.members, space.size), space.size)
        draws = standard_ensemble(normals(seed, 0, _BEGIN, shape))
        background, nothing = draws / np.sqrt(len(draws) - 1), np.zeros(len(draws))
        return VariationalState(
            background,
            nothing,
            np.eye(len(draws)),
            nothing,
            np.inf,
            nothing,
            0,
            np.inf,
            False,
            0,
            seed,
        )

    def proposal(self, state: VariationalState) -> np.ndarray:
        """The estimate, then the members around it."""
        offsets = np.sqrt(len(state.root) - 1) * state.root @ state.background
        return state.weights @ state.background + np.concatenate(
            [np.zeros((1, offsets.shape[1])), offsets]
        )

    def update(
        self,
        space: ParameterSpace,
        state: VariationalState,
        members: np.ndarray,
        residuals: np.ndarray,
    ) -> VariationalState:
        ok = survived(residuals, compare=True)
        _, anomalies = scaled_anomalies(members[1:][ok[1:]])
        centre, of_residuals = scaled_anomalies(residuals[1:][ok[1:]])
        # The run at the estimate itself says where it is; the mean of the runs only if that failed.
        at = residuals[0] if ok[0] else centre
        if not self.iterated:
            return self._analysis(state, anomalies, of_residuals, at)
        cost = 0.5 * at @ at + 0.5 * self.gamma * state.weights @ state.weights
        first = state.iteration == 0
        worse = not ok[0] or cost > state.cost + NEGLIGIBLE_RISE
        if not first and worse and state.halvings < MOST_HALVINGS:
            return self._nearer(state)
        # Slopes by the weights of the background, by regression on the members as they are.
        inverse = np.linalg.pinv(anomalies, rcond=RANK)
        slopes = (state.background @ inverse) @ of_residuals
        reduced = reduce(slopes)
        gradient = self.gamma * state.weights + slopes @ at
        step, root = reduced.transform(gradient, 1.0, self.gamma)
        remaining = float(np.sqrt(max(-gradient @ step, 0.0)))
        done = remaining < self.tolerance
        weights = state.weights if done else state.weights + step
        return state._replace(
            weights=weights,
            root=root,
            accepted=state.weights,
            cost=float(cost),
            step=step,
            halvings=0,
            remaining=remaining,
            done=done,
            iteration=state.iteration + 1,
        )

    def _analysis(
        self,
        state: VariationalState,
        anomalies: np.ndarray,
        of_residuals: np.ndarray,
        at: np.ndarray,
    ) -> VariationalState:
        """The one analysis, with the background of the members that survived."""
        weights, root = reduce(of_residuals).transform(of_residuals @ at, 1.0, self.gamma)
        return state._replace(
            background=anomalies,
            weights=weights,
            root=root,
            accepted=weights,
            step=np.zeros_like(weights),
            cost=ensemble_cost(weights, of_residuals, at, self.gamma),
            remaining=0.0,
            done=True,
            iteration=1,
        )

    def _nearer(self, state: VariationalState) -> VariationalState:
        """Half the step that turned out too long."""
        step = 0.5 * state.step
        return state._replace(
            weights=state.accepted + step,
            step=step,
            halvings=state.halvings + 1,
            iteration=state.iteration + 1,
        )

    def verdict(self, state: VariationalState) -> Verdict | None:
        if state.done and not self.iterated:
            return Verdict(
                True,
                "converged: made its one analysis; whether the model is straight enough for it, "
                "iterated = true tells",
            )
        if state.done:
            return Verdict(
                True,
                f"converged: the next analysis would move the parameters by {state.remaining:.1g} "
                f"of their standard deviations, less than the tolerance of {self.tolerance:g}",
            )
        if state.iteration >= self.max_iterations:
            return Verdict(
                False,
                "stopped at the limit of iterations; the next analysis would still move the "
                f"parameters by {state.remaining:.2g} standard deviations",
            )
        return None

    def promise_kept(self, state: VariationalState, half_square: float) -> Verdict | None:
        """What to say if |r|^2 / 2 at the estimate is not what the one analysis promised.

        It stays away by more than the misfits of a posterior differ from each other only where
        the model is not straight over the width of the prior.
        """
        found = half_square + 0.5 * self.gamma * float(state.weights @ state.weights)
        if self.iterated or found <= state.cost + max(1.0, state.background.shape[1]):
            return None
        return Verdict(
            False,
            f"its one analysis promised a misfit of {state.cost:.4g} and came to {found:.4g}: the "
            "model is not straight over the width of the prior; use iterated = true, or etki",
        )

    def estimate(self, state: VariationalState) -> np.ndarray:
        return state.weights @ state.background

    def posterior(self, state: VariationalState) -> np.ndarray | None:
        return self.proposal(state)[1:]
