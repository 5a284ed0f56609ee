"""The seam: a model, a site's forcing and observations, and a parameter space.

Every method takes an inverse problem and nothing else. u is the whitened control vector (P,).
"""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.models.base import Model
from caliche.models.tangents import Tangents, simulate_tangents
from caliche.models.time_loop import Cut, ParamsInTime, cut, simulate, simulate_total
from caliche.observations import ObservationOperator, Observations
from caliche.parameters.space import ParameterSpace


class NormalEquations(NamedTuple):
    """Gauss-Newton quantities at a control vector.

    cost : () J = |r|^2 / 2.  gradient : (P,) J^T r.  hessian : (P, P) J^T J.
    """

    cost: Float[Array, ""]
    gradient: Float[Array, " parameter"]
    hessian: Float[Array, "parameter parameter"]


class Record(NamedTuple):
    """What a time loop reads of the data, cut at the start.

    forcing : name -> value.  seen : for each stream its observed value, whether it is fitted, and
    1 / sigma; all at time 0, and in each step (time,).
    """

    forcing: Cut
    seen: Cut


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
    def cost(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        """J(u) = |residual(u)|^2 / 2; `segments` bounds the memory of its reverse gradient."""

    @abstractmethod
    def normal_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        """Cost, gradient and Gauss-Newton Hessian at u."""

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
        prior = u[self.space.informative.nonzero()[0]]
        residual = self.observations.residual(self.standardised_misfit(u), self.mask)
        return jnp.concatenate([residual.ravel(), prior])

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
        informative = self.space.informative.nonzero()[0]
        return (
            jnp.concatenate([misfit.ravel(), u[informative]]),
            jnp.concatenate([jacobian.reshape(-1, len(u)), jnp.eye(len(u))[informative]]),
        )

    @property
    def weights(self) -> Float[Array, "time stream"]:
        """1 / sigma where a value is fitted, else 0."""
        return jnp.where(self.mask, 1.0 / self.observations.scale, 0.0)

    @property
    def n_observations(self) -> int:
        """Number of observed values that are fitted."""
        return int(np.asarray(self.mask).sum())


class InverseProblem(Problem):
    """Estimate the free parameters of a model from observations.

    cost(u) = 1/2 sum(((forward(u) - y) / sigma)^2 over what was observed) + 1/2 |u_prior|^2,

    where u_prior are the entries of u with an informative prior.

    Attributes
    ----------
    model : any `Model`.
    forcing : name -> (time + 1,); entry k holds over the step that ends at time k.
    operator, observations : what was seen, and how well.
    space : free and fixed parameters, those of the observations included.
    period : steps over which the state at the start repeats itself; 0 if the model says how to
        start (see `caliche.models.spin_up`).
    in_block : whether this is one of many that share vector instructions under vmap: the model and
        its tangents are then laid out as scalars. Compiles more slowly, runs several times faster.
    data : forcing and observations as the time loops read them, for one site of a block; the
        fields `forcing` and `observations` then hold no series. None elsewhere.
    """

    model: Model
    forcing: dict[str, Float[Array, " time"]]
    operator: ObservationOperator
    observations: Observations  # pyright: ignore[reportIncompatibleMethodOverride]
    space: ParameterSpace  # pyright: ignore[reportIncompatibleMethodOverride]
    period: int = eqx.field(static=True, default=0)
    in_block: bool = eqx.field(static=True, default=False)
    data: Record | None = None

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

    @property
    def record(self) -> Record:
        """What the time loops read."""
        if self.data is not None:
            return self.data
        observed, mask = self.observations.values, self.mask
        inverse = jnp.broadcast_to(1.0 / self.observations.scale, observed.shape)
        columns = range(observed.shape[1])
        seen = tuple((observed[:, k], mask[:, k], inverse[:, k]) for k in columns)
        return Record(cut(self.forcing), cut(seen))

    @property
    def stream_names(self) -> tuple[str, ...]:
        return tuple(stream.name for stream in self.operator.streams)

    def derived(self, u: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        params = self.space.to_physical(u)
        constant = {name: value for name, value in params.items() if value.ndim == 0}
        varying = {name: value for name, value in params.items() if value.ndim}
        if not varying:
            return dict(self.model.derived(constant))
        series = jax.vmap(lambda now: dict(self.model.derived({**constant, **now})))(varying)
        return {name: jnp.mean(value) for name, value in series.items()}

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return self.model.derived_labels

    def predict(self, params: ParamsInTime) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) for physical parameters."""
        _, initial, series = simulate(
            self.model, params, self.forcing, self.operator.select, period=self.period
        )
        return self.operator.finish(initial, series, params)

    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) at a control vector."""
        return self.predict(self.space.to_physical(u))

    @property
    def pointwise(self) -> bool:
        """Whether the misfit is a sum over times of what the model gives at that time.

        Means over steps, nuisances and errors with memory or heavy tails need whole series.
        """
        return self.operator.pointwise and self.observations.independent

    def cost(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        """J(u) = |residual(u)|^2 / 2.

        Summed up inside the time loop. `segments` bounds the memory of a reverse-mode gradient,
        see `caliche.models.simulate`.
        """
        if not self.pointwise:
            return 0.5 * jnp.sum(self.residual(u) ** 2)

        def absorb(total: Array, seen: tuple, values: tuple) -> Array:
            for (observed, fitted, inverse), value in zip(seen, values, strict=True):
                total = total + 0.5 * jnp.where(fitted, (value - observed) * inverse, 0.0) ** 2
            return total

        forcing, seen = self.record
        misfit = simulate_total(
            self.model, self.space.to_physical(u), forcing, self.operator.select,
            absorb, jnp.zeros(()), seen, segments, self.period,
        )  # fmt: skip
        return misfit + 0.5 * jnp.sum(jnp.asarray(self.space.informative, u.dtype) * u**2)

    def normal_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        """Cost, gradient and Gauss-Newton Hessian by forward tangents, one per parameter.

        Summed up inside the time loop: no trajectory and no Jacobian is stored.
        """
        if not self.pointwise:
            residual, jacobian = self.linearise(u)
            return NormalEquations(
                0.5 * jnp.sum(residual**2), jacobian.T @ residual, jacobian.T @ jacobian
            )
        absorb = _absorb_separate if self.in_block else _absorb_stacked
        forcing, seen = self.record
        (cost, gradient, hessian), _, _ = simulate_tangents(
            self.model, self.space.to_physical, u, forcing, self.operator.select, absorb,
            _nothing(len(u), self.in_block), seen, self.in_block, self.period,
        )  # fmt: skip
        if self.in_block:
            hessian = [
                [hessian[max(p, q)][min(p, q)] for q in range(len(u))] for p in range(len(u))
            ]
            gradient, hessian = jnp.stack(gradient), jnp.stack([jnp.stack(row) for row in hessian])
        informative = jnp.asarray(self.space.informative, u.dtype)
        return NormalEquations(
            cost + 0.5 * jnp.sum(informative * u**2),
            gradient + informative * u,
            hessian + jnp.diag(informative),
        )

    def predict_tangents(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        """`forward(u)` and its exact derivative by u."""

        def keep(total: None, _inputs: None, tangents: Tangents) -> tuple[None, Tangents]:
            return total, tangents

        _, initial, series = simulate_tangents(
            self.model, self.space.to_physical, u, self.forcing, self.operator.select, keep,
            period=self.period,
        )  # fmt: skip
        return self.finish_tangents(u, initial, series)

    def finish_tangents(
        self, u: Float[Array, " parameter"], initial: Tangents, series: Tangents
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        """Predictions and slopes from what `operator.select` gave in a run with tangents."""

        def nuisances(u: Float[Array, " parameter"]) -> dict[str, Array]:
            params = self.space.to_physical(u)
            return {n.name: params[n.name] for n in self.operator.nuisances}

        prediction, linear = jax.linearize(
            self.operator.finish, initial.values, series.values, nuisances(u)
        )
        slopes = jax.vmap(linear, in_axes=(0, 1, -1), out_axes=-1)(
            initial.slopes, series.slopes, jax.jacfwd(nuisances)(u)
        )
        return prediction, slopes

    def for_block(self) -> InverseProblem:
        """The same problem as one of many that are evaluated together, see `in_block`."""
        for_block = getattr(self.model, "for_block", None)
        model = self.model if for_block is None else for_block()
        return dataclasses.replace(self, model=model, in_block=True)


def _nothing(n: int, separate: bool) -> tuple:
    """The sums before anything is added; the Hessian as its lower triangle if separate."""
    zero = jnp.zeros(())
    if separate:
        return zero, (zero,) * n, tuple((zero,) * (p + 1) for p in range(n))
    return zero, jnp.zeros(n), jnp.zeros((n, n))


def _weighted(weight: Array, number: Array) -> Array:
    """Product where the weight is not zero: what cannot be predicted is NaN, and 0 NaN is not 0."""
    return jnp.where(weight > 0.0, number * weight, 0.0)


def weighted_misfits(seen: tuple, tangents: Tangents) -> list[tuple[Array, Any]]:
    """Standardised misfit of each stream at one time, with its slopes; see `Record`."""

    def scaled(number: Array, fitted: Array, inverse: Array) -> Array:
        # What cannot be predicted is NaN, and 0 NaN is not 0.
        return jnp.where(fitted, number * inverse, 0.0)

    return [
        (
            scaled(value - observed, fitted, inverse),
            jax.tree.map(lambda s, f=fitted, i=inverse: scaled(s, f, i), slope),
        )
        for (observed, fitted, inverse), value, slope in zip(
            seen, tangents.values, tangents.slopes, strict=True
        )
    ]


def _absorb_stacked(total: tuple, seen: tuple, tangents: Tangents) -> tuple[tuple, None]:
    cost, gradient, hessian = total
    for misfit, slope in weighted_misfits(seen, tangents):
        cost = cost + 0.5 * misfit**2
        gradient = gradient + slope * misfit
        hessian = hessian + slope[:, None] * slope[None, :]
    return (cost, gradient, hessian), None


def _absorb_separate(total: tuple, seen: tuple, tangents: Tangents) -> tuple[tuple, None]:
    cost, gradient, hessian = total
    for misfit, slope in weighted_misfits(seen, tangents):
        cost = cost + 0.5 * misfit**2
        gradient = tuple(g + s * misfit for g, s in zip(gradient, slope, strict=True))
        hessian = tuple(
            tuple(h + slope[p] * slope[q] for q, h in enumerate(row))
            for p, row in enumerate(hessian)
        )
    return (cost, gradient, hessian), None
