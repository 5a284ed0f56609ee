"""95 % intervals of parameters about an optimum, and physical values of many control vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.bounded import Quadratic, bounded_intervals, near_bounds
from caliche.estimation.posterior import Posterior
from caliche.parameters.space import ParameterSpace


def intervals(
    space: ParameterSpace,
    curvature: Posterior,
    w: np.ndarray,
    by_u: np.ndarray,
    slopes: np.ndarray,
    values: np.ndarray,
    held: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the physical values (P,): symmetric in the coordinates w (P,), which are
    linear in u with derivative `by_u`, and where a bound is near by profile within it."""
    sd = np.array([curvature.sd(row) for row in by_u])
    known = np.isfinite(sd) & ~held
    reach = NORMAL_QUANTILE * np.where(known, sd, 0.0)
    low, high = w - reach, w + reach
    stretch = (slopes * by_u).sum(axis=1) / (by_u**2).sum(axis=1)
    to_u = np.linalg.inv(by_u)
    at = Quadratic(
        w, values, stretch, to_u.T @ curvature.gradient, to_u.T @ curvature.hessian @ to_u, sd, held
    )
    near = near_bounds(space, at) if np.isfinite(at.hessian).all() else np.zeros(len(w), bool)
    inside = np.zeros((2, len(w)))
    if near.any():
        inside = np.stack(bounded_intervals(space, at, near))
        known = known | near
        low, high = (np.where(known & ~near, part, w) for part in inside)
    below, above = to_physical(_values, space, [low, high])
    lower, upper = (np.array([getattr(e.parameter.prior, end) for e in space.entries])
                    for end in ("lower", "upper"))  # fmt: skip
    below = np.where(near, inside[0], np.where(known, below, lower))
    above = np.where(near, inside[1], np.where(known, above, upper))
    return np.clip(below, lower, upper), np.clip(above, lower, upper)


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
