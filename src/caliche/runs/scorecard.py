"""A scorecard of an experiment as what its estimation minimises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.evaluation.scorecard.conditions import CONDITIONS
from caliche.evaluation.scorecard.objective import scorecard_objective
from caliche.experiments.experiment import Experiment
from caliche.optimisation.bayes import Bayes
from caliche.problems.inverse import InverseProblem
from caliche.runs.points import control


def minimising_scorecard(
    experiment: Experiment, problem: InverseProblem, options: Mapping[str, Any]
) -> Bayes:
    """Bayesian optimisation, with its options, of the scorecard that [objective] describes.

    Raises
    ------
    InputError : a control run, condition or weight that cannot be; no cell with days enough.
    """
    asked = experiment.config.objective
    u, _ = control(experiment, problem, asked.control)
    predicted = np.asarray(_forward(problem, jnp.asarray(u)))
    objective = scorecard_objective(
        problem,
        {experiment.config.name: experiment},
        predicted,
        asked.conditions or CONDITIONS,
        asked.weights,
        asked.penalty,
        asked.damping,
    )
    return Bayes(**options).minimising(objective)


@jax.jit
def _forward(problem: InverseProblem, u: Float[Array, " p"]) -> Float[Array, "time stream"]:
    return problem.forward(u)
