"""A run: calibrate an experiment and leave one folder that tells all of it."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from caliche._version import __version__
from caliche.cards.methods import MEMBER_METHODS
from caliche.errors import InputError
from caliche.estimation import Result, estimate
from caliche.estimation.checkpoint import Checkpoint
from caliche.estimation.ensemble_hyperparameters import forget_rounds
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.method import Callback
from caliche.estimation.timing import Stopwatch
from caliche.experiments.clock import clock_remarks
from caliche.experiments.dataset import result_dataset, series_dataset
from caliche.experiments.ensemble_files import add_ensemble
from caliche.experiments.experiment import Experiment
from caliche.experiments.plausibility import judge_result
from caliche.experiments.prediction import (
    Prediction,
    observed_series,
    predict,
    score_windows,
)
from caliche.experiments.scores import score
from caliche.experiments.sensor_screen import screen_sensors
from caliche.experiments.structural_span import structural_error
from caliche.experiments.verdict import experiment_remarks
from caliche.remarks import Remark, as_table, ended, unlike
from caliche.variables import variable
from caliche.whole_file import remove

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray", "h5netcdf")


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the result, and the summary as written."""

    folder: Path
    result: Result
    summary: Mapping[str, Any]


def run_experiment(
    experiment: Experiment,
    method: str | None = None,
    starts: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    callback: Callback | None = None,
    command: str | None = None,
    import_seconds: float = 0.0,
    resume: bool = False,
) -> Run:
    """Calibrate an experiment and write its run folder (all but the report).

    Parameters
    ----------
    method, starts, seed : instead of the configuration's.
    out : the folder, which must not exist; default `runs/<experiment>-<time>`.
    callback : see `caliche.estimate`.
    resume : go on from the state that a run into the same folder left when it was stopped; only
        methods without gradients keep one, see `state_file`.

    Raises
    ------
    InputError : anything wrong with configuration or data; then nothing is written.
    """
    c = experiment.config.method
    folder = new_folder(out, experiment.config.name)
    watch = Stopwatch()
    problem = experiment.problem()
    # Options belong to the method they were written for, and so do starts, which some have not.
    name = c.name if method is None else method
    options = c.options if name == c.name else {}
    if starts is None:
        starts = 1 if name in MEMBER_METHODS and name != c.name else c.starts
    state = state_file(folder)
    keeps = resume or name in MEMBER_METHODS
    result = estimate(
        problem,
        name,
        starts=starts,
        seed=c.seed if seed is None else seed,
        callback=callback,
        unknown=experiment.unknown,
        checkpoint=Checkpoint(state, resume) if keeps else None,
        **options,
    )
    scoring = experiment.calibrated(result.hyperparameters).scoring_problem()
    prediction = predict(scoring, result.u, result.covariance_u)
    guess = predict(scoring, np.asarray(scoring.space.initial()))
    suspicions = [Remark("clock", text) for text in clock_remarks(experiment)]
    if result.converged:
        fitted = experiment.calibrated(result.hyperparameters).problem()
        screened = screen_sensors(fitted, result.u)
        # A sign is suspected by the scores already.
        suspicions += [
            Remark("sensor", found.sentence, False) for found in screened if found.kind != "sign"
        ]
    seconds = {"import": import_seconds, **watch.seconds()}
    summary = summarise(experiment, result, prediction, seconds, command, suspicions)
    summary["structural_error"] = finite(
        structural_error(experiment, scoring, result.u, prediction) if result.converged else {}
    )

    def write(inside: Path) -> None:
        text = as_run(experiment, folder, result)
        (inside / "config.toml").write_text(text, encoding="utf-8")
        (inside / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
        dataset = result_dataset(experiment, result, prediction, guess)
        dataset.to_netcdf(inside / "result.nc", engine="h5netcdf")
        if result.ensemble is not None:
            add_ensemble(inside / "result.nc", experiment, result)

    write_whole(folder, write)
    remove(state)
    forget_rounds(state)
    return Run(folder, result, summary)


def state_file(folder: Path) -> Path:
    """Where a run into a folder keeps its state until it is done: beside the folder."""
    return folder.with_name(f"{folder.name}.state.npz")


def run_simulation(
    experiment: Experiment, out: Path | None = None
) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Run the model once at the configured values; write `simulation.nc` and the configuration.

    Returns the folder and the scores of every observed stream over the whole window.
    """
    folder = new_folder(out, f"{experiment.config.name}-simulation")
    problem = experiment.scoring_problem()
    prediction = predict(problem, np.asarray(problem.space.initial()))
    observed = observed_series(experiment)
    observations = experiment.config.observations
    scores = {
        name: {
            **asdict(score(observed[name], series, variable(name).unit != "K")),
            "fitted": observations[name].fit,
        }
        for name, series in prediction.streams.items()
    }

    def write(inside: Path) -> None:
        (inside / "config.toml").write_text(as_run(experiment, folder), encoding="utf-8")
        series_dataset(experiment, prediction).to_netcdf(
            inside / "simulation.nc", engine="h5netcdf"
        )

    write_whole(folder, write)
    return folder, scores


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder aside and move it into place when it is whole."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "a folder that can be made", f"{folder}: {error.strerror}", "choose another --out"
        ) from None
    if folder.exists():  # empty, or `new_folder` would have refused it
        folder.rmdir()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        inside = Path(scratch) / "run"
        inside.mkdir()
        write(inside)
        shutil.move(inside, folder)


def new_folder(out: Path | None, name: str) -> Path:
    """The folder of a new run, which must not exist or be empty. Makes nothing yet."""
    if out is None:
        out = Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "a folder for the run that does not exist yet", f"{out}, which does",
            "choose another --out, or move that folder away",
        )  # fmt: skip
    above = next(p for p in out.absolute().parents if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError("a folder that can be written", str(above), "choose another --out")
    return out


def as_run(experiment: Experiment, folder: Path, result: Result | None = None) -> str:
    """The configuration with what the command line changed, as TOML that can be run again.

    Files found beside the configuration are named relative to the run folder; those of
    CALICHE_DATA keep their names, so that the folder tells nothing of the machine.
    """
    raw = {"name": experiment.config.name, **experiment.config.raw}
    if result is not None:
        method = dict(raw.get("method", {}))
        if method.get("name", "lm") != result.method:
            method.pop("options", None)  # they belong to the method they were written for
        method |= {"name": result.method, "starts": len(result.starts), "seed": result.seed}
        raw["method"] = method
    base = experiment.config.folder
    sources = {}
    for name, source in raw.get("sources", {}).items():
        path = Path(source["path"])
        if not path.is_absolute() and (base / path).exists():
            path = Path(os.path.relpath(base / path, folder.absolute()))
        sources[name] = {**source, "path": path.as_posix()}
    if sources:
        raw["sources"] = sources
    return tomli_w.dumps(raw)


def summarise(
    experiment: Experiment,
    result: Result,
    prediction: Prediction,
    seconds: Mapping[str, float],
    command: str | None,
    suspicions: Sequence[Remark] = (),
) -> dict[str, Any]:
    """The content of summary.json: numbers, words and versions; null for what does not exist."""
    truth = experiment.truth or {}
    observations = experiment.config.observations
    fit, holdout = score_windows(experiment, prediction)
    said = experiment_remarks(experiment, prediction, fit)
    if any(remark.kind == "wrong-sign" for remark in said):
        suspicions = ()  # a bias or a lag is no advice where the sign is the fault
    remarks = unlike([*result.remarks, *said, *suspicions])

    def scores(by_stream: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: {**asdict(s), "fitted": observations[name].fit, "sigma": observations[name].sigma}
            for name, s in by_stream.items()
        }

    parameters = {}
    for name, p in result.parameters.items():
        entry = asdict(p)
        interval = entry.pop("interval")
        entry.pop("name")
        entry["interval95"] = None if interval is None else list(interval)
        entry["truth"] = truth.get(name)
        parameters[name] = entry
    summary = {
        "experiment": experiment.config.name,
        "title": experiment.config.title,
        "description": experiment.config.description,
        "method": result.method,
        "converged": result.converged,
        "reason": result.reason,
        "seed": result.seed,
        "error_bars": result.error_bars,
        "ensemble": None
        if result.ensemble is None
        else {
            "members": len(result.ensemble.u),
            "times": result.ensemble.times.tolist(),
            "failed": list(result.ensemble.failed),
        },
        "n_iterations": result.n_iterations,
        "n_model_runs": result.n_model_runs,
        "seconds": dict(seconds),
        "parameters": parameters,
        "correlation": {"names": list(result.names), "matrix": result.correlation.tolist()},
        "starts": [asdict(start) for start in result.starts],
        "optima": [asdict(optimum) for optimum in result.optima],
        "fit": scores(fit),
        "holdout": None if holdout is None else scores(holdout),
        "residuals": {
            name: {
                "lag1_autocorrelation": r.lag1_autocorrelation,
                "variance_ratio": r.variance_ratio,
            }
            for name, r in result.residuals.items()
        },
        "cost": {
            "observations": {name: r.cost for name, r in result.residuals.items()},
            "prior": result.prior_cost,
        },
        "hyperparameters": None
        if result.hyperparameters is None
        else asdict(result.hyperparameters),
        "derived": {
            name: {"value": value, "sd": sd, "unit": unit, "long_name": text}
            for name, (value, sd, unit, text) in result.derived.items()
        },
        "plausibility": judge_result(result, truth),
        "verdict": as_table(ended(result.converged, result.reason), remarks, result.starts),
        "warnings": [remark.sentence for remark in remarks],
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }
    return finite(summary)


def read_hyperparameters(folder: Path) -> Hyperparameters | None:
    """The hyperparameters that a run estimated, if any."""
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    found = summary.get("hyperparameters")
    if found is None:
        return None
    return Hyperparameters.from_dict(found)


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    packages = {name: version(name) for name in PACKAGES}
    return {"caliche": __version__, "python": platform.python_version(), **packages}


def finite(value: Any) -> Any:
    """The value with non-finite numbers replaced by None, for JSON."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
