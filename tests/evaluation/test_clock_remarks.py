"""The clock of an experiment: asked whatever the format of the file, told where it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from caliche.commands.check.run import check_experiment
from caliche.data.sun import sun_over_intervals
from caliche.evaluation.clock import clock_line, clock_remarks
from caliche.experiments import load_experiment
from caliche.runs.run import run_experiment

PLACE = {"latitude": 33.5, "longitude": -112.1}
TOML = """
title = "A tower"
[site]
name = "XX-Tow"
utc_offset = {offset}
[window]
start = 2024-06-01T00:00:00
end = 2024-06-06T00:00:00
time_step = 1800
[sources.tower]
path = "tower.csv"
format = "table"
[sources.tower.time]
column = "time"
stamp = "end"
utc_offset = {offset}
[sources.tower.columns]
incoming_shortwave = {{ name = "SW", unit = "W m-2" }}
incoming_longwave = {{ name = "LW", unit = "W m-2" }}
air_temperature = {{ name = "TA", unit = "degC" }}
"soil_temperature_0.05m" = {{ name = "TS", unit = "degC" }}
[model]
name = "soil-heat"
depth = 0.5
nodes = 11
turbulence = "combined"
bottom = "zero-flux"
initial = "uniform"
[parameters.albedo]
value = 0.2
fixed = true
[parameters.combined_heat_transfer_coefficient]
value = 20.0
fixed = true
[parameters.thermal_conductivity]
value = 0.8
[parameters.volumetric_heat_capacity]
value = 2.0e6
fixed = true
[parameters.initial_temperature]
value = 293.0
fixed = true
[observations."soil_temperature_0.05m"]
sigma = 1.0
[method]
name = "lm"
starts = 1
"""


@pytest.fixture
def tower(tmp_path):
    """A CSV table of five days of June at UTC-7, read with a UTC offset."""

    def load(offset=-7.0, place=PLACE, light=0.75, change=("", "")):
        local = np.datetime64("2024-05-30T00:00") + np.arange(1, 432) * np.timedelta64(30, "m")
        utc = (local + np.timedelta64(7, "h")).astype("datetime64[ns]")
        sun = light * sun_over_intervals(utc, 1800.0, 33.5, -112.1)[0]
        rows = [
            f"{str(t).replace('T', ' ')}:00,{sw:.2f},350,{20 + sw / 100:.2f},{22 + sw / 200:.2f}"
            for t, sw in zip(local, sun, strict=True)
        ]
        (tmp_path / "tower.csv").write_text("\n".join(["time,SW,LW,TA,TS", *rows]) + "\n")
        (tmp_path / "t.toml").write_text(TOML.format(offset=offset).replace(*change))
        experiment = load_experiment(tmp_path / "t.toml")
        experiment.dataset.attrs.update(place)
        return experiment

    return load


def test_a_table_with_a_place_is_asked(tower):
    assert clock_line(tower()).startswith("agrees with the sun: solar noon is 0.0")
    assert clock_remarks(tower()) == ()
    wrong = tower(offset=7.0)
    assert "utc_offset may be -7 instead of 7 (its sign)" in clock_line(wrong)
    (remark,) = clock_remarks(wrong)
    assert remark.startswith("The clock DOES NOT AGREE with the sun: ")
    assert remark.endswith("its sign).")
    assert any(line.startswith("Clock       DOES NOT") for line in check_experiment(wrong, 0))


def test_estimate_asks_too(tower, tmp_path):
    """A clock that disagrees is among the warnings of the result, and one that agrees is not."""
    run = run_experiment(tower(offset=7.0), out=tmp_path / "wrong")
    assert any("DOES NOT AGREE with the sun" in text for text in run.summary["warnings"])
    run = run_experiment(tower(), out=tmp_path / "right")
    assert not any("sun" in text for text in run.summary["warnings"])


def test_a_parameter_without_effect_is_flagged(tower):
    """An albedo in the dark, whatever its prior says: that pulls it, the data do not."""
    prior = 'value = 0.2\nprior = "normal"\nmean = 0.3\nsd = 0.1'
    dark = tower(light=0.0, change=("value = 0.2\nfixed = true", prior))
    line = next(line for line in check_experiment(dark, 0) if "NO EFFECT" in line)
    assert "NO EFFECT on any fitted stream at the first guess: albedo;" in line
    assert clock_line(dark) == "cannot be told: the record has no sunshine"


@pytest.mark.parametrize("place", [{}, {"longitude": -112.1}, {"latitude": 33.5}])
def test_an_unknown_place_is_asked_for(tower, place):
    line = clock_line(tower(place=place))
    assert line.startswith("not checked against the sun")
    assert "give latitude and longitude" in line
    assert clock_remarks(tower(place=place)) == ()


def test_a_twin_has_no_clock():
    twin = load_experiment("twin-one-depth")
    assert clock_line(twin) == ""
    assert clock_remarks(twin) == ()
