"""The posterior density of u: with flat priors uniform in physical space, and whitened.

Under an informative prior u ~ N(0, 1), which J says already. A flat prior is uniform in its
parameter x, so that the density in u carries the slope dx/du.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.curvature import linearised, posterior
from caliche.estimation.method import BOUND_REACHED, RANK_TOLERANCE, at_bound
from caliche.parameters.rows import by_rows
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import Problem

# Where a parameter that sits on its bound is looked at instead: well inside it.
OFF_THE_BOUND = 3.0
# Least curvature of a prior with two bounds in its logistic coordinate: it is no wider than this
# says, wherever it is looked at.
LOGISTIC_CURVATURE = 0.1
# Scaled curvature below this, with a flat prior without bounds: the posterior has no end.
IMPROPER = 1e-13


def bounds_in_u(space: ParameterSpace, u: np.ndarray) -> list[tuple[float, float]]:
    """How far out each entry of u can go (lower, upper): as far as a flat prior's bounds matter.

    Infinite where there is no such bound; found from what the physical values do far out.
    """
    found = []
    for far, farther in ((-BOUND_REACHED, -3 * BOUND_REACHED), (BOUND_REACHED, 3 * BOUND_REACHED)):
        zero, at, beyond = (moved(space, u, np.full(len(u), x)) for x in (0.0, far, farther))
        stops = np.abs(beyond - at) < 1e-3 * np.abs(at - zero)
        found.append(np.where(stops & ~space.informative, far, np.sign(far) * np.inf))
    return [(float(low), float(high)) for low, high in zip(*found, strict=True)]


def moved(space: ParameterSpace, u: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Physical value (P,) of every parameter when it alone is moved from u to `to`."""
    rows = np.where(np.eye(len(u), dtype=bool), to[:, None], u[None, :])
    return np.diag(physical(space, rows))


@jax.jit
def _vectors(space: ParameterSpace, u: Float[Array, "row p"]) -> Float[Array, "row p"]:
    return jax.vmap(space.vector)(u)


