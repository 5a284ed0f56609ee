"""A new model is one card: an experiment names it, and everything speaks of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from caliche import cli
from caliche.cards.models import MODELS, ModelCard, register_model
from caliche.commands.schema.run import file_schema
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.experiments import load_experiment
from caliche.experiments.options import PlainOptions
from caliche.keys.declare import key
from caliche.models import SoilHeat

NODES = (0.0, 0.05, 0.15, 0.5)


@dataclass(frozen=True, kw_only=True)
class ThinTable:
    """A soil of three layers of nodes."""

    name: Literal["thin"] = key("which model", "thin")
    scheme: str = key("scheme of the steps", "sdirk2", choices=("sdirk2", "backward-euler"))


def read_thin(table, given, where, window, synthetic) -> PlainOptions:
    return PlainOptions("thin", lambda step: SoilHeat(NODES, step, table.scheme))


@pytest.fixture
def card() -> Iterator[ModelCard]:
    made = ModelCard("thin", ThinTable, read_thin, lambda: SoilHeat(NODES, 1800.0).declarations[:2])
    register_model(made)
    yield made
    del MODELS["thin"]


@pytest.fixture
def file(tmp_path, card):
    path = tmp_path / "thin.toml"
    path.write_text(
        """
        title = "thin"
        [synthetic]
        hours = 24
        [synthetic.truth]
        thermal_conductivity = 0.8
        [model]
        name = "thin"
        scheme = "backward-euler"
        [parameters.thermal_conductivity]
        value = 0.7
        [observations."soil_temperature_0.05m"]
        sigma = 0.1
        [window]
        time_step = 1800
        """
    )
    return path


def test_an_experiment_with_a_new_model_is_estimated(file):
    problem = load_experiment(str(file)).problem()
    assert problem.model.scheme == "backward-euler"
    found = estimate(problem)
    assert found.converged
    truth = 0.8
    estimate_ = found.parameters["thermal_conductivity"]
    assert abs(estimate_.estimate - truth) < 5.0 * estimate_.sd
    assert np.isfinite(estimate_.sd)


def test_its_keys_are_checked_as_those_of_any_model(file):
    with pytest.raises(InputError, match=r"scheme in .* to be one of sdirk2, backward-euler"):
        load_experiment(str(file), ["model.scheme='euler'"])
    with pytest.raises(InputError, match=r"one of soil-heat, lad, emulated, thin.*'thick'"):
        load_experiment(str(file), ["model.name='thick'"])
    assert "Thin" in file_schema("experiment")["$defs"]


def test_its_parameters_are_listed(card, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["caliche", "parameters", "thin"])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 0
    for declaration in card.declared():
        assert declaration.name in capsys.readouterr().out
        break
