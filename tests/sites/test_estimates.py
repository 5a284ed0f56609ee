"""What comes out for each site is what `caliche.estimate` gives it alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sites_cases import assert_same_as_alone, configuration, estimate_alone, read

import caliche
from caliche import estimate_sites
from caliche.commands.sites import ready
from caliche.estimation.devices import devices_for
from caliche.models import SoilHeat
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import ParameterSpace
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem
from caliche.sites import synthetic


def test_each_site_as_if_it_were_alone(write, twins):
    dataset = twins.copy(deep=True)
    dataset["soil_temperature_0.06m"][2, ::2] = np.nan  # hourly
    dataset["surface_temperature"][3, 40:] = np.nan
    dataset["air_temperature"][4, 0] = np.nan  # it drives no step
    run = estimate_sites(caliche.load_experiment(write()), dataset, "out", batch=8, lanes=8)
    result = read("out")
    assert run.summary is not None
    assert run.summary["converged"] == 20
    assert run.failed == 0
    for site in (0, 2, 3, 4, 19):
        assert_same_as_alone(result, site, estimate_alone(dataset, site, configuration()))
    truth = np.stack([dataset[f"truth_{name}"] for name in result.parameter.values], axis=1)
    assert (np.abs(result.estimate - truth) < 4.5 * result.sd).all()
    assert float(result.remaining_step.max()) < 1e-4
    assert json.loads(Path("out/summary.json").read_text("utf-8")) == run.summary


def test_bounds_and_what_nobody_sees(write, twins):
    """One site is dark: its albedo is anybody's guess. Others ask for more than is allowed."""
    parameters = {
        "albedo": {"value": 0.3},
        "thermal_conductivity": {"value": 0.7, "upper": 0.85},
        "combined_heat_transfer_coefficient": {"prior": "log-normal", "mean": 20.0, "sd": 8.0},
    }
    dataset = twins.isel(site=slice(0, 8)).copy(deep=True)
    dataset["incoming_shortwave"][5] = 0.0
    experiment = caliche.load_experiment(write(parameters=parameters))
    estimate_sites(experiment, dataset, "out", lanes=8)
    result = read("out")
    held = result.at_bound.sel(parameter="thermal_conductivity").values
    assert 0 < held.sum() < 8
    assert np.isinf(result.sd.sel(parameter="albedo")[5])
    for site in (5, int(np.flatnonzero(held)[0]), int(np.flatnonzero(held == 0)[0])):
        alone = estimate_alone(dataset, site, configuration(parameters=parameters))
        assert_same_as_alone(result, site, alone)


def test_profile_and_bottom_of_each_site(write):
    """Every site starts from its own measured profile and follows its own measured bottom."""
    model = {
        **configuration()["model"],
        "initial": "observed",
        "initial_depths": [0.06, 0.35],
        "bottom": "measured-temperature",
        "bottom_stream": "soil_temperature_0.80m",
    }
    experiment = caliche.load_experiment(write(model=model))
    dataset = synthetic(experiment, 8, seed=3, steps=144)
    assert np.isnan(dataset["soil_temperature_0.35m"][:, 1:]).all()
    dataset["soil_temperature_0.35m"][:, -1] = 290.0  # later values are of no account
    dataset["soil_temperature_0.35m"][2, 0] = np.nan
    estimate_sites(experiment, dataset, "out", lanes=8)
    result = read("out")
    assert result.status.values.tolist() == [1, 1, ready.NOT_OBSERVED, 1, 1, 1, 1, 1]
    assert "soil_temperature_0.35m has no observation at 2000-06-01T00:00Z" in str(
        result.reason[2].item()
    )
    for site in (0, 7):
        assert_same_as_alone(
            result, site, estimate_alone(dataset, site, configuration(model=model))
        )


def test_sites_that_cannot_be_calibrated_are_named_and_disturb_nobody(write, twins):
    dataset = twins.copy(deep=True)
    dataset["air_temperature"][3, 50:53] = np.nan
    dataset["incoming_longwave"][7, 60] = 9999.0
    dataset["surface_temperature"][9] = np.nan
    dataset["soil_temperature_0.06m"][11, 5] = 15.0  # degrees Celsius
    experiment = caliche.load_experiment(write())
    bad = {
        3: "forcing_incomplete",
        7: "value_out_of_range",
        9: "not_observed",
        11: "value_out_of_range",
    }
    run = estimate_sites(experiment, dataset, "out", batch=8, lanes=8)
    estimate_sites(experiment, twins, "all", batch=8, lanes=8)
    result, whole = read("out"), read("all")
    good = np.setdiff1d(np.arange(20), list(bad))
    xr.testing.assert_identical(result.isel(site=good), whole.isel(site=good))
    assert run.failed == 4
    assert run.summary is not None
    assert [f["status"] for f in run.summary["failed"]] == list(bad.values())
    assert [f["site"] for f in run.summary["failed"]] == [f"twin {k}" for k in bad]
    texts = [f["reason"] for f in run.summary["failed"]]
    assert texts == [
        "air_temperature is missing at 3 of 144 steps, first 2000-06-02T01:00Z",
        "incoming_longwave is outside 50 to 750 W m-2 at 1 of 145 times, first 9999 at "
        "2000-06-02T06:00Z",
        "surface_temperature has no observation",
        "soil_temperature_0.06m is outside 200 to 350 K at 1 of 145 times, first 15 at "
        "2000-06-01T02:30Z",
    ]
    lost = result.isel(site=list(bad))
    assert np.isnan(lost.estimate).all()
    assert np.isnan(lost.interval95_upper).all()
    assert result.status.attrs["flag_meanings"].split()[4] == "forcing_incomplete"


