"""How the gradient of the misfit scatters where errors persist: the middle of the sandwich.

At an optimum the score of stream k is J_k^T e_k, J_k its Jacobian and e_k its errors, both over the
declared sigma. Were errors independent and of that size, its covariance would be J_k^T J_k. With
the autocovariance g(l) of errors l steps apart it is V = sum over t, l of J(t)^T g(l) J(t + l): a
parameter that acts slowly gathers what persists, one that acts by the hour does not. g is that of
the residuals, tapered by Parzen's window (Parzen 1961, doi:10.1080/00401706.1961.10489939) beyond
which it is noise, and so it does not depend on how often a record is sampled.

- Its width is found as of an integrated autocorrelation time (Sokal 1997,
  doi:10.1007/978-1-4899-0319-8_6): the shortest lag that is some times as long as the time
  integrated up to it, of the residuals or of any direction's score.
- A fit takes a part of the errors away. With Q the hat matrix the residuals' covariance is
  (I - Q) R (I - Q)^T where that of the errors is R; what is lost at each lag is computed from the
  last estimate of g and given back.
- An estimate from few memories is uncertain: V is widened as Student's t is, with the number of
  degrees of freedom that the window leaves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.fft import irfft, rfft
from scipy.fft import next_fast_len
from scipy.stats import t as student

from caliche.constants import NORMAL_QUANTILE

# The window reaches WIDTH times the shortest lag that is WINDOW times the time integrated up to it;
# that lag is at most so large a share of the record.
WINDOW, WIDTH, LARGEST_SHARE = 5.0, 2.0, 1.0 / 3.0
# Residuals of less than this share of the declared variance are those of data without errors.
UNSEEN = 1e-6
# Degrees of freedom of Parzen's window: this times the length of the record over its own.
PARZEN = 3.71
# Fewer observations than this say nothing about persistence.
FEWEST = 10
# What is lost to the fit is a share p / n of what is left; a short record can lose much of it.
ITERATIONS, ITERATIONS_IF_SHORT, SHORT = 3, 40, 1000
# Reach of a window that holds no lag but zero.
ALONE = 0.25
# Residuals of two streams count as correlated beyond so many standard errors.
SURE = 3.0
# A direction counts for the width of the window if it has this share of its stream's influence.
MATTERS = 0.05
FEWEST_FREEDOM = 3.0
# A record of fewer memories (integrated autocorrelation times) does not tell how long errors last.
FEWEST_MEMORIES = 10.0


class ScoreCovariance(NamedTuple):
    """blocks : (stream, stream, P, P) covariance of the scores of each pair of streams.
    independent : (stream, P, P) what each would be for independent errors of the declared size.
    memory : (stream,) integrated autocorrelation time of the residuals, in time steps; at least the
    usual spacing of the observations.
    memories : (stream,) how many of them the record holds; infinite where persistence is not asked.
    freedom : degrees of freedom of the estimate.
    """

    blocks: np.ndarray
    independent: np.ndarray
    memory: np.ndarray
    memories: np.ndarray
    freedom: float


def score_covariance(
    residual: np.ndarray,
    jacobian: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
    covariance: np.ndarray,
) -> ScoreCovariance:
    """Covariance of the scores at an optimum.

    Parameters
    ----------
    residual, jacobian : (time, stream) and (time, stream, P), over the declared sigma, zero where
        `mask` (time, stream) says that nothing is fitted.
    weights : (stream,) power of each stream's likelihood in the fit.
    covariance : (P, P) inverse Hessian of that fit, its prior included.
    """
    n, n_stream, _ = jacobian.shape
    size = int(next_fast_len(2 * n, True))  # type: ignore[arg-type]
    lag = np.minimum(np.arange(size), size - np.arange(size))[:, None, None]
    count = np.maximum(np.round(_pairs(rfft(mask.astype(float), size, axis=0), size)), 0.0)
    products = _pairs(rfft(residual, size, axis=0), size)
    influence = jacobian @ covariance
    spectrum, influence_spectrum = (rfft(x, size, axis=0) for x in (jacobian, influence))
    directions = _directions(spectrum, covariance, size, n)
    window = _windowed(products, count, directions, lag, n)
    covary = _correlated(window.raw, count, window.reach)
    for _ in range(ITERATIONS if n > SHORT else ITERATIONS_IF_SHORT):
        kernel = np.conj(rfft(np.where(covary, window.tapered, 0.0), axis=0))
        gone = _lost(jacobian, influence, mask, weights, spectrum, influence_spectrum, kernel, size)
        lost = np.where(lag <= window.width, gone, 0.0)
        window = _windowed(products + lost, count, directions, lag, n)
    kernel = np.conj(rfft(np.where(covary, window.tapered, 0.0), axis=0))
    blocks = np.stack(
        [_blocks(jacobian, kernel[:, k], spectrum, size, mask, k) for k in range(n_stream)]
    )
    independent = np.einsum("tkp,tkq->kpq", jacobian, jacobian)
    blocks = _at_least_declared(blocks, independent, window.raw[0].diagonal())
    values = count[0].diagonal()
    each = np.where(values >= FEWEST, PARZEN * n / window.width.diagonal(), np.inf)
    freedom = _freedom(blocks, covariance, each)
    if np.isfinite(freedom):
        wider = student.ppf(0.975, max(freedom, FEWEST_FREEDOM)) / NORMAL_QUANTILE
        blocks = blocks * wider**2
    memory = np.array(
        [
            _integrated(window.raw[:n, k, k], count[:n, k, k], int(window.reach[k]))
            for k in range(n_stream)
        ]
    )
    span = np.array([np.ptp(np.flatnonzero(column)) if column.any() else 0 for column in mask.T])
    memories = np.where(values >= FEWEST, span / memory, np.inf)
    return ScoreCovariance(blocks, independent, memory, memories, float(freedom))


class _Window(NamedTuple):
    """Autocovariance (lag, stream, stream), as it is and tapered; how far the window of each stream
    reaches (stream,), and of each pair (stream, stream)."""

    raw: np.ndarray
    tapered: np.ndarray
    reach: np.ndarray
    width: np.ndarray


def _windowed(
    products: np.ndarray, count: np.ndarray, directions: np.ndarray, lag: np.ndarray, n: int
) -> _Window:
    raw = np.where(count > 0.0, products / np.maximum(count, 1.0), 0.0)
    streams = range(raw.shape[1])
    reach = np.array([_reach(raw[:n, k, k], count[:n, k, k], directions[:, k]) for k in streams])
    width = WIDTH * np.maximum(reach[:, None], reach[None, :])
    return _Window(raw, raw * _parzen(lag / width), reach, width)


def _lost(
    jacobian: np.ndarray,
    influence: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
    spectrum: np.ndarray,
    influence_spectrum: np.ndarray,
    kernel: np.ndarray,
    size: int,
) -> np.ndarray:
    """What the fit takes of sums of products of errors (lag, stream, stream): Q R + R Q - Q R Q."""
    weighted = weights[:, None] * spectrum
    moved = irfft(np.einsum("fkj,fjp->fkp", kernel, weighted), size, axis=0)[: len(jacobian)]
    moved = moved * mask[:, :, None]
    score = np.einsum("tkp,tkq->pq", jacobian * weights[:, None], moved)
    a, w = influence_spectrum, rfft(moved, size, axis=0)
    b = rfft(influence @ (0.5 * (score + score.T)), size, axis=0)
    return irfft(_cross(a, w) + _cross(w, a) - _cross(b, a), size, axis=0)


def memory_of(residual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Integrated autocorrelation time (stream,) of residuals (time, stream), in time steps."""
    n, n_stream = residual.shape
    size = int(next_fast_len(2 * n, True))  # type: ignore[arg-type]
    found = np.ones(n_stream)
    for k in range(n_stream):
        count = irfft(np.abs(rfft(mask[:, k].astype(float), size)) ** 2, size)[:n].round()
        raw = irfft(np.abs(rfft(residual[:, k], size)) ** 2, size)[:n] / np.maximum(count, 1.0)
        found[k] = _integrated(raw, count, int(_reach(raw, count, np.zeros((n, 0)))))
    return found


