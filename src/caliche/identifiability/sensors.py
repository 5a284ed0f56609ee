"""What sensors would say about parameters: Fisher information of candidates, and of sets of them.

One run of the model with tangents gives the sensitivity of every candidate; after that any set of
sensors is linear algebra. A candidate is taken to give a value at the end of every step (time zero
is no step's end), with white errors or with errors that persist from value to value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.identifiability.linearised import Inverse, Linearised, by_physical, invert, triangle
from caliche.observations import Stream, make_operator
from caliche.problems.inverse import InverseProblem
from caliche.variables import variable

# Typical error of one half-hourly or hourly value, instrument and representativeness together, in
# the units of `caliche.variables`. Round numbers of ours; random errors of turbulent fluxes grow
# with the flux (Richardson et al. 2006, doi:10.1016/j.agrformet.2006.01.007): daytime here.
TYPICAL_SIGMA = {
    "soil_temperature": 0.2,
    "surface_temperature": 1.0,
    "outgoing_shortwave": 5.0,
    "outgoing_longwave": 5.0,
    "net_radiation": 15.0,
    "sensible_heat_flux": 20.0,
    "latent_heat_flux": 25.0,
    "turbulent_heat_flux": 30.0,
    "ground_heat_flux": 10.0,
}
MOST_SETS = 100_000


@dataclass(frozen=True)
class Candidate:
    """A sensor that could be there: its stream, and the standard deviation of its error."""

    stream: str
    sigma: float

    def __post_init__(self) -> None:
        if not (self.sigma > 0.0 and math.isfinite(self.sigma)):
            raise InputError(
                f"a positive sigma of {self.stream}",
                f"{self.sigma:g}",
                f"give the error of one value in {variable(self.stream).unit}",
            )


@dataclass(frozen=True)
class SensorSet:
    """What a set of sensors would determine.

    Attributes
    ----------
    streams : its sensors; none for what is there without any.
    sd : (P,) posterior standard deviations, infinite where nothing constrains a parameter.
    a, d : root mean square of the standard deviations of the parameters, and geometric mean of
        those along the axes of the error ellipsoid (A- and D-optimality), in units of the
        parameters' yardsticks. Infinite if a direction is not seen.
    condition : condition number, for a change of each parameter by its `step`.
    """

    streams: tuple[str, ...]
    sd: np.ndarray
    a: float
    d: float
    condition: float


@jax.jit
def _tangents(problem: InverseProblem, u: Float[Array, " p"]) -> tuple[Array, Array]:
    return problem.predict_tangents(u)[1], jax.jacfwd(problem.space.vector)(u)


def sensitivities(
    problem: InverseProblem, u: np.ndarray, streams: Sequence[str]
) -> Float[np.ndarray, "step stream p"]:
    """Derivatives of streams at the end of each step by physical parameters, in one model run.

    Raises
    ------
    InputError : a stream the model does not give, or no finite derivatives.
    """
    operator = make_operator(problem.model, [Stream(name) for name in streams])
    asked = dataclasses.replace(problem, operator=operator)
    slopes, dx_du = (np.asarray(part) for part in _tangents(asked, jnp.asarray(u)))
    if not np.isfinite(slopes[1:]).all():
        raise InputError(
            "finite derivatives of the candidates at these parameters",
            "none",
            "choose other values with --at or --set",
        )
    return by_physical(slopes[1:], dx_du)


def factors(
    slopes: Float[np.ndarray, "step stream p"],
    candidates: Sequence[Candidate],
    autocorrelation: float = 0.0,
) -> Float[np.ndarray, "stream p p"]:
    """Triangular factor R of each candidate's Fisher information R^T R.

    `autocorrelation` is that of successive errors (an AR(1) process of standard deviation sigma);
    the series are whitened by it.

    Raises
    ------
    InputError : an autocorrelation outside 0 ... 1.
    """
    if not 0.0 <= autocorrelation < 1.0:
        raise InputError(
            "an autocorrelation of at least 0 and below 1",
            f"{autocorrelation:g}",
            "0 for independent errors",
        )
    innovations = slopes[1:] - autocorrelation * slopes[:-1]
    whitened = np.concatenate([slopes[:1], innovations / math.sqrt(1.0 - autocorrelation**2)])
    return np.stack([triangle(whitened[:, k] / c.sigma) for k, c in enumerate(candidates)])


def sensor_sets(
    streams: Sequence[str],
    of_streams: Float[np.ndarray, "stream p p"],
    given: Float[np.ndarray, "row p"],
    linear: Linearised,
    largest: int,
) -> list[SensorSet]:
    """Every set of up to `largest` sensors, with what is given besides: priors, sensors in place.

    Raises
    ------
    InputError : more than 100 000 sets.
    """
    number = sum(math.comb(len(streams), k) for k in range(1, largest + 1))
    if number > MOST_SETS:
        raise InputError(
            f"at most {MOST_SETS} sets of sensors", f"{number}", "fewer candidates or smaller sets"
        )
    return list(_evaluate(streams, of_streams, given, linear, largest))


def _evaluate(
    streams: Sequence[str],
    of_streams: np.ndarray,
    given: np.ndarray,
    linear: Linearised,
    largest: int,
) -> Iterator[SensorSet]:
    for size in range(1, largest + 1):
        for chosen in combinations(range(len(streams)), size):
            rows = np.concatenate([given, *of_streams[list(chosen)]])
            yield evaluated(tuple(streams[k] for k in chosen), rows, linear)


def evaluated(streams: tuple[str, ...], rows: np.ndarray, linear: Linearised) -> SensorSet:
    """A set of sensors by the rows (n, P) of its sensitivities over their errors."""
    steps, yardsticks = linear.steps, linear.yardsticks
    inverse = invert(rows, steps)
    sd = inverse.sds()
    a = float(np.sqrt(np.mean((sd / yardsticks) ** 2)))
    singular = np.linalg.svd(triangle(rows) * steps, compute_uv=False)
    condition = math.inf if inverse.unseen.shape[1] else float(singular[0] / singular[-1])
    return SensorSet(streams, sd, a, _d(inverse, yardsticks), condition)


def _d(inverse: Inverse, yardsticks: np.ndarray) -> float:
    """det(covariance)^(1 / 2P) in units of the yardsticks."""
    if inverse.unseen.shape[1]:
        return math.inf
    logs = np.log(inverse.values) + np.log(inverse.scale * yardsticks)
    return float(np.exp(-np.mean(logs)))
