"""A FLUXNET source from its TOML table to a problem that can run."""

from __future__ import annotations

import pytest


@pytest.fixture
def station(tower):
    """The small tower as an AmeriFlux table; its names are those already."""
    tower.config["sources"]["tower"] = {
        "path": "tower.csv",
        "format": "fluxnet",
        "utc_offset": 1.0,
        "accept_qc": [0, 1],
        "soil_depths": [0.05, 0.2],
        "longitude": 15.0,
    }

    def write():
        path = tower.write()
        table = tower.folder / "tower.csv"
        table.write_text(table.read_text().replace("TIME,", "TIMESTAMP_END,", 1))
        return path

    return tower, write


@pytest.mark.parametrize(
    ("longitude", "words"),
    [
        (22.5, "agrees with the sun"),  # the middle of the hour that ends at 12 h, UTC+1
        # The equation of time, 2 min in early June, on top of half an hour and of an hour.
        (
            15.0,
            "0.46 h early by the stamps (median of 3 clear days, ± 0.00 h); stamps may mark the",
        ),
        (37.5, "1.04 h late by the stamps"),
    ],
)
def test_check_reads_it_and_compares_the_clock(caliche, station, longitude, words):
    tower, write = station
    tower.config["sources"]["tower"] |= {"latitude": 0.0, "longitude": longitude}
    outcome = caliche("check", write())
    assert outcome.code == 0
    assert "soil_temperature_0.20m: 49 values" in outcome.out
    (line,) = [x for x in outcome.out.splitlines() if x.startswith("Clock ")]
    assert words in line


def test_longwave_can_be_rebuilt(caliche, station):
    tower, write = station
    path = write()
    assert caliche("check", path).code == 0
    sun = tower.columns["SW_IN"]
    del tower.columns["LW_IN"]
    assert (
        "incoming_longwave" in caliche("check", write()).err
    )  # none, and nothing to rebuild it of
    tower.columns["NETRAD"] = [round(0.8 * s - 80.0, 1) for s in sun]
    tower.config["derive"] = {
        "incoming_longwave": {"albedo": 0.2, "emissivity": 0.97, "surface": "air_temperature"}
    }
    outcome = caliche("check", write())
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"utc_offset": None}, "utc_offset"),
        ({"fluxes": "filled"}, "fluxes"),
        ({"soil_depth": [0.05]}, "soil_depth"),
        ({"soil_depths": [0.05, 0.2, 0.4]}, "3 depths for 2"),
        ({"format": "urban-plumber"}, "utc_offset"),  # a key that means nothing there
    ],
)
def test_mistakes_are_told(caliche, station, change, word):
    tower, write = station
    source = tower.config["sources"]["tower"]
    source.update(change)
    tower.config["sources"]["tower"] = {k: v for k, v in source.items() if v is not None}
    outcome = caliche("check", write())
    assert outcome.code == 2
    assert word in outcome.err
