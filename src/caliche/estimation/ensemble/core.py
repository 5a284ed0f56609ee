"""What the methods share that only run the model forward, many members at a time.

An ensemble method (4denvar, eki, etki, uki) works in coordinates v in which the prior is N(0, I),
see `ensemble_prior`; a random search (ga, cma) works in u. Members are rows. The residuals of a
member are those of `Observations.residual`: of unit variance, so that R = I everywhere below.

Everything is done in the space of the members, N by N: nothing of the size of the observations
squared is ever made.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from caliche.errors import InputError, nearest
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import Problem

DROP, REDRAW, STOP = "drop", "redraw", "stop"
# A norm of residuals so much above the median of its ensemble (and above what is expected of
# the errors alone) is a model that blew up, and would swamp every covariance.
HUGE = 1e3
# Residuals beyond this many sigma are no prediction at all.
NO_PREDICTION = 1e15


class Verdict(NamedTuple):
    """Why a method stopped; `converged` if it came to the end that it was made for."""

    converged: bool
    reason: str


@runtime_checkable
class Runner(Protocol):
    """What runs members u (k, P) of a problem."""

    def run(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Residuals (k, n), and slopes (k, ...) of J by u where they are made."""
        ...


@runtime_checkable
class MemberMethod(Protocol):
    """A method that asks for runs of members and is told their residuals.

    Frozen, hashable, equal to one with the same options. States are NamedTuples of arrays and
    numbers, so that they can be kept; the field `iteration` counts the updates made.

    gives_posterior : whether it works in v, and ends as members of the posterior.
    centre_first : whether the first member is where its estimate stands.
    fewest : members that must survive an iteration.
    batches : windows into which the record is cut, of which each update sees one; 1 for all of it.
    updates : how many updates see all of the record once.
    tempered : whether it goes from the prior to the posterior in steps.
    by_chance : whether its members have sampling errors even where the model is linear.
    """

    @property
    def name(self) -> str: ...
    @property
    def max_iterations(self) -> int: ...
    @property
    def failures(self) -> str: ...
    @property
    def gives_posterior(self) -> bool: ...
    @property
    def centre_first(self) -> bool: ...
    @property
    def fewest(self) -> int: ...
    @property
    def batches(self) -> int: ...
    @property
    def updates(self) -> int: ...
    @property
    def tempered(self) -> bool: ...
    @property
    def by_chance(self) -> bool: ...

    def begin(self, space: ParameterSpace, start: np.ndarray, seed: int) -> Any:
        """The first state; `start` (P,) is where a search begins."""
        ...

    def batch(self, state: Any) -> tuple[int, np.ndarray]:
        """Which batch of the record the next update sees, and the v (P,) at which its epoch began;
        asked only where there are several."""
        ...

    def proposal(self, state: Any) -> np.ndarray:
        """What to run next (N, P)."""
        ...

    def update(
        self, space: ParameterSpace, state: Any, members: np.ndarray, residuals: np.ndarray
    ) -> Any:
        """The next state; residuals (N, n) are NaN in the rows of members that failed."""
        ...

    def verdict(self, state: Any) -> Verdict | None:
        """Why it is done; None while it is not."""
        ...

    def runner(self, problem: Problem) -> Runner:
        """What runs members of a problem."""
        ...

    def ended(self, problem: Problem, engines: list[Any]) -> Any:
        """The outcome of a search whose engines, one for each start, are done."""
        ...

    def sloped(self, state: Any, slopes: np.ndarray) -> Any:
        """The state with the slopes (k, ...) of J at the members asked for, of a method that has
        use for them."""
        ...

    def misfit(self, state: Any) -> float | None:
        """J at the estimate of a search for something else; None if J is what it minimises."""
        ...

    def promise_kept(self, state: Any, half_square: float) -> Verdict | None:
        """What to say if |r|^2 / 2 at the estimate is not what the method promised; else None."""
        ...

    def estimate(self, state: Any) -> np.ndarray:
        """The estimate (P,)."""
        ...

    def posterior(self, state: Any) -> np.ndarray | None:
        """Members (N, P) of the posterior; None for a search."""
        ...


# -- options ---------------------------------------------------------------------------------


def need(good: bool, name: str, expected: str, got: object) -> None:
    """Refuse an option that cannot be."""
    if not good:
        raise InputError(f"{name} {expected}", f"{got}", f"change {name}, or leave it out")


