"""What a configuration says of its files reaches the reader, and `check` tells what was read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from caliche.commands.check.run import check_experiment
from caliche.data import stream_origins
from caliche.errors import InputError
from caliche.experiments import load_experiment

SOIL = "soil_temperature_0.10m"
TEXT = """
[site]
name = "XX-Tow"
{site}
[window]
start = 2024-06-01T00:00:00
end = 2024-06-02T00:00:00
time_step = 1800
fill_gaps_hours = 3
[sources.tower]
path = "tower.csv"
format = "table"
{source}
[sources.tower.time]
column = "time"
stamp = "end"
utc_offset = 0.0
[sources.tower.columns]
incoming_shortwave = {{ name = "SW", unit = "W m-2" }}
air_temperature = {{ name = "TA", unit = "degC" }}
specific_humidity = {{ name = "Q", unit = "kg kg-1" }}
air_pressure = {{ name = "P", unit = "Pa" }}
wind_speed = {{ name = "U", unit = "m s-1" }}
precipitation = {{ name = "RAIN", unit = "mm" }}
"{soil}" = {{ name = "TS", unit = "degC" }}
[derive.incoming_longwave]
method = "sky"
[model]
name = "lad"
[parameters.stomatal_resistance]
value = 100.0
[observations."{soil}"]
sigma = 0.5
"""
PLACE = "latitude = 38.0\nlongitude = 0.0"


@pytest.fixture
def load(tmp_path):
    """An experiment on a day of weather with one shower of 12 mm, the gauge silent beside it."""
    steps = 49
    times = np.datetime64("2024-06-01T00:00") + np.arange(steps) * np.timedelta64(30, "m")
    day = np.arange(steps) / 48.0
    rain = np.full(steps, "0.0", dtype=object)
    rain[[17, 18, 19, 21, 22, 23, 24]] = "NAN"
    rain[20] = "12.0"
    columns = {
        "time": times,
        "SW": np.maximum(-900.0 * np.cos(2.0 * np.pi * day), 0.0).round(1),
        "TA": (15.0 - 5.0 * np.cos(2.0 * np.pi * day)).round(2),
        "Q": np.full(steps, 0.007),
        "P": np.full(steps, 9.5e4),
        "U": np.repeat([3.0, 5.0, 3.0], [30, 10, 9]),
        "RAIN": rain,
        "TS": np.full(steps, 16.0),
    }
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (tmp_path / "tower.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")

    def make(site=PLACE, source=""):
        path = tmp_path / "tower.toml"
        path.write_text(TEXT.format(site=site, source=source, soil=SOIL))
        return load_experiment(path)

    return make


@pytest.mark.parametrize(("site", "source"), [(PLACE, ""), ("", PLACE)])
def test_a_text_table_takes_its_place_from_the_site_or_the_source(load, site, source):
    data = load(site, source).dataset
    assert (data.attrs["latitude"], data.attrs["longitude"]) == (38.0, 0.0)
    assert np.isfinite(data["incoming_longwave"].values[1:]).all()
    assert stream_origins(data)["incoming_longwave"].rebuilt == 1.0


def test_a_source_knows_its_place_better_than_the_site(load):
    data = load("latitude = 10.0\nlongitude = 10.0", PLACE).dataset
    assert data.attrs["latitude"] == 38.0


def test_without_a_place_the_message_names_both_tables(load):
    with pytest.raises(InputError, match=r"no latitude or longitude.*in \[site\] or in a source"):
        _ = load("", "").dataset
    with pytest.raises(InputError, match="a latitude in degrees north"):
        load("latitude = 100.0", "")


def test_rain_in_gaps_is_none_and_check_says_how_much_there_is(load):
    experiment = load()
    data = experiment.dataset
    assert float(data["precipitation"][1:].sum()) * 1800.0 == pytest.approx(12.0)
    lines = list(itertools.islice(check_experiment(experiment, members=0), 6))
    dry = [line.strip() for line in lines if "precipitation" in line]
    assert dry == [
        "7 steps of precipitation missing and taken as dry, 7 of them in gaps beside rain, which "
        "may hide some; 12 mm fall in the rest of the window"
    ]
    rebuilt = "48 of 48 values of incoming_longwave rebuilt from air temperature, humidity and"
    assert any(rebuilt in line for line in lines)


def test_keys_of_a_source_reach_the_reader(load):
    source = 'missing = ["bad"]\nranges = { wind_speed = [0, 4] }'
    with pytest.raises(InputError, match=f"at least one value of {SOIL.replace('.', '[.]')}"):
        _ = load(source='missing = [16, "bad"]').dataset
    with pytest.raises(
        InputError, match=r"wind_speed at every step.*10 values outside 0 to 4 m s-1"
    ):
        _ = load(source=source).dataset
    with pytest.raises(InputError, match="the stream wind_speed in the site's files"):
        _ = load(source='leave_out = ["wind_speed"]').dataset
    with pytest.raises(
        InputError, match=r"for the longwave radiation of the sky. Got no incoming_shortwave"
    ):
        _ = load(source='variables = ["wind_speed"]').dataset


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("missing = [true]", "finite numbers for missing"),
        ("missing = 3", "a list for missing"),
        ("leave_out = [1]", "texts for leave_out"),
        ('variables = ["air_temp"]', "'air_temperature'"),
        ("ranges = { wind_speed = [2, 0] }", "smallest and the largest"),
        ('ranges = { wind_speed = ["a", 1] }', "finite numbers for wind_speed"),
    ],
)
def test_keys_that_cannot_be(load, source, word):
    with pytest.raises(InputError, match=word):
        load(source=source)
