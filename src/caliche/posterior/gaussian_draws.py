"""Draws of the Gaussian posterior about an optimum, within the bounds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtr, ndtri

from caliche.estimation.bounded import box_of, near_bounds, seen_inverse
from caliche.estimation.curvature import Posterior
from caliche.estimation.intervals import quadratic_at
from caliche.parameters.space import ParameterSpace

SWEEPS = 30


def gaussian_draws(
    space: ParameterSpace, curvature: Posterior, seed: int, number: int = 400
) -> np.ndarray:
    """Draws u (number, P) of the Gaussian about the optimum.

    A parameter beside a bound, or on it, is drawn in its physical value from the normal
    distribution cut off there, the others along with it.
    """
    normal = np.random.default_rng([seed, 1])
    at = quadratic_at(space, curvature)
    near = near_bounds(space, at)
    if not near.any():
        values, vectors = np.linalg.eigh(curvature.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return curvature.u + normal.standard_normal((number, len(root))) @ root.T
    centre, hessian, slope, low, high = box_of(space, at, near)
    covariance = seen_inverse(hessian)
    mean = -covariance @ slope
    moved = _cut(mean, covariance, low, high, near, number, normal)
    w = np.where(near, at.w, centre + moved)
    u = at.w[None, :] + np.where(near, 0.0, w - at.w)
    inside = np.clip(centre + moved, centre + low, centre + high)
    return np.asarray(_controls(space, jnp.asarray(u), jnp.asarray(inside), jnp.asarray(near)))


def _cut(
    mean: np.ndarray,
    covariance: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    near: np.ndarray,
    number: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draws (number, P) of a normal distribution cut off at bounds of the entries `near`: Gibbs
    sampling of these, and then the others given them."""
    inner = np.flatnonzero(near)
    rest = np.flatnonzero(~near)
    part = covariance[np.ix_(inner, inner)]
    precision = np.linalg.pinv(part, hermitian=True)
    drawn = np.tile(np.clip(mean, low, high)[inner], (number, 1))
    for _ in range(SWEEPS if len(inner) > 1 else 1):
        for i, k in enumerate(inner):
            sd = 1.0 / np.sqrt(precision[i, i])
            pull = (drawn - mean[inner]) @ precision[i] - precision[i, i] * (drawn[:, i] - mean[k])
            middle = mean[k] - pull / precision[i, i]
            below, above = ndtr((low[k] - middle) / sd), ndtr((middle - high[k]) / sd)
            share = below + (1.0 - below - above) * generator.random(number)
            found = middle + sd * ndtri(np.clip(share, 1e-300, 1.0 - 1e-16))
            drawn[:, i] = np.clip(found, low[k], high[k])
    moved = np.zeros((number, len(mean)))
    moved[:, inner] = drawn
    if len(rest):
        across = covariance[np.ix_(rest, inner)] @ precision
        left = covariance[np.ix_(rest, rest)] - across @ covariance[np.ix_(inner, rest)]
        values, vectors = np.linalg.eigh(left)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        noise = generator.standard_normal((number, len(rest))) @ root.T
        moved[:, rest] = mean[rest] + (drawn - mean[inner]) @ across.T + noise
    return moved


@jax.jit
def _controls(
    space: ParameterSpace, w: Float[Array, "row p"], values: Float[Array, "row p"], near: Array
) -> Float[Array, "row p"]:
    """Control vectors of coordinates w, or physical values of the entries `near`."""
    to_u = jnp.linalg.inv(jax.jacfwd(space.coordinates)(jnp.zeros(w.shape[1])))

    def one(w: Float[Array, " p"], x: Float[Array, " p"]) -> Float[Array, " p"]:
        own = [e.parameter.prior.to_whitened(x[k]) for k, e in enumerate(space.entries)]
        inner = jnp.clip(jnp.stack(own), -30.0, 30.0)
        return to_u @ jnp.where(near, inner, w)

    return jax.vmap(one)(w, values)
