"""How far a prediction is from a target, in standard deviations of all that may part them.

Of a metric k with prediction m, emulator variance v, observation error s and discrepancy d

    I_k = |z_k - m_k| / sqrt(v_k + s_k^2 + d_k^2)

(Craig et al. 1997, doi:10.1007/978-1-4612-2290-3_2; Vernon et al. 2010, doi:10.1214/10-BA524).
Several metrics become one number by their largest or n-th largest I, or by the vector form
I^2 = (z - m)^T (V + W)^-1 (z - m), which knows how their errors go together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, chi2, norm

from caliche.errors import InputError

# The chance with which the truth is to be kept, which decides the cut-off.
LEVEL = 0.995
MAXIMUM, NTH, VECTOR = "maximum", "nth", "vector"
RULES = (MAXIMUM, NTH, VECTOR)
# More metrics than this are judged by their second largest implausibility, unless said otherwise.
MANY = 10
_DRAWS = 200_000


@dataclass(frozen=True)
class Targets:
    """What is to be matched.

    Attributes
    ----------
    names : (K,) of the metrics.
    values : (K,) observed values, or the middles of the intervals.
    error : (K, K) covariance of their observation errors, or (K,) standard deviations.
    discrepancy : (K,) standard deviations of what the model may miss at its best parameters.
    half : (K,) half widths of intervals inside which nothing is implausible; zero for values.
    units : (K,) for tables.

    Raises
    ------
    InputError : shapes that do not belong together, a covariance that is none, no uncertainty.
    """

    names: tuple[str, ...]
    values: np.ndarray
    error: np.ndarray
    discrepancy: np.ndarray
    half: np.ndarray = field(default_factory=lambda: np.zeros(0))
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = np.atleast_1d(np.asarray(self.values, float))
        number, error = len(values), np.atleast_1d(np.asarray(self.error, float))
        if error.ndim == 1:
            error = np.diag(error**2)
        parts = {
            "names": tuple(self.names),
            "values": values,
            "error": error,
            "discrepancy": np.atleast_1d(np.asarray(self.discrepancy, float)),
            "half": np.asarray(self.half, float) if np.size(self.half) else np.zeros(number),
            "units": tuple(self.units) or ("",) * number,
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)
            shape = (number, number) if name == "error" else (number,)
            if np.shape(part) != shape:
                raise InputError(
                    f"{name} of {number} metrics, of shape {shape}",
                    f"shape {np.shape(part)}",
                    "give one for each value",
                )
        variance = self.variance
        if not (np.all(np.isfinite(error)) and np.all(variance > 0.0) and number):
            bad = [n for n, v in zip(self.names, variance, strict=True) if not v > 0.0]
            raise InputError(
                "metrics with an observation error or a discrepancy above zero",
                f"none of {', '.join(bad)}" if bad else "none",
                "give sigma to the stream, or a discrepancy",
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def error_sd(self) -> np.ndarray:
        """(K,) standard deviations of the observation errors."""
        return np.sqrt(np.diag(self.error))

    @property
    def variance(self) -> np.ndarray:
        """(K,) of observation error and discrepancy together."""
        return np.diag(self.error) + self.discrepancy**2

    @property
    def correlation(self) -> np.ndarray:
        """(K, K) of z - m at the truth: errors of one stream go together, discrepancies do not."""
        sd = np.sqrt(self.variance)
        covariance = self.error + np.diag(self.discrepancy**2)
        return covariance / (sd[:, None] * sd[None, :])

    def scaled(self, factor: float) -> Targets:
        """The same targets with the discrepancy times a factor."""
        return replace(self, discrepancy=factor * self.discrepancy)

    def only(self, which: np.ndarray) -> Targets:
        """Some of the metrics, by mask or number."""
        numbers = np.arange(len(self))[which]
        return Targets(
            tuple(self.names[k] for k in numbers),
            self.values[numbers],
            self.error[np.ix_(numbers, numbers)],
            self.discrepancy[numbers],
            self.half[numbers],
            tuple(self.units[k] for k in numbers),
        )

    def departures(self, mean: np.ndarray) -> np.ndarray:
        """(n, K) predictions less targets; zero inside an interval, else from its nearer end."""
        away = mean - self.values
        return np.sign(away) * np.maximum(np.abs(away) - self.half, 0.0)

    def implausibility(self, mean: np.ndarray, variance: np.ndarray | float = 0.0) -> np.ndarray:
        """(n, K) implausibility of each metric; NaN where a prediction is NaN.

        Parameters
        ----------
        mean, variance : (n, K) of an emulator; the model itself has variance 0.
        """
        return np.abs(self.departures(mean)) / np.sqrt(self.variance + variance)


@dataclass(frozen=True)
class Rule:
    """How the implausibilities of several metrics become one, and where it is too large.

    Attributes
    ----------
    kind : `maximum`, `nth` (the n-th largest) or `vector`.
    n : of `nth`.
    level : chance with which the truth is to be kept.
    given : a cut-off instead of the one that follows from `level`.
    """

    kind: str = MAXIMUM
    n: int = 1
    level: float = LEVEL
    given: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in RULES:
            raise InputError(f"one of {', '.join(RULES)}", repr(self.kind), "use maximum")
        if self.kind == MAXIMUM:
            object.__setattr__(self, "n", 1)
        if self.n < 1:
            raise InputError("the n-th largest with n of 1 or more", f"{self.n}", "use 2")
        if not 0.5 <= self.level < 1.0:
            raise InputError(
                "a chance from 0.5 to below 1 that the truth is kept",
                f"{self.level:g}",
                f"use {LEVEL}",
            )
        if self.given is not None and not self.given > 0.0:
            raise InputError("a cut-off above zero", f"{self.given:g}", "leave it out, or use 3")

    def cutoff(self, number: int) -> float:
        """The implausibility above which a point is ruled out, for so many metrics.

        With independent normal errors the truth stays below it with the chance `level`. Largest:
        Sidak's bound (doi:10.1080/01621459.1967.10482935), which holds for correlated ones too.

        Raises
        ------
        InputError : fewer metrics than n.
        """
        self._enough(number)
        if self.given is not None:
            return self.given
        if self.kind == VECTOR:
            return float(np.sqrt(chi2.ppf(self.level, number)))
        if self.n == 1:
            return float(norm.isf(0.5 * (1.0 - self.level ** (1.0 / number))))
        found = brentq(lambda c: self.chance(number, c) - (1.0 - self.level), 1e-6, 40.0)
        return float(found)  # type: ignore[arg-type]

    def chance(self, number: int, cutoff: float, correlation: np.ndarray | None = None) -> float:
        """The chance that the truth itself is ruled out.

        Parameters
        ----------
        correlation : (K, K) of the errors; the chance is then estimated from draws, to 0.02 %.
            Without it that of independent errors.
        """
        self._enough(number)
        if self.kind == VECTOR:
            return float(chi2.sf(cutoff**2, number))
        if correlation is None or np.allclose(correlation, np.eye(number)):
            beyond = 2.0 * norm.sf(cutoff)
            return float(binom.sf(self.n - 1, number, beyond))
        drawn = np.random.default_rng(0).standard_normal((_DRAWS, number))
        values, vectors = np.linalg.eigh(correlation)
        drawn = np.abs(drawn @ (vectors * np.sqrt(np.clip(values, 0.0, None))).T)
        return float(np.mean((drawn > cutoff).sum(axis=1) >= self.n))

    def combine(
        self, targets: Targets, mean: np.ndarray, variance: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """(n,) the one implausibility of predictions (n, K); NaN where one is NaN."""
        if self.kind != VECTOR:
            each = targets.implausibility(mean, variance)
            self._enough(each.shape[1])
            # The n-th largest; NaN sorts last, so that it would hide.
            found = np.sort(each, axis=1)[:, each.shape[1] - self.n]
            return np.where(np.isnan(each).any(axis=1), np.nan, found)
        away = targets.departures(mean)
        spread = targets.error + np.diag(targets.discrepancy**2)
        variance = np.broadcast_to(np.asarray(variance, float), away.shape)
        if not variance.any():
            lower = np.linalg.cholesky(spread)
            return np.linalg.norm(np.linalg.solve(lower, away.T), axis=0)
        whole = spread + variance[:, :, None] * np.eye(away.shape[1])
        return np.sqrt(np.einsum("nk,nk->n", away, np.linalg.solve(whole, away[..., None])[..., 0]))

    def _enough(self, number: int) -> None:
        if number < self.n:
            raise InputError(
                f"at least {self.n} metrics for the {self.n}. largest implausibility",
                f"{number}",
                "use --combine maximum, or more metrics",
            )


def usual_rule(number: int) -> Rule:
    """The largest of up to ten metrics, the second largest of more."""
    return Rule() if number <= MANY else Rule(NTH, 2)
