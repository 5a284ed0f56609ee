"""Twins of many seeds: the truth is kept, and several metrics leave less than one.

A column of soil stands in for the model of Raoult et al. 2024 (doi:10.5194/gmd-17-5779-2024).
Errors are a tenth of each series' standard deviation, and each seed has a truth of its own.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import qmc

from caliche.evaluation.experiment_metrics import match_metrics
from caliche.experiments import load_experiment
from caliche.history_matching.implausibility import usual_rule
from caliche.history_matching.observed import observed_targets
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.simulator import Simulator

SEEDS, ERROR = 20, 0.1
SINGLE = "soil_temperature_0.05m: mean"


@pytest.mark.ci
def test_the_truth_is_kept_in_every_seed_and_several_metrics_leave_less_than_one():
    experiment = load_experiment("twin-two-depths", ("synthetic.hours=48", "model.nodes=21"))
    problem = experiment.problem()
    ranges = Ranges(problem.space, starts=True)
    metrics, _ = match_metrics(experiment, starts=True)
    run = Simulator(problem, metrics, ranges, Recorder(None))
    cube = qmc.Sobol(ranges.size, rng=np.random.default_rng(0)).random_base2(10)
    truths = np.random.default_rng(1).uniform(0.1, 0.9, (SEEDS, ranges.size))
    values, exact = run.values(cube), run.values(truths)
    forward = jax.jit(lambda u: problem.forward(u))
    mask = np.asarray(problem.mask)
    for seed, u in enumerate(ranges.to_u(truths)):
        clean = np.asarray(forward(jnp.asarray(u)))
        sd = ERROR * np.array([clean[mask[:, k], k].std() for k in range(mask.shape[1])])
        errors = sd * np.random.default_rng([seed, 2]).standard_normal(clean.shape)
        observed = jnp.asarray(np.where(mask, clean + errors, 0.0))
        twin = eqx.tree_at(
            lambda p: (p.observations.values, p.observations.sigma),
            problem,
            (observed, jnp.asarray(sd)),
        )
        kept, targets, _, _ = observed_targets(twin, metrics, seed=seed)
        number = [metrics.names.index(name) for name in kept.names]
        left = []
        for few in (np.array([kept.names.index(SINGLE)]), np.arange(len(kept))):
            goals, mine = targets.only(few), np.array(number)[few]
            rule = usual_rule(len(goals))
            cutoff = rule.cutoff(len(goals))
            assert rule.combine(goals, exact[[seed]][:, mine])[0] <= cutoff
            left.append(np.mean(rule.combine(goals, values[:, mine]) <= cutoff))
        assert 0.0 < left[1] < left[0] < 0.7
