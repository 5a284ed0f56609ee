"""Experiments with Land Dynamics: [model] name = "lad"."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.experiments import load_experiment
from caliche.models import LaD

OPTIONS = """
name = "lad"
vegetation = "agriculture"
soil = "medium"
measurement_height = 9.5
thicknesses = [0.01, 0.05, 0.2, 0.6]
"""


def written(folder, options: str, source: str = "", start: str = "1998-08-05") -> str:
    """An experiment file with this [model] table."""
    path = folder / "field.toml"
    path.write_text(
        f"""
[site]
utc_offset = -6.0
[window]
{f"start = {start}T00:00:00" if source else ""}
{f"end = {start}T12:00:00" if source else ""}
time_step = 1800
{source or "[synthetic.truth]"}
[model]
{options}
[parameters.albedo]
[observations.latent_heat_flux]
sigma = 20.0
"""
    )
    return str(path)


SOURCE = """
[sources.tower]
path = "us-bo1-1998/US-Bo1_1998_tidy.csv"
format = "table"
[sources.tower.time]
column = "time_end_LST"
stamp = "end"
utc_offset = -6.0
[sources.tower.columns]
incoming_shortwave = { name = "SWdown_Wm2", unit = "W m-2" }
incoming_longwave = { name = "LWdown_Wm2", unit = "W m-2" }
air_temperature = { name = "Tair_K", unit = "K" }
specific_humidity = { name = "Qair_kgkg", unit = "kg kg-1" }
air_pressure = { name = "PSurf_Pa", unit = "Pa" }
wind_speed = { name = "Wind10m_ms", unit = "m s-1" }
precipitation = { name = "Rainf_kgm2s", unit = "kg m-2 s-1" }
latent_heat_flux = { name = "Qle_Wm2", unit = "W m-2" }
"""


def test_tower_data_reach_the_model(tmp_path, data_folder, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(data_folder))
    experiment = load_experiment(written(tmp_path, OPTIONS, SOURCE))
    model = experiment.model
    assert isinstance(model, LaD)
    assert (model.vegetation, model.soil, model.time_step) == ("agriculture", "medium", 1800.0)
    assert model.thicknesses == (0.01, 0.05, 0.2, 0.6)
    assert model.measurement_height == 9.5
    problem = experiment.problem()
    predicted = np.asarray(problem.forward(problem.space.initial()))
    assert predicted.shape == (25, 1)
    assert np.isfinite(predicted[1:]).all()
    assert set(problem.forcing) == set(model.forcing_variables)
    assert bool(jnp.isfinite(problem.cost(problem.space.initial())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('name = "lad"\nvegetation = "gras"', "grass"),
        ('name = "lad"\nnodes = 11', "a known key"),
        ('name = "lad"\nmeasurement_height = "high"', "measurement_height"),
        ('name = "lda"', "lad"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        load_experiment(written(tmp_path, options, SOURCE))


def test_idealised_forcing_lacks_what_it_needs(tmp_path):
    with pytest.raises(InputError, match="humidity, wind and precipitation"):
        load_experiment(written(tmp_path, OPTIONS))
