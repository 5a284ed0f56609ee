"""How much a stream's observations tell: one likelihood for estimates, error bars and samplers.

Residuals are larger than declared, and they repeat each other. Taken at their word, half a year of
half hours outweighs any prior; error bars widened afterwards know nothing of that prior. So the
likelihood itself is weighed: stream k counts with the power f_k, the number of independent values
of the declared sigma that its observations are worth, over their number (the magnitude adjustment
of a composite likelihood: Pauli, Racugno and Ventura 2011, Statistica Sinica 21, 149). With H_k =
J_k^T J_k, V_k the covariance of its score (`score_covariance`) and S the covariance of u,
1 / f_k = tr(S V_k) / tr(S H_k): an average over the directions that it has something to say of,
at least 1, so that no stream tells more than it declares.

One power is not right for every direction: what acts slowly is told less than what acts by the
hour. With H = sum f_k H_k and V = sum f_k f_j V_kj over pairs of streams the observations tell
G = H V^-1 H (Godambe 1960, doi:10.1214/aoms/1177705693). The likelihood is taken to the power of
the direction that is told least, and a Gaussian term adds the rest, G - share * H (the curvature
adjustment of Ribatet, Cooley and Davison 2012, doi:10.5705/ss.2009.248, as a term of J).

With weights as declared every f_k is 1 in the estimate, and what is told beside it, share and term,
serves error bars, profiles and samplers alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.bounded import seen_inverse
from caliche.estimation.score_covariance import FEWEST_MEMORIES, ScoreCovariance, score_covariance
from caliche.parameters.adjustment import Adjustment
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem

# A direction of which the observations tell less than this share (of observations and prior) is
# left to the power of the likelihood alone.
MATTERS = 1e-2
# No direction scatters less than this share of what independent errors of the declared size do.
LEAST = 1.0
# A scaled curvature below this is none.
NOTHING = 1e-10


class StreamRows(NamedTuple):
    """Residuals (time, stream) and Jacobian (time, stream, P) of the streams, over the declared
    sigma and zero where nothing is fitted; which are fitted (time, stream)."""

    residual: np.ndarray
    jacobian: np.ndarray
    mask: np.ndarray

    @property
    def gradient(self) -> np.ndarray:
        """J_k^T e_k (stream, P)."""
        return np.einsum("tkp,tk->kp", self.jacobian, self.residual)

    @property
    def hessian(self) -> np.ndarray:
        """J_k^T J_k (stream, P, P)."""
        return np.einsum("tkp,tkq->kpq", self.jacobian, self.jacobian)


class Told(NamedTuple):
    """What the observations tell at an optimum u.

    factors : (stream,) f_k, as they weigh in the estimate.  inflation : (stream,) 1 / f_k of the
    residuals, whether or not the estimate is weighed with it.  share : power of the whole
    likelihood besides.  rows : (P, P) of the Gaussian term, by u.  offset : (P,) its centre less u.
    scores : see `score_covariance`.
    """

    factors: np.ndarray
    inflation: np.ndarray
    share: float
    rows: np.ndarray
    offset: np.ndarray
    scores: ScoreCovariance


@dataclass(frozen=True)
class InformationEstimate:
    """What was found of how much the observations tell, in numbers that can be kept in a file.

    Attributes
    ----------
    factors : f_k by stream, as they weigh in the estimate: 1 with weights as declared.
    inflation : 1 / f_k by stream, of the residuals.
    memory_hours : by stream, the integrated autocorrelation time of its residuals.
    memories : how many of these its record holds; None where persistence is not asked for.
    share, names, root, centre : power of the whole likelihood besides, and the Gaussian term in
        physical values of the free parameters `names`; see `parameters.adjustment`.
    """

    factors: Mapping[str, float] = field(default_factory=dict)
    inflation: Mapping[str, float] = field(default_factory=dict)
    memory_hours: Mapping[str, float] = field(default_factory=dict)
    memories: Mapping[str, float | None] = field(default_factory=dict)
    share: float = 1.0
    names: Sequence[str] = ()
    root: Sequence[Sequence[float]] = ()
    centre: Sequence[float] = ()

    @property
    def short(self) -> tuple[str, ...]:
        """Streams whose record is too short to tell how long its errors last."""
        return tuple(n for n, m in self.memories.items() if m is not None and m < FEWEST_MEMORIES)


def what_is_told(
    rows: StreamRows,
    prior: np.ndarray,
    free: np.ndarray,
    weights: np.ndarray,
    declared: bool,
    settled: np.ndarray | None = None,
) -> Told:
    """How much the observations tell at an optimum.

    Parameters
    ----------
    prior : (P, P) curvature of all that is known besides.  free : (P,) not held by a bound.
    weights : (stream,) f_k of the fit.  declared : whether they stay 1.
    settled : (stream,) f_k if they are not to change any more.
    """
    size = len(free)
    jacobian = rows.jacobian * free
    covariance = _inverse(np.einsum("k,kpq->pq", weights, rows.hessian) + prior, free)
    scores = score_covariance(rows.residual, jacobian, rows.mask, weights, covariance)
    by_word = np.einsum("pq,kpq->k", covariance, scores.independent)
    scattered = np.einsum("pq,kkpq->k", covariance, scores.blocks)
    sees = by_word > 0.0
    inflation = np.maximum(np.where(sees, scattered / np.where(sees, by_word, 1.0), 1.0), 1.0)
    factors = np.ones_like(inflation) if declared else 1.0 / inflation
    factors = factors if settled is None else settled
    data = np.einsum("k,kpq->pq", factors, scores.independent)
    middle = np.einsum("k,j,kjpq->pq", factors, factors, scores.blocks)
    empty = np.zeros((size, size)), np.zeros(size)
    basis = _seen(data, prior, free)
    if not basis.shape[1]:
        return Told(factors, inflation, float(factors.min(initial=1.0)), *empty, scores)
    word = np.einsum("k,kpq->pq", factors**2, scores.independent)
    spread, turn = np.linalg.eigh(_at_least(basis.T @ middle @ basis, basis.T @ word @ basis))
    known = 1.0 / spread
    share = float(min(1.0, known.min()))
    more = np.sqrt(np.clip(known - share, 0.0, None))
    term = np.zeros((size, size))
    term[: len(more)] = more[:, None] * (turn.T @ basis.T @ data)
    pull = np.einsum("k,kp->p", factors, rows.gradient) * free
    return Told(factors, inflation, share, term, -basis @ (basis.T @ pull), scores)


def _at_least(middle: np.ndarray, word: np.ndarray) -> np.ndarray:
    """A covariance of the score that is no less than `LEAST` of that of independent errors of the
    declared size, in any direction; an estimate of it need not even be positive."""
    least = LEAST * word + 1e-12 * np.trace(middle) * np.eye(len(word))
    more, along = np.linalg.eigh(middle - least)
    return least + (along * np.clip(more, 0.0, None)) @ along.T


def godambe(
    data: np.ndarray, middle: np.ndarray, word: np.ndarray, prior: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """G = H V^-1 H (P, P) of the observations, H their curvature `data`, V the covariance of their
    score and `word` that with errors at their word, in the directions that they see."""
    basis = _seen(data, prior, free)
    if not basis.shape[1]:
        return data
    rows = basis.T @ data
    return rows.T @ np.linalg.solve(
        _at_least(basis.T @ middle @ basis, basis.T @ word @ basis), rows
    )


def _seen(data: np.ndarray, prior: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Basis (P, m) of the directions of which the observations tell, of unit curvature in them."""
    # First coordinates in which observations and prior together have the curvature 1.
    whole = np.where(np.logical_and.outer(free, free), data + prior, 0.0)
    scale = np.sqrt(np.clip(np.diag(whole), 1e-300, None))
    values, vectors = np.linalg.eigh(whole / np.outer(scale, scale))
    seen = values > NOTHING * values[-1]
    basis = vectors[:, seen] / np.sqrt(values[seen]) / scale[:, None]
    told, turn = np.linalg.eigh(basis.T @ data @ basis)
    matters = told > MATTERS
    return (basis @ turn)[:, matters] / np.sqrt(told[matters])


