"""Experiments with a network: untrained, and as a folder of `caliche train` keeps it."""

from __future__ import annotations

from pathlib import Path

from caliche.errors import InputError
from caliche.experiments.experiment import Experiment, load_experiment
from caliche.files.checkpoint import read_leaves

CONFIG, NETWORK = "config.toml", "network.eqx"


def untrained(experiment: Experiment, seed: int) -> Experiment:
    """The experiment with a network that has learned nothing, its inputs standardised.

    Raises
    ------
    InputError : there is no network in the model.
    """
    config, t = experiment.config.model, experiment.config.training
    learner = config.learner
    if learner is None:
        raise InputError(
            "a network in the fluxes of [model]",
            f"name = {config.name!r} without one",
            'set name = "lad" and fluxes = "neural-conductance"',
        )
    step = experiment.config.window.time_step
    new = experiment.with_fluxes(learner.law(step, t.width, t.depth, seed))
    problem = new.problem()
    params = problem.space.to_physical(problem.space.initial())
    return new.with_fluxes(learner.standardised(problem.model, params, problem.forcing).fluxes)


def load_trained(folder: Path) -> Experiment:
    """The experiment of a folder that `caliche train` wrote, with the network it learned.

    Its problem estimates parameters with the network as it is.
    """
    experiment = load_experiment(str(folder / CONFIG))
    config, t = experiment.config.model, experiment.config.training
    learner = config.learner
    if learner is None:
        raise InputError(
            f"a network in the fluxes of [model] in {folder / CONFIG}",
            f"name = {config.name!r} without one",
            "restore that file, or train again into another --out",
        )
    law = learner.law(experiment.config.window.time_step, t.width, t.depth, 0)
    return experiment.with_fluxes(read_leaves(folder / NETWORK, law))
