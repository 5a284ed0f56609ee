"""Synthetic run folders: what `caliche run` leaves behind, without running anything."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from caliche.files.manifest import write_manifest

PARAMETERS = {
    "thermal_conductivity": (0.826, 0.043, "W m-1 K-1", 0.1, 3.0, 1.5, 0.85),
    "volumetric_heat_capacity": (1.482e6, 6.1e4, "J m-3 K-1", 5e5, 4e6, 2.0e6, 1.5e6),
    "heat_transfer_coefficient": (21.4, 1.3, "W m-2 K-1", 1.0, 80.0, 10.0, 25.0),
    "deep_temperature": (306.12, 0.31, "K", 290.0, 320.0, 300.0, 306.0),
}
STREAMS = {
    "outgoing_longwave": ("W m-2", "outgoing longwave radiation", False, math.nan),
    "soil_temperature_0.05m": ("K", "soil temperature", True, 0.5),
    "soil_temperature_0.15m": ("K", "soil temperature", True, 0.5),
    "turbulent_heat_flux": (
        "W m-2",
        "sensible plus latent heat flux, positive upwards",
        False,
        math.nan,
    ),
    "net_radiation": ("W m-2", "net radiation, positive downwards", False, math.nan),
}
CONFIG = """# The experiment <b>as it was run</b> & nothing else
[model]
name = "soil_heat"
levels = 30

[estimation]
method = "lm"
starts = 5
seed = 1
"""


@pytest.fixture
def build_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder; keyword arguments as in `write_run`."""

    def build(name: str = "run", **options: Any) -> Path:
        folder = tmp_path / name
        write_run(folder, **options)
        return folder

    return build


@pytest.fixture
def run_folder(build_run: Callable[..., Path]) -> Path:
    """A usual run: eight days, two streams fitted, three scored, gaps, hold-out, five starts."""
    return build_run()


def write_run(
    folder: Path,
    *,
    steps: int = 192,
    step_minutes: int = 60,
    starts: int = 5,
    iterations: int = 14,
    parameters: tuple[str, ...] = tuple(PARAMETERS),
    streams: tuple[str, ...] = tuple(STREAMS),
    holdout: bool = True,
    band: bool = True,
    energy: bool = True,
    converged: bool = True,
    change: Callable[[dict[str, Any], xr.Dataset], None] | None = None,
) -> None:
    """A run folder of any size; `change` may spoil the summary and the dataset before writing."""
    folder.mkdir(parents=True)
    write_manifest(folder, "estimate")
    random = np.random.default_rng(20120501)
    dataset = _series(random, steps, step_minutes, streams, holdout, band, energy)
    _search(random, dataset, parameters, starts, iterations)
    summary = _summary(dataset, parameters, streams, holdout, converged)
    if change is not None:
        change(summary, dataset)
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    dataset.to_netcdf(folder / "result.nc", engine="h5netcdf")
    (folder / "config.toml").write_text(CONFIG, "utf-8")


