"""Twin experiments: forcing made up, observations simulated, the truth known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from caliche.experiments.config.tables import ObservationConfig, Synthetic, Window
from caliche.experiments.weather import FORCINGS
from caliche.variables import variable


def synthetic_forcing(window: Window, name: str) -> xr.Dataset:
    """Forcing of the twin on the window's times, in the form a reader gives."""
    length = (window.end - window.start) / np.timedelta64(1, "s") + window.spin_up
    seconds = window.time_step * np.arange(round(length / window.time_step) + 1) - window.spin_up
    time = window.start + (seconds * 1e9).astype("timedelta64[ns]")
    forcing = FORCINGS[name](seconds / 3600.0)
    data = {name: ("time", values, _attributes(name)) for name, values in forcing.items()}
    return xr.Dataset(data, coords={"time": time}, attrs={"site": "synthetic"})


def with_observations(
    dataset: xr.Dataset,
    perfect: dict[str, np.ndarray],
    observations: Mapping[str, ObservationConfig],
    synthetic: Synthetic,
) -> xr.Dataset:
    """The dataset with perfect observations, plus noise of each stream's sigma if asked: white, or
    with the autocorrelation (of errors one step apart) that the stream has."""
    generator = np.random.default_rng(synthetic.seed)
    result = dataset.copy()
    for name, values in perfect.items():
        noise = generator.standard_normal(values.shape)
        rho = observations[name].autocorrelation or 0.0
        if rho:
            noise[1:] *= np.sqrt(1.0 - rho**2)
            for k in range(1, len(noise)):
                noise[k] += rho * noise[k - 1]
        noise = noise * (observations[name].sigma or 0.0)
        result[name] = ("time", values + noise if synthetic.noise else values, _attributes(name))
    return result


def _attributes(stream: str) -> dict[str, object]:
    meta = variable(stream)
    return {"units": meta.unit, "long_name": meta.long_name, "source": "made by caliche"}
