"""Have chains of a Markov chain Monte Carlo run converged, and how much do they tell?

Rank-normalised split R-hat and effective sample sizes after Vehtari, Gelman, Simpson, Carpenter
and Bürkner (2021, doi:10.1214/20-BA1221), with Geyer's (1992, doi:10.1214/ss/1177011137) initial
monotone sequence. Draws are (chain, draw).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

# Above this R-hat chains disagree; below this many effective draws a chain, quantiles are noise.
LARGEST_R_HAT = 1.01
FEWEST_EFFECTIVE = 100
_TAILS = (0.05, 0.95)
_normal_quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])


def r_hat(draws: np.ndarray) -> float:
    """Rank-normalised split R-hat: 1 when chains agree in place and in spread.

    NaN for draws that do not vary, or that are not finite.
    """
    split = _split(draws)
    folded = np.abs(split - np.median(split))
    return max(_r_hat(_normal_scores(split)), _r_hat(_normal_scores(folded)))


def ess_bulk(draws: np.ndarray) -> float:
    """Number of independent draws that would tell as much about the centre."""
    return _ess(_normal_scores(_split(draws)))


def ess_tail(draws: np.ndarray) -> float:
    """The same for the 5 % and the 95 % quantile, the smaller of both."""
    split = _split(draws)
    return min(_ess((split <= np.quantile(draws, tail)).astype(float)) for tail in _TAILS)


def verdict(
    r_hats: dict[str, float], sizes: dict[str, float], chains: int, divergent: int
) -> tuple[bool, str]:
    """Whether the draws can be used, and one sentence that says why, or what to do if not.

    `sizes` are the smaller of both effective sample sizes, by parameter.
    """
    worst, fewest = max(r_hats, key=_badness(r_hats)), min(sizes, key=_goodness(sizes))
    facts = (
        f"largest R-hat {r_hats[worst]:.3f}, smallest effective sample size {sizes[fewest]:,.0f}, "
        f"{divergent if divergent else 'no'} divergent transition{'' if divergent == 1 else 's'}"
    )
    faults, advice = [], []
    if not r_hats[worst] <= LARGEST_R_HAT:
        faults.append(f"the chains disagree about {worst}")
    if not sizes[fewest] >= FEWEST_EFFECTIVE * chains:
        faults.append(f"there are too few independent draws of {fewest}")
    if faults:
        advice.append("sample longer")
    if divergent:
        faults.append("the sampler could not follow the posterior everywhere")
        advice.append("raise the target of the acceptance rate")
    if not faults:
        text = "The chain is long enough" if chains == 1 else f"The {chains} chains agree"
        return True, f"{text}: {facts}."
    advice.append("give the parameters priors")
    steps = advice[0] if len(advice) == 1 else f"{', '.join(advice[:-1])}, or {advice[-1]}"
    return False, f"Use with care: {'; '.join(faults)} ({facts}). Try: {steps}."


def _badness(values: dict[str, float]):
    return lambda name: np.inf if np.isnan(values[name]) else values[name]


def _goodness(values: dict[str, float]):
    return lambda name: -np.inf if np.isnan(values[name]) else values[name]


def _split(draws: np.ndarray) -> np.ndarray:
    """Both halves of every chain as chains of their own; the middle one of an odd number goes."""
    draws = np.asarray(draws, float)
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    """Draws replaced by the normal quantiles of their ranks; ties share their mean rank."""
    if not np.isfinite(draws).all():
        return np.full(draws.shape, np.nan)
    _, inverse, counts = np.unique(draws, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - 0.5 * (counts - 1)
    scores = _normal_quantile((mean_rank - 0.375) / (draws.size + 0.25))
    return scores[inverse].reshape(draws.shape)


def _r_hat(draws: np.ndarray) -> float:
    n = draws.shape[1]
    within = np.mean(np.var(draws, axis=1, ddof=1))
    between = n * np.var(np.mean(draws, axis=1), ddof=1)
    if not within > 0.0:
        return float("nan")
    return float(np.sqrt((between / within + n - 1) / n))


def _ess(draws: np.ndarray) -> float:
    chains, n = draws.shape
    if not np.ptp(draws) > 0.0 or n < 4:  # constant, NaN, or too short
        return float("nan")
    covariance = np.stack([_autocovariance(chain) for chain in draws])
    within = np.mean(covariance[:, 0]) * n / (n - 1.0)
    total = within * (n - 1.0) / n + np.var(np.mean(draws, axis=1), ddof=1)
    rho = 1.0 - (within - np.mean(covariance, axis=0)) / total
    rho[0] = 1.0
    # Sums of neighbouring lags are positive and fall; from where they do not, there is only noise.
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(axis=1)[: max(1, (n - 3) // 2)]
    negative = np.flatnonzero(pairs < 0.0)
    kept = int(negative[0]) if len(negative) else len(pairs)
    even = max(rho[2 * kept], 0.0) if 0 < 2 * kept < n else 0.0
    tau = -1.0 + 2.0 * np.sum(np.minimum.accumulate(pairs[:kept])) + even
    return float(chains * n / max(tau, 1.0 / np.log10(chains * n)))


def _autocovariance(chain: np.ndarray) -> np.ndarray:
    """Autocovariance (lag,) about the chain's own mean, divided by n, by Fourier transform."""
    n = len(chain)
    transform = np.fft.rfft(chain - chain.mean(), 2 * n)
    return np.fft.irfft(np.abs(transform) ** 2, 2 * n)[:n] / n
