"""An entry to CalLMIP from beginning to end: towers of which all is known, and US-Whs."""

from __future__ import annotations

import csv
import json
import re
import time
from datetime import datetime

import numpy as np
import pytest
import tomli_w

from caliche.callmip.check import check_outputs
from caliche.callmip.opened import open_output
from caliche.callmip.score import score_outputs
from caliche.commands.callmip import prepare, run, towers
from caliche.commands.callmip.config import read_entry
from caliche.commands.callmip.folder import held_days
from caliche.commands.callmip.prepare import start_entry
from caliche.commands.callmip.run import run_entry
from caliche.data.callmip_sites import callmip_site
from callmip_files import write_fluxes

CALIBRATED, VALIDATED = ("US-SRG", "US-Wkg"), "US-FPe"  # grassland, all three at UTC-7
DAYS = 24
TRUTH = {"stomatal_resistance": 90.0, "snow_albedo": 0.6}


def weather(folder, site: str) -> str:
    """An experiment with made-up hourly weather of a tower; every one has other clouds."""
    rng = np.random.default_rng(len(site) + ord(site[-1]))
    hours = 24 * DAYS + 1
    t = np.arange(hours)
    clear = np.repeat(0.4 + 0.6 * rng.random(DAYS + 1), 24)[:hours]
    sun = 900.0 * clear * np.maximum(np.sin(2 * np.pi * (t - 6.5) / 24.0), 0.0)
    air = (
        293.0
        + 6.0 * np.sin(2 * np.pi * (t - 9.0) / 24.0)
        + np.repeat(3.0 * rng.standard_normal(DAYS + 1), 24)[:hours]
    )
    rain = np.where(rng.random(hours) < 0.04, 2.0, 0.0)
    columns = {
        "SW": sun,
        "LW": 300.0 + 30.0 * (1.0 - clear),
        "T": air,
        "Q": np.full(hours, 0.008),
        "P": np.full(hours, 9e4),
        "U": 2.0 + rng.random(hours),
        "R": rain,
    }
    start = np.datetime64("2005-07-01T00:00") if site == VALIDATED else np.datetime64("2014-07-01")
    with (folder / f"{site}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *columns])
        for k in range(hours):
            stamp = str((start + np.timedelta64(k, "h")).astype("datetime64[s]"))
            writer.writerow([stamp, *(f"{series[k]:.6g}" for series in columns.values())])
    units = ("W m-2", "W m-2", "K", "kg kg-1", "Pa", "m s-1", "mm")
    streams = (
        "incoming_shortwave",
        "incoming_longwave",
        "air_temperature",
        "specific_humidity",
        "air_pressure",
        "wind_speed",
        "precipitation",
    )
    first = datetime.fromisoformat(str(start.astype("datetime64[s]")))
    raw = {
        "title": site,
        "site": {"name": site, "utc_offset": -7.0},
        "window": {
            "start": first,
            "end": datetime.fromtimestamp(first.timestamp() + 86400 * DAYS),
            "time_step": 3600,
        },
        "sources": {
            "tower": {
                "path": f"{site}.csv",
                "format": "table",
                "time": {"column": "time", "stamp": "end", "utc_offset": -7.0},
                "columns": {
                    stream: {"name": name, "unit": unit}
                    for stream, name, unit in zip(streams, columns, units, strict=True)
                },
            }
        },
        "model": {
            "name": "lad",
            "vegetation": "grass",
            "soil": "medium",
            "measurement_height": 4.0,
        },
        "parameters": {
            "stomatal_resistance": {"prior": "log-normal", "mean": 150.0, "sd": 150.0},
            # Without snow it does nothing.
            "snow_albedo": {"prior": "normal", "mean": 0.6, "sd": 0.1, "lower": 0.3, "upper": 0.9},
        },
    }
    path = folder / f"{site}.toml"
    path.write_text(tomli_w.dumps(raw))
    return str(path)


def at_truth(tower) -> dict[str, np.ndarray]:
    space = tower.experiment.space
    return tower.outputs(np.asarray(space.to_whitened(TRUTH)))


@pytest.mark.ci
def test_towers_of_which_all_is_known(tmp_path, monkeypatch):
    """Shared by vegetation, predicted at a validation tower, taken up again, left out once."""
    for module in (prepare, towers):
        monkeypatch.setattr(module, "FEWEST", 10)
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path))
    (tmp_path / "callmip").mkdir()
    sites = (*CALIBRATED, VALIDATED)
    for site in CALIBRATED:
        write_fluxes(tmp_path / "callmip", site, {})
    experiments = {site: weather(tmp_path, site) for site in sites}
    folder = tmp_path / "entry"
    said = start_entry(folder, sites, 6, "caliche-LaD.v1", experiments, 4)
    assert any("scored, not fitted" in text for text in said)
    # What was measured: the model at the truth, with noise.
    for site in CALIBRATED:
        days = callmip_site(site).days
        write_fluxes(tmp_path / "callmip", site, {"Qle": (np.full(len(days), 50.0), 1.0)})
    opened = {t.site.code: t for t in towers.open_towers(read_entry(folder))}
    noise = np.random.default_rng(0)
    for site in CALIBRATED:
        tower, whole = opened[site], callmip_site(site).days
        rows = (tower.days[tower.rows].astype("datetime64[D]") - whole[0]).astype(int)
        seen = {}
        for name, variable in (("Qle", "hfls"), ("Qh", "hfss")):
            series = np.full(len(whole), 1e20)
            series[rows] = at_truth(tower)[variable] + noise.normal(0.0, 4.0, len(rows))
            seen[name] = (series, 4.0)
        write_fluxes(tmp_path / "callmip", site, seen)

    lines: list[str] = []
    found = run_entry(folder, leave_out=True, tell=lines.append)
    assert found["converged"]
    shared = found["parameters"]["stomatal_resistance@GRA"]
    low, high = shared["interval95"]
    assert low < TRUTH["stomatal_resistance"] < high
    assert shared["prior"] > 100.0
    assert set(found["parameters"]) == {
        "stomatal_resistance@GRA",
        *(f"snow_albedo@{site}" for site in CALIBRATED),
    }
    assert found["notes"][0] == (
        "snow_albedo@US-SRG and snow_albedo@US-Wkg have no effect on any fitted flux: nothing was "
        "calibrated."
    )
    assert found["sites"][VALIDATED]["fitted"] == []
    assert len(found["sites"]["US-SRG"]["held_out"]) == 4  # days 21 to 24
    assert set(found["sites"]["US-SRG"]["left_out"]) == {"latent_heat_flux", "sensible_heat_flux"}
    assert any(line.startswith("without US-Wkg") for line in lines)
    looked = check_outputs(folder)
    assert looked.passed
    assert len(looked.files) == 6
    # The validation tower takes the value of its vegetation, and its own from the prior.
    files = {p.name.partition("_Scen6_")[2]: p for p in (folder / "output").iterdir()}
    series = {
        stage: open_output(files[f"{VALIDATED}_Val_{stage}.nc"]).series("hfls")
        for stage in ("Prior", "Posterior")
    }
    truth = at_truth(opened[VALIDATED])["hfls"]
    off = {}
    for stage, values in series.items():
        assert values is not None
        known = values[np.isfinite(values)]
        assert len(known) == DAYS
        off[stage] = float(np.sqrt(np.mean((known - truth) ** 2)))
    assert off["Posterior"] < off["Prior"]
    scores = score_outputs(folder, held_days(folder))
    assert {t.period for t in scores.towers} == {"held out"}

    lines.clear()
    again = run_entry(folder, leave_out=True, tell=lines.append)
    assert [line.partition(":")[0] for line in lines] == ["together"]
    assert again["parameters"]["stomatal_resistance@GRA"]["estimate"] == pytest.approx(
        shared["estimate"], rel=1e-3
    )


