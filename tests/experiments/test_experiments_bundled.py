"""Every bundled experiment builds, and `extends` and overrides do what they say."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from caliche.data.source import STAMPS
from caliche.errors import InputError
from caliche.experiments import bundled, load_experiment, read_config
from caliche.learning.training import cut
from caliche.runs.trained import untrained
from caliche.variables import variable

TOWERS = (
    "bondville",
    "bondville-fluxes",
    "bondville-lad",
    "west-phoenix",
    "west-phoenix-2cm",
    "west-phoenix-best",
    "west-phoenix-monsoon",
    "metolius-lad",
    "walnut-gulch-lad",
    "walnut-gulch-weekly",
    "puechabon-lad",
)
FLUXES = ("latent_heat_flux", "sensible_heat_flux")
HYBRIDS = ("metolius-hybrid", "walnut-gulch-hybrid", "puechabon-hybrid")  # built when trained
TWINS = ("twin-one-depth", "twin-two-depths", "twin-diurnal", "twin-lad")


def build(name):
    experiment = load_experiment(name)
    problem = experiment.problem()
    assert problem.n_observations > 50
    config = experiment.config
    stems = {name.partition("[")[0] for name in problem.space.names}
    assert stems <= {*config.parameters, *config.nuisances}
    assert all(variable(stream) for stream in experiment.config.observations)
    assert np.isfinite(problem.observations.values).all()
    fitted = [s for s, o in experiment.config.observations.items() if o.fit]
    assert [s.name for s in problem.operator.streams] == fitted
    scoring = experiment.scoring_problem()
    assert set(fitted) <= {s.name for s in scoring.operator.streams}
    return experiment, problem


def test_the_list_is_complete():
    assert set(bundled()) == {*TOWERS, *TWINS, *HYBRIDS}


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_builds(name):
    experiment, problem = build(name)
    assert set(problem.space.names) == set(experiment.truth)


@pytest.mark.parametrize("name", TOWERS)
def test_a_tower_builds(name, data_folder, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(data_folder))
    experiment, _ = build(name)
    assert experiment.truth is None
    assert experiment.n_fit < experiment.dataset.sizes["time"]
    for source in experiment.config.sources.values():
        assert source.time is None or source.time.stamp in STAMPS


@pytest.mark.parametrize(
    "name", [HYBRIDS[-1], *(pytest.param(n, marks=pytest.mark.slow) for n in HYBRIDS[:-1])]
)
def test_a_network_is_ready_for_its_training(name, data_folder, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(data_folder))
    config = read_config(name)
    assert set(FLUXES) <= {stream for stream, o in config.observations.items() if o.fit}
    problem = untrained(load_experiment(name), 0).problem()
    windows = cut(problem, round(config.training.window_days * 86400 / config.window.time_step))
    assert len(windows.training) > 5
    assert bool(windows.each.held_out.any())


def test_a_tower_without_its_data(monkeypatch):
    monkeypatch.delenv("CALICHE_DATA", raising=False)
    with pytest.raises(InputError, match="CALICHE_DATA is not set"):
        load_experiment("west-phoenix").problem()


def test_extends_merges_table_by_table(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "twin-two-depths"\n[parameters.albedo]\nvalue = 0.25\n')
    config, base = read_config(path), read_config("twin-two-depths")
    assert config.name == "mine"
    assert config.title == base.title
    assert config.parameters["albedo"].value == 0.25
    assert config.parameters["albedo"].start == base.parameters["albedo"].start
    assert config.observations == base.observations
    (tmp_path / "other.toml").write_text('extends = "mine.toml"\ntitle = "Third"\n')
    third = read_config(tmp_path / "other.toml")
    assert (third.title, third.parameters["albedo"].value) == ("Third", 0.25)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ('extends = "twin-to-depths"', "'twin-two-depths'"),
        ('extends = "none.toml"', "none.toml"),
        ('extends = "mine.toml"', "ring"),
        ('extends = "twin-two-depths"\n[synthetic]\nfit_hours = 300', "hours = 100"),
        ('extends = "twin-two-depths"\n[synthetic]\nseed = -1', "seed"),
        ('extends = "twin-two-depths"\n[synthetic]\nhours = 0', "above 0"),
        ('extends = "twin-two-depths"\n[synthetic.truth]\nalbedoo = 0.2', "'albedo'"),
    ],
)
def test_experiments_that_cannot_be(tmp_path, text, phrase):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_experiment(path).problem()
    assert phrase in str(caught.value)


def test_a_stretched_grid_begins_as_asked(tmp_path):
    for nodes, depth, first in ((51, 1.0, 0.005), (400, 3.0, 1e-4), (5, 10.0, 0.01)):
        config = read_config(
            "twin-two-depths",
            [f"model.nodes={nodes}", f"model.depth={depth}", f"model.first_spacing={first}"],
        )
        z = np.array(config.model.node_depths)
        assert len(z) == nodes
        assert z[[0, 1, -1]] == pytest.approx([0.0, first, depth], rel=1e-6)
        ratio = np.diff(z)[1:] / np.diff(z)[:-1]
        assert ratio == pytest.approx(np.full(nodes - 2, ratio[0]), rel=1e-6)


def test_without_double_precision_the_message_says_what_to_do():
    code = "import caliche; caliche.load_experiment('twin-two-depths').problem()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "caliche.configure()" in done.stderr.splitlines()[-1]
