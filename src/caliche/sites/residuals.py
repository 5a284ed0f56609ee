"""Curvature and residual statistics of one problem in one pass, and error bars for many at once.

As `posterior` for errors at their word, summed up inside the time loop so that nothing grows with
the length of the record: the naive covariance H^-1, and that under what the observations tell. How
long errors last is seen in sums of residuals over blocks of time (batch means: Flegal and Jones
2010, doi:10.1214/09-AOS735): the variance of such a sum over that of as many independent residuals
is their integrated autocorrelation time, once blocks are long beside it. It is one number a stream,
the same for every parameter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.curvature import inverse
from caliche.estimation.method import RANK_TOLERANCE, at_bound
from caliche.estimation.score_covariance import FEWEST, WINDOW
from caliche.models.loop.tangents import Tangents, simulate_tangents
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations
from caliche.problems.inverse import InverseProblem, weighted_misfits

# Lengths of the blocks, h; one is looked at if the record holds `FEWEST_BLOCKS` of them.
BLOCK_HOURS = (3.0, 12.0, 48.0, 192.0, 768.0)
FEWEST_BLOCKS = 8
# Share of a direction without curvature from which a parameter counts as touched by it.
TOUCHED = 1e-3


class StreamSums(NamedTuple):
    """Sums over the fitted observations of each stream (stream,), of standardised misfits.

    n : how many.  square : of squares.  blocks : (length, stream) of squared sums over blocks of
    time, of each of `block_steps`.  gradient : (stream, P) of slope times misfit.
    """

    n: Any
    square: Any
    blocks: Any
    gradient: Any


def block_steps(time_step: float) -> tuple[int, ...]:
    """Lengths of the blocks in time steps of `time_step` seconds; the shortest is one step."""
    return tuple(sorted({1} | {max(1, round(3600.0 * h / time_step)) for h in BLOCK_HOURS}))


def curvature(
    problem: InverseProblem, u: Float[Array, " p"]
) -> tuple[StreamSums, Float[Array, "stream p p"]]:
    """Residual sums and J_k^T J_k of every stream k, in one run with tangents.

    No stream may be a mean over several steps.
    """
    n_stream, n = len(problem.operator.streams), len(u)
    forcing, seen = problem.record
    lengths = block_steps(problem.operator.time_step)[1:]
    zero = jnp.zeros(())
    triangle = tuple((zero,) * (p + 1) for p in range(n))
    own = (zero, zero, ((zero, zero),) * len(lengths), (zero,) * n, triangle)
    start = (jnp.zeros((), jnp.int32), (own,) * n_stream)

    def absorb(total: tuple, seen: tuple, tangents: Tangents) -> tuple[tuple, None]:
        (time, before), new = total, []
        misfits = weighted_misfits(seen, tangents)
        for k, ((misfit, slope), sums) in enumerate(zip(misfits, before, strict=True)):
            count, square, blocks, gradient, hessian = sums
            done = []
            for length, (inside, squares) in zip(lengths, blocks, strict=True):
                last = time % length == 0
                inside = inside + misfit
                done.append(
                    (jnp.where(last, 0.0, inside), squares + jnp.where(last, inside**2, 0.0))
                )
            new.append(
                (
                    count + jnp.where(seen[k][1], 1.0, 0.0),
                    square + misfit**2,
                    tuple(done),
                    tuple(g + s * misfit for g, s in zip(gradient, slope, strict=True)),
                    tuple(
                        tuple(h + slope[p] * slope[q] for q, h in enumerate(row))
                        for p, row in enumerate(hessian)
                    ),
                )
            )
        return (time + 1, tuple(new)), None

    (_, total), _, _ = simulate_tangents(
        problem.model,
        problem.space.to_physical,
        u,
        forcing,
        problem.operator.select,
        absorb,
        start,
        seen,
        separate=True,
    )
    count, square, blocks, gradient, hessian = zip(*total, strict=True)
    square = jnp.stack(square)
    # What is left of the last block counts for as much as it holds.
    sums = [jnp.stack([b[i][1] + b[i][0] ** 2 for b in blocks]) for i in range(len(lengths))]
    hessian = jnp.stack(
        [
            jnp.stack([jnp.stack([h[max(p, q)][min(p, q)] for q in range(n)]) for p in range(n)])
            for h in hessian
        ]
    )
    gradient = jnp.stack([jnp.stack(g) for g in gradient])
    return StreamSums(jnp.stack(count), square, jnp.stack([square, *sums]), gradient), hessian


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
    hessian, gradient : (site, P, P) and (site, P) of J under what the observations tell.
    """

    covariance: np.ndarray
    naive: np.ndarray
    held: np.ndarray
    unconstrained: np.ndarray
    remaining: np.ndarray
    hessian: np.ndarray
    gradient: np.ndarray

    def sd(self, naive: bool = False) -> np.ndarray:
        """Standard deviations (site, P) of u: infinite if unconstrained, NaN if held by a bound."""
        covariance = self.naive if naive else self.covariance
        sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        return np.where(self.held, np.nan, np.where(self.unconstrained, np.inf, sd))


