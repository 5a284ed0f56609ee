"""What observations can say about parameters, before any fit.

Everything follows from the exact Jacobian of the residual at one control vector. It holds there,
as far as the model is linear, and for the declared errors. With r = [(H(x) - y) / sigma; prior] the
Fisher information of the data is J^T J over the first rows; its inverse bounds the covariance of
any unbiased estimate (Rao 1945; Cramer 1946). Collinearity after Brun et al. (2001),
doi:10.1029/2000WR900350; degrees of freedom for signal after Rodgers (2000), Inverse Methods for
Atmospheric Sounding, section 2.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.method import RANK_TOLERANCE
from caliche.names import without_knot
from caliche.parameters.space import FreeParameter, ParameterSpace
from caliche.problems.inverse import InverseProblem

IDENTIFIED, WEAK, NOT_IDENTIFIED = "identified", "weakly identified", "not identified"
VERDICTS = (IDENTIFIED, WEAK, NOT_IDENTIFIED)
# The thresholds of the verdict; docs/identify.md argues for them.
PRECISE, VAGUE = 0.1, 0.5  # sd as a share of the parameter's yardstick
LEARNT, UNTOUCHED = 0.5, 0.1  # share of the prior variance that the data remove
TEMPERATURE = 10.0  # K, the largest yardstick of a temperature
NEAR_ZERO = 0.05  # of the range: the smallest yardstick where zero is allowed
# Singular values are roots of the eigenvalues that RANK_TOLERANCE is about.
SEEN = math.sqrt(RANK_TOLERANCE)
TOUCHED = 1e-3  # share of an unseen direction from which a quantity counts as touched by it


@dataclass(frozen=True)
class Entry:
    """One entry of the control vector, in physical units.

    `lower` and `upper` are its bounds, `start` its start range, `scale` its typical size where a
    flat prior names one. An entry that belongs to a moment, `albedo[2012-07-01]`, has what is
    declared for `albedo`.
    """

    name: str
    long_name: str
    unit: str
    value: float
    prior: str
    lower: float
    upper: float
    start: tuple[float, float] | None
    scale: float

    @property
    def ratio_scale(self) -> bool:
        """Whether a percentage of the value means something: zero is no convention."""
        return self.unit != "K" and self.lower >= 0.0 and self.value > 0.0

    @property
    def step(self) -> float:
        """The change by which sensitivities are scaled: 100 %, 1 K, or the typical size."""
        if self.unit == "K":
            return 1.0
        return self.value if self.ratio_scale else self._width

    @property
    def yardstick(self) -> float:
        """The size against which a standard deviation is judged (see docs/identify.md).

        The value, but no more than the range of its bounds; the range where zero is a convention,
        and for a temperature no more than 10 K.
        """
        if self.unit == "K":
            return min(self._width, TEMPERATURE)
        if not self.ratio_scale:
            return self._width
        width = self.upper - self.lower
        if not math.isfinite(width):
            return self.value
        floor = NEAR_ZERO * width if self.lower == 0.0 else 0.0
        return min(max(self.value, floor), width)

    @property
    def _width(self) -> float:
        low, high = self.start or (self.lower, self.upper)
        return high - low if math.isfinite(high - low) else self.scale


@dataclass(frozen=True)
class Linearised:
    """A problem's residual linearised at a control vector, by physical parameters.

    data : (row, P) derivatives of the standardised misfits, as the triangular factor of them.
    prior : (row, P) those of the whitened departures from the informative priors.
    """

    u: np.ndarray
    entries: tuple[Entry, ...]
    data: np.ndarray
    prior: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    @property
    def steps(self) -> np.ndarray:
        return np.array([entry.step for entry in self.entries])

    @property
    def yardsticks(self) -> np.ndarray:
        return np.array([entry.yardstick for entry in self.entries])


@dataclass(frozen=True)
class Inverse:
    """(J^T J)^-1 where J sees anything.

    covariance : (P, P), without the unseen directions.
    unseen : (P, m) directions that J does not see, orthonormal after multiplication by `scale`.
    scale : (P,) norms of the columns of J.
    values : (P,) singular values of J with columns of unit norm.
    """

    covariance: np.ndarray
    unseen: np.ndarray
    scale: np.ndarray
    values: np.ndarray

    def sd(self, slope: np.ndarray) -> float:
        """Standard deviation of a quantity with this gradient (P,); infinite if it is not seen."""
        length = np.linalg.norm(slope / self.scale)
        across = np.abs((self.scale[:, None] * self.unseen).T @ (slope / self.scale))
        if np.any(across > TOUCHED * length):
            return math.inf
        return float(np.sqrt(max(slope @ self.covariance @ slope, 0.0)))

    def sds(self) -> np.ndarray:
        """Standard deviation of every parameter (P,)."""
        return np.array([self.sd(row) for row in np.eye(len(self.scale))])


@dataclass(frozen=True)
class Identifiability:
    """What the observations can say about each parameter, in physical units.

    Attributes
    ----------
    sd : (P,) posterior, of data and priors: without informative priors the Cramer-Rao bound.
    sd_data : (P,) what the data say of it, with the priors of the others but not its own.
    sd_alone : (P,) the Cramer-Rao bound without any prior.
    sd_prior : (P,) infinite for a flat prior.
    shrinkage : (P,) share of the prior variance that the data remove; NaN for a flat prior.
    verdict : (P,) one of `VERDICTS`.
    singular_values : (P,) of the data's Jacobian, for a change of each parameter by its `step`.
    collinearity : 1 / the smallest singular value of that Jacobian with columns of unit norm.
    dfs : degrees of freedom for signal, the number of parameters that the data determine.
    correlation : (P, P) of the posterior; NaN beside a parameter that nothing constrains.
    """

    linearised: Linearised
    posterior: Inverse
    data: Inverse
    sd: np.ndarray
    sd_data: np.ndarray
    sd_alone: np.ndarray
    sd_prior: np.ndarray
    shrinkage: np.ndarray
    verdict: tuple[str, ...]
    singular_values: np.ndarray
    collinearity: float
    dfs: float
    correlation: np.ndarray

    @property
    def rank(self) -> int:
        """Number of directions the data see."""
        return len(self.sd) - self.data.unseen.shape[1]

    @property
    def condition_number(self) -> float:
        """Largest over smallest singular value; infinite if a direction is not seen."""
        if self.rank < len(self.sd):
            return math.inf
        return float(self.singular_values[0] / self.singular_values[-1])


@jax.jit
def _linearise(problem: InverseProblem, u: Float[Array, " p"]) -> tuple[Array, Array, Array]:
    space = problem.space
    return problem.linearise(u)[1], space.vector(u), jax.jacfwd(space.vector)(u)


def linearised(problem: InverseProblem, u: np.ndarray) -> Linearised:
    """The residual of a problem linearised at a control vector (P,).

    Raises
    ------
    InputError : the model has no finite derivatives there.
    """
    parts = _linearise(problem, jnp.asarray(u))
    jacobian, values, slopes = (np.asarray(part) for part in parts)
    if not all(np.isfinite(part).all() for part in (jacobian, values, slopes)):
        raise InputError(
            "finite derivatives of the model at these parameters",
            "none",
            "choose other values with --at or --set",
        )
    # The misfits come first, then the prior departures, then what is told of some directions more.
    n, prior = problem.observations.mask.size, int(problem.space.informative.sum())
    physical = by_physical(jacobian, slopes)
    told = np.concatenate([physical[:n], physical[n + prior :]])
    entries = tuple(
        _entry(problem.space, name, float(value))
        for name, value in zip(problem.space.names, values, strict=True)
    )
    return Linearised(np.asarray(u), entries, triangle(told), physical[n : n + prior])


def by_physical(by_u: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Derivatives (..., P) by physical values, from those by u and `slopes` = dx/du (P, P)."""
    return np.linalg.solve(slopes.T, by_u.reshape(-1, len(slopes)).T).T.reshape(by_u.shape)