@pytest.mark.slow
def test_half_a_year_of_shrubs(tmp_path, data_folder, monkeypatch):
    """US-Whs, July to December 2014, Scenario 6: calibrated, written, checked; its bands hold."""
    folder = tmp_path / "entry"
    start_entry(folder, ["US-Whs"], 6, "caliche-LaD.v1", {"US-Whs": "walnut-gulch-lad"}, 4)
    begin = time.process_time()
    found = run_entry(folder)
    assert time.process_time() - begin < 120.0
    assert found["converged"]
    assert found["notes"] == [
        "Empty, as the model does not compute them: nep, gpp, reco, tran, evspsblsoi, lai, cSoil "
        "and cLiveBioAbove. Without carbon this is no entry to the required Scenario 1."
    ]
    looked = check_outputs(folder)
    assert looked.passed
    assert {f.check for f in looked.findings} == {"gaps", "empty", "towers"}
    scores = {t.flux: t for t in score_outputs(folder, held_days(folder)).towers}
    assert scores["latent_heat_flux"].scores["posterior"].n == 34
    assert scores["sensible_heat_flux"].scores["posterior"].n == 40
    inside = days = 0.0
    for t in scores.values():
        s = t.scores["posterior"]
        assert t.gain is not None
        assert t.gain > 0.0
        assert s.covered_both is not None
        assert 0.85 <= s.covered_both <= 0.95
        inside, days = inside + s.covered_both * s.n, days + s.n
    assert 0.85 <= inside / days <= 0.95
    assert json.loads((folder / "calibration.json").read_text())["sites"]["US-Whs"]["held_out"]
    assert re.match(r"day,SWdown,Tair,RH", (folder / "weather" / "US-Whs.csv").read_text())


def test_nothing_is_run_at_a_tower_of_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path))
    (tmp_path / "callmip").mkdir()
    path = write_fluxes(tmp_path / "callmip", "US-SRG", {"Qle": (np.full(2191, 50.0), 1.0)})
    start_entry(tmp_path / "e", ["US-SRG"], 6, "A.v1", {"US-SRG": weather(tmp_path, "US-SRG")})
    path.unlink()
    other = write_fluxes(tmp_path / "callmip", "US-Wkg", {"Qle": (np.full(3652, 50.0), 1.0)})
    other.rename(path)
    with pytest.raises(ValueError, match="of US-Wkg"):
        run.run_entry(tmp_path / "e")
