"""A problem whose predictions come from an emulator, with the emulator's variance in its errors.

With y the emulated outputs at u and V their variance, predictions over sigma are base + B (y - y0),
and the errors of the observations, whitened, have the covariance I + U U^T with U = B V^(1/2) and
the components that were dropped. The likelihood is that of this covariance, its determinant
included: where the emulator does not know, the data say less. Written as least squares,

    r^T (I + U U^T)^-1 r = |r - U a|^2 + |a|^2,   a = (I + U^T U)^-1 U^T r,

so that every method for residuals takes it. Outside the box of the runs it has no answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from caliche.emulators.box import EDGE, Box
from caliche.emulators.components import Outputs, refuse_tails
from caliche.emulators.emulator import Emulator
from caliche.emulators.surface import Surface
from caliche.errors import InputError
from caliche.metrics.errors import errors_of, metric_errors
from caliche.metrics.metric import Metrics
from caliche.observations import Observations
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem

# Keeps the root of the determinant's logarithm differentiable where the emulator is exact.
_EXACT = 1e-12


class EmulatedProblem(Problem):
    """An inverse problem with its model replaced by an emulator. Any method takes it.

    Its misfit is infinite, and its predictions NaN, outside the box; asked there outside compiled
    code it raises InputError.

    Attributes
    ----------
    original : the problem that is emulated.  space : its space.
    observations : of `pcs` its observations, of `metrics` theirs, uncorrelated, in a row of their
        own.
    surface : the emulated outputs.  centre, half : (P,) of the box.
    base, basis, start : predictions over sigma are base + basis (outputs - start).
    fields : (f, time + 1, stream) whitened: those of the outputs, then those dropped.
    gram : (f, f) their products.
    """

    original: Problem
    space: ParameterSpace  # pyright: ignore[reportIncompatibleMethodOverride]
    observations: Observations  # pyright: ignore[reportIncompatibleMethodOverride]
    surface: Surface
    centre: Float[Array, " p"]
    half: Float[Array, " p"]
    base: Float[Array, "time stream"]
    basis: Float[Array, "k time stream"]
    start: Float[Array, " k"]
    fields: Float[Array, "f time stream"]
    gram: Float[Array, "f f"]
    names: tuple[str, ...] = eqx.field(static=True)
    parameters: tuple[str, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.space.correlation is not self.original.space.correlation:
            raise InputError(
                "independent priors, for a profile on an emulator",
                "correlated ones, which turn the box of its runs",
                "sample the posterior instead: --method nuts",
            )

    @property
    def box(self) -> Box:
        """Where it answers."""
        centre, half = np.asarray(self.centre), np.asarray(self.half)
        return Box(centre - half, centre + half, self.parameters)

    @property
    def mask(self) -> Array:
        return self.observations.mask

    @property
    def stream_names(self) -> tuple[str, ...]:
        return self.names

    @property
    def pointwise(self) -> bool:
        return False

    def derived(self, u: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        return self.original.derived(u)

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return self.original.derived_labels

    def for_block(self) -> EmulatedProblem:
        return self

    # -- predictions ----------------------------------------------------------------------------

    def inside(self, u: Float[Array, " parameter"]) -> Array:
        """Whether a point lies in the box."""
        return jnp.all(jnp.abs((u - self.centre) / self.half) <= 1.0 + EDGE)

    def forward(self, u: Float[Array, " parameter"]) -> Float[Array, "time stream"]:
        self._demand(u)
        outputs = self.surface.mean((u - self.centre) / self.half)
        return jnp.where(self.inside(u), self._field(outputs) * self.observations.scale, jnp.nan)

    def predict_tangents(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, "time stream"], Float[Array, "time stream parameter"]]:
        self._demand(u)
        return self.forward(u), jax.jacfwd(self.forward)(u)

    def _field(self, outputs: Float[Array, " k"]) -> Float[Array, "time stream"]:
        return self.base + jnp.tensordot(outputs - self.start, self.basis, 1)

    def _demand(self, u: Float[Array, " parameter"]) -> None:
        """Refuse a point outside the box, where it can be seen."""
        if not isinstance(u, Tracer):
            self.box.demand(np.asarray(u))

    # -- the misfit -----------------------------------------------------------------------------

    def own_residual(self, u: Float[Array, " parameter"]) -> Float[Array, " residual"]:
        """Residuals of the observations, flattened, then those of the emulator: how far its outputs
        are taken to be off (f,), and the root of the determinant's logarithm (1,)."""
        outputs, variance = self.surface.moments((u - self.centre) / self.half)
        observed, mask = self.observations, self.mask
        misfit = jnp.where(mask, self._field(outputs) - observed.values / observed.scale, 0.0)
        misfit = observed.residual(misfit, mask) * observed.root
        sd = jnp.concatenate([jnp.sqrt(variance), jnp.ones(len(self.fields) - len(variance))])
        matrix = jnp.eye(len(sd)) + sd[:, None] * self.gram * sd[None, :]
        lower = jnp.linalg.cholesky(matrix)
        along = sd * jnp.tensordot(self.fields, misfit, 2)
        off = jax.scipy.linalg.cho_solve((lower, True), along)
        left = misfit - jnp.tensordot(off * sd, self.fields, 1)
        determinant = 2.0 * jnp.sum(jnp.log(jnp.diagonal(lower)))
        whole = jnp.concatenate([left.ravel(), off, jnp.sqrt(determinant + _EXACT)[None]])
        return jnp.where(self.inside(u), whole, jnp.nan)

    def residual(self, u: Float[Array, " parameter"]) -> Float[Array, " residual"]:
        self._demand(u)
        return jnp.concatenate([self.own_residual(u), self.background(u)])

    def misfit(self, u: Float[Array, " parameter"], segments: int = 1) -> Float[Array, ""]:
        self._demand(u)
        value = 0.5 * jnp.sum(self.own_residual(u) ** 2)
        return jnp.where(self.inside(u), value, jnp.inf)

    def misfit_equations(self, u: Float[Array, " parameter"]) -> NormalEquations:
        self._demand(u)
        residual, jacobian = self.own_residual(u), jax.jacfwd(self.own_residual)(u)
        return NormalEquations(
            0.5 * jnp.sum(residual**2), jacobian.T @ residual, jacobian.T @ jacobian
        )

    def linearise(
        self, u: Float[Array, " parameter"]
    ) -> tuple[Float[Array, " residual"], Float[Array, "residual parameter"]]:
        self._demand(u)
        return self.residual(u), jax.jacfwd(self.residual)(u)

    def linearise_at(
        self, u: Float[Array, " parameter"], prediction: Array, slopes: Array
    ) -> tuple[Float[Array, " residual"], Float[Array, "residual parameter"]]:
        return self.linearise(u)


