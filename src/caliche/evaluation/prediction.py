"""What an experiment's model says about every observed stream, with bands from the parameters."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.bounded import NEAR
from caliche.estimation.tangent_run import run_with_tangents
from caliche.evaluation.scores import Score, score
from caliche.experiments.experiment import Experiment
from caliche.parameters.priors import Prior
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.variables import variable


@dataclass(frozen=True)
class Prediction:
    """Series on the times of the window.

    streams : name -> (time + 1,). band : name -> sd from the parameters' uncertainty, or empty.
    energy : surface energy terms over each step, NaN at time zero, W m-2.
    parameters : parameters that vary in time: value, and lower and upper end of the 95 % interval
        where there is a covariance, (3, time + 1); NaN for the ends if there is none.
    """

    streams: dict[str, np.ndarray]
    band: dict[str, np.ndarray]
    energy: dict[str, np.ndarray]
    parameters: dict[str, np.ndarray]


def predict_slopes(problem: InverseProblem, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Streams (time + 1, stream) and their slopes (time + 1, stream, P) by u."""
    run = run_with_tangents(problem, jnp.asarray(u))
    return np.asarray(run.prediction), np.asarray(run.slopes)


_alone = jax.jit(InverseProblem.forward)


def predict(
    problem: InverseProblem,
    u: np.ndarray,
    covariance_u: np.ndarray | None = None,
    streams_alone: bool = False,
) -> Prediction:
    """Prediction at a control vector; with a covariance (P, P), its bands as well.

    `streams_alone` leaves out the energy terms and the bands of streams: a run without tangents,
    which compiles in a small part of the time.
    """
    if streams_alone:
        values = np.asarray(_alone(problem, jnp.asarray(u)))
        return Prediction(
            {stream.name: values[:, k] for k, stream in enumerate(problem.operator.streams)},
            {},
            {},
            varying_parameters(problem.space, u, covariance_u),
        )
    run = jax.device_get(run_with_tangents(problem, jnp.asarray(u)))
    names = [stream.name for stream in problem.operator.streams]
    band = {}
    if covariance_u is not None:
        variance = np.einsum("tsp,pq,tsq->ts", run.slopes, covariance_u, run.slopes)
        sd = np.sqrt(np.maximum(variance, 0.0))
        band = {name: sd[:, k] for k, name in enumerate(names)}
    return Prediction(
        {name: run.prediction[:, k] for k, name in enumerate(names)},
        band,
        run.energy,
        varying_parameters(problem.space, u, covariance_u),
    )


def varying_parameters(
    space: ParameterSpace, u: np.ndarray, covariance_u: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Value and 95 % interval (3, time + 1) of each parameter that varies in time.

    Symmetric in the coordinates, and beside a bound of a flat prior in the values, cut off there.
    """
    found = {}
    if not space.variations:
        return found
    curves = jax.device_get(_curves(space, jnp.asarray(u)))
    for p in space.free:
        if p.name not in space.variations:
            continue
        coordinate, rows = curves[p.name]
        sd = np.full(len(rows), np.nan)
        if covariance_u is not None:
            variance = np.einsum("tp,pq,tq->t", rows, covariance_u, rows)
            sd = np.sqrt(np.maximum(variance, 0.0))
        w = coordinate + NORMAL_QUANTILE * np.array([[0.0], [-1.0], [1.0]]) * sd
        w[0] = coordinate
        values, slopes = jax.device_get(_physical(p.prior, w))
        value, reach = values[0], np.abs(slopes[0]) * sd
        lower, upper = p.prior.lower, p.prior.upper
        near = np.minimum(value - lower, upper - value) < NEAR * reach
        near &= not p.prior.informative
        ends = [
            np.where(near, np.clip(value + q * reach, lower, upper), bent)
            for q, bent in zip((-NORMAL_QUANTILE, NORMAL_QUANTILE), values[1:], strict=True)
        ]
        found[p.name] = np.stack([value, *ends])
    return found


@jax.jit
def _curves(space: ParameterSpace, u: Float[Array, " p"]) -> dict[str, tuple[Array, Array]]:
    """Coordinate (time + 1,) of each parameter that varies, and its derivative by u."""
    knots, by_u = space.coordinates(u), jax.jacfwd(space.coordinates)(u)
    found = {}
    for p, where in space.slices():
        if p.name in space.variations:
            basis = space.variations[p.name].basis
            found[p.name] = (basis @ knots[where], basis @ by_u[where])
    return found


@functools.partial(jax.jit, static_argnums=0)
def _physical(prior: Prior, w: Float[Array, "..."]) -> tuple[Array, Array]:
    """Physical values of coordinates, and their slopes."""
    return jax.jvp(prior.to_physical, (w,), (jnp.ones_like(w),))


def score_windows(
    experiment: Experiment, prediction: Prediction
) -> tuple[dict[str, Score], dict[str, Score] | None]:
    """Scores in the fitted window and, if there is one, in the hold-out."""
    n_fit = experiment.n_fit
    observed = observed_series(experiment)
    fit = _scores(observed, prediction, slice(0, n_fit))
    if n_fit == len(experiment.dataset.time):
        return fit, None
    return fit, _scores(observed, prediction, slice(n_fit, None))


def _scores(
    observed: dict[str, np.ndarray], prediction: Prediction, part: slice
) -> dict[str, Score]:
    return {
        name: score(values[part], prediction.streams[name][part], variable(name).unit != "K")
        for name, values in observed.items()
    }


def observed_series(experiment: Experiment) -> dict[str, np.ndarray]:
    """Observed values of every scored stream (time + 1,), NaN where missing."""
    return {
        name: np.asarray(experiment.dataset[name].values, float)
        for name in experiment.scored_streams
    }