def _series(
    random: np.random.Generator,
    steps: int,
    step_minutes: int,
    streams: tuple[str, ...],
    holdout: bool,
    band: bool,
    energy: bool,
) -> xr.Dataset:
    start = np.datetime64("2012-05-01T07:00", "ns")
    time = start + np.arange(steps + 1) * np.timedelta64(step_minutes * 60, "s")
    hours = np.arange(steps + 1) * step_minutes / 60
    season = 8 * np.sin(2 * np.pi * hours / (24 * 365))
    slow = np.convolve(random.normal(size=steps + 1), np.ones(6) / 6, "same")
    dataset = xr.Dataset(coords={"time": time})
    dataset.attrs = {"utc_offset": -7.0, "site": "US-WestPhoenix", "experiment": "phoenix"}
    for name in streams:
        unit, long_name, fitted, sigma = STREAMS[name]
        lag = 9 + 4 * ("0.15" in name) if unit == "K" else 6
        wave = np.sin(2 * np.pi * (hours - lag) / 24)
        if unit == "K":
            model, noise = 307 + season + (3 if "0.15" in name else 8) * wave, 0.9 * slow
        else:
            size = 500 if name == "net_radiation" else 360
            model = size * np.maximum(wave, -0.15) + 10 * season
            noise = 30 * slow * (1 + np.maximum(wave, 0))
        observed = (0.8 if name == "turbulent_heat_flux" else 1.0) * model + noise
        observed[[0, *range(40, 55), *range(70, 73)]] = np.nan
        observed[random.random(steps + 1) < 0.03] = np.nan
        attrs = {
            "units": unit,
            "long_name": long_name,
            "stream": name,
            "fitted": int(fitted),
            "sigma": sigma,
        }
        guess = model.mean() + 1.35 * (model - model.mean()) + 0.005 * model.mean()
        dataset[f"{name}_observed"] = ("time", observed, attrs)
        dataset[f"{name}_modelled"] = ("time", model, attrs)
        dataset[f"{name}_first_guess"] = ("time", guess, attrs)
        if band:
            dataset[f"{name}_band"] = ("time", np.full(steps + 1, 0.01 * np.ptp(model)), attrs)
    held = np.zeros(steps + 1, np.int8)
    if holdout:
        held[-(steps // 4) :] = 1
    dataset["holdout"] = ("time", held)
    if energy:
        _energy(dataset, hours)
    return dataset


def _energy(dataset: xr.Dataset, hours: np.ndarray) -> None:
    wave = np.maximum(np.sin(2 * np.pi * (hours - 6) / 24), -0.15)
    terms = {
        "net_radiation": 500 * wave,
        "sensible_heat_flux": 300 * wave,
        "latent_heat_flux": 60 * wave,
        "ground_heat_flux": 140 * wave,
        "energy_imbalance": 3e-13 * np.cos(hours),
        "column_imbalance": 2e-11 * np.cos(hours),
    }
    for name, values in terms.items():
        values[0] = np.nan
        dataset[f"model_{name}"] = ("time", values, {"units": "W m-2"})


def _search(
    random: np.random.Generator,
    dataset: xr.Dataset,
    parameters: tuple[str, ...],
    starts: int,
    iterations: int,
) -> None:
    estimate, _, _, lower, upper, _, _ = (
        np.array(column) for column in zip(*(PARAMETERS[name] for name in parameters), strict=True)
    )
    estimate, lower, upper = (np.array(a, float) for a in (estimate, lower, upper))
    initial = random.uniform(lower, upper, (starts, len(parameters)))
    rate = random.uniform(0.8, 1.6, starts)
    decay = np.exp(-rate[:, None] * np.arange(iterations + 1))
    misfit = 181.3 + 4000 * decay
    path = estimate + (initial - estimate)[:, None, :] * decay[:, :, None] ** 0.5
    if starts > 2:
        # The last start is caught elsewhere, and an early one stops sooner than the others.
        misfit[-1] = 320 + 900 * decay[-1]
        path[-1] = path[-1] + 0.2 * (upper - lower)
        misfit[1, iterations // 2 + 3 :] = np.nan
        path[1, iterations // 2 + 3 :] = np.nan
    dataset["misfit"] = (("start", "iteration"), misfit)
    dataset["trajectory"] = (("start", "iteration", "parameter"), path)
    flags = np.ones(starts, np.int8)
    flags[-1] = starts <= 2
    dataset["start_converged"] = ("start", flags)
    dataset["parameter"] = ("parameter", np.array(parameters, dtype=object))


def _summary(
    dataset: xr.Dataset,
    parameters: tuple[str, ...],
    streams: tuple[str, ...],
    holdout: bool,
    converged: bool,
) -> dict[str, Any]:
    held = dataset["holdout"].values.astype(bool)
    matrix = np.eye(len(parameters))
    if len(parameters) > 1:
        matrix[0, 1] = matrix[1, 0] = 0.97
    matrix[matrix == 0] = -0.12
    misfit, path = dataset["misfit"].values, dataset["trajectory"].values
    final = [row[np.isfinite(row)][-1] for row in misfit]
    ends = [steps[np.isfinite(steps[:, 0])][-1] for steps in path]
    flags = dataset["start_converged"].values
    return {
        "experiment": "phoenix",
        "title": "Soil heat at West Phoenix, May 2012",
        "description": "Four parameters from <two> soil temperatures & nothing else.",
        "method": "lm",
        "converged": converged,
        "reason": "the step became smaller than 1e-8 of the parameters"
        if converged
        else "the limit of 14 iterations was reached while the misfit was still falling",
        "seed": 1,
        "n_iterations": misfit.shape[1] - 1,
        "n_model_runs": 1234,
        "seconds": {"import": 1.2, "compile": 6.41, "run": 0.8734},
        "parameters": {name: _parameter(name) for name in parameters} | {"albedo": _FIXED},
        "correlation": {"names": list(parameters), "matrix": matrix.tolist()},
        "starts": [
            {
                "initial": dict(zip(parameters, steps[0].tolist(), strict=True)),
                "estimate": dict(zip(parameters, end.tolist(), strict=True)),
                "misfit": float(f),
                "converged": bool(flag),
                "status": "converged" if flag else "stopped at the iteration limit",
                "optimum": 0 if f < 1.01 * min(final) else None,
            }
            for steps, end, f, flag in zip(path, ends, final, flags, strict=True)
        ],
        "verdict": {
            "headline": "converged, with 1 parameter at its bound (albedo); 4 of 5 starts reached "
            "this optimum",
            "remarks": [],
        },
        "fit": {name: _score(dataset, name, ~held) for name in streams},
        "holdout": {name: _score(dataset, name, held) for name in streams} if holdout else None,
        "residuals": {
            name: {"lag1_autocorrelation": 0.84, "variance_ratio": 0.51}
            for name in streams
            if STREAMS[name][2]
        },
        "derived": {
            "thermal_diffusivity": {
                "value": 5.573e-7,
                "sd": 2.1e-8,
                "unit": "m2 s-1",
                "long_name": "thermal diffusivity",
            },
            "damping_depth": {
                "value": 0.1238,
                "sd": 0.0023,
                "unit": "m",
                "long_name": "daily damping depth",
            },
        },
        "warnings": ["The first 3 observations were dropped as spin-up."],
        "versions": {"python": "3.11.9", "caliche": "0.1.0", "jax": "0.10.2", "numpy": "2.4.6"},
        "created": "2026-01-02T03:04:05Z",
        "command": "caliche run phoenix.toml",
    }


_FIXED = {
    "estimate": 0.21,
    "sd": None,
    "sd_naive": None,
    "interval95": None,
    "initial": 0.21,
    "unit": "1",
    "lower": None,
    "upper": None,
    "fixed": True,
    "prior": "",
    "truth": None,
    "long_name": "albedo",
    "at_bound": False,
}


def _parameter(name: str) -> dict[str, Any]:
    value, sd, unit, lower, upper, initial, truth = PARAMETERS[name]
    return {
        "estimate": value,
        "sd": sd,
        "sd_naive": sd / 2.6,
        "interval95": [value - 1.96 * sd, value + 1.96 * sd],
        "initial": initial,
        "unit": unit,
        "lower": lower,
        "upper": upper,
        "fixed": False,
        "prior": "log-normal, 90 % within 0.4 to 2" if name == "thermal_conductivity" else "",
        "truth": truth,
        "long_name": name.replace("_", " "),
        "at_bound": False,
    }


def _score(dataset: xr.Dataset, name: str, steps: np.ndarray) -> dict[str, Any]:
    observed = dataset[f"{name}_observed"].values
    model = dataset[f"{name}_modelled"].values
    use = steps & np.isfinite(observed)
    y, f = observed[use], model[use]
    _, _, fitted, sigma = STREAMS[name]
    return {
        "n": int(use.sum()),
        "rmse": float(np.sqrt(np.mean((f - y) ** 2))),
        "bias": float(np.mean(f - y)),
        "r": float(np.corrcoef(f, y)[0, 1]),
        "nse": float(1 - np.mean((f - y) ** 2) / np.var(y)),
        "sd_obs": float(y.std()),
        "sd_model": float(f.std()),
        "fitted": fitted,
        "sigma": sigma if math.isfinite(sigma) else None,
    }
