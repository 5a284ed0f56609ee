"""What an experiment's model says about every observed stream, with bands from the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.bounded import NEAR
from caliche.estimation.tangent_run import run_with_tangents
from caliche.evaluation.scores import Score, score
from caliche.experiments.experiment import Experiment
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
    found, control = {}, jnp.asarray(u)
    if not space.variations:
        return found
    by_u = jax.jacfwd(space.coordinates)(control)
    for p, where in space.slices():
        if p.name not in space.variations:
            continue
        basis, knots = space.variations[p.name].basis, space.coordinates(control)[where]
        rows = np.asarray(basis @ by_u[where])
        coordinate = basis @ knots
        sd = np.full(len(rows), np.nan)
        if covariance_u is not None:
            variance = np.einsum("tp,pq,tq->t", rows, covariance_u, rows)
            sd = np.sqrt(np.maximum(variance, 0.0))
        value, slope = jax.jvp(p.prior.to_physical, (coordinate,), (jnp.ones_like(coordinate),))
        value, reach = np.asarray(value), np.abs(np.asarray(slope)) * sd
        lower, upper = p.prior.lower, p.prior.upper
        near = np.minimum(value - lower, upper - value) < NEAR * reach
        near &= not p.prior.informative
        ends = []
        for q in (-NORMAL_QUANTILE, NORMAL_QUANTILE):
            bent = np.asarray(p.prior.to_physical(coordinate + q * sd))
            ends.append(np.where(near, np.clip(value + q * reach, lower, upper), bent))
        found[p.name] = np.stack([value, *ends])
    return found


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
