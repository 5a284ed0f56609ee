"""What an experiment's model says about every observed stream, with bands from the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.experiments.experiment import Experiment
from caliche.experiments.scores import Score, score
from caliche.inverse_problem import InverseProblem
from caliche.models.base import Diagnostics, simulate

ENERGY_TERMS = (
    "net_radiation",
    "sensible_heat_flux",
    "latent_heat_flux",
    "turbulent_heat_flux",
    "ground_heat_flux",
    "energy_imbalance",
)


@dataclass(frozen=True)
class Prediction:
    """Series on the times of the window.

    streams : name -> (time + 1,). band : name -> sd from the parameters' uncertainty, or empty.
    energy : surface energy terms over each step, NaN at time zero, W m-2.
    """

    streams: dict[str, np.ndarray]
    band: dict[str, np.ndarray]
    energy: dict[str, np.ndarray]


def _run(
    problem: InverseProblem, u: Float[Array, " parameter"]
) -> tuple[Float[Array, "time stream"], dict[str, Float[Array, " time"]]]:
    def output(diagnostics: Diagnostics) -> tuple[Array, dict[str, Array]]:
        energy = {
            name: jnp.ravel(diagnostics[name])[0] for name in ENERGY_TERMS if name in diagnostics
        }
        return problem.operator.select(diagnostics), energy

    params = problem.space.to_physical(u)
    _, initial, series = simulate(problem.model, params, problem.forcing, output)
    energy = {
        name: jnp.concatenate([initial[1][name][None], values])
        for name, values in series[1].items()
    }
    return problem.operator.average(initial[0], series[0]), energy


@jax.jit
def _run_with_tangents(problem: InverseProblem, u: Float[Array, " parameter"]):
    def tangent(direction: Float[Array, " parameter"]):
        (streams, energy), (slope, _) = jax.jvp(lambda v: _run(problem, v), (u,), (direction,))
        return streams, energy, slope

    return jax.vmap(tangent, out_axes=(None, None, 2))(jnp.eye(len(u)))


def predict(
    problem: InverseProblem, u: np.ndarray, covariance_u: np.ndarray | None = None
) -> Prediction:
    """Prediction at a control vector; with a covariance (P, P), its bands as well."""
    streams, energy, slopes = _run_with_tangents(problem, jnp.asarray(u))
    names = [stream.name for stream in problem.operator.streams]
    band = {}
    if covariance_u is not None:
        variance = np.einsum("tsp,pq,tsq->ts", slopes, covariance_u, slopes)
        sd = np.sqrt(np.maximum(variance, 0.0))
        band = {name: sd[:, k] for k, name in enumerate(names)}
    return Prediction(
        {name: np.asarray(streams[:, k]) for k, name in enumerate(names)},
        band,
        {name: np.asarray(values) for name, values in energy.items()},
    )


def score_windows(
    experiment: Experiment, prediction: Prediction
) -> tuple[dict[str, Score], dict[str, Score] | None]:
    """Scores in the fitted window and, if there is one, in the hold-out."""
    n_fit = experiment.n_fit
    observed = observed_series(experiment)
    fit = {n: score(observed[n][:n_fit], prediction.streams[n][:n_fit]) for n in observed}
    if n_fit == len(experiment.dataset.time):
        return fit, None
    return fit, {n: score(observed[n][n_fit:], prediction.streams[n][n_fit:]) for n in observed}


def observed_series(experiment: Experiment) -> dict[str, np.ndarray]:
    """Observed values of every scored stream (time + 1,), NaN where missing."""
    return {
        name: np.asarray(experiment.dataset[name].values, float)
        for name in experiment.scored_streams
    }
