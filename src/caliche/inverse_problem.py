"""The seam: a model, a site's forcing and observations, and a parameter space.

Every method takes an inverse problem and nothing else. u is the whitened control vector (P,).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.models.base import Model, Params, simulate
from caliche.observations import ObservationOperator, Observations
from caliche.parameters.space import ParameterSpace


class NormalEquations(NamedTuple):
    """Gauss-Newton quantities at a control vector.

    cost : () J = |r|^2 / 2.  gradient : (P,) J^T r.  hessian : (P, P) J^T J.
    """

    cost: Float[Array, ""]
    gradient: Float[Array, " parameter"]
    hessian: Float[Array, "parameter parameter"]


class InverseProblem(eqx.Module):
    """Estimate the free parameters of a model from observations.

    cost(u) = 1/2 sum(((forward(u) - y) / sigma)^2 over what was observed) + 1/2 |u_prior|^2,

    where u_prior are the entries of u with an informative prior.

    Attributes
    ----------
    model : any `Model`.
    forcing : name -> (time + 1,); entry k holds over the step that ends at time k.
    operator, observations : what was seen, and how well.
    space : free and fixed parameters.
    """

    model: Model
    forcing: dict[str, Float[Array, " time"]]
    operator: ObservationOperator
    observations: Observations
    space: ParameterSpace

    def __check_init__(self) -> None:
        if jnp.asarray(0.0).dtype != jnp.float64:
            raise RuntimeError(
                "Expected 64-bit floating point. Got JAX's 32-bit default. Try: call "
                "caliche.configure() right after the imports."
            )

    @property
    def mask(self) -> Array:
        """Which entries (time + 1, stream) are fitted: observed, and possible to predict."""
        visible = self.operator.visible(self.observations.mask.shape[0])
        return self.observations.mask & jnp.asarray(visible)

    def predict(self, params: Params) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) for physical parameters."""
        _, initial, series = simulate(self.model, params, self.forcing, self.operator.select)
        return self.operator.average(initial, series)

    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) at a control vector."""
        return self.predict(self.space.to_physical(u))

    def standardised_misfit(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        """(forward(u) - y) / sigma (time + 1, stream), zero where nothing was observed."""
        observed = self.observations
        # Where before subtracting: an unobserved prediction may be NaN, and 0 * NaN is not 0.
        prediction = jnp.where(self.mask, self.forward(u), observed.values)
        return (prediction - observed.values) / observed.sigma[None, :]

    def residual(self, u: Float[Array, " parameter"]) -> Float[Array, " residual"]:
        """The misfits, flattened, followed by the whitened prior departures."""
        prior = u[self.space.informative.nonzero()[0]]
        return jnp.concatenate([self.standardised_misfit(u).ravel(), prior])

    def cost(self, u: Float[Array, " parameter"]) -> Float[Array, ""]:
        """J(u) = |residual(u)|^2 / 2."""
        return 0.5 * jnp.sum(self.residual(u) ** 2)

    def log_posterior(self, u: Float[Array, " parameter"]) -> Float[Array, ""]:
        """-J(u): the log posterior density of u up to a constant."""
        return -self.cost(u)

    def normal_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        """Cost, gradient and Gauss-Newton Hessian by forward tangents, one per parameter."""
        residual, jacobian = self.linearise(u)
        return NormalEquations(
            0.5 * jnp.sum(residual**2), jacobian.T @ residual, jacobian.T @ jacobian
        )

    def linearise(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, " residual"], Float[Array, "residual parameter"]]:
        """Residual and its exact Jacobian (residual, parameter)."""

        def tangent(direction: Float[Array, " parameter"]) -> tuple[Array, Array]:
            return jax.jvp(self.residual, (u,), (direction,))

        residual, columns = jax.vmap(tangent, out_axes=(None, 1))(jnp.eye(len(u)))
        return residual, columns

    @property
    def n_observations(self) -> int:
        """Number of observed values that are fitted."""
        return int(np.asarray(self.mask).sum())
