"""The JSON Schema of configuration files: what is bundled fits it, slips do not."""

from __future__ import annotations

import json
import sys
import tomllib
from importlib import resources

import pytest

from caliche import cli
from caliche.commands.schema.run import TABLES, file_schema
from caliche.errors import InputError
from caliche.experiments import bundled
from caliche.experiments.config.toml import load_raw, merge, parse_override
from json_schema import faults, plain

TEMPLATE = resources.files("caliche.commands.init") / "template.toml"


@pytest.fixture(scope="module")
def experiment():
    return file_schema("experiment")


def test_every_bundled_file_fits_its_schema(experiment):
    folder = resources.files("caliche.experiments") / "bundled"
    for name in bundled():
        for table in tomllib.loads((folder / f"{name}.toml").read_text()), load_raw(name)[0]:
            assert faults(plain(table), experiment, experiment) == [], name
    assert faults(plain(tomllib.loads(TEMPLATE.read_text())), experiment, experiment) == []
    joint = file_schema("joint")
    for path in (resources.files("caliche.commands.joint") / "bundled").iterdir():
        if path.name.endswith(".toml"):
            assert faults(plain(tomllib.loads(path.read_text())), joint, joint) == []


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("window.time_step=0", ".window: none of those"),
        ("windows.start=0", ": unknown windows"),
        ("method.seed=-1", ".method: none of those"),
        ('method={name="lm", options={max_iter=3}}', ".method: none of those"),
        ('model={name="lad", nodes=11}', ".model: none of those"),
        ('parameters.albedo={prior="norml"}', ".parameters.albedo: none of those"),
        (
            'observations."soil_temperature_0.05m".sigma="0.1"',
            ".observations.soil_temperature_0.05m",
        ),
        ("synthetic=3", ".synthetic: none of those"),
        ('prior_correlations=[{parameters=["a"], value=0.5}]', ".prior_correlations[0].parameters"),
        ("title=3", ".title: not string"),
    ],
)
def test_a_slip_does_not_fit(experiment, override, fault):
    table = merge(load_raw("twin-two-depths")[0], parse_override(override))
    assert any(said.startswith(fault) for said in faults(plain(table), experiment, experiment))


def test_keys_are_required_unless_they_come_from_another_file(experiment):
    table = {"window": {"end": "2024-06-01"}}
    assert ".window: none of those" in faults(table, experiment, experiment)
    assert faults({"extends": "west-phoenix", **table}, experiment, experiment) == []
    taken = {"extends": "west-phoenix", "parameters": {"albedo": False}}
    assert faults(taken, experiment, experiment) == []


def test_the_drive_schema_knows_options_of_its_methods():
    drive = file_schema("drive")
    table = {
        "model": {"command": ["a"]},
        "observations": {"values": [1.0], "sigma": 0.1},
        "parameters": {"a": {"lower": 0, "upper": 1}},
        "method": {"name": "etki", "options": {"steps": 2}},
    }
    assert faults(table, drive, drive) == []
    table["method"]["options"] = {"stepps": 2}
    assert faults(table, drive, drive) == [".method.options: unknown stepps"]


def test_the_command_prints_it_and_the_template_names_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["caliche", "schema", "joint"])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 0
    assert json.loads(capsys.readouterr().out) == file_schema("joint")
    assert TEMPLATE.read_text().startswith("#:schema ./caliche.schema.json\n")
    with pytest.raises(InputError, match="did you mean 'experiment'"):
        file_schema("experimnt")
    assert sorted(TABLES) == ["callmip", "drive", "experiment", "joint"]
