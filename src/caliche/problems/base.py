"""What every method takes: a prediction at a control vector, observations, and a space.

The cost has two parts: what the observations say (`misfit`), which each problem computes in its own
way, and what is known besides them (`background`). u is the whitened control vector (P,).
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.observations import Observations
from caliche.parameters.space import ParameterSpace


class NormalEquations(NamedTuple):
    """Gauss-Newton quantities at a control vector.

    cost : () J = |r|^2 / 2.  gradient : (P,) J^T r.  hessian : (P, P) J^T J.
    """

    cost: Float[Array, ""]
    gradient: Float[Array, " parameter"]
    hessian: Float[Array, "parameter parameter"]


class Problem(eqx.Module):
    """What every method takes: a prediction at a control vector, observations, and a space.

    Attributes
    ----------
    space : free and fixed parameters, those of the observations included.
    observations : what was seen, and how well.
    """

    if TYPE_CHECKING:  # a field in one, computed in another; as fields here they would come first

        @property
        def space(self) -> ParameterSpace: ...

        @property
        def observations(self) -> Observations: ...

    @property
    @abstractmethod
    def mask(self) -> Array:
        """Which entries (time + 1, stream) are fitted: observed, and possible to predict."""

    @property
    @abstractmethod
    def stream_names(self) -> tuple[str, ...]:
        """Names of the streams, in order."""

    @property
    @abstractmethod
    def pointwise(self) -> bool:
        """Whether the misfit is a sum over times of what the model gives at that time."""

    @abstractmethod
    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) at a control vector."""

    @abstractmethod
    def predict_tangents(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        """`forward(u)` and its exact derivative by u."""

    @abstractmethod
    def misfit(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        """The observations' part of J; `segments` bounds the memory of its reverse gradient."""

    @abstractmethod
    def misfit_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        """The observations' part of the normal equations at u."""

    @abstractmethod
    def derived(self, u: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        """Quantities computed from parameters alone; means over time where those vary."""

    @property
    @abstractmethod
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        """Unit and long name of each derived quantity."""

    @abstractmethod
    def for_block(self) -> Problem:
        """The same problem as one of many that are evaluated together."""

    # -- what follows from these --------------------------------------------------------------

    def standardised_misfit(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        """(forward(u) - y) / sigma (time + 1, stream), zero where nothing was observed."""
        observed = self.observations
        # Where before subtracting: an unobserved prediction may be NaN, and 0 * NaN is not 0.
        prediction = jnp.where(self.mask, self.forward(u), observed.values)
        return (prediction - observed.values) / observed.scale

    def residual(self, u: Float[Array, " parameter"]) -> Float[Array, " residual"]:
        """The residuals of the observations, flattened, then the whitened prior departures.

        An observation's residual is its standardised misfit where errors are independent and
        normal; see `Observations.residual`.
        """
        residual = self.observations.residual(self.standardised_misfit(u), self.mask)
        return jnp.concatenate([(residual * self.observations.root).ravel(), self.background(u)])

    def background(self, u: Float[Array, " parameter"]) -> Float[Array, " background"]:
        """Residuals of what is known besides the observations: the whitened prior departures."""
        return u[self.space.informative.nonzero()[0]]

    def cost(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        """J(u) = |residual(u)|^2 / 2; `segments` bounds the memory of its reverse gradient."""
        return self.misfit(u, segments) + 0.5 * jnp.sum(self.background(u) ** 2)

    def normal_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        """Cost, gradient and Gauss-Newton Hessian at u."""
        return self.with_background(u, self.misfit_equations(u))

    def with_background(
        self, u: Float[Array, " parameter"], equations: NormalEquations
    ) -> NormalEquations:
        """Normal equations at u from their observations' part."""
        cost, gradient, hessian = equations
        known, slope = self.background(u), jax.jacfwd(self.background)(u)
        return NormalEquations(
            cost + 0.5 * jnp.sum(known**2), gradient + slope.T @ known, hessian + slope.T @ slope
        )

    def log_posterior(self, u: Float[Array, " parameter"]) -> Float[Array, ""]:
        """-J(u): the log posterior density of u up to a constant."""
        return -self.cost(u)

    def linearise(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, " residual"], Float[Array, "residual parameter"]]:
        """Residual and its exact Jacobian (residual, parameter)."""
        return self.linearise_at(u, *self.predict_tangents(u))

    def linearise_at(
        self,
        u: Float[Array, " parameter"],
        prediction: Float[Array, "time stream"],
        slopes: Float[Array, "time stream parameter"],
    ) -> tuple[Float[Array, " residual"], Float[Array, "residual parameter"]]:
        """`linearise` where the predictions and their slopes at u are known."""
        misfit = _weighted(self.weights, prediction - self.observations.values)
        jacobian = _weighted(self.weights[..., None], slopes)
        if not self.observations.independent:
            function = functools.partial(self.observations.residual, mask=self.mask)
            misfit, linear = jax.linearize(function, misfit)
            jacobian = jax.vmap(linear, -1, -1)(jacobian)
        root = self.observations.root
        misfit, jacobian = misfit * root, jacobian * root[..., None]
        return (
            jnp.concatenate([misfit.ravel(), self.background(u)]),
            jnp.concatenate([jacobian.reshape(-1, len(u)), jax.jacfwd(self.background)(u)]),
        )

    @property
    def weights(self) -> Float[Array, "time stream"]:
        """1 / sigma where a value is fitted, else 0."""
        return jnp.where(self.mask, 1.0 / self.observations.scale, 0.0)

    @property
    def n_observations(self) -> int:
        """Number of observed values that are fitted."""
        return int(np.asarray(self.mask).sum())


def _weighted(weight: Array, number: Array) -> Array:
    """Product where the weight is not zero: what cannot be predicted is NaN, and 0 NaN is not 0."""
    return jnp.where(weight > 0.0, number * weight, 0.0)


def need_double_precision() -> None:
    """Refuse JAX's default of 32 bits."""
    if jnp.asarray(0.0).dtype != jnp.float64:
        raise RuntimeError(
            "Expected 64-bit floating point. Got JAX's 32-bit default. Try: call "
            "caliche.configure() right after the imports."
        )
