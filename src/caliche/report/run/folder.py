"""A run folder as the report needs it: summary, series and configuration, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from caliche.errors import InputError
from caliche.names import without_knot
from caliche.report.numbers import number
from caliche.runs.kinds import wrong_folder
from caliche.variables import label

_NEEDED = ("summary.json", "result.nc", "config.toml")
_KEYS = ("title", "method", "converged", "reason", "parameters", "fit")
# What a run may leave out, and what stands in its place.
_ABSENT: dict[str, Any] = {
    "experiment": "",
    "description": "",
    "seed": None,
    "n_iterations": None,
    "n_model_runs": None,
    "seconds": {},
    "correlation": {},
    "starts": [],
    "holdout": None,
    "residuals": {},
    "derived": {},
    "plausibility": {},
    "warnings": [],
    "versions": {},
    "created": "",
    "command": None,
    "hyperparameters": None,
    "cost": None,
    "optima": [],
    "verdict": None,
}
_ABSENT_PARAMETER: dict[str, Any] = {
    "sd": None,
    "sd_naive": None,
    "interval95": None,
    "initial": None,
    "unit": "",
    "lower": None,
    "upper": None,
    "fixed": False,
    "prior": "",
    "truth": None,
    "long_name": "",
    "at_bound": False,
    "knot": None,
    "tied": "",
}
_ABSENT_SCORE: dict[str, Any] = {
    "n": None,
    "rmse": None,
    "bias": None,
    "r": None,
    "nse": None,
    "sd_obs": None,
    "sd_model": None,
    "fitted": False,
    "sigma": None,
}


@dataclass(frozen=True)
class Stream:
    """One observed quantity beside its model equivalent, on the time axis of the run."""

    name: str
    label: str
    unit: str
    fitted: bool
    sigma: float
    observed: np.ndarray
    modelled: np.ndarray
    first_guess: np.ndarray
    band: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Modelled minus observed; NaN where nothing was observed."""
        return self.modelled - self.observed


@dataclass(frozen=True)
class RunFolder:
    """What a run left behind.

    `knots` holds the entries of parameters that vary in time, by parameter and knot; the summary's
    parameters are then those that do not.
    """

    summary: dict[str, Any]
    results: xr.Dataset
    config: str
    knots: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def utc_offset(self) -> float:
        """Hours to add to UTC for local time; 0 where the site's clock is not known."""
        offset = number(self.results.attrs.get("utc_offset"))
        return offset if np.isfinite(offset) else 0.0

    @cached_property
    def local_time(self) -> np.ndarray:
        """End of each interval on the site's clock, to the second."""
        utc = self.results["time"].values.astype("datetime64[s]")
        return utc + np.timedelta64(round(self.utc_offset * 3600), "s")

    @cached_property
    def step(self) -> np.timedelta64:
        """Length of a time step."""
        if self.local_time.size < 2:
            return np.timedelta64(3600, "s")
        return np.median(np.diff(self.local_time).astype(int)).astype("timedelta64[s]")

    @cached_property
    def holdout(self) -> np.ndarray:
        """True where the step was kept out of the estimate."""
        if "holdout" not in self.results:
            return np.zeros(self.local_time.size, bool)
        return np.nan_to_num(self.results["holdout"].values.astype(float)) > 0.5

    @cached_property
    def streams(self) -> list[Stream]:
        """Every observed stream; those the estimate used come first."""
        suffix = "_observed"
        names = [str(n)[: -len(suffix)] for n in self.results.data_vars if str(n).endswith(suffix)]
        return sorted((self._stream(name) for name in names), key=lambda s: not s.fitted)

    @cached_property
    def free(self) -> dict[str, dict[str, Any]]:
        """The estimated parameters' entries of the summary."""
        return {n: p for n, p in self.summary["parameters"].items() if not p.get("fixed")}

    def series(self, name: str) -> np.ndarray:
        """A time series by its name in result.nc; all NaN where the run has none."""
        if name not in self.results:
            return np.full(self.local_time.size, np.nan)
        return self.results[name].values.astype(float)

    def by_start(self, name: str) -> np.ndarray:
        """`misfit` or `trajectory`, start first; empty where the run has none."""
        if name not in self.results:
            return np.empty((0, 0, 0) if name == "trajectory" else (0, 0))
        return self.results[name].values.astype(float)

    def _stream(self, name: str) -> Stream:
        attrs = self.results[f"{name}_observed"].attrs
        return Stream(
            name=name,
            label=stream_label(name, str(attrs.get("long_name", ""))),
            unit=str(attrs.get("units", "")),
            fitted=bool(attrs.get("fitted", 0)),
            sigma=number(attrs.get("sigma")),
            observed=self.series(f"{name}_observed"),
            modelled=self.series(f"{name}_modelled"),
            first_guess=self.series(f"{name}_first_guess"),
            band=self.series(f"{name}_band"),
        )


