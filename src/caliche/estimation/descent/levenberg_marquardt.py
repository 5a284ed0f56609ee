"""Levenberg-Marquardt in whitened coordinates, with exact Jacobians.

Damping after Nielsen (1999), IMM-REP-1999-05, with Marquardt's (1963, doi:10.1137/0111030)
scaling by the diagonal of the Hessian. Bounds hold by construction: they live in the coordinates.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from caliche.estimation.curvature import equations_at
from caliche.estimation.devices import side_by_side
from caliche.estimation.method import (
    CONVERGED,
    NEGLIGIBLE,
    NOT_FINITE,
    RUNNING,
    STALLED,
    Descent,
    Iterate,
    Spectrum,
    remaining_step,
    spectrum,
    unjudged,
    where_running,
    without_held,
)
from caliche.problems.base import NormalEquations, Problem

# Longest move of one whitened coordinate in one step: further out, a logistic bound is so flat
# that a start would stick to it.
LONGEST_MOVE = 2.0
LARGEST_DAMPING = 1e14
# One that has moved J by less than this (or its share of J, if that is smaller) in so many
# iterations goes no further either: the misfit is rough, as where a surface decouples from the air
# at night. Within this distance of the optimum it counts as arrived.
NO_PROGRESS, IDLE_ITERATIONS, ROUGH = 1e-3, 20, 0.5
# Relative round-off of a cost summed over some ten thousand observations.
ROUND_OFF = 1e-13


class LevenbergMarquardtState(NamedTuple):
    """One start: where it is, the normal equations there, where to look next, and for how many
    iterations it has not got on."""

    iterate: Iterate
    equations: NormalEquations
    trial: Float[Array, " parameter"]
    damping: Float[Array, ""]
    growth: Float[Array, ""]
    idle: Int[Array, ""]


@dataclass(frozen=True)
class LevenbergMarquardt(Descent):
    """Levenberg-Marquardt: the default for a differentiable model and up to some dozens of
    parameters.

    Converged when the Gauss-Newton step still to go is below `tolerance` posterior standard
    deviations, below `NEGLIGIBLE` where no step lowers the cost any more, or below `ROUGH` where
    none has lowered it by more than `NO_PROGRESS` for `IDLE_ITERATIONS` iterations. One
    iteration is one evaluation of the normal equations: a model run and a tangent for each
    parameter.
    """

    max_iterations: int = 200
    tolerance: float = 1e-6
    name: str = "lm"

    def init(self, problem: Problem, u: Float[Array, " parameter"]) -> LevenbergMarquardtState:
        # An infinite cost accepts the first evaluation, which is that of the start itself.
        equations = NormalEquations(
            jnp.asarray(jnp.inf), jnp.zeros_like(u), jnp.zeros((len(u), len(u)))
        )
        return LevenbergMarquardtState(
            unjudged(u), equations, u, jnp.asarray(1e-3), jnp.asarray(2.0), jnp.asarray(0)
        )

    def advance(self, problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        return self.absorb(problem, state, problem.normal_equations(state.trial))

    def equations(self, problem: Problem, u: Any) -> NormalEquations:
        """The normal equations at u, from the run with tangents that error bars, predictions and
        scores are taken from, too: no program of its own is compiled."""
        return equations_at(problem, u)

    def advance_all(
        self, problem: Problem, state: LevenbergMarquardtState
    ) -> LevenbergMarquardtState:
        running = np.asarray(state.iterate.status) == RUNNING
        found = jax.tree.map(np.array, state.equations)
        trials = np.asarray(state.trial)[running]
        first, *others = trials  # the first one compiles what the others share
        evaluated = [self.equations(problem, first)]
        evaluated += side_by_side(self.equations, [problem] * len(others), others)
        for old, *new in zip(found, *evaluated, strict=True):
            old[running] = new
        return _absorb(self, problem, state, found)

    def absorb(
        self, problem: Problem, state: LevenbergMarquardtState, evaluated: NormalEquations
    ) -> LevenbergMarquardtState:
        """The next state, from the normal equations at `state.trial`."""
        first = jnp.isinf(state.iterate.cost)
        gain = jnp.where(first, 0.5, self._gain(problem, state, evaluated))
        accepted = first | (jnp.isfinite(evaluated.cost) & (gain > 1e-4))
        shrink = jnp.maximum(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
        damping = state.damping * jnp.where(accepted, shrink, state.growth)
        growth = jnp.where(accepted, 2.0, 2.0 * state.growth)
        u = jnp.where(accepted, state.trial, state.iterate.u)
        equations = jax.tree.map(lambda a, b: jnp.where(accepted, a, b), evaluated, state.equations)
        runs = state.iterate.model_runs + 1 + len(u)
        curvature = spectrum(problem, u, equations)
        least = NO_PROGRESS * jnp.minimum(1.0, equations.cost)
        moved = first | (state.iterate.cost - equations.cost > least)
        idle = jnp.where(moved, 0, state.idle + 1)
        iterate = self._judge(u, equations.cost, curvature, damping, runs, idle)
        trial = u + self._step(curvature, damping)
        return LevenbergMarquardtState(iterate, equations, trial, damping, growth, idle)

    def _step(self, curvature: Spectrum, damping: Float[Array, ""]) -> Float[Array, " parameter"]:
        # (H + damping diag(H)) step = -gradient, in the eigenvectors of the scaled H: directions
        # that the data do not see stay where they are instead of drifting on rounding errors.
        along = -curvature.gradient / (curvature.values + damping)
        step = curvature.vectors @ jnp.where(curvature.seen, along, 0.0) / curvature.scale
        # One coordinate by one: a coordinate far out on its way to a bound must not slow the rest.
        return jnp.clip(step, -LONGEST_MOVE, LONGEST_MOVE)

    def _gain(
        self, problem: Problem, state: LevenbergMarquardtState, trial: NormalEquations
    ) -> Float[Array, ""]:
        """Actual over predicted fall of the cost; negative where the trial is worse."""
        u, equations = state.iterate.u, state.equations
        step = state.trial - u
        gradient, hessian = without_held(problem, u, equations)
        predicted = -(gradient @ step) - 0.5 * step @ hessian @ step
        fall = equations.cost - trial.cost
        # Near the optimum of a large misfit the cost no longer resolves a step, but the gradient
        # still does: there a step is good if it brings the gradient closer to zero.
        closer = remaining_step(problem, state.trial, trial) < state.iterate.remaining
        unresolved = jnp.abs(fall) <= ROUND_OFF * equations.cost
        gain = jnp.where(unresolved, jnp.where(closer, 1.0, -1.0), fall / predicted)
        return jnp.where(predicted > 0.0, gain, -1.0)

    def _judge(
        self,
        u: Float[Array, " parameter"],
        cost: Float[Array, ""],
        curvature: Spectrum,
        damping: Float[Array, ""],
        runs: Array,
        idle: Int[Array, ""],
    ) -> Iterate:
        near = jnp.where(curvature.remaining < ROUGH, CONVERGED, STALLED)
        arrived = jnp.where(curvature.remaining < NEGLIGIBLE, CONVERGED, STALLED)
        status = jnp.where(idle >= IDLE_ITERATIONS, near, RUNNING)
        status = jnp.where(damping > LARGEST_DAMPING, arrived, status)
        status = jnp.where(curvature.remaining < self.tolerance, CONVERGED, status)
        status = jnp.where(jnp.isfinite(cost), status, NOT_FINITE)
        return Iterate(u, cost, curvature.remaining, status, runs)


@functools.partial(jax.jit, static_argnums=0)
def _absorb(
    method: LevenbergMarquardt,
    problem: Problem,
    state: LevenbergMarquardtState,
    evaluated: NormalEquations,
) -> LevenbergMarquardtState:
    """`absorb` of every start that still runs; leaves have a start axis."""
    new = jax.vmap(method.absorb, in_axes=(None, 0, 0))(problem, state, evaluated)
    return where_running(state, new)
