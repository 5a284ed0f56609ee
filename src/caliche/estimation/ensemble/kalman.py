"""Ensemble Kalman inversion: from the prior at T = 0 to the posterior at T = 1, in steps.

A step from T to T + dt weighs the observations by dt; with a linear model any steps that add up to
1 give the posterior, and going on beyond T = 1 would use the data more than once. Steps are as long
as the spread of the misfit allows (Iglesias and Yang 2021, doi:10.1088/1361-6420/abd29b), or
`steps` of equal length.

With batches (eki, etki) the record is cut into windows; every update sees one of them, an epoch all
of them, in an order drawn anew. Each is weighted by the dt of the epoch, so that together they use
what one update with all of the record would.

- eki : perturbed observations (Iglesias, Law and Stuart 2013, doi:10.1088/0266-5611/29/4/045001).
- etki : a symmetric transform instead of random perturbations (Bishop, Etherton and Majumdar 2001,
  doi:10.1175/1520-0493(2001)129<0420:ASWTET>2.0.CO;2).
- uki : mean and covariance from 2 P + 1 points without any chance (Huang, Schneider and Stuart
  2022, doi:10.1016/j.jcp.2022.111262).
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
    half_square,
    need,
    normals,
    number_of_members,
    reduce,
    scaled_anomalies,
    standard_ensemble,
    survived,
    uniforms,
)
from caliche.estimation.ensemble.members import Members
from caliche.parameters.space import ParameterSpace
from caliche.wording import number_of

_BEGIN, _NOISE, _DRAWS, _ORDER = 0, 1, 2, 3  # purposes of random numbers
# Members drawn from the Gaussian of uki, which has none of its own.
UNSCENTED_DRAWS = 200


def tempering(misfits: np.ndarray, n: int, time: float, steps: int, done: int) -> float:
    """The next T: exactly 1 at the end.

    Parameters
    ----------
    misfits : |r|^2 / 2 of the members.  n : number of observations.
    steps : of equal length, or 0 for as long as the misfits allow.  done : steps made.
    """
    if steps:
        return 1.0 if done + 1 >= steps else (done + 1) / steps
    mean, variance = float(np.mean(misfits)), float(np.var(misfits))
    with np.errstate(divide="ignore"):
        longest = max(np.divide(0.5 * n, mean), np.sqrt(np.divide(0.5 * n, variance)))
    return 1.0 if longest >= 1.0 - time else time + float(longest)


@dataclass(frozen=True)
class _Tempered(Members):
    """Options that the three share, and the end of all of them.

    steps : of equal length, or 0 for as long as the misfits allow.
    inflation : factor on the spread after each step; 1 gives the posterior of a linear model.
    failures : what becomes of members that fail: dropped for good, redrawn, or a stop.
    """

    max_iterations: int = 100
    steps: int = 0
    inflation: float = 1.0
    failures: str = DROP

    gives_posterior = True
    tempered = True
    fewest = 2

    def __post_init__(self) -> None:
        check_common(self, self._policies)
        need(self.steps >= 0, "steps", "of 0 (as long as the misfits allow) or more", self.steps)
        need(0.5 <= self.inflation <= 2.0, "inflation", "between 0.5 and 2", self.inflation)

    @property
    def _policies(self) -> tuple[str, ...]:
        return DROP, REDRAW, STOP

    def verdict(self, state: KalmanState | UnscentedState) -> Verdict | None:
        if state.time == 1.0:
            steps = number_of(state.iteration, "step")
            return Verdict(True, f"converged: reached the posterior, T = 1, in {steps}")
        if state.iteration >= self.max_iterations * self.updates:
            return Verdict(
                False,
                f"stopped at T = {state.time:.2g} after "
                f"{number_of(state.iteration, 'iteration')}: the data "
                "are not used in full yet; allow more iterations",
            )
        return None


# -- eki and etki ------------------------------------------------------------------------------


class KalmanState(NamedTuple):
    """Members (N, P) in v at pseudo-time `time`; `times` are those reached so far.

    `goal` is the pseudo-time at the end of this epoch, and `centre` (P,) where it began.
    """

    members: np.ndarray
    time: float
    times: np.ndarray
    iteration: int
    seed: int
    goal: float
    centre: np.ndarray


@dataclass(frozen=True)
class _Members(_Tempered):
    """A method that moves an ensemble.

    members : 0 is ten a parameter, 20 to 100.
    batches : windows into which the record is cut, of which each update sees one.
    """

    members: int = 0
    batches: int = 1

    centre_first = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_members(self.members)
        need(self.batches >= 1, "batches", "of at least one", self.batches)

    @property
    def updates(self) -> int:
        return self.batches

    def batch(self, state: KalmanState) -> tuple[int, np.ndarray]:
        """The order of the batches is drawn anew in each epoch."""
        epoch, position = divmod(state.iteration, self.batches)
        order = np.argsort(uniforms(state.seed, epoch, _ORDER, (self.batches,)))
        return int(order[position]), state.centre

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> KalmanState:
        shape = (number_of_members(self.members, space.size), space.size)
        first = standard_ensemble(normals(seed, 0, _BEGIN, shape))
        return KalmanState(first, 0.0, np.zeros(1), 0, seed, 0.0, first.mean(axis=0))

    def proposal(self, state: KalmanState) -> np.ndarray:
        return state.members

    def update(
        self, space: ParameterSpace, state: KalmanState, members: np.ndarray, residuals: np.ndarray
    ) -> KalmanState:
        ok = survived(residuals, compare=True)
        members, residuals = members[ok], residuals[ok]
        epoch, position = divmod(state.iteration, self.batches)
        goal = state.goal
        if position == 0:
            goal = tempering(
                half_square(residuals), residuals.shape[1], state.time, self.steps, epoch
            )
        after = self._analysis(state, members, residuals, goal - state.time)
        if position + 1 < self.batches:
            return state._replace(members=after, iteration=state.iteration + 1, goal=goal)
        mean = after.mean(axis=0)
        after = mean + self.inflation * (after - mean)
        times = np.append(state.times, goal)
        return KalmanState(after, goal, times, state.iteration + 1, state.seed, goal, mean)

    def _analysis(
        self, state: KalmanState, members: np.ndarray, residuals: np.ndarray, dt: float
    ) -> np.ndarray:
        """Members after a step of length dt."""
        raise NotImplementedError

    def estimate(self, state: KalmanState) -> np.ndarray:
        return state.members.mean(axis=0)

    def posterior(self, state: KalmanState) -> np.ndarray | None:
        return state.members


@dataclass(frozen=True)
class EnsembleTransformKalmanInversion(_Members):
    """etki: the mean and the spread of a Kalman update, without chance."""

    name: str = "etki"

    def _analysis(
        self, state: KalmanState, members: np.ndarray, residuals: np.ndarray, dt: float
    ) -> np.ndarray:
        mean, anomalies = scaled_anomalies(members)
        centre, of_residuals = scaled_anomalies(residuals)
        weights, root = reduce(of_residuals).transform(of_residuals @ centre, dt)
        return mean + weights @ anomalies + np.sqrt(len(members) - 1) * root @ anomalies


@dataclass(frozen=True)
class EnsembleKalmanInversion(_Members):
    """eki: every member fits observations with errors of its own.

    sampling_correction : damp correlations that so few members cannot tell from none.
    """

    sampling_correction: bool = False
    name: str = "eki"

    by_chance = True

    def _analysis(
        self, state: KalmanState, members: np.ndarray, residuals: np.ndarray, dt: float
    ) -> np.ndarray:
        _, anomalies = scaled_anomalies(members)
        _, of_residuals = scaled_anomalies(residuals)
        reduced = reduce(of_residuals)
        # Columns are the principal components of the ensemble's residuals, uncorrelated in it.
        slopes = anomalies.T @ reduced.vectors
        if self.sampling_correction:
            slopes = slopes * damping(slopes, anomalies, len(members))
        # Perturbations of the observations N(0, R / dt) as those components see them, and moved
        # so that they do not shift the mean.
        noise = normals(state.seed, state.iteration, _NOISE, (len(state.members),) * 2)
        noise = noise[: len(members), : len(members)]
        noise = np.sqrt(reduced.values / dt)[:, None] * (noise - noise.mean(axis=1)[:, None])
        departures = reduced.vectors.T @ (of_residuals @ residuals.T) + noise
        return members - (slopes @ (departures / (reduced.values + 1.0 / dt)[:, None])).T


def damping(slopes: np.ndarray, anomalies: np.ndarray, members: int) -> np.ndarray:
    """Factors 0 ... 1 (P, component) on sample covariances, of what sampling alone would give.

    A sample correlation c of N members has a sampling error s = (1 - c^2) / sqrt(N - 1). The factor
    1 - (2 s / c)^2 is that of a Wiener filter (in the manner of Ménétrier et al. 2015,
    doi:10.1175/MWR-D-14-00157.1) for twice this error, and 0 below it; with s itself, steps
    that follow each other still take most of the spread of what nobody observes.
    """
    sd = np.linalg.norm(anomalies, axis=0)
    correlation = slopes / np.where(sd > 0.0, sd, 1.0)[:, None]
    power = np.clip(correlation**2, 1e-300, 1.0)
    return np.maximum(0.0, 1.0 - 4.0 * (1.0 - power) ** 2 / (members - 1) / power)


# -- uki -----------------------------------------------------------------------------------------


class UnscentedState(NamedTuple):
    """Mean (P,) and covariance (P, P) in v at pseudo-time `time`."""

    mean: np.ndarray
    covariance: np.ndarray
    time: float
    times: np.ndarray
    iteration: int
    seed: int


@dataclass(frozen=True)
class UnscentedKalmanInversion(_Tempered):
    """uki: a mean and pairs of points on both sides of it.

    If a point of a pair fails, its direction is left as it is for this step.
    """

    name: str = "uki"

    centre_first = True

    @property
    def _policies(self) -> tuple[str, ...]:
        return DROP, STOP

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> UnscentedState:
        p = space.size
        return UnscentedState(np.zeros(p), np.eye(p), 0.0, np.zeros(1), 0, seed)

    def proposal(self, state: UnscentedState) -> np.ndarray:
        offsets = _reach(len(state.mean)) * _root(state.covariance)
        return state.mean + np.concatenate([np.zeros((1, len(offsets))), offsets, -offsets])

    def update(
        self,
        space: ParameterSpace,
        state: UnscentedState,
        members: np.ndarray,
        residuals: np.ndarray,
    ) -> UnscentedState:
        p = len(state.mean)
        ok = survived(residuals, compare=True)
        pair = np.tile(ok[1 : p + 1] & ok[p + 1 :], 2)
        points, seen = members[1:][pair], residuals[1:][pair]
        centre = residuals[0] if ok[0] else seen.mean(axis=0)
        weight = 1.0 / (np.sqrt(2.0) * _reach(p))
        offsets, of_residuals = weight * (points - state.mean), weight * (seen - centre)
        used = np.concatenate([centre[None], seen])
        time = tempering(
            half_square(used), residuals.shape[1], state.time, self.steps, state.iteration
        )
        dt = time - state.time
        reduced = reduce(of_residuals)
        weights, _ = reduced.transform(of_residuals @ centre, dt)
        explained = dt * reduced.values / (1.0 + dt * reduced.values)
        slopes = offsets.T @ reduced.vectors
        covariance = state.covariance - (slopes * explained) @ slopes.T
        return UnscentedState(
            state.mean + weights @ offsets,
            0.5 * self.inflation**2 * (covariance + covariance.T),
            time,
            np.append(state.times, time),
            state.iteration + 1,
            state.seed,
        )

    def estimate(self, state: UnscentedState) -> np.ndarray:
        return state.mean

    def posterior(self, state: UnscentedState) -> np.ndarray | None:
        """Draws from the Gaussian, with its mean and covariance exactly."""
        shape = (UNSCENTED_DRAWS, len(state.mean))
        draws = standard_ensemble(normals(state.seed, state.iteration, _DRAWS, shape))
        return state.mean + draws @ _root(state.covariance)


def _reach(p: int) -> float:
    """Distance of the points in standard deviations: sqrt(P), but no further than 2."""
    return min(np.sqrt(p), 2.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root; rows are offsets."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
