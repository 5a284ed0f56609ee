"""What an emulator must pass before anybody uses it: how it did on runs that it never saw.

Standardised errors, errors after a pivoted Cholesky decomposition, and the Mahalanobis distance of
all held-out runs together, with V the covariance of their predictions (of Student's t, N - q
degrees of freedom): (N - q) D^2 / (m (N - q - 2)) ~ F(m, N - q) (Bastos and O'Hagan 2009,
doi:10.1198/TECH.2009.08019). Bands that are too wide are safe and pass, with a remark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.linalg import get_lapack_funcs

from caliche.emulators.leave_out import LeftOut
from caliche.wording import number_of

LEVELS = (0.5, 0.9, 0.99)
# Probability beyond the limits of a check, on either side.
_BEYOND = 1e-3
# Share of held-out runs that may miss by three standard deviations.
_MOST_FAR = 0.25
FAR = 3.0
# Error, over the spread of the output, above which an emulator tells little.
WEAK = 0.3
# Round-off of an output, over its spread.
_ROUND_OFF = 1e-9


@dataclass(frozen=True)
class Check:
    """How an emulator of one output did.

    Attributes
    ----------
    passed : whether it may be used.  sentence : why, or why not.
    number : m, of held-out runs; those left out one by one where there are none.
    error : root mean square of the errors.  relative : the same over the spread of the output.
    standardised : (m,) errors over their standard deviations.
    pivoted : (m,) uncorrelated ones, in the order of `order` (m,).
    distance, lowest, highest : (N - q) D^2 / (m (N - q - 2)) and its 99.8 % limits.
    held : shares of the runs inside bands of `LEVELS`.
    left_out : mean square of the standardised errors of runs left out one by one.
    steps : what was tried until it passed, or failed.
    freedom : degrees of freedom of Student's t.
    """

    passed: bool
    sentence: str
    number: int
    error: float
    relative: float
    standardised: np.ndarray
    pivoted: np.ndarray
    order: np.ndarray
    distance: float
    lowest: float
    highest: float
    held: tuple[float, ...]
    left_out: float
    steps: tuple[str, ...] = ()
    freedom: float = np.inf

    @property
    def ratio(self) -> float:
        """By how much the variance would have to grow for the distance to be one that 5 in 100
        right emulators exceed."""
        m, freedom = self.number, self.freedom
        return self.distance / float(stats.f.ppf(0.95, m, freedom))


def check(
    name: str,
    error: np.ndarray,
    covariance: np.ndarray,
    freedom: float,
    spread: float,
    left_out: LeftOut,
    steps: tuple[str, ...] = (),
    rough: bool = False,
) -> Check:
    """Judge predictions of runs that were held out.

    Parameters
    ----------
    error : (m,) value less prediction.  covariance : (m, m) of the predictions.
    freedom : degrees of freedom of Student's t.
    spread : standard deviation of the output over the runs.
    rough : whether `error` is of runs left out one by one, as none was held out.
    """
    m = len(error)
    covariance = covariance + (_ROUND_OFF * spread) ** 2 * np.eye(m)
    standardised = error / np.sqrt(np.diag(covariance))
    pivoted, order = pivoted_errors(error, covariance)
    scale = freedom / (freedom - 2.0)
    distance = float(np.sum(pivoted**2)) * scale / m
    lowest, highest = (float(stats.f.ppf(p, m, freedom)) for p in (_BEYOND, 1.0 - _BEYOND))
    inside = []
    for level in LEVELS:
        half = float(stats.t.ppf(0.5 + 0.5 * level, freedom)) / np.sqrt(scale)
        inside.append(int(np.sum(np.abs(standardised) <= half)))
    far = int(np.sum(np.abs(standardised) > FAR))
    relative = float(np.sqrt(np.mean(error**2))) / spread if spread > 0.0 else 0.0
    faults = []
    if not np.isfinite(distance):
        faults.append("it gives no finite numbers")
    elif distance > highest:
        faults.append(
            f"its errors together are {distance:.3g} times what its bands allow, and "
            f"{highest:.3g} is the limit"
        )
    for level, count in zip(LEVELS, inside, strict=True):
        if count < stats.binom.ppf(_BEYOND, m, level):
            faults.append(f"its {100 * level:g} % bands held {count} of {number_of(m, 'run')}")
            break
    if far > _MOST_FAR * m:
        faults.append(f"{far} of {number_of(m, 'run')} miss by more than 3 standard deviations")
    z = left_out.standardised
    said = f"{name}: error {_percent(relative)} of its spread over {number_of(m, 'run')}"
    said += " left out one by one" if rough else " held out"
    if faults:
        said += f"; refused, as {'; '.join(faults)}; run more near the worst, or a smaller box"
    else:
        said += f"; {inside[1]} of {m} inside the 90 % bands"
        if distance < lowest:
            said += "; the bands are wider than they need to be"
        if relative > WEAK:
            said += "; it tells little, and more runs would tell more"
    return Check(
        not faults,
        f"{said}.",
        m,
        float(np.sqrt(np.mean(error**2))),
        relative,
        standardised,
        pivoted,
        order,
        distance,
        lowest,
        highest,
        tuple(count / m for count in inside),
        float(np.mean(z[np.isfinite(z)] ** 2)) if np.isfinite(z).any() else float("nan"),
        steps,
        freedom,
    )


def pivoted_errors(error: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G^-1 e (m,) with V = G G^T, pivoted so that the largest variance left comes first; and the
    order (m,) of the runs.

    Early ones that are large tell of a wrong variance, late ones of a wrong correlation.
    """
    size = np.sqrt(np.diag(covariance))
    (decompose,) = get_lapack_funcs(("pstrf",), (covariance,))
    factor, pivots, rank, _ = decompose(covariance / np.outer(size, size), lower=1)
    order = pivots - 1
    lower = np.tril(factor)[:rank, :rank]
    found = np.full(len(error), 0.0)
    found[:rank] = np.linalg.solve(lower, (error / size)[order[:rank]])
    return found, order


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %"
