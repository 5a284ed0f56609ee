"""The series and arrays of a run as one xarray dataset: the content of result.nc."""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche._version import __version__
from caliche.estimation import Result
from caliche.evaluation.prediction import Prediction, observed_series
from caliche.evaluation.verdict import has_flags
from caliche.experiments.experiment import Experiment
from caliche.variables import FORCING, variable


def _stream_attributes(experiment: Experiment, name: str, what: str) -> dict[str, object]:
    meta, config = variable(name), experiment.config.observations[name]
    sigma = np.nan if config.sigma is None else config.sigma
    attributes: dict[str, object] = {
        "units": meta.unit,
        "long_name": f"{meta.long_name}, {what}",
        "stream": name,
        "fitted": int(config.fit),
        "sigma": sigma,
        "quality_flags": int(has_flags(experiment, name)),
    }
    if meta.standard_name:
        attributes["standard_name"] = meta.standard_name
    if meta.depth is not None:
        attributes["depth"] = meta.depth
    return attributes


def series_dataset(
    experiment: Experiment, prediction: Prediction, guess: Prediction | None = None
) -> xr.Dataset:
    """Observed and modelled streams, forcing and energy terms on the times of the window."""
    source = experiment.dataset
    declared = {p.name: p.declaration for p in experiment.space.free}
    data: dict[str, tuple] = {}
    for name, values in observed_series(experiment).items():
        columns = {"observed": values, "modelled": prediction.streams[name]}
        if guess is not None:
            columns["first_guess"] = guess.streams[name]
        if name in prediction.band:
            columns["band"] = prediction.band[name]
        for what, column in columns.items():
            text = {
                "first_guess": "modelled with the first guess",
                "band": "standard deviation from the uncertainty of the parameters",
            }.get(what, what)
            data[f"{name}_{what}"] = ("time", column, _stream_attributes(experiment, name, text))
    for name in FORCING:
        if name in source:
            meta = variable(name)
            attributes = {"units": meta.unit, "long_name": meta.long_name}
            data[f"forcing_{name}"] = ("time", source[name].values, attributes)
    for name, values in prediction.parameters.items():
        declaration = declared[name]
        for what, column in zip(("", "_lower", "_upper"), values, strict=True):
            text = {"_lower": ", lower end of the 95 % interval", "_upper": ", upper end"}
            attributes = {
                "units": declaration.unit,
                "long_name": declaration.long_name + text.get(what, ""),
            }
            data[f"parameter_{name}{what}"] = ("time", column, attributes)
    for name, values in prediction.energy.items():
        text = name.replace("_", " ")
        key = "column_imbalance" if name == "energy_imbalance" else name
        attributes = {"units": "W m-2", "long_name": f"modelled {text}, mean over the step"}
        data[f"model_{key}"] = ("time", values, attributes)
    terms = prediction.energy
    data["model_energy_imbalance"] = (
        "time",
        terms["net_radiation"] - terms["turbulent_heat_flux"] - terms["ground_heat_flux"],
        {"units": "W m-2", "long_name": "net radiation minus turbulent and ground heat flux"},
    )
    holdout = (np.arange(source.sizes["time"]) >= experiment.n_fit).astype(np.int8)
    data["holdout"] = ("time", holdout, {"long_name": "1 where held out", "units": "1"})
    time_attributes = {"standard_name": "time", "long_name": "end of the time step, UTC"}
    return xr.Dataset(
        data,
        coords={"time": ("time", source.time.values, time_attributes)},
        attrs={
            "Conventions": "CF-1.11",
            "title": experiment.config.title,
            "source": f"caliche {__version__}",
            "experiment": experiment.config.name,
            "site": str(source.attrs.get("site", "")),
            "utc_offset": float(experiment.config.utc_offset),
        },
    )


def result_dataset(
    experiment: Experiment, result: Result, prediction: Prediction, guess: Prediction
) -> xr.Dataset:
    """All arrays of a run; opens in plain xarray."""
    dataset = series_dataset(experiment, prediction, guess)
    free = [result.parameters[name] for name in result.names]
    nan = float("nan")
    columns = {
        "estimate": ([p.estimate for p in free], "estimate"),
        "sd": ([nan if p.sd is None else p.sd for p in free], "standard deviation"),
        "sd_naive": (
            [nan if p.sd_naive is None else p.sd_naive for p in free],
            "standard deviation if residuals were independent and as large as declared",
        ),
        "interval95_lower": ([(p.interval or (nan, nan))[0] for p in free], "lower end, 95 %"),
        "interval95_upper": ([(p.interval or (nan, nan))[1] for p in free], "upper end, 95 %"),
        "initial": ([p.initial for p in free], "first guess"),
        "lower": ([p.lower for p in free], "lower bound"),
        "upper": ([p.upper for p in free], "upper bound"),
    }
    units = ", ".join(f"{p.name}: {p.unit}" for p in free)
    for name, (values, text) in columns.items():
        dataset[name] = ("parameter", np.asarray(values), {"long_name": text, "comment": units})
    square = ("parameter", "parameter_other")
    dataset["covariance"] = (square, result.covariance, {"long_name": "posterior covariance"})
    dataset["correlation"] = (
        square,
        result.correlation,
        {"long_name": "posterior correlation", "units": "1"},
    )
    dataset["misfit"] = (
        ("start", "iteration"),
        result.misfit,
        {"long_name": "cost J, half the sum of squared standardised residuals", "units": "1"},
    )
    dataset["trajectory"] = (
        ("start", "iteration", "parameter"),
        result.trajectory,
        {"long_name": "parameters on the way", "comment": units},
    )
    dataset["start_converged"] = (
        "start",
        np.array([s.converged for s in result.starts], np.int8),
        {"long_name": "1 where the start converged", "units": "1"},
    )
    names = list(result.names)
    return dataset.assign_coords(parameter=names, parameter_other=names)


def observed_data(experiment: Experiment) -> xr.Dataset:
    """Fitted values on the times of the whole window, NaN where nothing was fitted."""
    problem = experiment.problem()
    seen = np.where(np.asarray(problem.mask), np.asarray(problem.observations.values), np.nan)
    time = experiment.dataset.time.values
    seen = np.pad(seen, [(0, len(time) - len(seen)), (0, 0)], constant_values=np.nan)
    return xr.Dataset(
        {
            stream.name: ("time", seen[:, k], {"units": variable(stream.name).unit})
            for k, stream in enumerate(problem.operator.streams)
        },
        {"time": time},
    )
