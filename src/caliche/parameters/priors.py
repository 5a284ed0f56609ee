"""Priors, each a bijection between a whitened coordinate u and the physical value.

Under an informative prior u ~ N(0, 1) exactly, so the prior's part of the residual is u itself.
A flat prior has no part in the residual: its bijection only keeps the bounds.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from caliche.errors import InputError

Values = Float[Array, "..."]  # one value, or a series
Number = Float[Array, ""]

# Standard deviations from the mean beyond which a normal distribution has less mass than 1e-16.
NO_MASS_BEYOND = 8.3
# Bounds further out are not mentioned. Those of a log-normal prior cut off less than one in a
# million there; of a normal one only those go unmentioned that stand for none.
UNTOLD_NORMAL, UNTOLD = 1e6, 5.0
# Beyond so many the tail of a normal distribution has no number of double precision.
FARTHEST = 37.0
# To round-off, from the first guess for whatever lies below FARTHEST.
_STEPS = 7


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
        _check_mean_inside("normal", self.mean, self.lower, self.upper)

    @property
    def informative(self) -> bool:
        return True

    @property
    def _ends(self) -> tuple[float, float]:
        return (self.lower - self.mean) / self.sd, (self.upper - self.mean) / self.sd

    def to_physical(self, u: Values) -> Values:
        return jnp.clip(self.mean + self.sd * _truncated(u, *self._ends), self.lower, self.upper)

    def to_whitened(self, value: Values) -> Values:
        return _whitened((value - self.mean) / self.sd, *self._ends)

    def describe(self, unit: str) -> str:
        text = f"normal, {self.mean:g} ± {self.sd:g} {_unit(unit)}".rstrip()
        low, high = self._ends
        if min(-low, high) > UNTOLD_NORMAL:
            return text
        return f"{text}, within {self.lower:g} to {self.upper:g}"


@dataclass(frozen=True)
class LogNormal:
    """Log-normal prior of a positive parameter, with physical `mean` and `sd`, truncated to bounds
    where they are given.

    `mean` and `sd` are those of the log-normal distribution before truncation. Its logarithm is a
    truncated normal.
    """

    mean: float
    sd: float
    lower: float = 0.0
    upper: float = math.inf

    def __post_init__(self) -> None:
        _check_bounds(self.lower, self.upper)
        _check_positive_sd(self.sd)
        if self.mean <= 0.0:
            raise InputError(
                "a positive mean of a log-normal prior", f"{self.mean:g}", "use a normal prior"
            )
        # It is positive by itself: a bound below zero says nothing.
        object.__setattr__(self, "lower", max(self.lower, 0.0))
        _check_mean_inside("log-normal", self.mean, self.lower, self.upper)

    @property
    def informative(self) -> bool:
        return True

    @property
    def log_sd(self) -> float:
        return math.sqrt(math.log1p((self.sd / self.mean) ** 2))

    @property
    def log_mean(self) -> float:
        return math.log(self.mean) - 0.5 * self.log_sd**2

    @property
    def _ends(self) -> tuple[float, float]:
        low = math.log(self.lower) if self.lower > 0.0 else -math.inf
        return (
            (low - self.log_mean) / self.log_sd,
            (math.log(self.upper) - self.log_mean) / self.log_sd,
        )

    def to_physical(self, u: Values) -> Values:
        value = jnp.exp(self.log_mean + self.log_sd * _truncated(u, *self._ends))
        return jnp.clip(value, self.lower, self.upper)

    def to_whitened(self, value: Values) -> Values:
        return _whitened((jnp.log(value) - self.log_mean) / self.log_sd, *self._ends)

    def describe(self, unit: str) -> str:
        text = f"log-normal, {self.mean:g} ± {self.sd:g} {_unit(unit)}".rstrip()
        low, high = self._ends
        if min(-low, high) > UNTOLD:  # what is physically possible is mostly further
            return text
        return f"{text}, within {self.lower:g} to {self.upper:g}"


# -- a standard normal truncated to low ... high, and the whitened coordinate ----------------------


def _untruncated(low: float, high: float) -> bool:
    """Whether the ends cut off less than double precision can tell."""
    return min(-low, high) > NO_MASS_BEYOND


def _below(z: float) -> float:
    """Mass of a standard normal below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _masses(low: float, high: float) -> tuple[float, float, float]:
    """Mass of a standard normal below `low`, above `high`, and between them."""
    below, above = _below(low), _below(-high)
    # From the tail that both ends are in, if they are: 1 - below would lose its digits.
    within = _below(-low) - above if low > 0.0 else 1.0 - below - above
    return below, above, _below(high) - below if high < 0.0 else within


