"""The members of an ensemble posterior in result.nc, in the groups that ArviZ reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from caliche._version import __version__
from caliche.estimation import Result
from caliche.experiments.experiment import Experiment
from caliche.runs.dataset import observed_data


def add_ensemble(path: Path, experiment: Experiment, result: Result) -> None:
    """Add groups to a file as `caliche posterior` does for draws: one chain, a draw a member.

    `posterior` holds physical values, one variable a parameter; `unconstrained_posterior` holds u.
    """
    ensemble = result.ensemble
    assert ensemble is not None
    coords = {"chain": np.arange(1), "draw": np.arange(len(ensemble.u))}
    attributes = {
        "inference_library": "caliche",
        "source": f"caliche {__version__}",
        "method": result.method,
        "seed": result.seed,
        "errors": "as declared",
        "comment": "members of an ensemble, not draws of a Markov chain",
    }

    def by_parameter(values: np.ndarray) -> xr.Dataset:
        columns = {
            name: (("chain", "draw"), values[None, :, k]) for k, name in enumerate(result.names)
        }
        return xr.Dataset(columns, coords, attributes)

    groups = {
        "posterior": by_parameter(ensemble.physical),
        "unconstrained_posterior": by_parameter(ensemble.u),
        "observed_data": observed_data(experiment),
    }
    for name, dataset in groups.items():
        dataset.to_netcdf(path, engine="h5netcdf", mode="a", group=name)
