"""Regressions on the weather: exact where the flux is one, and never shown the hold-out."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from caliche.data.humidity import relative_humidity, saturation_vapour_pressure, specific_humidity
from caliche.errors import InputError
from caliche.evaluation.benchmarks import (
    MODEL,
    cluster_centres,
    clustered_regression,
    compare,
    observed_streams,
    predictors,
)

STEPS = 1200


def run(flux, modelled=None, **change) -> xr.Dataset:
    """result.nc of a run whose flux is a function of (shortwave, temperature, humidity)."""
    generator = np.random.default_rng(7)
    shortwave = generator.uniform(0.0, 900.0, STEPS)
    temperature = generator.uniform(275.0, 305.0, STEPS)
    moisture = generator.uniform(0.2, 0.9, STEPS)
    pressure = np.full(STEPS, 9.5e4)
    humidity = specific_humidity(moisture * saturation_vapour_pressure(temperature), pressure)
    observed = flux(shortwave, temperature, moisture)
    series = {
        "forcing_incoming_shortwave": shortwave,
        "forcing_air_temperature": temperature,
        "forcing_specific_humidity": humidity,
        "forcing_air_pressure": pressure,
        "sensible_heat_flux_observed": observed,
        "sensible_heat_flux_modelled": observed + 5.0 if modelled is None else modelled,
        "holdout": (np.arange(STEPS) >= 800).astype(np.int8),
    } | change
    dataset = xr.Dataset(
        {name: ("time", values) for name, values in series.items() if values is not None}
    )
    dataset["sensible_heat_flux_observed"].attrs = {"units": "W m-2", "fitted": 0}
    return dataset


def test_one_variable_regression_finds_a_line_in_the_sun():
    (found,) = compare(run(lambda s, t, h: 12.0 + 0.3 * s))
    assert found.scores["1lin"].rmse == pytest.approx(0.0, abs=1e-9)
    assert found.scores[MODEL].bias == pytest.approx(5.0)
    assert found.scores[MODEL].n == found.scores["1lin"].n == 400
    assert found.n_training == 799  # entry 0 belongs to no step
    assert found.lost_to == ["1lin", "3lin", "3km27"]
    assert found.holdout
    assert not found.notes


def test_three_variables_are_needed_for_what_depends_on_three():
    (found,) = compare(run(lambda s, t, h: 0.3 * s + 2.0 * (t - 290.0) - 40.0 * h))
    assert found.scores["3lin"].rmse == pytest.approx(0.0, abs=1e-8)
    assert found.scores["1lin"].rmse > 10.0
    assert found.beaten == ["1lin"]


def test_clusters_follow_a_kink_that_one_plane_cannot():
    (found,) = compare(run(lambda s, t, h: np.maximum(s - 450.0, 0.0)))
    assert found.scores["3km27"].rmse < 0.3 * found.scores["3lin"].rmse


def test_the_benchmarks_know_nothing_of_the_hold_out():
    clean = run(lambda s, t, h: 0.3 * s)
    spoilt = clean.copy(deep=True)
    spoilt["sensible_heat_flux_observed"][800:] += 50.0
    (found,) = compare(spoilt)
    for name in ("1lin", "3lin", "3km27"):
        assert found.scores[name].bias == pytest.approx(-50.0, abs=1e-6)


def test_all_are_scored_on_the_same_measured_steps():
    dataset = run(lambda s, t, h: 0.3 * s)
    dataset["sensible_heat_flux_observed"][900:950] = np.nan  # rejected by quality control
    dataset["sensible_heat_flux_modelled"][950:960] = np.nan
    dataset["forcing_specific_humidity"][960:990] = np.nan
    (found,) = compare(dataset)
    assert {s.n for s in found.scores.values()} == {310}


def test_without_humidity_only_the_first_is_left_and_the_reason_said():
    (found,) = compare(run(lambda s, t, h: 0.3 * s, forcing_specific_humidity=None))
    assert list(found.scores) == [MODEL, "1lin"]
    assert found.notes["3lin"] == found.notes["3km27"] == "no relative humidity in the run"


def test_a_short_training_period_has_fewer_clusters_or_no_benchmark():
    dataset = run(lambda s, t, h: 0.3 * s)
    dataset["holdout"][:] = 1
    dataset["holdout"][:101] = 0
    (found,) = compare(dataset)
    assert found.notes["3km27"] == "5 clusters, as only 100 measured steps were there"
    dataset["holdout"][11:101] = 1
    (found,) = compare(dataset)
    assert list(found.scores) == [MODEL]
    assert found.notes["1lin"] == "only 10 measured steps to fit it to"
    assert found.beaten == found.lost_to == []


def test_without_a_hold_out_the_fit_is_scored_and_said_so():
    (found,) = compare(run(lambda s, t, h: 0.3 * s, holdout=np.zeros(STEPS, np.int8)))
    assert not found.holdout
    assert found.scores["1lin"].n == STEPS - 1


def test_temperatures_have_no_benchmark():
    dataset = run(lambda s, t, h: 0.3 * s)
    dataset["surface_temperature_observed"] = dataset["forcing_air_temperature"]
    dataset["surface_temperature_observed"].attrs = {"units": "K", "fitted": 1}
    assert observed_streams(dataset) == ["surface_temperature", "sensible_heat_flux"]
    assert [c.stream for c in compare(dataset)] == ["sensible_heat_flux"]


@pytest.mark.parametrize("missing", ["forcing_incoming_shortwave", "sensible_heat_flux_observed"])
def test_a_run_that_cannot_be_compared_is_refused(missing):
    with pytest.raises(InputError, match="Expected"):
        compare(run(lambda s, t, h: 0.3 * s).drop_vars(missing))


def test_relative_humidity_comes_back_from_specific_humidity():
    dataset = run(lambda s, t, h: h)
    found = predictors(dataset)["relative humidity"]
    np.testing.assert_allclose(found, dataset["sensible_heat_flux_observed"], rtol=1e-12)
    at_saturation = specific_humidity(saturation_vapour_pressure(np.array(290.0)), np.array(1e5))
    assert relative_humidity(at_saturation, np.array(1e5), np.array(290.0)) == pytest.approx(1.0)


def test_clusters_of_separate_clouds_are_the_clouds():
    generator = np.random.default_rng(3)
    places = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = np.concatenate([place + 0.1 * generator.normal(size=(50, 2)) for place in places])
    centres = cluster_centres(points, 4)
    means = points.reshape(4, 50, 2).mean(axis=1)
    order = [np.argmin(np.linalg.norm(centres - mean, axis=1)) for mean in means]
    np.testing.assert_allclose(centres[order], means, atol=1e-12)
    np.testing.assert_array_equal(centres, cluster_centres(points, 4))  # the seed is fixed


def test_clusters_survive_fewer_points_than_asked_for():
    x = np.repeat([[0.0], [1.0]], 30, axis=0)
    y = np.repeat([2.0, 5.0], 30)
    np.testing.assert_allclose(
        clustered_regression(x, y, np.array([[0.0], [1.0]]), count=5), [2.0, 5.0]
    )


def test_a_constant_predictor_leaves_no_slope():
    x = np.column_stack([np.linspace(0.0, 1.0, 50), np.full(50, 4.0)])
    found = clustered_regression(x, 3.0 * x[:, 0], np.array([[0.5, 400.0]]), count=1)
    assert found == pytest.approx([1.5])
