"""Experiments with a network: untrained, and as a folder of `caliche train` keeps it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from caliche.errors import InputError
from caliche.experiments.config.lad import LaDConfig
from caliche.experiments.experiment import Experiment, load_experiment
from caliche.files.checkpoint import read_leaves
from caliche.models.lad.neural_fluxes import standardised

CONFIG, NETWORK = "config.toml", "network.eqx"


def untrained(experiment: Experiment, seed: int) -> Experiment:
    """The experiment with a network that has learned nothing, its inputs standardised.

    Raises
    ------
    InputError : there is no network in the model.
    """
    config, t = experiment.config.model, experiment.config.training
    if not isinstance(config, LaDConfig) or not config.learns:
        raise InputError(
            "a network in the fluxes of [model]",
            f"name = {config.name!r} without one",
            'set name = "lad" and fluxes = "neural-conductance"',
        )
    bulk = dataclasses.replace(config, fluxes="bulk").build(experiment.config.window.time_step)
    new = experiment.with_fluxes(config.law(bulk, t.width, t.depth, seed))
    problem = new.problem()
    params = problem.space.to_physical(problem.space.initial())
    return new.with_fluxes(standardised(problem.model, params, problem.forcing).fluxes)  # type: ignore[arg-type]


def load_trained(folder: Path) -> Experiment:
    """The experiment of a folder that `caliche train` wrote, with the network it learned.

    Its problem estimates parameters with the network as it is.
    """
    experiment = load_experiment(str(folder / CONFIG))
    config, t = experiment.config.model, experiment.config.training
    if not isinstance(config, LaDConfig) or not config.learns:
        raise InputError(
            f"a network in the fluxes of [model] in {folder / CONFIG}",
            f"name = {config.name!r} without one",
            "restore that file, or train again into another --out",
        )
    bulk = dataclasses.replace(config, fluxes="bulk").build(experiment.config.window.time_step)
    return experiment.with_fluxes(
        read_leaves(folder / NETWORK, config.law(bulk, t.width, t.depth, 0))
    )
