"""Error bars from curvature: the Gauss-Newton posterior under what the observations tell.

The covariance is the inverse of the curvature of J, in which the streams count with the information
that they hold (`information`). A problem whose errors are at their word has it from its residuals
at the optimum: with a flat prior that is the sandwich H^-1 V H^-1. The naive covariance
(sum J_k^T J_k + prior)^-1 takes the declared sigma and independence at their word.

A parameter on a bound is not known to be there: what the data say beyond it, a slope, leaves it an
exponential tail inside. The others are then not conditional on the bound: it counts with the
curvature that has the second moment of that tail.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.bounded import tail_curvature
from caliche.estimation.information import StreamRows, Told, what_is_told
from caliche.estimation.method import RANK_TOLERANCE, at_bound
from caliche.estimation.score_covariance import memory_of
from caliche.estimation.tangent_run import run_with_tangents
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem
from caliche.problems.inverse import InverseProblem


@dataclass(frozen=True)
class ResidualStatistics:
    """Of one fitted stream.

    Attributes
    ----------
    n : number of values that are fitted.
    variance_ratio : of the residuals over sigma^2.
    lag1_autocorrelation : of successive residuals.
    cost : the stream's term of J.
    inflation : number of values over that of independent ones of the declared sigma that they are
        worth; the size of residuals and their persistence are both in it.
    memory_hours : integrated autocorrelation time of the residuals; NaN where it is not known.
    """

    n: int
    variance_ratio: float
    lag1_autocorrelation: float
    cost: float = float("nan")
    inflation: float = 1.0
    memory_hours: float = float("nan")


@dataclass(frozen=True)
class Posterior:
    """Gaussian posterior about an optimum, in whitened coordinates.

    Attributes
    ----------
    u : (P,) the optimum.
    covariance, covariance_naive : (P, P) under what the observations tell, and with errors at their
        word; they leave out the directions that the data do not see, and parameters held by a
        bound.
    unseen : (P, m) directions without curvature, of unit length after division by `scale`.
    scale : (P,) units in which the curvature is compared.
    held : (P,) parameters held by a bound.
    residuals : statistics of each fitted stream.
    hessian, gradient : (P, P) and (P,) of J under what the observations tell.
    told : how much that is; None where the problem had it already.
    """

    u: np.ndarray
    covariance: np.ndarray
    covariance_naive: np.ndarray
    unseen: np.ndarray
    scale: np.ndarray
    held: np.ndarray
    residuals: dict[str, ResidualStatistics]
    hessian: np.ndarray
    gradient: np.ndarray
    told: Told | None = None

    def with_costs_over(self, share: float) -> Posterior:
        """The same, the terms of the streams in J divided by a share that they all have."""
        residuals = {
            name: dataclasses.replace(r, cost=r.cost / share) for name, r in self.residuals.items()
        }
        return dataclasses.replace(self, residuals=residuals)

    def sd(self, slope: np.ndarray, naive: bool = False) -> float:
        """Standard deviation of a quantity with this derivative (P,) by u.

        Infinite if the data do not see the quantity, NaN if it depends on a held parameter only.
        """
        slope = np.where(self.held, 0.0, slope)
        length = np.linalg.norm(slope / self.scale)
        if length == 0.0:
            return float("nan")
        if np.any(np.abs(self.unseen.T @ (slope / self.scale)) > 1e-3 * length):
            return float("inf")
        covariance = self.covariance_naive if naive else self.covariance
        return float(np.sqrt(slope @ covariance @ slope))


def lag1_autocorrelation(values: np.ndarray) -> float:
    """Autocorrelation (about zero) of successive observations; NaN marks missing ones.

    Successive means at the most common spacing, so that hourly data on a half-hourly axis count.
    Zero where there are too few pairs.
    """
    index = np.flatnonzero(np.isfinite(values))
    if len(index) < 10:
        return 0.0
    gaps = np.diff(index)
    pairs = index[:-1][gaps == np.bincount(gaps).argmax()]
    later = index[1:][gaps == np.bincount(gaps).argmax()]
    power = np.sum(values[index] ** 2) / len(index)
    if power == 0.0:
        return 0.0
    return float(np.mean(values[pairs] * values[later]) / power)


def statistics(
    names: tuple[str, ...],
    residual: np.ndarray,
    mask: np.ndarray,
    fitted: float,
    told: Told | None = None,
    powers: np.ndarray | None = None,
    hours: float = float("nan"),
) -> dict[str, ResidualStatistics]:
    """Statistics of residuals (time + 1, stream) over the declared sigma.

    Parameters
    ----------
    fitted : number of degrees of freedom that the observations spent on parameters.
    told : what the observations tell.  powers : (stream,) with which they count in J, if not 1.
    hours : length of a time step.
    """
    seen = np.where(mask, residual, np.nan)
    counts = np.isfinite(seen).sum(axis=0)
    kept = max(0.0, 1.0 - fitted / max(int(counts.sum()), 1))  # the streams share them
    found = {}
    for k, name in enumerate(names):
        square = float(np.nansum(seen[:, k] ** 2))
        found[name] = ResidualStatistics(
            int(counts[k]),
            square / max(counts[k] * kept, 1.0),
            lag1_autocorrelation(seen[:, k]),
            0.5 * square * (1.0 if powers is None else float(powers[k])),
            1.0 if told is None else float(told.inflation[k]),
            float("nan") if told is None else float(told.scores.memory[k]) * hours,
        )
    return found


def residual_statistics(
    problem: Problem, residual: np.ndarray, fitted: float
) -> dict[str, ResidualStatistics]:
    """Statistics of residuals (time + 1, stream) as J has them, where no slopes are known: the
    inflation is then that of their size and integrated autocorrelation time.

    `fitted` is the number of degrees of freedom that the observations spent on parameters.
    """
    mask, observed = np.asarray(problem.mask), problem.observations
    plain = np.where(mask, residual, 0.0) / np.asarray(observed.root)
    powers = None if observed.information is None else np.asarray(observed.information)
    hours = problem.operator.time_step / 3600.0 if isinstance(problem, InverseProblem) else np.nan
    found = statistics(problem.stream_names, plain, mask, fitted, None, powers, hours)
    memory = memory_of(plain, mask)
    spacing = len(mask) / np.maximum(mask.sum(axis=0), 1)
    return {
        name: dataclasses.replace(
            r,
            inflation=max(1.0, r.variance_ratio * memory[k] / spacing[k]),
            memory_hours=float(memory[k]) * hours,
        )
        for k, (name, r) in enumerate(found.items())
    }


@jax.jit
def _linearise_at(
    problem: Problem, u: Float[Array, " parameter"], prediction: Array, slopes: Array
) -> tuple[Array, Array]:
    return problem.linearise_at(u, prediction, slopes)


def linearised(problem: Problem, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residual and Jacobian of a problem at u, as `Problem.linearise` gives them."""
    at = jnp.asarray(u)
    run = run_with_tangents(problem, at)
    residual, jacobian = _linearise_at(problem, at, run.prediction, run.slopes)
    return np.asarray(residual), np.asarray(jacobian)