def _pairs(spectrum: np.ndarray, size: int) -> np.ndarray:
    """Sums over t of x_k(t) x_j(t + l), (lag, k, j), from the spectrum (frequency, stream)."""
    return irfft(np.conj(spectrum[:, :, None]) * spectrum[:, None, :], size, axis=0)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The spectrum (frequency, k, j) of sums over t and p of a_kp(t) b_jp(t + l)."""
    return np.einsum("fkp,fjp->fkj", np.conj(first), second)


def _parzen(x: np.ndarray) -> np.ndarray:
    near = 1.0 - 6.0 * x**2 + 6.0 * x**3
    return np.where(x < 0.5, near, 2.0 * np.clip(1.0 - x, 0.0, None) ** 3)


def _directions(spectrum: np.ndarray, covariance: np.ndarray, size: int, n: int) -> np.ndarray:
    """Autocorrelation (lag, stream, direction) of the Jacobian along the posterior's axes.

    NaN for a direction that the stream has hardly anything to say of.
    """
    values, vectors = np.linalg.eigh(covariance)
    along = spectrum @ (vectors * np.sqrt(np.clip(values, 0.0, None)))
    found = irfft(np.abs(along) ** 2, size, axis=0)[:n]
    power = found[0]
    matters = power > MATTERS * power.sum(axis=1, keepdims=True)
    return np.where(matters, found / np.where(matters, power, 1.0), np.nan)


def _integrated(acf: np.ndarray, count: np.ndarray, reach: int) -> float:
    """Integrated autocorrelation time in steps, up to a lag."""
    spacing = len(acf) / max(count[0], 1.0)
    if count[0] < FEWEST or acf[0] <= 0.0:
        return spacing
    share = acf[1 : reach + 1] / acf[0] * count[1 : reach + 1] / count[0]
    return spacing * max(1.0, 1.0 + 2.0 * float(share.sum()))


def _reach(acf: np.ndarray, count: np.ndarray, directions: np.ndarray) -> float:
    """Half the width of the window in steps, see the top of this file."""
    n, spacing = len(acf), len(acf) / max(count[0], 1.0)
    longest = max(1, int(LARGEST_SHARE * n))
    if count[0] < FEWEST or acf[0] <= 0.0:
        return ALONE
    rho = acf[: longest + 1] / acf[0]
    seen = [rho * count[: longest + 1] / count[0]]
    seen += [rho * d[: longest + 1] for d in directions.T if np.isfinite(d[0])]
    time = spacing * (1.0 + 2.0 * np.cumsum(np.stack(seen)[:, 1:], axis=1))
    enough = np.arange(1, longest + 1) >= WINDOW * np.maximum(time, spacing)
    first = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, longest)
    return float(first.max())


def _correlated(raw: np.ndarray, count: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Which pairs (stream, stream) of residuals are correlated beyond what chance would do."""
    n_stream = raw.shape[1]
    sd = np.sqrt(np.maximum(raw[0].diagonal(), 1e-300))
    found = np.eye(n_stream, dtype=bool)
    for k in range(n_stream):
        for j in range(k):
            both = count[0, k, j]
            if both < FEWEST:
                continue
            far = int(min(reach[k], reach[j]))
            alike = raw[1 : far + 1, k, k] * raw[1 : far + 1, j, j] / (sd[k] * sd[j]) ** 2
            weight = count[1 : far + 1, k, j] / both
            effective = both / max(1.0, 1.0 + 2.0 * float((alike * weight).sum()))
            sure = abs(raw[0, k, j]) / (sd[k] * sd[j]) > SURE / np.sqrt(effective)
            found[k, j] = found[j, k] = sure
    return found


