"""Output and flux files of CalLMIP for the tests, of a model that is made up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

from caliche.callmip.protocol import POSTERIOR, STAGES, OutputName, cal_val
from caliche.callmip.write import write_output
from caliche.data.callmip_sites import callmip_site
from caliche.data.raw_netcdf import RawFile

MODEL = "Toy.v1"


def toy(site: str, stage: str, scenario: int = 1) -> tuple[np.ndarray, dict, dict]:
    """Days, values and uncertainties of a model that is made up, every variable in it."""
    days = callmip_site(site).days
    t = np.arange(len(days))
    season, rough = np.cos(2.0 * np.pi * (t - 200.0) / 365.25), np.sin(1.7 * t)
    better = 1.0 if stage == POSTERIOR else 1.2
    gpp = 6e-8 * (1.0 + season) + 1e-9
    reco = 5e-8 * (1.0 + 0.8 * season)
    latent = better * (40.0 + 35.0 * season + 5.0 * rough)
    values = {
        "nep": gpp - reco,
        "hfls": latent,
        "hfss": 30.0 + 25.0 * season - 5.0 * rough,
        "gpp": gpp,
        "reco": reco,
        "tran": 0.5 * latent / 2.45e6,
        "evspsblsoi": 0.3 * latent / 2.45e6,
        "hfg": 8.0 * season + rough,
        "ts": 280.0 + 15.0 * season + rough,
        "mrso": 500.0 - 50.0 * season,
        "mrsos": 25.0 - 5.0 * season,
        "lai": 2.0 + season,
        "cSoil": 10.0 + 1e-4 * t,
        "cLiveBioAbove": 5.0 + 1e-4 * t,
    }
    unc = {}
    if stage == POSTERIOR:
        unc = {"nep": np.full(len(t), 1e-8), "hfls": 8.0 + season, "hfss": 9.0 + season}
    return days, values, unc


def write_toy(folder: Path, site: str = "CA-Qfo", scenario: int = 1) -> list[Path]:
    """Prior and posterior of that model at one tower."""
    tower = callmip_site(site)
    files = []
    for stage in STAGES:
        days, values, unc = toy(site, stage)
        name = OutputName(MODEL, scenario, site, cal_val(tower.role), stage)
        files.append(write_output(folder, name, tower, days, values, unc))
    return files


def _attach(to: object, attributes: Mapping[str, object]) -> None:
    for key, value in attributes.items():
        text = isinstance(value, str)
        setattr(to, key, value.encode() if text else np.float64(value))


def write_raw(raw: RawFile, path: Path) -> None:
    """Write a file as it is, right or wrong."""
    with netcdf_file(str(path), "w", version=2) as file:
        for name, size in raw.sizes.items():
            file.createDimension(name, size)
        _attach(file, raw.attrs)
        for name, v in raw.variables.items():
            variable = file.createVariable(name, v.values.dtype, v.dims)
            variable.data[...] = v.values
            _attach(variable, v.attrs)


def write_measured(folder: Path, site: str, early: int = 0, gaps: int = 7) -> Path:
    """A flux file of a tower, near what the posterior of the toy says; every 7th day missing."""
    days, values, _ = toy(site, POSTERIOR)
    noise = np.random.default_rng(1)
    series = {
        "NEE": (-values["nep"] * 8.64e7, 0.3),
        "Qle": (values["hfls"], 8.0),
        "Qh": (values["hfss"], 9.0),
    }
    seen = {}
    for name, (truth, sd) in series.items():
        found = np.roll(truth, -early) + noise.normal(0.0, sd, len(days))
        found[::gaps] = 1e20
        seen[name] = (found, 0.25 * sd)
    return write_fluxes(folder, site, seen)


def write_fluxes(folder: Path, site: str, series: Mapping[str, tuple[np.ndarray, float]]) -> Path:
    """A flux file of a tower: NEE, Qle, Qh (missing where not given) and their uncertainty."""
    days, (first, last) = callmip_site(site).days, callmip_site(site).years
    path = folder / f"{site}_daily_aggregated_{first}-{last}_FLUXNET2015_Flux.nc"
    with netcdf_file(str(path), "w") as file:
        file.createDimension("time", len(days))
        time = file.createVariable("time", "d", ("time",))
        time[:], time.units = np.arange(len(days)) * 86400.0, f"seconds since {first}-01-01 00:00"
        for name in ("NEE", "Qle", "Qh"):
            seen, sd = series.get(name, (np.full(len(days), 1e20), 1.0))
            error = np.where(seen < 1e19, sd, 1e20)
            for suffix, data in (("daily", seen), ("uc_daily", error)):
                variable = file.createVariable(f"{name}_{suffix}", "f", ("time",))
                variable[:] = data.astype("f4")
                variable.units = "gC/m2/d" if name == "NEE" else "W/m2"
        file.site_code = site
    return path