def _truncated(u: Values, low: float, high: float) -> Values:
    """Quantile of the truncated normal with the probability that u ~ N(0, 1) has.

    From whichever tail is the smaller, which keeps its digits far from the middle.
    """
    if _untruncated(low, high):
        return u
    return _compiled_quantile(jnp.clip(u, -FARTHEST, FARTHEST), *_masses(low, high))


def _whitened(z: Values, low: float, high: float) -> Values:
    """The inverse of `_truncated`."""
    return z if _untruncated(low, high) else _coordinate(z, *_masses(low, high))


@jax.custom_jvp
def _quantile(u: Values, below: Number, above: Number, mass: Number) -> Values:
    negative = u < 0.0
    tail = mass * 0.5 * jax.lax.erfc(jnp.where(negative, -u, u) * math.sqrt(0.5))
    tail = jnp.where(negative, below, above) + tail

    def newton(_: Array, z: Values) -> Values:
        up_to = 0.5 * jax.lax.erfc(z * -math.sqrt(0.5))
        density = jnp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        return z - jnp.log(up_to / tail) * up_to / density

    # Newton's method for the logarithm of the mass below z, which is concave: from the left it goes
    # straight there. A loop, of which nothing is compiled again wherever its result is used.
    z = jax.lax.fori_loop(0, _STEPS, newton, -jnp.sqrt(-2.0 * jnp.log(tail)))
    return jnp.where(negative, z, -z)


@_quantile.defjvp
def _quantile_jvp(primals: tuple, tangents: tuple) -> tuple[Values, Values]:
    u, *masses = primals
    z = _quantile(u, *masses)
    return z, masses[2] * jnp.exp(0.5 * (z - u) * (z + u)) * tangents[0]


# The masses are arguments, so that JAX traces and compiles these once and not for each parameter.
_compiled_quantile = jax.jit(_quantile)


@jax.jit
def _coordinate(z: Values, below: Number, above: Number, mass: Number) -> Values:
    from_below, from_above = (ndtr(z) - below) / mass, (ndtr(-z) - above) / mass
    negative = from_below < 0.5
    quantile = ndtri(jnp.where(negative, from_below, from_above))
    return jnp.where(negative, quantile, -quantile)


def _check_mean_inside(kind: str, mean: float, lower: float, upper: float) -> None:
    if not lower < mean < upper:
        raise InputError(
            f"the mean of a {kind} prior inside its bounds",
            f"mean = {mean:g} with bounds {lower:g} to {upper:g}",
            "move the mean or widen the bounds",
        )


def _check_positive_sd(sd: float) -> None:
    if not sd > 0.0:
        raise InputError(
            "a positive standard deviation of a prior", f"{sd:g}", "fix the parameter instead"
        )


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


PRIORS = {"flat": Flat, "normal": Normal, "log-normal": LogNormal}


def within(prior: Prior, lower: float, upper: float, name: str) -> Prior:
    """The prior of a parameter with these bounds where it is informative and has none of its own.

    Raises
    ------
    InputError : a mean outside them.
    """
    own = {Normal: -math.inf, LogNormal: 0.0}.get(type(prior))
    if own is None:
        return prior
    try:
        return dataclasses.replace(
            prior,  # type: ignore[type-var]
            lower=lower if prior.lower == own else prior.lower,
            upper=upper if prior.upper == math.inf else prior.upper,
        )
    except InputError as error:
        raise InputError(
            f"{error.expected}, for parameter {name}", error.got, error.suggestion
        ) from None


def extremes(prior: Prior) -> tuple[float, float]:
    """Between which values a parameter can move: its bounds, or as far as a normal tail goes."""
    if not prior.informative:
        return prior.lower, prior.upper
    low, high = (float(prior.to_physical(jnp.asarray(u))) for u in (-FARTHEST, FARTHEST))
    return low, high
