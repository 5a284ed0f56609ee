"""What is said of predictions and data, on series made for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from caliche.data.origin import FILLED, INTERPOLATED, MEASURED, ORIGIN
from caliche.evaluation.verdict import (
    balance_remarks,
    data_remarks,
    few_values_remarks,
    has_flags,
    range_remarks,
    score_remarks,
    vector_remarks,
)

TIMES = np.datetime64("2020-06-01T00:00", "ns") + np.arange(400) * np.timedelta64(30, "m")
DAY = np.sin(2.0 * np.pi * np.arange(400) / 48.0)


def test_a_fitted_stream_worse_than_its_mean():
    (found,) = score_remarks({"latent_heat_flux": {"r": 0.3, "nse": -2.2}})
    assert (found.kind, found.serious) == ("worse-than-mean", True)
    assert found.about == ("latent_heat_flux",)
    assert "NSE -2.2" in found.sentence
    assert not list(score_remarks({"latent_heat_flux": {"r": 0.3, "nse": 0.01}}))
    assert not list(score_remarks({"latent_heat_flux": {"r": None, "nse": None}}))


def test_at_one_of_several_sites():
    (found,) = score_remarks({"latent_heat_flux": {"r": 0.3, "nse": -2.2}}, "Here")
    assert found.about == ("latent_heat_flux@Here",)
    assert "latent heat flux, Here" in found.sentence


def test_a_stream_of_the_other_sign():
    """R2 hides the sign: here it is 0.994."""
    found = {r.kind: r for r in score_remarks({"ground_heat_flux_0.05m": {"r": -0.997, "nse": -3}})}
    assert set(found) == {"wrong-sign", "worse-than-mean"}
    text = found["wrong-sign"].sentence
    assert "correlation -1.00" in text
    assert "positive downwards" in text
    assert "at 0.05 m" in text


def test_the_values_that_bring_most_of_the_misfit_are_named():
    observed = DAY.copy()
    observed[[37, 111]] = [-40.0, 35.0]
    modelled = DAY + 0.1
    (found,) = few_values_remarks("latent_heat_flux", TIMES, observed, modelled)
    assert found.kind == "few-values"
    assert found.sentence.startswith("1 value brings 5")  # 55 % or so
    assert "2020-06-01T18:30Z observed -40, modelled" in found.sentence
    observed[111] = -44.0
    (found,) = few_values_remarks("latent_heat_flux", TIMES, observed, modelled)
    assert "2020-06-03T07:30Z observed -44" in found.sentence


def test_errors_of_one_size_are_nobody_s_fault():
    noise = np.random.default_rng(1).standard_normal(400)
    assert not list(few_values_remarks("latent_heat_flux", TIMES, DAY + noise, DAY))
    assert not list(few_values_remarks("latent_heat_flux", TIMES, DAY, DAY))  # no misfit at all
    heavy = np.random.default_rng(1).standard_t(4.0, 400)
    assert not list(few_values_remarks("latent_heat_flux", TIMES, DAY + heavy, DAY))


def energy(**worst):
    flux = np.concatenate([[np.nan], 200.0 * DAY[1:]])
    zero = np.concatenate([[np.nan], np.zeros(399)])
    terms = {"net_radiation": flux, "sensible_heat_flux": flux.copy(), "energy_imbalance": zero}
    for name, value in worst.items():
        terms[name][40] = value
    return terms


def test_a_balance_that_is_missed_is_told_with_its_time():
    (found,) = balance_remarks(energy(energy_imbalance=-159.0), TIMES)
    assert found.kind == "imbalance"
    assert "misses 159 W m-2 at 2020-06-01T20:00Z" in found.sentence
    assert "1 of 399 steps" in found.sentence
    assert not list(balance_remarks(energy(energy_imbalance=0.3), TIMES))
    assert not list(balance_remarks({}, TIMES))


def test_a_run_without_numbers_has_failed():
    (found,) = balance_remarks(energy(sensible_heat_flux=np.nan), TIMES)
    assert found.kind == "failed"
    assert "2020-06-01T20:00Z" in found.sentence


def test_a_surface_hotter_than_can_be():
    surface = 290.0 + 5.0 * DAY
    surface[7] = 2670.0
    (found,) = range_remarks({"surface_temperature": surface, "unknown_term": surface}, TIMES)
    assert (found.kind, found.about) == ("out-of-range", ("surface_temperature",))
    assert "reaches 2670 K at 2020-06-01T03:30Z" in found.sentence
    assert "between 200 and 360 (1 of 400" in found.sentence
    moisture = np.full(400, 4.9)
    assert list(range_remarks({"soil_moisture_0.05m": moisture}, TIMES))
    assert not list(range_remarks({"surface_temperature": surface[8:]}, TIMES))


@pytest.mark.parametrize(
    ("misfit", "kinds"),
    [(2000.0, ["worse-than-mean", "errors-too-small"]), (8.0, []), (0.001, ["errors-too-large"])],
)
def test_observations_without_names(misfit, kinds):
    observed = np.concatenate([np.linspace(0.0, 10.0, 20), [np.nan]])
    found = list(vector_remarks(observed, np.full(21, 1.0), misfit, 2))
    assert [r.kind for r in found] == kinds


def tower(attrs, streams=("latent_heat_flux",), forcing=("incoming_longwave",)):
    """An experiment as far as its data are concerned; `attrs` by stream."""
    names = {name: attrs.get(name, {}) for name in (*streams, *forcing, *attrs)}
    data = {name: ("time", np.zeros(10), own) for name, own in names.items()}
    return SimpleNamespace(
        dataset=xr.Dataset(data),
        fitted_streams=list(streams),
        forcing_sources={name: name for name in forcing},
        config=SimpleNamespace(synthetic=None, sources={}),
    )


def test_data_that_were_rebuilt_or_filled_in_silence():
    formula = "10 of 10 values from air temperature, humidity and cloudiness"
    experiment = tower(
        {
            "incoming_longwave": {"derived_from": formula},
            "latent_heat_flux": {"quality": "no flags: filled and measured values look alike"},
        }
    )
    found = {r.kind: r for r in data_remarks(experiment)}
    assert set(found) == {"rebuilt", "unflagged"}
    assert found["rebuilt"].sentence == (
        f"Incoming longwave radiation was not all measured: {formula}."
    )
    assert found["unflagged"].about == ("latent_heat_flux",)
    assert not has_flags(experiment, "latent_heat_flux")
    assert has_flags(tower({}), "latent_heat_flux")
    assert not list(data_remarks(tower({})))


def test_values_interpolated_over_gaps_or_filled_are_counted():
    experiment = tower({})
    origin = np.array([INTERPOLATED] * 3 + [FILLED] * 2 + [MEASURED] * 5, np.int8)
    marked = experiment.dataset.assign_coords({"incoming_longwave" + ORIGIN: ("time", origin)})
    experiment.dataset = marked
    first, second = data_remarks(experiment)
    assert (first.kind, first.serious) == ("interpolated", False)
    assert first.sentence.startswith("30 % of the values of incoming longwave radiation")
    assert second.sentence.startswith("20 % of the values of incoming longwave radiation")


def test_the_sum_of_the_fluxes_is_no_better_than_its_parts():
    experiment = tower({"sensible_heat_flux": {"flags": "none"}}, ("turbulent_heat_flux",))
    (found,) = data_remarks(experiment)
    assert found.about == ("turbulent_heat_flux",)


def test_a_twin_has_no_data_to_doubt():
    experiment = tower({"latent_heat_flux": {"quality": "no flags"}})
    experiment.config.synthetic = "a truth"
    assert not list(data_remarks(experiment))
    assert has_flags(experiment, "latent_heat_flux")