def _inverse(matrix: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Inverse in the directions that are seen and free, zero in the others."""
    matrix = np.where(np.logical_and.outer(free, free), matrix, 0.0)
    return seen_inverse(matrix, NOTHING)


@jax.jit
def _at(space: ParameterSpace, u: Float[Array, " p"]) -> tuple[Array, Array]:
    return space.vector(u), jax.jacfwd(space.vector)(u)


def kept(
    problem: InverseProblem, u: np.ndarray, free: np.ndarray, told: Told
) -> InformationEstimate:
    """What was found at u (P,), with the Gaussian term in physical values."""
    values, slopes = (np.asarray(part) for part in _at(problem.space, jnp.asarray(u)))
    root, centre = np.zeros_like(slopes), values.copy()
    inside = np.ix_(free, free)
    if free.any() and np.isfinite(slopes).all():
        root[:, free] = np.linalg.lstsq(slopes[inside].T, told.rows[:, free].T, rcond=None)[0].T
        centre[free] = values[free] + slopes[inside] @ told.offset[free]
    hours = problem.operator.time_step / 3600.0
    memories = [float(m) if np.isfinite(m) else None for m in told.scores.memories]

    def by_stream(numbers: Any) -> dict[str, Any]:
        return dict(zip(problem.stream_names, numbers, strict=True))

    return InformationEstimate(
        by_stream(told.factors.tolist()),
        by_stream(told.inflation.tolist()),
        by_stream((told.scores.memory * hours).tolist()),
        by_stream(memories),
        told.share,
        problem.space.names,
        root.tolist(),
        centre.tolist(),
    )


def with_information(
    problem: InverseProblem, found: InformationEstimate | None, whole: bool = True
) -> InverseProblem:
    """The problem with its streams weighed as was found; None weighs none of them yet.

    Streams that were not fitted keep their weight. The Gaussian term belongs to the parameters that
    were estimated: a problem of others, or one that is not `whole`, has the powers alone.
    """
    names, size = problem.stream_names, problem.space.size
    found = InformationEstimate() if found is None else found
    mine = whole and bool(found.names) and tuple(found.names) == problem.space.names
    share = found.share if mine else 1.0
    powers = [share * found.factors.get(n, 1.0 / share) for n in names]
    root = np.array(found.root) if mine else np.zeros((size, size))
    centre = np.array(found.centre) if mine else np.zeros(size)
    observations = dataclasses.replace(problem.observations, information=jnp.asarray(powers))
    return dataclasses.replace(
        problem,
        observations=observations,
        adjustment=Adjustment(jnp.asarray(root), jnp.asarray(centre)),
    )


def without_term(problem: InverseProblem, found: InformationEstimate | None) -> InverseProblem:
    """The problem with the powers of its streams alone, or with errors at their word where these
    are 1: the Gaussian term belongs to one optimum. Its J is the one that `estimate` gives."""
    if found is None or set(found.factors.values()) == {1.0}:
        return at_their_word(problem)
    return with_information(problem, found, whole=False)


def at_their_word(problem: InverseProblem) -> InverseProblem:
    """The problem with every error as declared and independent of the others."""
    observations = dataclasses.replace(problem.observations, information=None)
    return dataclasses.replace(problem, observations=observations, adjustment=None)
