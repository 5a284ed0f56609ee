"""The priors of an experiment against its data, in words, and the figure; regimes in words."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.commands.check.figures import write_prior_figure
from caliche.evaluation.prior_check import check_prior
from caliche.evaluation.regimes import regimes
from caliche.experiments import load_experiment

NARROW = [
    'parameters.bottom_temperature={prior="normal", mean=293.0, sd=0.5, start=[292.0, 294.0]}',
    'parameters.thermal_conductivity={prior="log-normal", mean=0.8, sd=0.2}',
    "parameters.albedo={lower=0.15, upper=0.35, start=[0.2, 0.3]}",
    "parameters.combined_heat_transfer_coefficient={lower=15.0, upper=40.0, start=[20, 30]}",
]


def check(*overrides: str):
    return check_prior(load_experiment("twin-two-depths", [*NARROW, *overrides]))


def test_a_twin_whose_truth_is_inside_and_one_whose_truth_is_not(tmp_path):
    inside = check()
    assert not inside.draws.conflict.any()
    assert all("within what the priors can produce" in s for s in inside.sentences)
    assert not any("NOT" in s for s in inside.sentences)
    outside = check("synthetic.truth.bottom_temperature=305.0")
    assert outside.draws.conflict[1]
    sentence = outside.sentences[1]
    assert sentence.startswith("soil temperature at 0.05 m: ")
    assert "warmer than the draws" in sentence
    assert "NOT within what the priors can produce" in sentence
    path = tmp_path / "prior.svg"
    write_prior_figure(outside, path)
    text = path.read_text()
    assert "in conflict with the prior" in text
    assert "95 % of the draws" in text


def test_regimes_sort_times_and_name_them():
    step = np.timedelta64(1800, "s")
    time = np.datetime64("2020-06-20T00:00:00", "s") + step * np.arange(1, 48 * 20 + 1)
    day = np.arange(len(time)) // 48
    rain = np.where(day == 3, 2.0 / 86400.0, 0.0)
    sun = np.maximum(0.0, 800.0 * np.sin(2.0 * np.pi * (np.arange(len(time)) / 48.0 - 0.25)))
    ways = {
        way.name: way
        for way in regimes(time, step, {"precipitation": rain, "incoming_shortwave": sun})
    }
    assert list(ways) == ["hour", "month", "wetness", "radiation"]
    hour, month, wetness = ways["hour"], ways["month"], ways["wetness"]
    assert hour.index[0] == hour.index[1] == 0  # stamps 00:30 and 01:00 end in the first hour
    assert hour.words([12, 13, 14]) == "from 12 to 15 h"
    assert hour.words([0, 1, 22, 23]) == "from 22 to 2 h"
    assert month.words([5, 6]) == "in June and July"
    assert month.words([0, 1, 11]) == "from December to February"
    assert wetness.index[day == 2].max() == -1  # nobody knows when it rained before
    assert [int(wetness.index[day == d][0]) for d in (3, 4, 5, 6, 9, 10)] == [0, 1, 1, 2, 2, 3]
    assert wetness.words([0]) == "on days with rain"
    assert hour.run(np.isin(np.arange(24), [22, 23, 0, 1, 5]), 0) == [0, 1, 22, 23]


@pytest.mark.parametrize(("step", "bins"), [(600, 24), (3600, 24), (10800, 8), (43200, 2)])
def test_bins_of_the_day_are_no_shorter_than_a_step(step, bins):
    step = np.timedelta64(step, "s")
    time = np.datetime64("2020-06-20T00:00:00", "s") + step * np.arange(1, 200)
    hour = regimes(time, step, {})[0]
    assert hour.size == bins
    assert hour.index.max() == bins - 1