def triangle(rows: np.ndarray) -> np.ndarray:
    """The triangular factor R (P, P) with R^T R = rows^T rows."""
    padded = np.concatenate([rows, np.zeros((max(0, rows.shape[1] - len(rows)), rows.shape[1]))])
    return np.asarray(np.linalg.qr(padded, mode="r"))


def _entry(space: ParameterSpace, name: str, value: float) -> Entry:
    by_name: dict[str, FreeParameter] = {p.name: p for p in space.free}
    p = by_name.get(name) or by_name.get(without_knot(name))
    if p is None:
        return Entry(name, name, "1", value, "flat", -math.inf, math.inf, None, 1.0)
    d, prior = p.declaration, p.prior
    return Entry(
        name,
        d.long_name,
        d.unit,
        value,
        space.describe_prior(p.name),
        prior.lower,
        prior.upper,
        p.start,
        getattr(prior, "scale", getattr(prior, "sd", 1.0)),
    )


def invert(rows: np.ndarray, steps: np.ndarray) -> Inverse:
    """(rows^T rows)^-1 of whatever the rows (n, P) see.

    `steps` (P,) scales columns of zeros, which have no scale of their own.
    """
    scale = np.linalg.norm(rows, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0 / steps)
    _, values, vectors = np.linalg.svd(triangle(rows) / scale)
    seen = values > SEEN * max(values[0], 1e-300)
    along = vectors[seen].T / values[seen]
    covariance = (along @ along.T) / np.outer(scale, scale)
    return Inverse(covariance, vectors[~seen].T / scale[:, None], scale, values)


