"""Priors, each a bijection between a whitened coordinate u and the physical value.

Under an informative prior u ~ N(0, 1) exactly, so the prior's part of the residual is u itself.
A flat prior has no part in the residual: its bijection only keeps the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from caliche.errors import InputError

Values = Float[Array, "..."]  # one value, or a series

# Standard deviations from the mean beyond which a normal distribution has less mass than 1e-16.
NO_MASS_BEYOND = 8.3


@runtime_checkable
class Prior(Protocol):
    """A prior on one parameter: `informative` ones enter the cost."""

    @property
    def lower(self) -> float: ...

    @property
    def upper(self) -> float: ...

    @property
    def informative(self) -> bool: ...

    def to_physical(self, u: Values) -> Values: ...

    def to_whitened(self, value: Values) -> Values: ...

    def describe(self, unit: str) -> str: ...


def _check_bounds(lower: float, upper: float) -> None:
    if not lower < upper:
        raise InputError(
            "a lower bound below the upper bound",
            f"lower = {lower:g} and upper = {upper:g}",
            "exchange the two, or set fixed = true",
        )


@dataclass(frozen=True)
class Flat:
    """No prior knowledge but bounds (either may be infinite): maximum likelihood within them.

    The bijection is logistic between two bounds, exponential above one, linear without bounds,
    with `scale` the typical size of the parameter.
    """

    lower: float = -math.inf
    upper: float = math.inf
    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_bounds(self.lower, self.upper)

    @property
    def informative(self) -> bool:
        return False

    def to_physical(self, u: Values) -> Values:
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            return self.lower + (self.upper - self.lower) * jax.nn.sigmoid(u)
        if math.isfinite(self.lower):
            return self.lower + self.scale * jnp.exp(u)
        if math.isfinite(self.upper):
            return self.upper - self.scale * jnp.exp(-u)
        return self.scale * u

    def to_whitened(self, value: Values) -> Values:
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            return jnp.log(value - self.lower) - jnp.log(self.upper - value)
        if math.isfinite(self.lower):
            return jnp.log((value - self.lower) / self.scale)
        if math.isfinite(self.upper):
            return -jnp.log((self.upper - value) / self.scale)
        return value / self.scale

    def describe(self, unit: str) -> str:
        if math.isinf(self.lower) and math.isinf(self.upper):
            return "flat"
        return f"flat between {self.lower:g} and {self.upper:g} {_unit(unit)}".rstrip()


@dataclass(frozen=True)
class Normal:
    """Normal prior with physical `mean` and `sd`, truncated to bounds where they are given.

    `mean` and `sd` are those of the normal distribution before truncation.
    """

    mean: float
    sd: float
    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        _check_bounds(self.lower, self.upper)
        _check_positive_sd(self.sd)
        if not self.lower < self.mean < self.upper:
            raise InputError(
                "the mean of a normal prior inside its bounds",
                f"mean = {self.mean:g} with bounds {self.lower:g} to {self.upper:g}",
                "move the mean or widen the bounds",
            )

    @property
    def informative(self) -> bool:
        return True

    @property
    def _untruncated(self) -> bool:
        """Whether the bounds cut off less than double precision can tell."""
        return min(self.mean - self.lower, self.upper - self.mean) > NO_MASS_BEYOND * self.sd

    def _tails(self) -> tuple[Array, Array]:
        a = ndtr(jnp.asarray((self.lower - self.mean) / self.sd))
        b = ndtr(jnp.asarray((self.mean - self.upper) / self.sd))  # mass above the upper bound
        return a, b

    def to_physical(self, u: Values) -> Values:
        if self._untruncated:
            return jnp.clip(self.mean + self.sd * u, self.lower, self.upper)
        # The quantile of the truncated normal, from whichever tail is the smaller, which keeps
        # its digits far from the mean.
        a, b = self._tails()
        mass = 1.0 - a - b
        below = u < 0.0
        low = ndtri(a + mass * ndtr(jnp.where(below, u, 0.0)))
        high = -ndtri(b + mass * ndtr(-jnp.where(below, 0.0, u)))
        value = self.mean + self.sd * jnp.where(below, low, high)
        return jnp.clip(value, self.lower, self.upper)

    def to_whitened(self, value: Values) -> Values:
        z = (value - self.mean) / self.sd
        if self._untruncated:
            return z
        a, b = self._tails()
        mass = 1.0 - a - b
        below = (ndtr(z) - a) / mass
        above = (ndtr(-z) - b) / mass
        return jnp.where(below < 0.5, ndtri(below), -ndtri(above))

    def describe(self, unit: str) -> str:
        text = f"normal, {self.mean:g} ± {self.sd:g} {_unit(unit)}".rstrip()
        if math.isinf(self.lower) and math.isinf(self.upper):
            return text
        return f"{text}, within {self.lower:g} to {self.upper:g}"


@dataclass(frozen=True)
class LogNormal:
    """Log-normal prior of a positive parameter, with physical `mean` and `sd`."""

    mean: float
    sd: float
    lower: float = 0.0
    upper: float = math.inf

    def __post_init__(self) -> None:
        _check_positive_sd(self.sd)
        if self.mean <= 0.0:
            raise InputError(
                "a positive mean of a log-normal prior", f"{self.mean:g}", "use a normal prior"
            )
        if self.lower != 0.0 or math.isfinite(self.upper):
            raise InputError(
                "a log-normal prior without bounds (it is positive by itself)",
                f"lower = {self.lower:g} and upper = {self.upper:g}",
                "leave the bounds out, or use a normal prior with bounds",
            )

    @property
    def informative(self) -> bool:
        return True

    @property
    def log_sd(self) -> float:
        return math.sqrt(math.log1p((self.sd / self.mean) ** 2))

    @property
    def log_mean(self) -> float:
        return math.log(self.mean) - 0.5 * self.log_sd**2

    def to_physical(self, u: Values) -> Values:
        return jnp.exp(self.log_mean + self.log_sd * u)

    def to_whitened(self, value: Values) -> Values:
        return (jnp.log(value) - self.log_mean) / self.log_sd

    def describe(self, unit: str) -> str:
        return f"log-normal, {self.mean:g} ± {self.sd:g} {_unit(unit)}".rstrip()


def _check_positive_sd(sd: float) -> None:
    if not sd > 0.0:
        raise InputError(
            "a positive standard deviation of a prior", f"{sd:g}", "fix the parameter instead"
        )


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


PRIORS = {"flat": Flat, "normal": Normal, "log-normal": LogNormal}