def check_common(method: Any, policies: tuple[str, ...]) -> None:
    """Options that every method of this kind has."""
    need(
        method.max_iterations >= 1,
        "max_iterations",
        "of at least one iteration",
        method.max_iterations,
    )
    if method.failures not in policies:
        raise InputError(
            f"failures to be one of {', '.join(policies)}",
            repr(method.failures),
            nearest(method.failures, policies),
        )


def check_members(members: int, fewest: int = 3) -> None:
    need(
        members == 0 or members >= fewest,
        "members",
        f"of at least {fewest}, or 0 for ten a parameter",
        members,
    )


def number_of_members(asked: int, size: int) -> int:
    """Ten a parameter, at least 20 and at most 100, unless asked otherwise."""
    return asked or min(100, max(20, 10 * size))


# -- random numbers: of the seed, the iteration and a purpose, and of nothing else --------------


def _key(seed: int, iteration: int, purpose: int) -> Any:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), iteration), purpose)


def normals(seed: int, iteration: int, purpose: int, shape: tuple[int, ...]) -> np.ndarray:
    """Independent N(0, 1)."""
    return np.asarray(jax.random.normal(_key(seed, iteration, purpose), shape))


def uniforms(seed: int, iteration: int, purpose: int, shape: tuple[int, ...]) -> np.ndarray:
    """Independent and uniform between 0 and 1."""
    return np.asarray(jax.random.uniform(_key(seed, iteration, purpose), shape))


def standard_ensemble(draws: np.ndarray) -> np.ndarray:
    """Draws (N, P) moved and turned to a sample mean of 0 and a sample covariance of I, exactly.

    Second-order exact sampling (Pham 2001, Mon. Wea. Rev. 129, 1194): with a linear model nothing
    is left to chance. As drawn where there are too few members.
    """
    n, p = draws.shape
    if n <= p:
        return draws
    anomalies = draws - draws.mean(axis=0)
    values, vectors = np.linalg.eigh(anomalies.T @ anomalies / (n - 1))
    return anomalies @ (vectors / np.sqrt(values)) @ vectors.T


# -- which members count -----------------------------------------------------------------------


def survived(residuals: np.ndarray, compare: bool) -> np.ndarray:
    """Which members (N,) gave usable numbers: finite, and with `compare` not huge beside others."""
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.sqrt(np.sum(residuals**2, axis=1))
    fine = np.isfinite(norm) & (norm < NO_PREDICTION * np.sqrt(residuals.shape[1]))
    if compare and fine.any():
        typical = max(float(np.median(norm[fine])), np.sqrt(residuals.shape[1]))
        fine &= norm <= HUGE * typical
    return fine


def half_square(residuals: np.ndarray) -> np.ndarray:
    """|r|^2 / 2 (N,) of each member, NaN where it failed."""
    with np.errstate(over="ignore"):
        return 0.5 * np.sum(residuals**2, axis=1)


# -- the algebra -------------------------------------------------------------------------------


class Reduced(NamedTuple):
    """Y Y^T = vectors diag(values) vectors^T, for scaled anomalies Y (N, n) of the residuals."""

    values: np.ndarray
    vectors: np.ndarray

    def transform(
        self, gradient: np.ndarray, weight: float, gamma: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights (N,) and symmetric transform (N, N) of an analysis.

        The weights minimise gamma |w|^2 / 2 + weight |r + Y^T w|^2 / 2, where `gradient` is Y r;
        the transform is (gamma I + weight Y Y^T)^(-1/2). The symmetric root leaves the mean of the
        members where it is; a Cholesky factor does not (Livings, Dance and Nichols 2008, Physica D
        237, 1021).
        """
        curvature = gamma + weight * self.values
        along = self.vectors.T @ gradient
        weights = -self.vectors @ (weight * along / curvature)
        return weights, (self.vectors / np.sqrt(curvature)) @ self.vectors.T


def reduce(anomalies: np.ndarray) -> Reduced:
    """Eigenvalues and eigenvectors of anomalies anomalies^T, from rows (N, n)."""
    values, vectors = np.linalg.eigh(anomalies @ anomalies.T)
    return Reduced(np.maximum(values, 0.0), vectors)


def scaled_anomalies(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of rows, and (rows - mean) / sqrt(N - 1)."""
    mean = rows.mean(axis=0)
    return mean, (rows - mean) / np.sqrt(len(rows) - 1)
