"""The one compiled run with tangents that error bars, predictions and suspicions are taken from.

Once programs are kept on disk, tracing is much of what a user waits for, so all share this one:
where fit and scores see the same streams over the same times, a calibration traces it once.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Profile
from caliche.models.loop.tangents import Tangents, simulate_tangents
from caliche.observations.error_model import Observations
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem

ENERGY_TERMS = (
    "net_radiation",
    "sensible_heat_flux",
    "latent_heat_flux",
    "turbulent_heat_flux",
    "ground_heat_flux",
    "energy_imbalance",
)


class TangentRun(NamedTuple):
    """A run of the model at a control vector.

    prediction : (time + 1, stream).  slopes : (time + 1, stream, P), its derivative by u.
    energy : surface energy terms that the model has (time + 1,), W m-2, NaN at time zero.
    """

    prediction: Float[Array, "time stream"]
    slopes: Float[Array, "time stream parameter"]
    energy: dict[str, Float[Array, " time"]]


def surface_value(diagnostic: Any) -> Float[Array, ""]:
    """A diagnostic at the surface: the first entry of one with a vertical axis."""
    return diagnostic[0] if isinstance(diagnostic, Profile) else diagnostic


def run_with_tangents(problem: Problem, u: Float[Array, " parameter"]) -> TangentRun:
    """`Problem.predict_tangents`, compiled; that of one site with the surface energy terms."""
    return _run(_without_errors(problem), u)


def _without_errors(problem: Problem) -> Problem:
    """The problem as a run of the model sees it: what is known of errors compiles nothing anew."""
    if not isinstance(problem, InverseProblem):
        return problem
    seen = problem.observations
    seen = Observations(seen.values, seen.mask, jnp.ones(seen.values.shape[1]))
    return dataclasses.replace(problem, observations=seen, adjustment=None)


@jax.jit
def _run(problem: Problem, u: Float[Array, " parameter"]) -> TangentRun:
    if not isinstance(problem, InverseProblem):
        return TangentRun(*problem.predict_tangents(u), {})
    names = [name for name in ENERGY_TERMS if name in problem.model.diagnostics]
    n = problem.operator.width

    def output(diagnostics: Diagnostics) -> tuple[Array, ...]:
        energy = (surface_value(diagnostics[name]) for name in names)
        return (*problem.operator.select(diagnostics), *energy)

    def keep(total: None, _inputs: None, tangents: Tangents) -> tuple[None, Tangents]:
        return total, Tangents(tangents.values, tangents.slopes[:n])

    _, initial, series = simulate_tangents(
        problem.model,
        problem.space.to_physical,
        u,
        problem.forcing,
        output,
        keep,
        period=problem.period,
        state_of=problem.initial_state,
    )
    energy = {
        name: jnp.append(initial.values[n + k], series.values[n + k])
        for k, name in enumerate(names)
    }
    seen = [Tangents(part.values[:n], part.slopes) for part in (initial, series)]
    return TangentRun(*problem.finish_tangents(u, *seen), energy)