def _blocks(
    jacobian: np.ndarray,
    kernel: np.ndarray,
    spectrum: np.ndarray,
    size: int,
    mask: np.ndarray,
    k: int,
) -> np.ndarray:
    """Covariances (stream, P, P) of the score of stream k with that of each stream."""
    moved = irfft(kernel[:, :, None] * spectrum, size, axis=0)[: len(jacobian)]
    moved = moved * mask[:, k, None, None]
    return np.einsum("tp,tjq->jpq", jacobian[:, k], moved)


def _at_least_declared(
    blocks: np.ndarray, independent: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """Blocks of errors whose variance (stream,), over the declared one, is at least 1; errors that
    are not seen at all are taken at their word."""
    found = 0.5 * (blocks + blocks.transpose(1, 0, 3, 2))
    seen = variance > UNSEEN
    scale = np.where(seen, np.sqrt(1.0 / np.clip(variance, UNSEEN, 1.0)), 0.0)
    found = found * scale[:, None, None, None] * scale[None, :, None, None]
    for k in np.flatnonzero(~seen):
        found[k, k] = independent[k]
    return found


def _freedom(blocks: np.ndarray, covariance: np.ndarray, freedom: np.ndarray) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946, doi:10.2307/3002019)."""
    part = np.array([np.sum(covariance * blocks[k, k]) for k in range(len(blocks))])
    part = np.clip(part, 0.0, None)
    uncertain = float(np.sum(part**2 / freedom))
    return float(part.sum() ** 2 / uncertain) if uncertain > 0.0 else np.inf
