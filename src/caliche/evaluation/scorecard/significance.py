"""Whether a difference of scores is more than chance, where errors last from day to day.

The plain t test gives too many false alarms, and so does an AR(1) correction; an AR(2) model of the
differences does better, and so does allowing for how many cells are looked at (Geer 2016,
doi:10.3402/tellusa.v68.30229).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95
# Days that a cell needs for its interval to mean anything.
FEWEST_DAYS = 15


@dataclass(frozen=True)
class Difference:
    """A mean difference with its standard error.

    Attributes
    ----------
    mean : over all values.  error : standard error of the mean, persistence included.
    n : number of values.  days : on which there are any.  memory : days that are worth one
        independent one; never below 1.
    residual : (day,) what each day adds to the mean beyond its share, NaN without values; the
        correlation between cells is taken from it.
    """

    mean: float
    error: float
    n: int
    days: int
    memory: float
    residual: np.ndarray

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the error."""
        return max(self.days / self.memory - 1.0, 1.0)

    def reach(self, level: float = LEVEL) -> float:
        """Half the width of the interval of this level."""
        return float(student.ppf(0.5 * (1.0 + level), self.freedom)) * self.error

    def significant(self, level: float = LEVEL) -> bool:
        """Whether zero lies outside the interval of this level."""
        return bool(abs(self.mean) > self.reach(level))


def difference(values: np.ndarray, day: np.ndarray) -> Difference:
    """The mean of values (time,), NaN where there is none, with an error from sums over days.

    Parameters
    ----------
    day : (time,) number of the day of each value, from 0.
    """
    seen = np.isfinite(values)
    size = int(day.max()) + 1 if len(day) else 0
    number = np.bincount(day[seen], minlength=size).astype(float)
    total = np.bincount(day[seen], values[seen], minlength=size)
    n, there = int(seen.sum()), number > 0.0
    days = int(there.sum())
    residual = np.full(size, np.nan)
    if days < 3:
        return Difference(float("nan"), float("inf"), n, days, 1.0, residual)
    mean = total.sum() / n
    # A ratio of two sums over days: its error is that of the sum of what is left.
    residual[there] = (total - mean * number)[there]
    memory = max(1.0, memory_of(residual))
    spread = float(np.sqrt(days * memory) * np.std(residual[there], ddof=1))
    return Difference(float(mean), spread / n, n, days, memory, residual)


def memory_of(series: np.ndarray) -> float:
    """How many values of a series (n,) are worth one independent one, by an AR(2) model.

    The variance of a mean over that of independent values: with autocorrelations r1 and r2,
    coefficients a = r1 (1 - r2) / (1 - r1^2) and b = (r2 - r1^2) / (1 - r1^2), it is
    (1 - a r1 - b r2) / (1 - a - b)^2. NaN are gaps.
    """
    gone = series - np.nanmean(series)
    there = np.isfinite(gone)
    variance = float(np.mean(gone[there] ** 2))
    if not variance > 0.0:
        return 1.0
    r = []
    for lag in (1, 2):
        pair = there[lag:] & there[:-lag]
        if pair.sum() < 5:
            return 1.0
        # Over as many as there are values: positive definite, so that an AR(2) model exists.
        product = float(np.sum(gone[lag:][pair] * gone[:-lag][pair]))
        r.append(product / (variance * pair.sum()) * (1.0 - lag / there.sum()))
    first, second = np.clip(r, -0.98, 0.98)
    a = first * (1.0 - second) / (1.0 - first**2)
    b = (second - first**2) / (1.0 - first**2)
    if not (abs(b) < 1.0 and a + b < 1.0 and b - a < 1.0):  # not stationary: AR(1) then
        return float((1.0 + first) / (1.0 - first))
    return float((1.0 - a * first - b * second) / (1.0 - a - b) ** 2)


def independent(residuals: list[np.ndarray]) -> float:
    """How many independent cells there are among some of one site, by their residuals (day,).

    Of the eigenvalues of their correlations, one for each that is above 1, and the fractions
    (Li and Ji 2005, doi:10.1038/sj.hdy.6800717).
    """
    if len(residuals) < 2:
        return float(len(residuals))
    rows = np.array(residuals)
    rows = np.where(np.isfinite(rows), rows, 0.0)
    size = np.sqrt(np.sum(rows**2, axis=1))
    rows = rows[size > 0.0] / size[size > 0.0, None]
    values = np.clip(np.linalg.eigvalsh(rows @ rows.T), 0.0, None)
    values = np.round(values, 9)
    return float(np.sum((values >= 1.0) + values - np.floor(values)))


def sidak(number: float, level: float = LEVEL) -> float:
    """The level of each of so many independent tests for all of them to have this level together:
    level^(1 / number)."""
    return level ** (1.0 / max(number, 1.0))
