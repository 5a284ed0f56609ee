"""A Gaussian process given its length-scales: its likelihood, and what it says at other points.

y(x) = h(x)^T beta + sigma^2 GP, with a flat prior on beta and 1 / sigma^2 on the variance. With R
the correlation plus nugget, R = L L^T, the basis H and L^-1 H = Q R_q:

    beta = R_q^-1 Q^T L^-1 y,   e = L^-1 y - Q Q^T L^-1 y,   sigma^2 = e^T e / (N - q)
    log restricted likelihood = -(N - q)/2 ln sigma^2 - sum ln L_ii - sum ln |R_q,ii|

(Santner, Williams and Notz 2018, doi:10.1007/978-1-4939-8847-1). Predictions are Student's t with
N - q degrees of freedom. Everything is solved with R scaled to a unit diagonal, which the variances
of slopes, 1 / l^2, need (Marchildon and Zingg 2023, arXiv:2307.05855).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.emulators.basis import design, terms
from caliche.emulators.covariance import covariance, slope_variance
from caliche.emulators.rows import Rows

# Condition of R that the least nugget allows: its largest eigenvalue is at most N.
WORST_CONDITION = 1e12
# Least variance of an output, over its own: an exact polynomial has none left.
LEAST_VARIANCE = 1e-20


class Theta(NamedTuple):
    """Hyperparameters: length-scales (P,), and nuggets of values and of slopes, over the variance
    of each."""

    scales: Array
    nugget: Array
    slope_nugget: Array


def unpack(log_theta: Float[Array, " t"]) -> Theta:
    """From logarithms (P + 2,)."""
    theta = jnp.exp(log_theta)
    return Theta(theta[:-2], theta[-2], theta[-1])


def correlation(kernel: str, rows: Rows, theta: Theta) -> Float[Array, "row row"]:
    """R of the rows: correlation plus nugget; rows that only fill up are those of the identity."""
    at, where = rows.points, rows.slopes_at
    plain = covariance(kernel, theta.scales, at, where, at, where)
    floor = rows.count / WORST_CONDITION
    values = jnp.full(len(at), 1.0) * (theta.nugget + floor)
    variance = slope_variance(kernel) / theta.scales**2
    slopes = jnp.tile((theta.slope_nugget + floor) * variance, len(where))
    real = rows.mask[:, None] * rows.mask[None, :]
    noise = jnp.concatenate([values, slopes])
    return plain * real + jnp.diag(jnp.where(rows.mask > 0.0, noise, 1.0))


class Factors(NamedTuple):
    """R and the basis taken apart, for one output.

    inverse : (row, row) L^-1 of the scaled R, times the scale of each row.
    basis : (row, q) L^-1 H.  q : (row, q), r : (q, q).  e : (row,).  variance : () sigma^2.
    beta : (q,).  weights : (row,) of the rows in the mean, R^-1 (y - H beta).
    log_likelihood : () restricted, without its constant.
    """

    inverse: Array
    basis: Array
    q: Array
    r: Array
    e: Array
    variance: Array
    beta: Array
    weights: Array
    log_likelihood: Array


def factorise(
    rows: Rows, y: Float[Array, " row"], basis: str, matrix: Float[Array, "row row"]
) -> Factors:
    """R, the basis and an output y taken apart; see the top of this module."""
    scale = 1.0 / jnp.sqrt(jnp.diagonal(matrix))
    lower = jnp.linalg.cholesky(matrix * scale[:, None] * scale[None, :])
    plain = jax.scipy.linalg.solve_triangular(lower, jnp.eye(len(y)), lower=True)
    inverse = plain * scale[None, :]
    h = design(basis, rows.points, rows.slopes_at) * rows.mask[:, None]
    whitened = inverse @ h
    q, r = jnp.linalg.qr(whitened)
    target = inverse @ y
    along = q.T @ target
    e = target - q @ along
    e = e - q @ (q.T @ e)  # once more: an exact polynomial leaves round-off alone
    left = rows.count - h.shape[1]
    variance = e @ e / left + LEAST_VARIANCE
    likelihood = (
        -0.5 * left * jnp.log(variance)
        - jnp.sum(jnp.log(jnp.diagonal(lower)))
        + jnp.sum(rows.mask * jnp.log(scale))
        - jnp.sum(jnp.log(jnp.abs(jnp.diagonal(r))))
    )
    beta = jax.scipy.linalg.solve_triangular(r, along)
    return Factors(inverse, whitened, q, r, e, variance, beta, inverse.T @ e, likelihood)


@functools.partial(jax.jit, static_argnums=(0, 1))
def likelihood_and_slope(
    kernel: str, basis: str, rows: Rows, y: Float[Array, " row"], log_theta: Float[Array, " t"]
) -> tuple[Float[Array, ""], Float[Array, " t"]]:
    """The restricted log likelihood, and its exact derivative by the logarithms (P + 2,).

    d/dR of it is (w w^T / sigma^2 - Q) / 2 with w = R^-1 (y - H beta) and
    Q = R^-1 - R^-1 H (H^T R^-1 H)^-1 H^T R^-1, so that no factorisation is differentiated.
    """
    matrix, back = jax.vjp(lambda t: correlation(kernel, rows, unpack(t)), log_theta)
    f = factorise(rows, y, basis, matrix)
    known = f.inverse.T @ f.q
    projected = f.inverse.T @ f.inverse - known @ known.T
    (slope,) = back(0.5 * (jnp.outer(f.weights, f.weights) / f.variance - projected))
    return f.log_likelihood, slope


@functools.partial(jax.jit, static_argnums=(0, 1))
def projected_inverse(
    kernel: str, basis: str, rows: Rows, y: Float[Array, " row"], log_theta: Float[Array, " t"]
) -> tuple[Array, Array, Array]:
    """Q (row, row), Q y (row,) and sigma^2, of which what is left out of a fit follows."""
    f = factorise(rows, y, basis, correlation(kernel, rows, unpack(log_theta)))
    known = f.inverse.T @ f.q
    return f.inverse.T @ f.inverse - known @ known.T, f.weights, f.variance


class Process(eqx.Module):
    """Processes of one kernel and basis, ready to predict. D draws of hyperparameters each.

    Attributes
    ----------
    points, slopes_at, mask : of the rows.
    scales : (D, P).  nugget : (D,).  weight : (D,), sum 1.
    inverse : (D, row, row).  rows_weight : (D, row).  beta : (D, q).  variance : (D,).
    own, shared : (D, q, q) and (D, q, row), with which the uncertainty of beta enters.
    freedom : N - q.  inflation : by which the variance is multiplied.
    """

    kernel: str = eqx.field(static=True)
    basis: str = eqx.field(static=True)
    points: Float[Array, "n p"]
    slopes_at: Float[Array, "a p"]
    mask: Float[Array, " row"]
    scales: Float[Array, "d p"]
    nugget: Float[Array, " d"]
    weight: Float[Array, " d"]
    inverse: Float[Array, "d row row"]
    rows_weight: Float[Array, "d row"]
    beta: Float[Array, "d q"]
    variance: Float[Array, " d"]
    own: Float[Array, "d q q"]
    shared: Float[Array, "d q row"]
    freedom: Float[Array, ""]
    inflation: Float[Array, ""]

    # -- one point of the unit box ----------------------------------------------------------------

    def mean(self, x: Float[Array, " p"]) -> Float[Array, ""]:
        """The mean at a point of the unit box."""
        return jnp.sum(self.weight * self._means(x))

    def _means(self, x: Float[Array, " p"]) -> Float[Array, " d"]:
        h = terms(self.basis, x)
        return jax.vmap(lambda k, w, b: k @ w + h @ b)(
            self._cross(x[None])[:, 0], self.rows_weight, self.beta
        )

    def moments(self, x: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and variance at a point: of Student's t, with the spread over the draws."""
        means, covariances = self._each(x[None])
        mean = jnp.sum(self.weight * means[:, 0])
        own = jnp.maximum(covariances[:, 0, 0], 0.0) + self.variance * self.nugget
        spread = jnp.sum(self.weight * (self.t_factor * own + (means[:, 0] - mean) ** 2))
        return mean, self.inflation * spread

    # -- several ----------------------------------------------------------------------------------

    def joint(self, x: Float[Array, "m p"]) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
        """Means and covariance of several points together, nugget included."""
        means, covariances = self._each(x)
        mean = jnp.einsum("d,dm->m", self.weight, means)
        own = covariances + (self.variance * self.nugget)[:, None, None] * jnp.eye(len(x))[None]
        apart = means - mean[None]
        spread = jnp.einsum("d,dmn->mn", self.weight * self.t_factor, own)
        spread += jnp.einsum("d,dm,dn->mn", self.weight, apart, apart)
        return mean, self.inflation * spread

    @property
    def t_factor(self) -> Float[Array, ""]:
        """Variance of Student's t over that of the normal distribution."""
        return self.freedom / (self.freedom - 2.0)

    def _cross(self, x: Float[Array, "m p"]) -> Float[Array, "d m row"]:
        nothing = jnp.zeros((0, x.shape[1]))

        def one(scales: Array) -> Array:
            return covariance(self.kernel, scales, x, nothing, self.points, self.slopes_at)

        return jax.vmap(one)(self.scales) * self.mask[None, None, :]

    def _each(self, x: Float[Array, "m p"]) -> tuple[Float[Array, "d m"], Float[Array, "d m m"]]:
        """Means (D, m) and latent covariances (D, m, m) with each draw."""
        h = jax.vmap(lambda one: terms(self.basis, one))(x)
        nothing = jnp.zeros((0, x.shape[1]))

        def one(k: Array, process: tuple) -> tuple[Array, Array]:
            scales, inverse, weights, beta, variance, own, shared = process
            z = inverse @ k.T  # (row, m)
            p = own @ h.T - shared @ z
            prior = covariance(self.kernel, scales, x, nothing, x, nothing)
            return k @ weights + h @ beta, variance * (prior - z.T @ z + p.T @ p)

        return jax.vmap(one)(
            self._cross(x),
            (
                self.scales,
                self.inverse,
                self.rows_weight,
                self.beta,
                self.variance,
                self.own,
                self.shared,
            ),
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def process_of(
    kernel: str,
    basis: str,
    rows: Rows,
    y: Float[Array, " row"],
    log_theta: Float[Array, "d t"],
    weight: Float[Array, " d"],
    inflation: Float[Array, ""],
) -> Process:
    """The process of an output y at draws of the logarithms of its hyperparameters (D, P + 2)."""

    def one(log_theta: Array) -> tuple:
        theta = unpack(log_theta)
        f = factorise(rows, y, basis, correlation(kernel, rows, theta))
        own = jax.scipy.linalg.solve_triangular(f.r, jnp.eye(len(f.beta)), trans=1)
        return (
            theta.scales,
            theta.nugget,
            f.inverse,
            f.weights,
            f.beta,
            f.variance,
            own,
            own @ f.basis.T,
        )

    scales, nugget, inverse, weights, beta, variance, own, shared = jax.lax.map(one, log_theta)
    return Process(
        kernel,
        basis,
        rows.points,
        rows.slopes_at,
        rows.mask,
        scales,
        nugget,
        weight,
        inverse,
        weights,
        beta,
        variance,
        own,
        shared,
        rows.count - beta.shape[1],
        inflation,
    )


@jax.jit
def moments_at(
    process: Process, x: Float[Array, "m p"]
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Means and variances at points of the unit box."""
    return jax.vmap(process.moments)(x)


@jax.jit
def joint_at(
    process: Process, x: Float[Array, "m p"]
) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Means and covariance at points of the unit box."""
    return process.joint(x)


@jax.jit
def slopes_at(process: Process, x: Float[Array, "m p"]) -> Float[Array, "m p"]:
    """The exact slopes of the mean at points of the unit box."""
    return jax.vmap(jax.grad(process.mean))(x)
