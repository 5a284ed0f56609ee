"""`caliche callmip` on the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import netcdf_file

from caliche.commands.callmip.config import read_entry
from caliche.data.callmip_sites import callmip_site, callmip_sites
from caliche.experiments import load_experiment
from caliche.experiments.config.read import read_config
from callmip_files import write_measured, write_toy


def test_check_says_what_is_wrong_in_a_sentence(caliche, tmp_path):
    for path in write_toy(tmp_path):
        if path.name.endswith("Posterior.nc"):
            path.unlink()
    outcome = caliche("callmip", "check", tmp_path, "--json", tmp_path / "found.json")
    assert outcome.code == 2
    assert outcome.out.startswith("Failed: pairs (1 file, ")
    assert "fails  pairs: Scen1_CA-Qfo_Cal has no Posterior beside it." in outcome.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert not found["passed"]
    write_toy(tmp_path)
    outcome = caliche("callmip", "check", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Passed: 2 files, ")
    assert "note  towers: Scen1 has 1 of 21 Calibration towers" in outcome.out


def test_help_and_what_cannot_be(caliche, tmp_path):
    out = caliche("callmip", "--help").out
    assert "Scenarios 3, 4 and 6 are whole" in out
    for name in ("check", "score", "init", "run"):
        assert f"\n  {name} " in out
    assert "--quiet" in caliche("callmip", "check", "--help").out
    outcome = caliche("callmip", "check", tmp_path)
    assert outcome.code == 2
    assert "Expected a folder with output files of CalLMIP" in outcome.err
    assert caliche("callmip", "chekc").code == 2


def test_score_writes_a_page(caliche, tmp_path, undrawn):
    write_toy(tmp_path)
    write_measured(tmp_path, "CA-Qfo")
    outcome = caliche("callmip", "score", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Note: No benchmarks at CA-Qfo" in outcome.out
    page = (tmp_path / "scores.html").read_text()
    for text in ("Gains and losses", "evergreen needleleaf forest", "By season", "CA-Qfo"):
        assert text in page
    assert len(json.loads((tmp_path / "scores.json").read_text())["towers"]) == 3
    write_toy(tmp_path / "none")
    outcome = caliche("callmip", "score", tmp_path / "none" / "x")
    assert outcome.code == 2


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of data with the flux file of one tower, and the folder of an entry to be."""
    flux = tmp_path / "data" / "callmip"
    flux.mkdir(parents=True)
    write_measured(flux, "US-Whs")
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_init_writes_an_entry_to_look_over(caliche, data, tmp_path):
    folder = tmp_path / "entry"
    arguments = ("--sites", "US-Whs", "--weather", "US-Whs=walnut-gulch-lad", "--hold-out", 4)
    outcome = caliche("callmip", "init", folder, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    entry = read_entry(folder)
    assert entry.calibrating == ("US-Whs",)
    assert entry.label("stomatal_resistance", "US-Whs") == "OSH"
    assert entry.table.hold_out is not None
    assert entry.table.hold_out.every == 4
    config = read_config(str(folder / "sites" / "US-Whs.toml"))
    assert set(config.observations) == {"latent_heat_flux", "sensible_heat_flux"}
    assert not config.nuisances  # what is written is the flux of the model, not the tower's share
    assert config.sources["callmip"].format == "callmip"
    assert "latent_heat_flux" in config.sources["fluxes"].leave_out
    assert config.window.end == np.datetime64("2015-01-01T07:00")  # the record ends with 2014
    again = caliche("callmip", "init", folder, *arguments)
    assert again.code == 2
    assert "Expected a folder without an entry" in again.err


def test_init_names_every_file_that_is_missing(caliche, data, tmp_path):
    outcome = caliche("callmip", "init", tmp_path / "e", "--sites", "US-Whs,US-Wkg,AU-How")
    assert outcome.code == 2
    for text in (
        "no flux file US-Wkg_daily_aggregated_*_Flux.nc of US-Wkg: participants get it from the",
        "no weather file US-Whs_*_Met.nc of US-Whs, US-Wkg_*_Met.nc of US-Wkg and AU-How",
        "_*_Met.nc of AU-How: participants get it from modelevaluation.org",
        "github.com/callmip-org/Phase1",
    ):
        assert text in outcome.err
    assert "AU-How_daily" not in outcome.err  # withheld: it is a validation tower
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--sites", "US-Whs", "--scenario", 1), "no carbon yet"),
        (("--sites", "US-Whs", "--scenario", 9), "from 1 to 6"),
        (("--sites", "AU-How"), "at least one calibration tower"),
        (("--sites", "US-Wsh"), "tower of CalLMIP"),
        (("--sites", "US-Whs", "--model", "my_model"), "MODEL.VERSION"),
        (("--sites", "US-Whs", "--weather", "walnut-gulch-lad"), "SITE=EXPERIMENT"),
        (("--sites", "US-Whs", "--weather", "FR-Pue=puechabon-lad"), "weather of a tower"),
        (("--sites", "US-Whs", "--weather", "US-Whs=puechabon-lad"), "utc_offset = -7"),
    ],
)
def test_init_refuses_in_one_sentence(caliche, data, tmp_path, arguments, word):
    outcome = caliche("callmip", "init", tmp_path / "e", *arguments)
    assert outcome.code == 2
    assert word in outcome.err
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "callmip init"),
        ("title = 'a'\n[sites.US-Whs]\nexperiment = 'a.toml'", "vegetation"),
        ("title = 'a'\nscenario = 2\n" + "[sites]", "no carbon yet"),
        ("title = 'a'\n[share]\nalbedo = 'pft'\n[sites]", "global, site, vegetation or soil"),
        ("title = 'a'\n[sites]", "a calibration tower"),
        ("title = 'a'\nmodel = 'a'\n[sites]", "MODEL.VERSION"),
    ],
)
def test_run_refuses_what_is_no_entry(caliche, tmp_path, text, word):
    folder = tmp_path / "entry"
    folder.mkdir()
    if text:
        (folder / "callmip.toml").write_text(text)
    outcome = caliche("callmip", "run", folder)
    assert outcome.code == 2
    assert word in outcome.err
    assert {p.name for p in folder.iterdir()} <= {"callmip.toml"}