def test_a_model_that_fails_at_one_site(write, twins, monkeypatch):
    dataset = twins.copy(deep=True)
    dataset["air_temperature"][3, 50] = np.nan
    experiment = caliche.load_experiment(write())
    estimate_sites(experiment, twins, "all", batch=8, lanes=8)
    monkeypatch.setattr(ready, "_problems", lambda *_: {})  # nobody looks at the data first
    run = estimate_sites(experiment, dataset, "out", batch=8, lanes=8)
    assert run.summary is not None
    assert run.summary["status"] == {"converged": 19, "not_finite": 1}
    assert run.summary["failed"][0]["reason"] == "failed: the model gave no finite misfit"
    others = np.setdiff1d(np.arange(20), [3])
    xr.testing.assert_identical(read("out").isel(site=others), read("all").isel(site=others))


def test_the_company_does_not_matter(write, twins):
    """Order, size of the batches and number of neighbours leave every number as it is."""
    experiment = caliche.load_experiment(write())
    estimate_sites(experiment, twins, "all", batch=8, lanes=8)
    order = np.random.default_rng(0).permutation(20)[:17]
    estimate_sites(experiment, twins.isel(site=order), "some", batch=5, lanes=8)
    xr.testing.assert_identical(read("some"), read("all").isel(site=order))


@pytest.mark.parametrize(("nodes", "layers", "spread"), [(45, 2, 1), (45, 1, 2), (20, 2, 2)])
def test_a_layered_column_of_many_nodes_gets_one_device(nodes, layers, spread):
    """LAPACK on several devices at once waits for ever."""
    model = SoilHeat(
        [0.02 * k for k in range(nodes)],
        1800.0,
        "backward-euler",
        layer_bottoms=[0.1] if layers == 2 else [],
    )
    declared = {d.name: d for d in model.declarations}
    free = {"albedo": free_parameter(declared.pop("albedo"))}
    fixed = {name: d.default for name, d in declared.items()}
    space = ParameterSpace.build(model.declarations, free, fixed)
    seen = "surface_temperature"
    observed = Observations.from_series({seen: np.full(2, 290.0)}, {seen: 1.0})
    problem = InverseProblem(model, {}, make_operator(model, [Stream(seen)]), observed, space)
    assert len(devices_for(problem.for_block(), ["one", "other"])) == spread
    assert len(devices_for(dataclasses.replace(problem, period=1), ["one", "other"])) == 1


def test_iterations_have_a_limit(write, twins):
    method = {"options": {"max_iterations": 2}}
    experiment = caliche.load_experiment(write(method=method))
    run = estimate_sites(experiment, twins, "out", batch=8, lanes=8)
    assert run.summary is not None
    assert run.summary["status"]["iteration_limit"] == run.failed > 0
    assert read("out").iterations.max() == 2


def test_a_result_is_plain_netcdf(write, twins):
    estimate_sites(caliche.load_experiment(write()), twins, "out", batch=8, lanes=8)
    result = read("out")
    assert result.sizes["site"] == 20
    assert result.site.values.tolist() == [f"twin {k}" for k in range(20)]
    assert result.attrs["Conventions"].startswith("CF-")
    assert "thermal_conductivity: W m-1 K-1" in result.estimate.attrs["comment"]
    assert "surface_temperature: K" in result.rms_residual.attrs["comment"]
    assert all("long_name" in result[name].attrs for name in result.data_vars)
    np.testing.assert_allclose(result.rms_residual.mean("site"), [0.2, 0.5], rtol=0.1)
    assert caliche.load_experiment("out/config.toml").space.names == tuple(result.parameter.values)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": {"starts": 5}}, "Expected one start for each site"),
        ({"method": {"name": "adam"}}, "Expected method lm for many sites"),
        (
            {"observations": {"surface_temperature": {"sigma": 1.0, "average": 3600}}},
            "surface_temperature compared at the instant or over one step",
        ),
    ],
)
def test_what_many_sites_cannot_have(write, twins, more, message):
    experiment = caliche.load_experiment(write(**more))
    with pytest.raises(caliche.InputError, match=message):
        estimate_sites(experiment, twins, "out")


def test_a_twin_of_a_problem(write):
    problem = caliche.load_experiment(write()).blank_problem(2)
    dataset = synthetic(problem, 2, steps=10, noise=False)
    assert dict(dataset.sizes) == {"site": 2, "time": 11}
    assert np.isfinite(dataset["soil_temperature_0.06m"]).all()
