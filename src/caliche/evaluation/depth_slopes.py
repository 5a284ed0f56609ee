"""How predictions at a depth change with that depth."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from caliche.observations.operator import Stream, make_operator
from caliche.problems.inverse import InverseProblem
from caliche.variables import stream_name, variable

DEPTH_STEP = 0.005  # m; for slopes in depth


def depth_slopes(
    problem: InverseProblem, u: np.ndarray, columns: list[int], prediction: np.ndarray
) -> np.ndarray:
    """Slopes (time + 1, stream) in depth of the streams (indices), per m; NaN elsewhere.

    Parameters
    ----------
    u : (P,) control vector.
    prediction : (time + 1, stream), for its shape.
    """
    streams = problem.operator.streams
    pairs = {}
    for k in columns:
        entry, depths = variable(streams[k].name), problem.model.depths
        z, grid = entry.depth or 0.0, depths[entry.name]
        pairs[k] = max(z - DEPTH_STEP, float(grid[0])), min(z + DEPTH_STEP, float(grid[-1]))
    moved = [
        Stream(stream_name(variable(streams[k].name).name, round(z, 6)), streams[k].steps)
        for k, pair in pairs.items()
        for z in pair
    ]
    operator = make_operator(problem.model, moved, (), problem.operator.time_step)
    shape = (prediction.shape[0], len(moved))
    blank = dataclasses.replace(
        problem.observations,
        values=jnp.zeros(shape),
        mask=jnp.ones(shape, bool),
        sigma=jnp.ones(len(moved)),
        autocorrelation=None,
        freedom=(),
        information=None,
    )
    around = dataclasses.replace(problem, operator=operator, observations=blank)
    values = np.asarray(_predict(around, jnp.asarray(u)))
    slopes = np.full_like(prediction, np.nan)
    for j, (k, (above, below)) in enumerate(pairs.items()):
        slopes[:, k] = (values[:, 2 * j + 1] - values[:, 2 * j]) / (below - above)
    return slopes


@jax.jit
def _predict(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.forward(u)
