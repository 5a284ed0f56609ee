"""Curvature and residual statistics of one problem in one pass, and error bars for many at once.

The same formulae as `posterior`, summed up inside the time loop so that nothing grows with the
length of the record: the naive covariance H^-1, and the sandwich that inflates each stream by the
size and the persistence of its residuals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.method import RANK_TOLERANCE, at_bound
from caliche.estimation.posterior import LARGEST_AUTOCORRELATION
from caliche.inverse_problem import InverseProblem, NormalEquations, weighted_misfits
from caliche.models.tangents import Tangents, simulate_tangents
from caliche.parameters.space import ParameterSpace

# Fewest observations from which an autocorrelation is taken.
FEWEST = 10
# Share of a direction without curvature from which a parameter counts as touched by it.
TOUCHED = 1e-3


class StreamSums(NamedTuple):
    """Sums over the fitted observations of each stream (stream,), of standardised misfits.

    n : how many.  square : of squares.  products, pairs : of products of successive misfits at the
    stream's usual spacing, and their number.  gradient : (stream, P) of slope times misfit.
    """

    n: Any
    square: Any
    products: Any
    pairs: Any
    gradient: Any


def curvature(
    problem: InverseProblem, u: Float[Array, " p"], spacing: Array
) -> tuple[StreamSums, Float[Array, "stream p p"]]:
    """Residual sums and J_k^T J_k of every stream k, in one run with tangents.

    No stream may be a mean over several steps.

    Parameters
    ----------
    spacing : (stream,) steps between successive observations that count as a pair.
    """
    n_stream, n = len(problem.operator.streams), len(u)
    zero = jnp.zeros(())
    far = jnp.asarray(1 << 30, spacing.dtype)  # no observation yet
    triangle = tuple((zero,) * (p + 1) for p in range(n))
    start = tuple(
        (zero, zero, zero, zero, zero, far, (zero,) * n, triangle) for _ in range(n_stream)
    )

    def absorb(total: tuple, seen: tuple, tangents: Tangents) -> tuple[tuple, None]:
        new = []
        misfits = weighted_misfits(seen, tangents)
        for k, ((misfit, slope), sums) in enumerate(zip(misfits, total, strict=True)):
            count, square, products, pairs, last, age, gradient, hessian = sums
            fitted = seen[k][1]
            pair = jnp.where(fitted & (age + 1 == spacing[k]), 1.0, 0.0)
            new.append(
                (
                    count + jnp.where(fitted, 1.0, 0.0),
                    square + misfit**2,
                    products + pair * misfit * last,
                    pairs + pair,
                    jnp.where(fitted, misfit, last),
                    jnp.where(fitted, 0, jnp.minimum(age + 1, far)),
                    tuple(g + s * misfit for g, s in zip(gradient, slope, strict=True)),
                    tuple(
                        tuple(h + slope[p] * slope[q] for q, h in enumerate(row))
                        for p, row in enumerate(hessian)
                    ),
                )
            )
        return tuple(new), None

    forcing, seen = problem.record
    total, _, _ = simulate_tangents(
        problem.model, problem.space.to_physical, u, forcing, problem.operator.select, absorb,
        start, seen, separate=True,
    )  # fmt: skip
    columns = list(zip(*total, strict=True))
    count, square, products, pairs = (jnp.stack(c) for c in columns[:4])
    gradient = jnp.stack([jnp.stack(g) for g in columns[6]])
    hessian = jnp.stack(
        [
            jnp.stack([jnp.stack([h[max(p, q)][min(p, q)] for q in range(n)]) for p in range(n)])
            for h in columns[7]
        ]
    )
    return StreamSums(count, square, products, pairs, gradient), hessian


def together(
    space: ParameterSpace, u: Float[Array, " p"], sums: StreamSums, hessians: Any
) -> NormalEquations:
    """The normal equations at u, of what `curvature` gives there for every stream."""
    informative = jnp.asarray(space.informative, u.dtype)
    return NormalEquations(
        0.5 * jnp.sum(sums.square) + 0.5 * jnp.sum(informative * u**2),
        jnp.sum(sums.gradient, axis=0) + informative * u,
        jnp.sum(hessians, axis=0) + jnp.diag(informative),
    )


class ErrorBars(NamedTuple):
    """Gaussian posteriors of many sites about their optima, in whitened coordinates.

    covariance, naive : (site, P, P) inflated and naive; they leave out directions that the data do
    not see and parameters held by a bound, and are NaN where the curvature is not finite.
    held : (site, P) parameters held by a bound.
    unconstrained : (site, P) parameters that a direction without curvature touches.
    remaining : (site,) length of the Gauss-Newton step still to go, in standard deviations.
    """

    covariance: np.ndarray
    naive: np.ndarray
    held: np.ndarray
    unconstrained: np.ndarray
    remaining: np.ndarray

    def sd(self, naive: bool = False) -> np.ndarray:
        """Standard deviations (site, P) of u: infinite if unconstrained, NaN if held by a bound."""
        covariance = self.naive if naive else self.covariance
        sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        return np.where(self.held, np.nan, np.where(self.unconstrained, np.inf, sd))


def error_bars(
    space: ParameterSpace, u: np.ndarray, sums: StreamSums, hessian: np.ndarray
) -> ErrorBars:
    """Posteriors of sites at u (site, P), by the rules of `posterior`.

    `sums` and `hessian` (site, stream, P, P) are those of `curvature`, with the sites in front.
    """
    prior = np.diag(space.informative.astype(float))
    data = hessian.sum(axis=1)
    gradient = sums.gradient.sum(axis=1) + space.informative * u
    held = np.asarray(at_bound(space, u, gradient))
    finite = np.isfinite(data).all(axis=(1, 2)) & np.isfinite(gradient).all(axis=1)
    hessian = np.where(finite[:, None, None, None], hessian, 0.0)
    data = np.where(finite[:, None, None], data, 0.0)
    gradient = np.where(finite[:, None], gradient, 0.0)
    free = ~(held[:, :, None] | held[:, None, :]) & finite[:, None, None]
    matrix = np.where(free, data + prior, np.eye(u.shape[1]))
    scale = np.sqrt(np.clip(np.einsum("spp->sp", matrix), 1e-300, None))
    outer = scale[:, :, None] * scale[:, None, :]
    values, vectors = np.linalg.eigh(matrix / outer)
    seen = values > RANK_TOLERANCE * values[:, -1:]
    inverse = np.where(seen, 1.0 / np.where(seen, values, 1.0), 0.0)
    naive = (vectors * inverse[:, None, :]) @ vectors.transpose(0, 2, 1) / outer
    naive = np.where(held[:, :, None] | held[:, None, :], 0.0, naive)
    fitted = np.einsum("spq,spq->s", naive, data)
    middle = prior + np.einsum("sk,skpq->spq", inflation(sums, fitted), hessian)
    step = np.einsum("spq,sp->sq", vectors, np.where(held, 0.0, gradient) / scale)
    remaining = np.sqrt((step**2 * inverse).sum(axis=1))
    touched = np.any(~seen[:, None, :] & (np.abs(vectors) > TOUCHED), axis=2)
    blank = np.where(finite, 1.0, np.nan)
    return ErrorBars(
        naive @ middle @ naive * blank[:, None, None], naive * blank[:, None, None],
        held, touched & ~held, remaining * blank,
    )  # fmt: skip


def inflation(sums: StreamSums, fitted: np.ndarray) -> np.ndarray:
    """Factors (site, stream) on each stream's part of the variance; `posterior` says why.

    `fitted` (site,) is the number of degrees of freedom spent on parameters.
    """
    n = np.maximum(sums.n, 1.0)
    kept = np.clip(1.0 - fitted / np.maximum(sums.n.sum(axis=1), 1.0), 0.0, None)
    with np.errstate(invalid="ignore"):  # of a site whose model failed
        ratio = sums.square / np.maximum(n * kept[:, None], 1.0)
        power = np.maximum(sums.square / n, 1e-300)
        rho = sums.products / np.maximum(sums.pairs, 1.0) / power
    rho = np.where(sums.n >= FEWEST, np.minimum(rho, LARGEST_AUTOCORRELATION), 0.0)
    return np.maximum(1.0, ratio * np.maximum(1.0, (1.0 + rho) / (1.0 - rho)))


def usual_spacing(seen: np.ndarray) -> int:
    """Most common number of steps between observations, of a mask (time + 1,); 1 if there is none.

    Hourly data on a half-hourly axis have 2: their successive misfits are two steps apart.
    """
    gaps = np.diff(np.flatnonzero(seen))
    return int(np.bincount(gaps).argmax()) if len(gaps) else 1
