"""Metrics of an experiment: its fitted streams, over its fitted window."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

from caliche.evaluation.regimes import record
from caliche.experiments.experiment import Experiment
from caliche.history_matching.ranges import Ranges
from caliche.metrics.choose import USUAL, Record, make_metrics
from caliche.metrics.metric import Metrics
from caliche.problems.inverse import InverseProblem

_MEMBERS = 6  # power of two of the ensemble that patterns are taken from


def match_metrics(
    experiment: Experiment, kinds: Sequence[str] = USUAL, starts: bool = False
) -> tuple[Metrics, tuple[str, ...]]:
    """Metrics of an experiment, and a sentence on each that its record does not allow.

    Parameters
    ----------
    kinds : of `caliche.metrics.choose.KINDS`.
    starts : take patterns from start ranges instead of bounds.

    Raises
    ------
    InputError : an unknown kind; none that the record allows.
    """
    problem = experiment.problem()
    local, step, _ = record(experiment, problem.observations.mask.shape[0])
    seen = Record(
        problem.stream_names,
        local,
        step,
        np.asarray(problem.observations.values),
        np.asarray(problem.mask),
    )
    ensemble = None
    if "patterns" in kinds:
        ranges = Ranges(problem.space, starts)
        x = qmc.Sobol(ranges.size, rng=np.random.default_rng(0)).random_base2(_MEMBERS)
        ensemble = np.asarray(_run(problem, jnp.asarray(ranges.to_u(x))))
    return make_metrics(seen, kinds, ensemble)


@jax.jit
def _run(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return jax.lax.map(problem.forward, u, batch_size=8)