def emulated_problem(problem: Problem, outputs: Outputs, emulator: Emulator) -> EmulatedProblem:
    """A problem with an emulator in place of its model.

    Raises
    ------
    InputError : an output that was refused; heavy-tailed errors.
    """
    refused = [
        said
        for said, fine in zip(emulator.checks.sentences, emulator.checks.passed, strict=True)
        if not fine
    ]
    if refused:
        raise InputError(
            "an emulator that passed its checks",
            refused[0].rstrip("."),
            "emulate with more --runs, or use the model itself",
        )
    refuse_tails(problem.observations.freedom)
    if isinstance(outputs, Metrics):
        observed = problem.observations
        series = np.where(np.asarray(problem.mask), np.asarray(observed.values), 0.0)
        told = metric_errors(outputs, series, errors_of(observed))
        value, root = told.values, np.linalg.inv(np.linalg.cholesky(told.covariance))
        observations = Observations(
            jnp.asarray((root @ value)[None]),
            jnp.ones((1, len(value)), bool),
            jnp.ones(len(value)),
        )
        basis = jnp.asarray(root.T[:, None, :])  # (k, 1, K): what one unit of an output is
        base, start, dropped = jnp.zeros((1, len(value))), jnp.zeros(len(value)), basis[:0]
        names = tuple(name.replace(": ", "@") for name in outputs.names)
    else:
        observations, names = problem.observations, problem.stream_names
        observations = eqx.tree_at(lambda o: o.mask, observations, problem.mask)
        basis, base, dropped = outputs.basis, outputs.base, outputs.dropped
        seen = jnp.where(outputs.seen, base, 0.0)
        start = jnp.tensordot(basis, seen, 2)
    if observations.information is None:
        # Errors at their word: residuals of an emulator say nothing of those of its model.
        told = jnp.ones(observations.values.shape[1])
        observations = dataclasses.replace(observations, information=told)
    mask = observations.mask
    fields = jnp.concatenate([basis, dropped])
    fields = (
        jax.vmap(lambda one: observations.residual(one, mask))(fields) * observations.root[None]
    )
    gram = jnp.einsum("fts,gts->fg", fields, fields)
    box = emulator.box
    return EmulatedProblem(
        problem,
        problem.space,
        observations,
        emulator.surface,
        jnp.asarray(box.centre),
        jnp.asarray(box.half),
        base,
        basis,
        start,
        fields,
        gram,
        names,
        problem.space.names,
    )
