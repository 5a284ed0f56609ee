"""An experiment from Python: what a TOML file would hold, and data that are in memory."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from caliche.errors import InputError
from caliche.experiments import Experiment, bundled, load_experiment
from caliche.runs.folder import as_run, write_data


def test_every_bundled_experiment_round_trips():
    folder = resources.files("caliche.experiments") / "bundled"
    for name in bundled():
        table = tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
        assert Experiment.from_dict(table, name=name).config == load_experiment(name).config, name


@pytest.fixture
def frame(tower) -> pd.DataFrame:
    tower.write()
    return pd.DataFrame({"TIME": pd.to_datetime(tower.times), **tower.columns})


def without_file(tower) -> dict:
    del tower.source["path"], tower.source["format"]
    tower.config["model"]["initial_depths"] = (np.float64(0.05), 0.2)
    return tower.config


def indexed(frame):
    return frame.set_index("TIME")


def zoned(frame):
    """The same instants in another zone, in an index without a name."""
    times = pd.DatetimeIndex(frame["TIME"]).tz_localize("Etc/GMT-1").tz_convert("America/Lima")
    return frame.drop(columns="TIME").set_index(times.rename(None))


def nullable(frame):
    return frame.convert_dtypes()


def as_dataset(frame):
    return xr.Dataset.from_dataframe(frame.set_index("TIME"))


@pytest.mark.parametrize("form", [pd.DataFrame, indexed, zoned, nullable, as_dataset])
def test_data_in_memory_are_those_of_the_file(tower, frame, form):
    from_file = load_experiment("tower.toml").dataset
    found = Experiment.from_dict(without_file(tower), form(frame), name="tower")
    for name in from_file.variables:
        np.testing.assert_array_equal(found.dataset[name].values, from_file[name].values)
    assert found.config.model.initial_depths == (0.05, 0.2)


def test_the_folder_of_a_run_keeps_the_data(tower, frame):
    experiment = Experiment.from_dict(without_file(tower), {"tower": zoned(frame)}, name="tower")
    folder = Path("run")
    folder.mkdir()
    (folder / "config.toml").write_text(as_run(experiment, folder))
    write_data(experiment, folder)
    again = load_experiment(folder / "config.toml")
    assert again.config.name == "tower"
    for name in experiment.dataset.variables:
        np.testing.assert_array_equal(again.dataset[name].values, experiment.dataset[name].values)


def test_what_cannot_be_is_refused(tower, frame):
    config = without_file(tower)
    with pytest.raises(InputError, match=r"data of a source of the experiment[.] Got 'towr'"):
        Experiment.from_dict(config, {"towr": frame})
    with pytest.raises(InputError, match="a pandas DataFrame or an xarray Dataset as the data of"):
        Experiment.from_dict(config, {"tower": [1.0]})
    with pytest.raises(InputError, match=r"a mapping of such by source as data[.] Got float"):
        Experiment.from_dict(config, 3.0)
    with pytest.raises(InputError, match=r"a mapping of data by source[.] Got 0 sources"):
        Experiment.from_dict({**config, "sources": {}}, frame)
    with pytest.raises(InputError, match=r"columns of different names .* Got 2 columns"):
        Experiment.from_dict(config, pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InputError, match=r"a variable 'TA' in tower"):
        _ = Experiment.from_dict(config, frame.drop(columns="TA")).dataset
    with pytest.raises(InputError, match="path in experiment"):
        Experiment.from_dict(config)
    config["sources"]["tower"] = {"format": "urban-plumber"}
    with pytest.raises(InputError, match="format = 'table' for tower, whose data are in memory"):
        Experiment.from_dict(config, frame)
    Path("a.toml").write_text('extends = "a.toml"')
    with pytest.raises(InputError, match="ring"):
        Experiment.from_dict({"extends": "a.toml"})
