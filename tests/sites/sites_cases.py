"""A small experiment, what one of its sites gives alone, and processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr

import caliche

STEPS = 144


def configuration(**more: Any) -> dict[str, Any]:
    config = {
        "title": "Small sites",
        "sites": {},
        "window": {"time_step": 1800},
        "model": {
            "node_depths": [0.0, 0.02, 0.06, 0.15, 0.35, 0.8],
            "scheme": "backward-euler",
        },
        "parameters": {
            "thermal_conductivity": {"value": 0.8},
            "combined_heat_transfer_coefficient": {"value": 20.0},
        },
        "observations": {
            "soil_temperature_0.06m": {"sigma": 0.2},
            "surface_temperature": {"sigma": 0.5},
        },
    }
    return {**config, **more}


def estimate_alone(dataset: xr.Dataset, site: int, config: dict[str, Any]) -> caliche.Result:
    """What `caliche.estimate` says of one site, through a file of its own."""
    one = dataset.isel(site=site, drop=True)
    series = [str(name) for name in one.data_vars if "time" in one[name].dims]
    one[series].to_netcdf("one.nc", engine="h5netcdf")
    start, end = (one.time.values[k].astype("datetime64[s]").item() for k in (0, -1))
    window = {**config["window"], "start": start, "end": end}
    columns = {name: {"name": name, "unit": one[name].attrs["units"]} for name in series}
    time = {"column": "time", "stamp": "end", "utc_offset": 0.0}
    tower = {"path": "one.nc", "format": "table", "time": time, "columns": columns}
    whole = {**config, "window": window, "sources": {"tower": tower}}
    whole["method"] = {"options": {"tolerance": 1e-9}}
    Path("one.toml").write_text(tomli_w.dumps(whole), encoding="utf-8")
    experiment = caliche.load_experiment("one.toml")
    return caliche.estimate(experiment.problem(), **experiment.config.method.options)


def assert_same_as_alone(result: xr.Dataset, site: int, alone: caliche.Result) -> None:
    """Estimates within 1e-4 standard deviations, naive error bars within 1e-3 of themselves; the
    others, which take one factor a stream where one site by itself has one a direction, alike."""
    row = result.isel(site=site)
    for name in alone.names:
        expected, found = alone.parameters[name], row.sel(parameter=name)
        assert bool(found.at_bound) == expected.at_bound
        np.testing.assert_allclose(found.sd, expected.sd, rtol=0.5)
        np.testing.assert_allclose(found.sd_naive, expected.sd_naive, rtol=1e-3)
        known = np.isfinite(expected.sd)
        scale = expected.sd_naive if known else 1e-6 * abs(expected.estimate)
        assert abs(float(found.estimate) - expected.estimate) < 1e-4 * scale
        ends = [float(found.interval95_lower), float(found.interval95_upper)]
        width = expected.interval[1] - expected.interval[0]
        if expected.at_bound:  # the slope there counts with one factor or with that of a direction
            assert ends[0] < ends[1]
            assert {*expected.interval} & {expected.lower, expected.upper} <= {*np.round(ends, 12)}
        else:
            np.testing.assert_allclose(ends, expected.interval, atol=0.3 * width)
    np.testing.assert_allclose(row.correlation, alone.correlation, atol=0.4)
    for stream, residuals in alone.residuals.items():
        assert int(row.n_observations.sel(stream=stream)) == residuals.n


def read(folder: str | Path) -> xr.Dataset:
    with xr.open_dataset(Path(folder) / "result.nc", engine="h5netcdf") as dataset:
        return dataset.load()


def in_process(code: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Python code in a process of its own, its compiled programs kept for the next."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        env=dict(os.environ),
    )