def test_init_takes_what_a_weather_file_says(caliche, data, tmp_path, monkeypatch):
    """A PLUMBER2 file of one year: its step, height and every day of it."""
    monkeypatch.setitem(
        callmip_sites(), "US-Whs", replace(callmip_site("US-Whs"), years=(2014, 2014))
    )
    (flux,) = (data / "callmip").iterdir()
    flux.unlink()
    write_measured(data / "callmip", "US-Whs")
    hours = 365 * 24
    with netcdf_file(str(data / "callmip" / "US-Whs_2014-2014_Met.nc"), "w", version=2) as file:
        file.createDimension("time", hours)
        time = file.createVariable("time", "d", ("time",))
        time[:], time.units = 3600.0 * np.arange(hours), "seconds since 2014-01-01 00:00:00"
        values = {
            "SWdown": (
                np.maximum(800.0 * np.sin(2 * np.pi * (np.arange(hours) - 6) / 24), 0),
                "W/m2",
            ),
            "LWdown": (300.0, "W/m2"),
            "Tair": (290.0, "K"),
            "Qair": (0.005, "kg/kg"),
            "Psurf": (8.6e4, "Pa"),
            "Precip": (0.0, "mm/s"),
            "Wind": (3.0, "m/s"),
        }
        for name, (series, unit) in values.items():
            variable = file.createVariable(name, "f", ("time",))
            variable[:], variable.units = np.broadcast_to(series, hours).astype("f4"), unit
        file.createVariable("reference_height", "f", ()).data[()] = 5.5
        file.site_code = "US-Whs"
    outcome = caliche("callmip", "init", tmp_path / "e", "--sites", "US-Whs")
    assert (outcome.code, outcome.err) == (0, "")
    assert "has a step of 3600 s, and 1800 s were expected" in outcome.out
    assert "has a reference height of 5.5 m, and 4 m were expected" in outcome.out
    experiment = load_experiment(str(tmp_path / "e" / "sites" / "US-Whs.toml"))
    assert experiment.model.measurement_height == 5.5
    assert experiment.model.soil == "coarse"
    times = experiment.dataset["time"].values
    assert (times[0], times[-1]) == (
        np.datetime64("2014-01-01T07:00"),
        np.datetime64("2015-01-01T07:00"),
    )
    assert experiment.dataset["latent_heat_flux"].attrs["interval"] == 86400.0
    assert experiment.dataset["latent_heat_flux"].attrs["n_valid"] == 312
