"""Calibrate a whole collection of sites in one go.

A collection is one dataset with the dimensions site and time. Here it is made up, with weather and
parameters of its own for each site; one site has a gap in its forcing, which is told and disturbs
no other. See docs/sites.md for the command line and for many processes.

    python examples/04_many_sites.py
"""

import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

import caliche
from caliche import estimate_sites
from caliche.sites import synthetic

caliche.configure(devices="all")  # a device for each core; before JAX computes anything

EXPERIMENT = """
title = "Forty towers"
[sites]                     # all times of the collection
[window]
time_step = 1800
[model]
node_depths = [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8]
scheme = "backward-euler"
[parameters.albedo]
value = 0.25
[parameters.thermal_conductivity]
value = 0.8
[observations.surface_temperature]
sigma = 0.5
[observations."soil_temperature_0.05m"]
sigma = 0.2
"""

with tempfile.TemporaryDirectory() as scratch:
    toml = Path(scratch) / "towers.toml"
    toml.write_text(EXPERIMENT, encoding="utf-8")
    experiment = caliche.load_experiment(toml)
    collection = synthetic(experiment, 40, seed=0, steps=480)
    collection["air_temperature"][7, 100] = np.nan

    run = estimate_sites(experiment, collection, Path(scratch) / "run")
    with xr.open_dataset(run.folder / "result.nc") as opened:
        result = opened.load()

print(run.summary["status"])
print(result.isel(site=7).reason.item())
assert run.summary["converged"] == 39
for name in result.parameter.values:
    found = result.sel(parameter=name)
    error = (found.estimate - collection[f"truth_{name}"].values) / found.sd
    inside = float((np.abs(error) < 1.96).sum() / np.isfinite(error).sum())
    print(f"{name}: the error bar reaches the truth at {100 * inside:.0f} % of the sites")
    assert inside > 0.8
