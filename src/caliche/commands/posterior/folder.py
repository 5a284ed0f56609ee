"""What the posterior of a run adds to its folder; every file is moved into place when whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from caliche._version import __version__
from caliche.evaluation.predictive import Band
from caliche.experiments.experiment import Experiment
from caliche.files.netcdf import open_arrays
from caliche.files.whole_file import write_text, written_aside
from caliche.posterior.profile_result import ParameterProfile, Profiles
from caliche.posterior.sampling import Samples
from caliche.runs.dataset import observed_data
from caliche.runs.posterior_summary import POSTERIOR_REMEDY
from caliche.variables import variable

JSON, ARRAYS = "posterior.json", "posterior.nc"


def write_json(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write posterior.json."""
    write_text(folder / JSON, json.dumps(summary, indent=1, allow_nan=False) + "\n")


def profile_dataset(found: Profiles, others: Sequence[str]) -> xr.Dataset:
    """Profiles as arrays (parameter, point), NaN where a profile has fewer points."""
    profiles = list(found.parameters.values())
    longest = max(len(p.u) for p in profiles)

    def stacked(what: str) -> np.ndarray:
        rows = [np.asarray(getattr(p, what), float) for p in profiles]
        width = [(0, 0)] * (rows[0].ndim - 1)
        return np.stack(
            [np.pad(r, [(0, longest - len(r)), *width], constant_values=np.nan) for r in rows]
        )

    def rise(p: ParameterProfile) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            values = 2.0 * (p.misfit - found.misfit)
        return np.pad(values, (0, longest - len(values)), constant_values=np.nan)

    names = list(found.parameters)
    each, full = ("parameter", "point"), ("parameter", "point", "parameter_other")
    data = {
        "profile_value": (each, stacked("value"), "value at which the parameter was held"),
        "profile_rise": (
            each,
            np.stack([rise(p) for p in profiles]),
            "2 (J - J at the optimum), the others fitted",
        ),
        "profile_converged": (each, stacked("converged"), "1 where that fit converged"),
        "profile_others": (full, stacked("others"), "all parameters where that fit ended"),
        "profile_held": (full, stacked("held"), "1 for those that a bound held there"),
    }
    return xr.Dataset(
        {name: (dims, values, {"long_name": text}) for name, (dims, values, text) in data.items()},
        coords={"parameter": names, "parameter_other": list(others)},
    )


def members_dataset(
    method: str, names: Sequence[str], values: np.ndarray, inflated: bool
) -> xr.Dataset:
    """Members (member, parameter) of an ensemble posterior, in physical units."""
    name = f"members_{method}"
    attributes = {"long_name": f"members of {method}", "errors": _errors(inflated)}
    return xr.Dataset(
        {name: ((f"member_{method}", "parameter"), values, attributes)}, {"parameter": list(names)}
    )


def _errors(inflated: bool) -> str:
    return "inflated to the size and persistence of the residuals" if inflated else "as declared"


def bands_dataset(experiment: Experiment, bands: Mapping[str, Band]) -> xr.Dataset:
    """Bands of the predictions on the times of the window."""
    data = {}
    for name, band in bands.items():
        for what in ("lower", "upper", "lower_noisy", "upper_noisy"):
            side, _, noisy = what.partition("_")
            text = f"{'2.5' if side == 'lower' else '97.5'} % quantile of the "
            text += "observation" if noisy else "prediction"
            attributes = {"units": variable(name).unit, "long_name": text, "stream": name}
            data[f"{name}_{what}"] = ("time", getattr(band, what), attributes)
    return xr.Dataset(data, coords={"time": experiment.dataset.time.values})


def update_dataset(folder: Path, parts: Sequence[xr.Dataset], fresh: bool) -> None:
    """Put new arrays into posterior.nc; the others stay, unless it is to begin afresh."""
    path = folder / ARRAYS
    known = xr.Dataset()
    if path.is_file() and not fresh:
        known = open_arrays(path, POSTERIOR_REMEDY)
    for part in parts:
        # Dimensions may have grown, so what is replaced goes first.
        old = [n for n in known.data_vars if n in part or set(known[n].dims) & _own(part)]
        known = known.drop_vars(old)
        known = known.drop_vars([c for c in known.coords if c in part.coords]).merge(part)
    known.attrs |= {"Conventions": "CF-1.11", "source": f"caliche {__version__}"}
    if not known.data_vars:
        path.unlink(missing_ok=True)
        return
    with written_aside(path) as scratch:
        known.to_netcdf(scratch, engine="h5netcdf")


def _own(part: xr.Dataset) -> set:
    """Dimensions that belong to this part alone."""
    return set(part.dims) & {"point"}


def add_groups(
    folder: Path, experiment: Experiment, samples: Samples, draws: np.ndarray, inflated: bool
) -> None:
    """Write the draws into groups of result.nc, by the names that ArviZ gives them.

    `posterior` holds physical values (chain, draw), one variable a parameter; `inflated` says under
    which errors. `unconstrained_posterior` holds u as it was
    drawn. The root group stays as it was.
    """
    path = folder / "result.nc"
    # Not decoded: what is written back is what was there.
    with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as opened:
        root = opened.load()
    with written_aside(path) as scratch:
        root.to_netcdf(scratch, engine="h5netcdf")
        for group, dataset in _groups(experiment, samples, draws, inflated).items():
            dataset.to_netcdf(scratch, engine="h5netcdf", mode="a", group=group)


def _groups(
    experiment: Experiment, samples: Samples, draws: np.ndarray, inflated: bool
) -> dict[str, xr.Dataset]:
    chains, number = samples.log_density.shape
    coords = {"chain": np.arange(chains), "draw": np.arange(number)}
    dims = ("chain", "draw")
    attributes = {
        "inference_library": "blackjax",
        "source": f"caliche {__version__}",
        "seed": samples.settings.seed,
        "warmup": samples.settings.warmup,
        "verdict": samples.verdict,
    }

    def by_parameter(values: np.ndarray) -> dict[str, tuple]:
        return {name: (dims, values[:, :, k]) for k, name in enumerate(samples.names)}

    errors = _errors(inflated)
    statistics = {
        "lp": samples.log_density,
        "energy": samples.energy,
        "acceptance_rate": samples.acceptance_rate,
        "n_steps": samples.n_steps,
        "diverging": samples.diverging,
        "step_size": np.repeat(samples.step_size[:, None], number, axis=1),
    }
    return {
        "posterior": xr.Dataset(by_parameter(draws), coords, attributes | {"errors": errors}),
        "unconstrained_posterior": xr.Dataset(by_parameter(samples.u), coords, attributes),
        "sample_stats": xr.Dataset(
            {n: (dims, v) for n, v in statistics.items()}, coords, attributes
        ),
        "observed_data": observed_data(experiment),
    }
