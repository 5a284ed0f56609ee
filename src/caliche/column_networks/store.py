"""A network of a column in two files: its weights, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from caliche.column_networks.data import Material
from caliche.errors import InputError
from caliche.files.checkpoint import read_leaves, write_leaves
from caliche.files.whole_file import write_text
from caliche.keys.records import Known, json_text, read_record
from caliche.models.base import Model
from caliche.models.emulated.model import EmulatedModel, Trained, view_of
from caliche.models.emulated.network import Scaling, StepNetwork

WEIGHTS, FACTS = "network.eqx", "network.json"
REMEDY = "train again into another --out"


@dataclass(frozen=True)
class Range:
    """The lowest and the highest value that a network saw."""

    lower: Known
    upper: Known


@dataclass(frozen=True)
class NetworkFacts:
    """What a network was trained on, beside its weights.

    time_step : s.  states, fluxes : what it computes.  parameters : that are inputs, with their
    ranges; fixed : the others.  weather : ranges.  width, depth : of the perceptron.
    """

    time_step: Known
    states: tuple[str, ...]
    fluxes: tuple[str, ...]
    parameters: Mapping[str, Range]
    fixed: Mapping[str, Known]
    weather: Mapping[str, Range]
    width: int
    depth: int


def facts_of(material: Material, width: int, depth: int) -> NetworkFacts:
    """The facts of a network that is trained on this material."""
    view = material.view
    n, m = len(view.states), len(view.model.forcing_variables)
    x = np.asarray(material.learned.steps.x)[:, n : n + m]
    return NetworkFacts(
        Known(view.model.time_step),
        view.states,
        view.fluxes,
        {name: Range(Known(a), Known(b)) for name, a, b in material.trained.inputs},
        {name: Known(value) for name, value in material.trained.fixed},
        {
            name: Range(Known(float(low)), Known(float(high)))
            for name, low, high in zip(
                view.model.forcing_variables, x.min(0), x.max(0), strict=True
            )
        },
        width,
        depth,
    )


def write_network(folder: Path, network: StepNetwork, facts: NetworkFacts) -> None:
    """Write the two files."""
    write_leaves(folder / WEIGHTS, network)
    write_text(folder / FACTS, json_text(facts))


def read_facts(folder: Path) -> NetworkFacts:
    """What a network was trained on.

    Raises
    ------
    InputError : a file that is missing or damaged.
    """
    return read_record(NetworkFacts, folder / FACTS, REMEDY)


def read_network(folder: Path, exact: Model) -> EmulatedModel:
    """The network of a folder in place of the exact model's step.

    Raises
    ------
    InputError : files that are missing or damaged; a network of another model.
    """
    facts, view = read_facts(folder), view_of(exact)
    if (facts.states, facts.fluxes) != (view.states, view.fluxes):
        raise InputError(
            f"a network of the states {', '.join(view.states)} in {folder}",
            ", ".join(facts.states),
            "restore config.toml of that folder, or train again",
        )
    if facts.time_step != view.model.time_step:
        raise InputError(
            f"time_step = {facts.time_step:g} s, with which the network of {folder} was trained",
            f"{view.model.time_step:g} s",
            "change the time step, or train again",
        )
    n = len(view.states) + len(facts.weather) + len(facts.parameters)
    m = len(view.states) + len(view.fluxes)
    blank = [Scaling(jnp.zeros(k), jnp.ones(k)) for k in (n, m)]
    like = StepNetwork.build(blank[0], blank[1], len(facts.parameters), facts.width, facts.depth, 0)
    ranges = tuple((name, r.lower, r.upper) for name, r in facts.parameters.items())
    trained = Trained(ranges, tuple(facts.fixed.items()))
    return EmulatedModel(view, read_leaves(folder / WEIGHTS, like), trained)