def assess(linear: Linearised) -> Identifiability:
    """Standard deviations, shrinkage and verdicts of a linearised problem."""
    steps = linear.steps
    both = np.concatenate([linear.data, linear.prior])
    posterior, data = invert(both, steps), invert(linear.data, steps)
    sd, sd_alone = posterior.sds(), data.sds()
    sd_prior = _prior_sds(linear)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrinkage = np.where(np.isfinite(sd_prior), 1.0 - (sd / sd_prior) ** 2, np.nan)
        shrinkage = np.where(np.isfinite(sd_prior), np.clip(shrinkage, 0.0, 1.0), np.nan)
        # Precisions add: what the posterior has beyond the parameter's own prior is the data's.
        gained = 1.0 / sd**2 - 1.0 / sd_prior**2
        sd_data = np.where(gained > 1e-9 / sd**2, 1.0 / np.sqrt(gained), np.inf)
    verdicts = tuple(
        verdict(sd_data[k], shrinkage[k], sd_alone[k], entry.yardstick)
        for k, entry in enumerate(linear.entries)
    )
    collinear = math.inf if data.unseen.shape[1] else float(1.0 / data.values[-1])
    return Identifiability(
        linear,
        posterior,
        data,
        sd,
        sd_data,
        sd_alone,
        sd_prior,
        shrinkage,
        verdicts,
        np.linalg.svd(linear.data * steps, compute_uv=False),
        collinear,
        float(np.trace(posterior.covariance @ linear.data.T @ linear.data)),
        _correlation(posterior.covariance, sd),
    )


def verdict(sd_data: float, shrinkage: float, sd_alone: float, yardstick: float) -> str:
    """Whether the data identify a parameter.

    Parameters
    ----------
    sd_data : what the data say, without the parameter's own prior.
    shrinkage : share of the prior variance that they remove, NaN for a flat prior.
    sd_alone : the Cramer-Rao bound without any prior; infinite if the data alone do not see it.
    yardstick : see `Entry.yardstick`.
    """
    if not sd_data <= VAGUE * yardstick or shrinkage < UNTOUCHED:
        return NOT_IDENTIFIED
    outweighed = shrinkage < LEARNT  # the prior says more than the data
    if sd_data <= PRECISE * yardstick and not outweighed and math.isfinite(sd_alone):
        return IDENTIFIED
    return WEAK


def _prior_sds(linear: Linearised) -> np.ndarray:
    """Marginal standard deviations (P,) of the priors, infinite where there is none."""
    if not len(linear.prior):
        return np.full(len(linear.entries), np.inf)
    return invert(linear.prior, linear.steps).sds()


def _correlation(covariance: np.ndarray, sd: np.ndarray) -> np.ndarray:
    known = np.isfinite(sd) & (sd > 0.0)
    scale = np.where(known, sd, 1.0)
    correlation = np.where(np.outer(known, known), covariance / np.outer(scale, scale), np.nan)
    np.fill_diagonal(correlation, 1.0)
    return np.clip(correlation, -1.0, 1.0)


@jax.jit
def _derived(problem: InverseProblem, u: Float[Array, " p"]) -> tuple[dict, dict, Array]:
    def values(u: Float[Array, " p"]) -> dict[str, Array]:
        found = problem.model.derived(problem.space.to_physical(u))
        return {name: value for name, value in found.items() if jnp.ndim(value) == 0}

    return values(u), jax.jacfwd(values)(u), jax.jacfwd(problem.space.vector)(u)


def derived_gradients(
    problem: InverseProblem, u: np.ndarray
) -> dict[str, tuple[float, np.ndarray]]:
    """Quantities the model computes from parameters: value, and gradient (P,) by physical ones."""
    values, by_u, slopes = _derived(problem, jnp.asarray(u))
    slopes = np.asarray(slopes)
    return {
        name: (float(value), by_physical(np.asarray(by_u[name]), slopes))
        for name, value in values.items()
    }