def stream_label(name: str, long_name: str = "") -> str:
    """A stream in words: soil_temperature_0.05m is "soil temperature at 0.05 m"."""
    try:
        return label(name)
    except InputError:  # a stream of a later version
        return long_name.partition(",")[0] or name.replace("_", " ")


def read_run(folder: Path) -> RunFolder:
    """The content of a run folder.

    Raises
    ------
    InputError : the folder or one of its files is missing, or a file cannot be read.
    """
    folder = Path(folder)
    error = wrong_folder(folder, "estimate", "train")
    if error is not None:
        raise error
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        got = "without " + " and ".join(missing)
        raise InputError(
            "a run folder with summary.json, result.nc and config.toml",
            f"{folder}, {got}",
            "give the folder that `caliche estimate` wrote, or run the experiment again",
        )
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        with xr.open_dataset(folder / "result.nc", engine="h5netcdf") as dataset:
            results = dataset.load()
        config = (folder / "config.toml").read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(
            "a summary.json, result.nc and config.toml that can be read",
            f"{type(error).__name__} in {folder}: {error}",
            "run the experiment again; the folder may be from a run that was cut short",
        ) from error
    _check(summary, results, folder)
    whole = _completed(summary)
    return RunFolder(whole, results, config, _take_knots(whole))


def _take_knots(summary: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Entries of knots, taken out of the summary's parameters and correlation."""
    knots: dict[str, dict[str, dict[str, Any]]] = {}
    for name, entry in list(summary["parameters"].items()):
        if entry["knot"] is not None:
            del summary["parameters"][name]
            knots.setdefault(without_knot(name), {})[entry["knot"]] = entry
    names = summary["correlation"].get("names", [])
    kept = [k for k, name in enumerate(names) if name in summary["parameters"]]
    if len(kept) < len(names):
        matrix = summary["correlation"]["matrix"]
        summary["correlation"] = {
            "names": [names[k] for k in kept],
            "matrix": [[matrix[i][j] for j in kept] for i in kept],
        }
    return knots


def _completed(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with a stand-in for everything a run may leave out."""
    whole = _ABSENT | {key: value for key, value in summary.items() if value is not None}
    whole["parameters"] = {n: _ABSENT_PARAMETER | p for n, p in whole["parameters"].items()}
    for table in ("fit", "holdout"):
        if whole[table]:
            whole[table] = {n: _ABSENT_SCORE | (s or {}) for n, s in whole[table].items()}
    return whole


def _check(summary: object, results: xr.Dataset, folder: Path) -> None:
    """Refuse a summary or a result that lacks what no report can do without."""
    keys = summary if isinstance(summary, dict) else {}
    absent = [f"{key!r} in summary.json" for key in _KEYS if keys.get(key) is None]
    if "time" not in results:
        absent.append("'time' in result.nc")
    if absent:
        raise InputError(
            "a complete run folder",
            f"{folder}, without {' and '.join(absent)}",
            "run the experiment again with this version of caliche",
        )
