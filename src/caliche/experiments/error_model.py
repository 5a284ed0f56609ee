"""The errors of an experiment's observations: their size, memory and tails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import xarray as xr

from caliche.errors import InputError
from caliche.experiments.config.tables import ObservationConfig
from caliche.observations import Observations


def stream_sigma(
    dataset: xr.Dataset, name: str, config: ObservationConfig, n_time: int
) -> float | np.ndarray:
    """Standard deviation of a stream: one number, or that of each value (n_time,) in the data."""
    if not config.sigma_from_data:
        return config.sigma or 1.0
    column = f"{name}_sigma"
    if column not in dataset:
        raise InputError(
            f"the error of each value of {name} in the data, as {column}",
            "none",
            "leave out sigma_from_data and give sigma",
        )
    return np.hypot(np.asarray(dataset[column].values[:n_time], float), config.sigma or 0.0)


def with_error_model(
    observations: Observations, streams: Sequence[ObservationConfig]
) -> Observations:
    """Observations with the memory and the tails of their errors, where there are any."""
    if any(o.autocorrelation is not None or o.estimate_autocorrelation for o in streams):
        rho = jnp.asarray([o.autocorrelation or 0.0 for o in streams])
        observations = dataclasses.replace(observations, autocorrelation=rho)
    if any(o.freedom is not None for o in streams):
        freedom = tuple(np.inf if o.freedom is None else o.freedom for o in streams)
        observations = dataclasses.replace(observations, freedom=freedom)
    return observations