def error_bars(
    space: ParameterSpace,
    u: np.ndarray,
    sums: StreamSums,
    hessian: np.ndarray,
    steps: tuple[int, ...],
    n_steps: int,
) -> ErrorBars:
    """Posteriors of sites at u (site, P), by the rules of `posterior`.

    `sums` and `hessian` (site, stream, P, P) are those of `curvature`, with the sites in front;
    `steps` the lengths of its blocks in a record of `n_steps`.
    """
    prior = np.diag(space.informative.astype(float))
    data = hessian.sum(axis=1)
    gradient = sums.gradient.sum(axis=1) + space.informative * u
    held = np.asarray(at_bound(space, u, gradient))
    finite = np.isfinite(data).all(axis=(1, 2)) & np.isfinite(gradient).all(axis=1)
    hessian = np.where(finite[:, None, None, None], hessian, 0.0)
    data = np.where(finite[:, None, None], data, 0.0)
    gradient = np.where(finite[:, None], gradient, 0.0)
    usable = finite[:, None, None]
    naive, vectors, along, scale = _inverted(data + prior, held, usable)
    fitted = np.einsum("spq,spq->s", naive, data)
    factor = inflation(sums, fitted, steps, n_steps)
    middle = np.einsum("sk,skpq->spq", factor, hessian)
    # G = H V^-1 H of the observations, then the prior: never wider than that.
    told = data @ _inverted(middle, held, usable)[0] @ data
    covariance = _inverted(told + prior, held, usable)[0]
    # What pushes a parameter beyond its bound counts with the same information.
    push = np.einsum("sk,skp->sp", 1.0 / factor, np.nan_to_num(sums.gradient))
    push = np.where(finite[:, None], push + space.informative * u, 0.0)
    for site in np.flatnonzero(held.any(axis=1) & finite):
        covariance[site] = inverse(told[site] + prior, held[site], push[site])[0]
    step = np.einsum("spq,sp->sq", vectors, np.where(held, 0.0, gradient) / scale)
    remaining = np.sqrt((step**2 * along).sum(axis=1))
    touched = np.any((along == 0.0)[:, None, :] & (np.abs(vectors) > TOUCHED), axis=2)
    blank = np.where(finite, 1.0, np.nan)
    return ErrorBars(
        covariance * blank[:, None, None],
        naive * blank[:, None, None],
        held,
        touched & ~held,
        remaining * blank,
        (told + prior) * blank[:, None, None],
        push,
    )


def _inverted(
    matrix: np.ndarray, held: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Inverses (site, P, P) where there is curvature and nothing is held, the eigenvectors of the
    scaled matrices, the inverse eigenvalues (zero where unseen), and the scale (site, P)."""
    out = held[:, :, None] | held[:, None, :]
    matrix = np.where(~out & usable, matrix, np.eye(held.shape[1]))
    scale = np.sqrt(np.clip(np.einsum("spp->sp", matrix), 1e-300, None))
    outer = scale[:, :, None] * scale[:, None, :]
    values, vectors = np.linalg.eigh(matrix / outer)
    seen = values > RANK_TOLERANCE * values[:, -1:]
    along = np.where(seen, 1.0 / np.where(seen, values, 1.0), 0.0)
    found = (vectors * along[:, None, :]) @ vectors.transpose(0, 2, 1) / outer
    return np.where(out, 0.0, found), vectors, along, scale


def inflation(
    sums: StreamSums, fitted: np.ndarray, steps: tuple[int, ...], n_steps: int
) -> np.ndarray:
    """Factors (site, stream) on each stream's part of the variance; see `block_steps`.

    `fitted` (site,) is the number of degrees of freedom spent on parameters.
    """
    n = np.maximum(sums.n, 1.0)
    kept = np.clip(1.0 - fitted / np.maximum(sums.n.sum(axis=1), 1.0), 0.0, None)
    with np.errstate(invalid="ignore"):  # of a site whose model failed
        ratio = sums.square / np.maximum(n * kept[:, None], 1.0)
        time = sums.blocks / np.maximum(sums.square, 1e-300)[:, None, :]  # (site, length, stream)
    length = np.array(steps)[None, :, None]
    enough = length >= WINDOW * time * (n_steps / n)[:, None, :]
    longest = sum(k * FEWEST_BLOCKS <= n_steps for k in steps[1:])
    enough[:, longest] = True
    first = np.argmax(enough[:, : longest + 1], axis=1)
    time = np.take_along_axis(time, first[:, None, :], axis=1)[:, 0]
    time = np.where(sums.n >= FEWEST, np.maximum(time, 1.0), 1.0)
    return np.maximum(1.0, ratio * time)
