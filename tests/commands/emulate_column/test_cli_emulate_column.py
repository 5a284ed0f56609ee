"""`caliche emulate-column` from end to end, and an estimate through its network."""

from __future__ import annotations

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

import caliche as package
from caliche.commands.emulate_column.page import write_column_page
from caliche.commands.report.run import write_page
from caliche.errors import InputError
from caliche.evaluation.exact_model import exact_remarks, weather_remarks
from caliche.experiments import load_experiment
from caliche.models.base import Model
from caliche.runs.folder import as_run

SMALL = ("--runs", 8, "--days", 3, "--samples", 2000, "--epochs", 1, "--depth", 0)
GRID = ("--set", "model.node_depths=[0.0,0.05,0.2,0.5]", "--set", "synthetic.hours=72")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runs", "2"], "--runs of 8 or more"),
        (["--samples", "10"], "--samples of 500 or more"),
        (["--depth", "-1"], "--depth of 0 or more"),
        (["--derivatives", "-1"], "--derivatives of 0 or more"),
        (["--days", "0"], "--days above 0"),
        (["--weather", "twin-lad"], "time step of 3600 s"),
        (["--set", "synthetic.hours=30"], "two days or more"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(caliche, tmp_path, options, said):
    out = tmp_path / "N"
    found = caliche("emulate-column", "twin-two-depths", *options, "--out", out)
    assert found.code == 2
    assert said in " ".join(found.err.split())
    assert not out.exists()


def test_a_folder_without_a_network_is_no_model(caliche, tmp_path):
    toml = tmp_path / "e.toml"
    text = 'extends = "twin-two-depths"\nmodel = false\n'
    toml.write_text(text)
    other = ["--set", f'model={{name="emulated", folder="{tmp_path}"}}']
    found = caliche("estimate", toml, *other, "--out", tmp_path / "R")
    assert found.code == 2
    assert "without config.toml, network.json and network.eqx" in " ".join(found.err.split())


@pytest.mark.ci
def test_a_network_is_a_model_like_any_other_and_is_held_against_the_exact_one(caliche, tmp_path):
    out = tmp_path / "N"
    found = caliche("emulate-column", "twin-two-depths", *SMALL, *GRID, "--out", out)
    assert found.code in (0, 3), found.err
    names = {path.name for path in out.iterdir()}
    assert {"network.eqx", "network.json", "emulated.toml", "column.html"} <= names
    summary = json.loads((out / "summary.json").read_text())
    assert summary["jacobian"]["error"] < 0.5
    assert package.read_results(out).kind == "emulate-column"
    page = (out / "column.html").read_text()
    assert write_page(out).read_text() == page == write_column_page(out).read_text()
    assert caliche("emulate-column", "twin-two-depths", *SMALL, *GRID, "--out", out).code == 2

    experiment = load_experiment(out / "emulated.toml")
    assert isinstance(experiment.model, Model)
    exact = experiment.exact
    assert exact is not None
    observed = [np.asarray(e.dataset["surface_temperature"].values) for e in (experiment, exact)]
    assert np.array_equal(*observed)
    truth = {n: jnp.asarray(v) for n, v in exact.truth.items()}
    made, own = (
        e.problem().predict({**e.space.to_physical(e.space.initial()), **truth})
        for e in (experiment, exact)
    )
    assert 0.0 < float(jnp.abs(made - own).max()) < 3.0
    assert weather_remarks(experiment) == []

    assert exact_remarks(experiment, exact.truth)[0].sentence.startswith(
        "Held against the exact model: the emulator's optimum is "
    )
    assert exact_remarks(exact, exact.truth) == []
    for change, said in (
        ("parameters.emissivity.value=0.9", "emissivity, which was fixed at 0.95"),
        ("parameters.emissivity={value=0.9, fixed=true}", "emissivity between 0.95 and 0.95"),
        ("window.time_step=1800", "time_step = 3600 s"),
        ("parameters.albedo.start=[0.01, 0.9]", "a start range of albedo"),
    ):
        with pytest.raises(InputError, match=said):
            load_experiment(out / "emulated.toml", [change]).problem()
    # A run's folder names the network relative to itself, wherever both go.
    run = tmp_path / "R" / "config.toml"
    run.parent.mkdir()
    run.write_text(as_run(experiment, run.parent))
    (tmp_path / "elsewhere").mkdir()
    for name in ("N", "R"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    again = load_experiment(tmp_path / "elsewhere" / "R" / "config.toml")
    assert np.array_equal(again.model.network.linear, experiment.model.network.linear)
