"""The seam: a model, a site's forcing and observations, and a parameter space.

Every method takes an inverse problem and nothing else. u is the whitened control vector (P,).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Model, State
from caliche.models.loop.tangents import Tangents, simulate_tangents
from caliche.models.loop.time_loop import Cut, ParamsInTime, cut, simulate, simulate_total
from caliche.observations import ObservationOperator, Observations
from caliche.parameters.adjustment import Adjustment
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem, need_double_precision


class Record(NamedTuple):
    """What a time loop reads of the data, cut at the start.

    forcing : name -> value.  seen : for each stream its observed value, whether it is fitted, and
    1 / sigma; all at time 0, and in each step (time,).
    """

    forcing: Cut
    seen: Cut


class InverseProblem(Problem):
    """Estimate the free parameters of a model from observations.

    cost(u) = 1/2 sum(f ((forward(u) - y) / sigma)^2 over what was observed) + 1/2 |u_prior|^2,

    where u_prior are the entries of u with an informative prior and f, of each stream, says how
    much its observations tell (`Observations.information`). What they tell more of some directions
    than of others is in the `adjustment`.

    Attributes
    ----------
    model : any `Model`.
    forcing : name -> (time + 1,); entry k holds over the step that ends at time k.
    operator, observations : what was seen, and how well.
    space : free and fixed parameters, those of the observations included.
    period : steps over which the state at the start repeats itself; 0 if the model says how to
        start (see `caliche.models.loop.spin_up`).
    in_block : whether this is one of many that share vector instructions under vmap: the model and
        its tangents are then laid out as scalars. Compiles more slowly, runs several times faster.
    data : forcing and observations as the time loops read them, for one site of a block; the
        fields `forcing` and `observations` then hold no series. None elsewhere.
    adjustment : what the observations tell beyond `Observations.information`; None if nothing.
    """

    model: Model
    forcing: dict[str, Float[Array, " time"]]
    operator: ObservationOperator
    observations: Observations  # pyright: ignore[reportIncompatibleMethodOverride]
    space: ParameterSpace  # pyright: ignore[reportIncompatibleMethodOverride]
    period: int = eqx.field(static=True, default=0)
    in_block: bool = eqx.field(static=True, default=False)
    data: Record | None = None
    adjustment: Adjustment | None = None

    def __check_init__(self) -> None:
        need_double_precision()

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
        weight = self.observations.root / self.observations.scale
        inverse = jnp.broadcast_to(weight, observed.shape)
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

    def predict(
        self, params: ParamsInTime, state: State | None = None
    ) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) for physical parameters, from a state or as the
        model starts."""
        _, initial, series = simulate(
            self.model,
            params,
            self.forcing,
            self.operator.select,
            period=self.period,
            state=state,
        )
        return self.operator.finish(initial, series, params)

    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        """Predicted observations (time + 1, stream) at a control vector."""
        params = self.space.to_physical(u)
        return self.predict(params, self.initial_state(u, params))

    def initial_state(
        self, u: Float[Array, " parameter"] | tuple, params: ParamsInTime
    ) -> State | None:
        """The state at the start, at a control vector and the parameters that it stands for; None
        where the model itself says how to start."""
        return None

    @property
    def pointwise(self) -> bool:
        """Whether the misfit is a sum over times of what the model gives at that time.

        Means over steps, nuisances and errors with memory or heavy tails need whole series.
        """
        return self.operator.pointwise and self.observations.independent

    def background(self, u: Float[Array, " parameter"]) -> Float[Array, " background"]:
        """The whitened prior departures, then those of the adjustment."""
        prior = super().background(u)
        if self.adjustment is None:
            return prior
        return jnp.concatenate([prior, self.adjustment.residual(self.space.vector(u))])

    def misfit(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        """The observations' part of J, summed up inside the time loop.

        `segments` bounds the memory of a reverse-mode gradient, see `caliche.models.simulate`.
        """
        if not self.pointwise:
            n = self.observations.mask.size
            return 0.5 * jnp.sum(self.residual(u)[:n] ** 2)

        def absorb(total: Array, seen: tuple, values: tuple) -> Array:
            for (observed, fitted, inverse), value in zip(seen, values, strict=True):
                total = total + 0.5 * jnp.where(fitted, (value - observed) * inverse, 0.0) ** 2
            return total

        forcing, seen = self.record
        params = self.space.to_physical(u)
        return simulate_total(
            self.model,
            params,
            forcing,
            self.operator.select,
            absorb,
            jnp.zeros(()),
            seen,
            segments,
            self.period,
            self.initial_state(u, params),
        )

    def misfit_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        """The observations' part by forward tangents, one per parameter.

        Summed up inside the time loop: no trajectory and no Jacobian is stored.
        """
        if not self.pointwise:
            n = self.observations.mask.size
            residual, jacobian = (part[:n] for part in self.linearise(u))
            return NormalEquations(
                0.5 * jnp.sum(residual**2), jacobian.T @ residual, jacobian.T @ jacobian
            )
        absorb = _absorb_separate if self.in_block else _absorb_stacked
        forcing, seen = self.record
        (cost, gradient, hessian), _, _ = simulate_tangents(
            self.model,
            self.space.to_physical,
            u,
            forcing,
            self.operator.select,
            absorb,
            _nothing(len(u), self.in_block),
            seen,
            self.in_block,
            self.period,
            self.initial_state,
        )
        if self.in_block:
            hessian = [
                [hessian[max(p, q)][min(p, q)] for q in range(len(u))] for p in range(len(u))
            ]
            gradient, hessian = jnp.stack(gradient), jnp.stack([jnp.stack(row) for row in hessian])
        return NormalEquations(cost, gradient, hessian)

    def predict_tangents(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        """`forward(u)` and its exact derivative by u."""

        def keep(total: None, _inputs: None, tangents: Tangents) -> tuple[None, Tangents]:
            return total, tangents

        _, initial, series = simulate_tangents(
            self.model,
            self.space.to_physical,
            u,
            self.forcing,
            self.operator.select,
            keep,
            period=self.period,
            state_of=self.initial_state,
        )
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