def reach(space: ParameterSpace, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest physical values (P,) that a flat prior's bounds allow; else infinite."""
    bounds = np.array(bounds_in_u(space, u))
    ends = []
    for side, way in enumerate((-1.0, 1.0)):
        on_it = moved(space, u, np.full(len(u), way * 3 * BOUND_REACHED))
        ends.append(np.where(np.isfinite(bounds[:, side]), on_it, way * np.inf))
    return ends[0], ends[1]


def physical(space: ParameterSpace, u: np.ndarray) -> np.ndarray:
    """Physical values (..., P) of control vectors (..., P)."""
    rows = by_rows(functools.partial(_vectors, space), np.asarray(u).reshape(-1, u.shape[-1]))
    return rows.reshape(u.shape)


def log_slope(space: ParameterSpace, u: Float[Array, " parameter"]) -> Float[Array, ""]:
    """Sum of log |dx/du| over the parameters x with a flat prior: each depends on its own u."""
    flat = ~space.informative
    # Of a parameter that varies, the level: its entry of u is the coordinate itself.
    _, slopes = jax.jvp(space.from_coordinates, (u,), (jnp.ones_like(u),))
    return jnp.sum(jnp.where(flat, jnp.log(jnp.abs(jnp.where(flat, slopes, 1.0))), 0.0))


def log_density(
    problem: Problem, u: Float[Array, " parameter"], segments: int = 1
) -> Float[Array, ""]:
    """Log posterior density of u, up to a constant; flat priors are uniform in physical space."""
    return log_slope(problem.space, u) - problem.cost(u, segments)


class Whitening(NamedTuple):
    """u = centre + root z: (P,) and (P, P)."""

    centre: Float[Array, " parameter"]
    root: Float[Array, "parameter parameter"]


def whitening(problem: Problem, u: np.ndarray) -> Whitening:
    """Coordinates in which the Gaussian approximation of `log_density` is spherical.

    Raises
    ------
    InputError : a parameter that neither the observations nor a prior with an end determine.
    """
    centre = np.array(u, float)
    far = np.abs(centre) > BOUND_REACHED
    bounds = np.isfinite(bounds_in_u(problem.space, centre))
    centre = np.where(far & bounds.any(axis=1), np.sign(centre) * OFF_THE_BOUND, centre)
    floor = np.where(bounds.all(axis=1), LOGISTIC_CURVATURE, 0.0)
    curvature = np.array(_curvature(problem, jnp.asarray(centre), jnp.asarray(floor)))
    if not np.isfinite(curvature).all():
        raise InputError(
            "a finite misfit at the optimum", "none", "calibrate again, and look at the report"
        )
    scale = np.sqrt(np.clip(np.diag(curvature), 1e-300, None))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    unseen = (np.diag(curvature) < 1e-300) | (
        (vectors[:, values < IMPROPER * values[-1]] ** 2).sum(axis=1) > 1e-3
    )
    if unseen.any():
        names = [n for n, lost in zip(problem.space.names, unseen, strict=True) if lost]
        raise InputError(
            "a posterior that has an end in every direction",
            f"{' and '.join(names)}, which neither the observations nor a bound determine",
            "give bounds or a prior, or fix a parameter",
        )
    # A symmetric root in scaled coordinates: nothing depends on the order of the parameters.
    root = (vectors / np.sqrt(values)) @ vectors.T / scale[:, None]
    return Whitening(jnp.asarray(centre), jnp.asarray(root))


@jax.jit
def _curvature(
    problem: Problem, u: Float[Array, " p"], floor: Float[Array, " p"]
) -> Float[Array, "p p"]:
    """Gauss-Newton curvature of -log_density; flat priors add at least `floor` to it."""
    prior = -jnp.diagonal(jax.hessian(lambda v: log_slope(problem.space, v))(u))
    return problem.normal_equations(u).hessian + jnp.diag(jnp.maximum(prior, floor))


def degrees_of_freedom(problem: Problem, u: np.ndarray) -> float:
    """Number of parameters that the observations, rather than priors, determine at an optimum.

    tr(H^-1 J^T J) with J the Jacobian of the observations alone (Rodgers 2000, section 2.4).
    """
    curvature = posterior(problem, u)
    gained = curvature.hessian - np.diag(problem.space.informative.astype(float))
    return float(np.trace(curvature.covariance @ gained))


def log_evidence(problem: Problem, u: np.ndarray) -> float:
    """Log marginal likelihood of the observations, by Laplace's method at an optimum u (P,).

    -J - 1/2 log det H - log N, N what normalises the density of the fitted values, for informative
    priors: the volume of the Gaussian, (P/2) log 2 pi, and the norm of the prior cancel. Exact for
    a linear model with Gaussian errors and priors. A flat prior counts with a density of one over
    its parameter's unit, + log |dx/du| + 1/2 log 2 pi: then only differences between problems with
    the same flat priors mean something.

    Raises
    ------
    InputError : a parameter is held by a bound, or a direction is not determined at all.
    """
    space = problem.space
    residual, jacobian = linearised(problem, u)
    held = np.asarray(at_bound(space, u, jacobian.T @ residual))
    hessian = jacobian.T @ jacobian
    scale = np.sqrt(np.clip(np.diag(hessian), 1e-300, None))
    values = np.linalg.eigvalsh(hessian / np.outer(scale, scale))
    if held.any() or values[0] <= RANK_TOLERANCE * values[-1]:
        raise InputError(
            "an optimum inside the bounds that the observations and priors determine",
            "a parameter on its bound" if held.any() else "a direction that nothing determines",
            "fix a parameter, or give it a prior",
        )
    half_logdet = 0.5 * np.log(values).sum() + np.log(scale).sum()
    normaliser, slope = (float(part) for part in _constants(problem, jnp.asarray(u)))
    free = slope + 0.5 * math.log(2.0 * math.pi) * int((~space.informative).sum())
    return float(-0.5 * residual @ residual - half_logdet - normaliser + free)


@jax.jit
def _constants(problem: Problem, u: Float[Array, " parameter"]) -> tuple[Array, Array]:
    """Log of what normalises the density of the fitted values, and `log_slope`."""
    return problem.observations.log_normaliser(problem.mask), log_slope(problem.space, u)
