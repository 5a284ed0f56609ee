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
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import t as student

# The window reaches WIDTH times the shortest lag that is WINDOW times the time integrated up to it;
# that lag is at most so large a share of the record.
WINDOW, WIDTH, LARGEST_SHARE = 5.0, 2.0, 1.0 / 3.0
# Degrees of freedom of Parzen's window: this times the length of the record over its own.
PARZEN = 3.71
# Fewer observations than this say nothing about persistence.
FEWEST = 10
ITERATIONS = 4
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
    size = next_fast_len(2 * n, real=True)
    lag = np.minimum(np.arange(size), size - np.arange(size))[:, None, None]
    count = np.maximum(np.round(_pairs(rfft(mask.astype(float), size, axis=0), size)), 0.0)
    products = _pairs(rfft(residual, size, axis=0), size)
    influence = jacobian @ covariance
    spectrum, influence_spectrum = (rfft(x, size, axis=0) for x in (jacobian, influence))
    directions = _directions(spectrum, covariance, size, n)
    lost = np.zeros_like(products)
    reach, covary = np.ones(n_stream), np.eye(n_stream, dtype=bool)
    for iteration in range(ITERATIONS):
        raw = np.where(count > 0.0, (products + lost) / np.maximum(count, 1.0), 0.0)
        reach = np.array([
            _reach(raw[:n, k, k], count[:n, k, k], directions[:, k]) for k in range(n_stream)
        ])  # fmt: skip
        if iteration == 0:
            covary = _correlated(raw, count, reach)
        width = WIDTH * np.maximum(reach[:, None], reach[None, :])
        tapered = np.where(covary, raw * _parzen(lag / width), 0.0)
        kernel = np.conj(rfft(tapered, axis=0))
        weighted = weights[:, None] * spectrum
        moved = irfft(np.einsum("fkj,fjp->fkp", kernel, weighted), size, axis=0)[:n]
        moved = moved * mask[:, :, None]
        if iteration == ITERATIONS - 1:
            break
        score = np.einsum("tkp,tkq->pq", jacobian * weights[:, None], moved)
        a, w = influence_spectrum, rfft(moved, size, axis=0)
        b = rfft(influence @ (0.5 * (score + score.T)), size, axis=0)
        gone = irfft(_cross(a, w) + _cross(w, a) - _cross(b, a), size, axis=0)
        lost = np.where(lag <= width, gone, 0.0)
    blocks = np.stack(
        [_blocks(jacobian, kernel[:, k], spectrum, size, mask, k) for k in range(n_stream)]
    )
    independent = np.einsum("tkp,tkq->kpq", jacobian, jacobian)
    blocks = _at_least_declared(blocks, independent, covariance)
    values = count[0].diagonal()
    freedom = _freedom(blocks, covariance, np.where(values >= FEWEST, PARZEN * n / width.diagonal(),
                                                    np.inf))  # fmt: skip
    usual = np.quantile([FEWEST_FREEDOM, max(freedom, FEWEST_FREEDOM)], 1.0)
    if np.isfinite(freedom):
        blocks = blocks * (student.ppf(0.975, usual) / student.ppf(0.975, np.inf)) ** 2
    memory = np.array([
        _integrated(raw[:n, k, k], count[:n, k, k], int(reach[k])) for k in range(n_stream)
    ])  # fmt: skip
    span = np.array([np.ptp(np.flatnonzero(column)) if column.any() else 0 for column in mask.T])
    memories = np.where(values >= FEWEST, span / memory, np.inf)
    return ScoreCovariance(blocks, independent, memory, memories, float(freedom))


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
        return 1.0
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
    blocks: np.ndarray, independent: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """With each stream's scores scattering at least as its declared errors say, on average over the
    directions it has something to say of."""
    found = 0.5 * (blocks + blocks.transpose(1, 0, 3, 2))
    scale = np.ones(len(found))
    for k in range(len(found)):
        declared = np.sum(covariance * independent[k])
        scattered = np.sum(covariance * found[k, k])
        if declared > 0.0:
            scale[k] = np.sqrt(max(1.0, declared / max(scattered, 1e-12 * declared)))
    return found * scale[:, None, None, None] * scale[None, :, None, None]


def _freedom(blocks: np.ndarray, covariance: np.ndarray, freedom: np.ndarray) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946, doi:10.2307/3002019)."""
    part = np.array([np.sum(covariance * blocks[k, k]) for k in range(len(blocks))])
    part = np.clip(part, 0.0, None)
    uncertain = float(np.sum(part**2 / freedom))
    return float(part.sum() ** 2 / uncertain) if uncertain > 0.0 else np.inf