def equations_at(problem: Problem, u: Any, whole: bool = True) -> NormalEquations:
    """`Problem.normal_equations` at u, from `linearised`; if not `whole`, the observations' part
    alone."""
    n = None if whole else problem.observations.mask.size
    residual, jacobian = (part[:n] for part in linearised(problem, np.asarray(u)))
    with np.errstate(all="ignore"):  # the model may fail
        sums = 0.5 * residual @ residual, jacobian.T @ residual, jacobian.T @ jacobian
    return NormalEquations(*(jnp.asarray(value) for value in sums))


def rows_of(problem: Problem, residual: np.ndarray, jacobian: np.ndarray) -> StreamRows:
    """Residuals and Jacobian of each stream with errors at their word, from `linearised`."""
    mask = np.asarray(problem.mask)
    root = np.asarray(problem.observations.root)
    n = mask.size
    return StreamRows(
        residual[:n].reshape(mask.shape) / root,
        jacobian[:n].reshape(*mask.shape, -1) / root[..., None],
        mask,
    )


def inverse(
    hessian: np.ndarray, held: np.ndarray, gradient: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance (P, P) of a curvature, unseen directions (P, m) and the scale (P,) of `Posterior`.

    With a gradient, parameters held by a bound leave the others not conditional on it.
    """
    free = ~np.logical_or.outer(held, held)
    matrix = np.where(free, hessian, np.diag(held.astype(float)))
    scale = np.sqrt(np.clip(np.diag(matrix), 1e-300, None))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    seen = values > RANK_TOLERANCE * values[-1]
    unseen = vectors[:, ~seen]
    if gradient is not None and held.any() and np.isfinite(hessian).all():
        tail = tail_curvature(hessian, gradient, held)
        whole = hessian + np.diag(tail)
        own = np.sqrt(np.clip(np.diag(whole), 1e-300, None))
        values, vectors = np.linalg.eigh(whole / np.outer(own, own))
        seen = values > RANK_TOLERANCE * values[-1]
    else:
        own = scale
    found = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T / np.outer(own, own)
    return np.where(free, found, 0.0), unseen, scale


def posterior(
    problem: Problem,
    u: np.ndarray,
    at_their_word: bool = False,
    settled: np.ndarray | None = None,
) -> Posterior:
    """Gauss-Newton posterior of a problem about its optimum.

    Whether or not its streams are weighed, one found with errors `at_their_word` is asked anew what
    they tell; see `what_is_told` for `settled`.
    """
    u = np.asarray(u, float)
    residual, jacobian = linearised(problem, u)
    n = problem.observations.mask.size
    one_site = isinstance(problem, InverseProblem)
    extra = len(residual) - (problem.space.size if one_site and problem.adjustment else 0)
    known = None if at_their_word else problem.observations.information
    if at_their_word:
        residual, jacobian = residual[:extra], jacobian[:extra]
    slopes = jacobian[n:]
    return posterior_of(
        problem.space,
        u,
        problem.stream_names,
        rows_of(problem, residual, jacobian),
        jacobian[n:extra].T @ jacobian[n:extra],
        (slopes.T @ residual[n:], slopes.T @ slopes),
        None if known is None else np.asarray(known),
        problem.operator.time_step / 3600.0 if one_site else float("nan"),
        settled,
    )


def posterior_of(
    space: ParameterSpace,
    u: np.ndarray,
    names: tuple[str, ...],
    rows: StreamRows,
    prior: np.ndarray,
    term: tuple[np.ndarray, np.ndarray],
    powers: np.ndarray | None,
    hours: float,
    settled: np.ndarray | None = None,
) -> Posterior:
    """The posterior about u (P,), from what each stream says there.

    Parameters
    ----------
    prior : (P, P) curvature of the prior.
    term : gradient (P,) and curvature (P, P) of all that J holds beside the streams.
    powers : (stream,) with which the streams count in J; None has it from their residuals.
    hours : length of a time step.
    """
    pull, stiffness = term
    word = np.ones(len(names)) if powers is None else powers
    gradient = pull + word @ rows.gradient
    held = np.asarray(at_bound(space, u, gradient))
    by_word = rows.hessian
    naive, *_ = inverse(by_word.sum(axis=0) + prior, held)
    fitted = float(np.sum(naive * by_word.sum(axis=0)))
    finite = np.isfinite(rows.jacobian).all() and np.isfinite(rows.residual).all()
    told = None
    if finite:
        # The weights of the fit among each other; what they are together does not matter here.
        weights = word / word.max(initial=1e-300)
        told = what_is_told(rows, prior, ~held, weights, powers is None, settled)
    data = np.einsum("k,kpq->pq", word, by_word)
    if powers is None and told is not None:
        data = told.share * data + told.rows.T @ told.rows
        gradient = pull + told.share * (gradient - pull)
    hessian = data + stiffness
    covariance, unseen, scale = inverse(hessian, held, gradient)
    return Posterior(
        u,
        covariance,
        naive,
        unseen,
        scale,
        held,
        statistics(names, rows.residual, rows.mask, fitted, told, powers, hours),
        hessian,
        gradient,
        told,
    )


@jax.jit
def _derived(problem: Problem, u: Float[Array, " parameter"]) -> tuple[dict, dict]:
    return problem.derived(u), jax.jacfwd(problem.derived)(u)


def derived_quantities(
    problem: Problem, estimate: Posterior
) -> dict[str, tuple[float, float, str, str]]:
    """Quantities the model computes from parameters: name -> (value, sd, unit, long name).

    Means over time where parameters vary.
    """
    values, slopes = _derived(problem, jnp.asarray(estimate.u))
    return {
        name: (float(values[name]), estimate.sd(np.asarray(slopes[name])), unit, text)
        for name, (unit, text) in problem.derived_labels.items()
    }
