"""Experiments with Land Dynamics: [model] name = "lad"."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.estimation import estimate
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


@pytest.mark.slow
def test_the_twin_is_found_again():
    """Without noise, from the first guess; two priors that are off pull by little."""
    experiment = load_experiment(
        "twin-lad", ["synthetic.noise=false", "synthetic.fit_hours=168", "synthetic.hours=168"]
    )
    result = estimate(experiment.problem(), starts=1)
    assert result.converged
    for name, truth in experiment.truth.items():
        found = result.parameters[name]
        assert abs(found.estimate - truth) < 0.4 * found.sd_naive
        assert found.estimate == pytest.approx(truth, rel=0.05)


def test_a_week_is_compared_with_the_mean_of_its_days(data_folder, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(data_folder))
    experiment = load_experiment(
        "walnut-gulch-weekly",
        ["window.fit_until=2005-06-01T00:00:00", "window.end=2005-07-01T00:00:00"],
    )
    problem = experiment.problem()
    assert all(stream.steps == 7 for stream in problem.operator.streams)
    evaporation = np.asarray(problem.observations.mask)[:, 0]
    assert set(np.diff(np.flatnonzero(evaporation))) == {7}


def test_errors_that_come_with_the_data(data_folder, monkeypatch):
    """Random uncertainties of the file weigh the values, and gaps in them take values out."""
    monkeypatch.setenv("CALICHE_DATA", str(data_folder))
    overrides = [
        "window.fit_until=2014-02-01T00:00:00",
        "window.end=2014-03-01T00:00:00",
        "observations.latent_heat_flux.sigma_from_data=true",
        "observations.latent_heat_flux.sigma=5.0",
        "observations.latent_heat_flux.estimate_sigma=false",
    ]
    experiment = load_experiment("puechabon-lad", overrides)
    problem = experiment.problem()
    spread = np.asarray(problem.observations.sigma)[:, 0]
    seen = np.asarray(problem.observations.mask)[:, 0]
    given = experiment.dataset["latent_heat_flux_sigma"].values[: experiment.n_fit]
    np.testing.assert_allclose(spread[seen], np.hypot(given[seen], 5.0))
    assert spread[seen].std() > 1.0
    assert bool(jnp.isfinite(problem.cost(problem.space.initial())))
