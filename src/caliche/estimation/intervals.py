"""95 % intervals of parameters about an optimum, and physical values of many control vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.bounded import Quadratic, bounded_intervals, near_bounds
from caliche.estimation.curvature import Posterior
from caliche.estimation.method import BOUND_REACHED
from caliche.parameters.space import ParameterSpace


def quadratic_at(space: ParameterSpace, curvature: Posterior) -> Quadratic:
    """The misfit about an optimum, as quadratic in the coordinates of the space."""
    w, by_u, values, slopes = (
        np.asarray(part) for part in _coordinates(space, jnp.asarray(curvature.u))
    )
    to_u = np.linalg.inv(by_u)
    return Quadratic(
        w,
        values,
        (slopes * by_u).sum(axis=1) / (by_u**2).sum(axis=1),
        to_u.T @ curvature.gradient,
        to_u.T @ curvature.hessian @ to_u,
        np.array([curvature.sd(row) for row in by_u]),
        held_entries(space, curvature, w),
    )


def held_entries(space: ParameterSpace, curvature: Posterior, w: np.ndarray) -> np.ndarray:
    """Which parameters, or knots at coordinates w, lie on a bound that held them.

    Where a bound holds the first knot, the others that lie there too have no error bar either.
    """
    held, lead = [], False
    for k, entry in enumerate(space.entries):
        if entry.leads:
            lead = bool(curvature.held[k])
        held.append(lead and (entry.leads or abs(w[k]) > BOUND_REACHED))
    return np.array(held)


def intervals(space: ParameterSpace, at: Quadratic) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the physical values (P,): symmetric in the coordinates, and where a bound
    is near by profile within it."""
    known = np.isfinite(at.sd) & ~at.held
    reach = NORMAL_QUANTILE * np.where(known, at.sd, 0.0)
    low, high = at.w - reach, at.w + reach
    finite = bool(np.isfinite(at.hessian).all())
    near = near_bounds(space, at) if finite else np.zeros(len(at.w), bool)
    inside = np.zeros((2, len(at.w)))
    if near.any():
        inside = np.stack(bounded_intervals(space, at, near))
        low, high = (np.where(known & ~near, part, at.w) for part in inside)
        known = known | near
    below, above = to_physical(_values, space, [low, high])
    priors = [entry.parameter.prior for entry in space.entries]
    lower, upper = np.array([p.lower for p in priors]), np.array([p.upper for p in priors])
    below = np.where(near, inside[0], np.where(known, below, lower))
    above = np.where(near, inside[1], np.where(known, above, upper))
    return np.clip(below, lower, upper), np.clip(above, lower, upper)


def slopes_at(space: ParameterSpace, u: np.ndarray) -> np.ndarray:
    """Derivative (P, P) of the physical values by u."""
    return np.asarray(_coordinates(space, jnp.asarray(u))[3])


@jax.jit
def _coordinates(space: ParameterSpace, u: Float[Array, " p"]) -> tuple[Array, ...]:
    """Coordinates (P,) and their derivative (P, P) by u; physical values and theirs."""
    return (
        space.coordinates(u),
        jax.jacfwd(space.coordinates)(u),
        space.vector(u),
        jax.jacfwd(space.vector)(u),
    )


@jax.jit
def _values(space: ParameterSpace, w: Float[Array, "row p"]) -> Float[Array, "row p"]:
    return jax.vmap(space.from_coordinates)(w)


def to_physical(
    function: Callable, space: ParameterSpace, controls: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Physical values of many vectors (..., P), in one compiled call."""
    rows = [np.reshape(u, (-1, u.shape[-1])) for u in controls]
    physical = np.asarray(function(space, jnp.asarray(np.concatenate(rows))))
    parts = np.split(physical, np.cumsum([len(r) for r in rows])[:-1])
    return [part.reshape(u.shape) for part, u in zip(parts, controls, strict=True)]
