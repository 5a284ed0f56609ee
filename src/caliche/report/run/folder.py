"""A run folder as the report needs it: summary, series and configuration, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from caliche.errors import InputError
from caliche.files.netcdf import check_array, open_arrays
from caliche.keys.records import read_record, read_text, shown
from caliche.names import without_knot
from caliche.report.numbers import number
from caliche.runs.kinds import wrong_folder
from caliche.runs.run_summary import REMEDY, CorrelationEntry, ParameterEntry, RunSummary
from caliche.variables import label

_NEEDED = ("summary.json", "result.nc", "config.toml")
# Series of a stream in result.nc, by the end of their names, and other series by the beginning.
_ENDS = ("_observed", "_modelled", "_first_guess", "_band")
_LARGEST_OFFSET = 24.0  # hours
_BEGINS = ("forcing_", "model_", "parameter_")
_KNOWN = {
    "holdout": ("time",),
    "misfit": ("start", "iteration"),
    "trajectory": ("start", "iteration", "parameter"),
    "start_converged": ("start",),
    "parameter": ("parameter",),
    "loss_training": ("seed", "epoch"),
    "loss_held_out": ("seed", "epoch"),
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

    summary: RunSummary
    results: xr.Dataset
    config: str
    knots: dict[str, dict[str, ParameterEntry]] = field(default_factory=dict)

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
    def free(self) -> dict[str, ParameterEntry]:
        """The estimated parameters' entries of the summary."""
        return {n: p for n, p in self.summary.parameters.items() if not p.fixed}

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
    known = label(name)
    if known != name:
        return known
    return long_name.partition(",")[0] or name.replace("_", " ")  # a stream of a later version


def read_run(folder: Path) -> RunFolder:
    """The content of a run folder.

    Raises
    ------
    InputError : the folder or one of its files is missing or damaged.
    """
    folder = Path(folder)
    error = wrong_folder(folder, "estimate", "train")
    if error is not None:
        raise error
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        got = "without " + " and ".join(missing)
        raise InputError(
            "a run folder with config.toml, summary.json and result.nc",
            f"{folder}, {got}",
            "give the folder that `caliche estimate` wrote, or run the experiment again",
        )
    summary = read_record(RunSummary, folder / "summary.json", REMEDY)
    results = open_arrays(folder / "result.nc", REMEDY, {"time": ("time",)}, _KNOWN)
    _check_series(results, folder / "result.nc")
    if summary.training is not None:
        _check_losses(results, folder / "result.nc")
    config = read_text(folder / "config.toml", REMEDY)
    kept, knots = _without_knots(summary)
    return RunFolder(kept, results, config, knots)


def _check_series(results: xr.Dataset, path: Path) -> None:
    """Refuse series of other dimensions or as text, and attributes that are of another kind."""
    for name in map(str, results.data_vars):
        if name.endswith(_ENDS) or name.startswith(_BEGINS):
            check_array(results, name, ("time",), path, REMEDY)
    offset = _attribute(results.attrs, "utc_offset", path)
    if abs(offset) > _LARGEST_OFFSET:
        expected = f"a utc_offset within {_LARGEST_OFFSET:g} hours in {path}"
        raise InputError(expected, f"{offset:g}", REMEDY)
    for name in map(str, results.data_vars):
        if name.endswith("_observed"):
            if not isinstance(results[name].attrs.get("units", ""), str):
                raise InputError(f"text for the units of {name} in {path}", "others", REMEDY)
            for key in ("sigma", "fitted", "quality_flags"):
                _attribute(results[name].attrs, key, path, f" of {name}")


def _attribute(attributes: Mapping[Any, Any], key: str, path: Path, of: str = "") -> float:
    """A number among attributes; NaN where it is not there."""
    value = attributes.get(key, np.nan)
    if isinstance(value, str) or np.ndim(value) or not isinstance(value, int | float | np.number):
        raise InputError(f"a number for {key}{of} in {path}", shown(value), REMEDY)
    return float(value)


def _check_losses(results: xr.Dataset, path: Path) -> None:
    """Refuse a training without the course of its losses."""
    absent = [name for name in ("loss_training", "loss_held_out", "seed") if name not in results]
    if absent:
        raise InputError(f"{' and '.join(absent)} in {path}", "none", REMEDY)


def _without_knots(
    summary: RunSummary,
) -> tuple[RunSummary, dict[str, dict[str, ParameterEntry]]]:
    """The summary without the entries of knots in its parameters and correlation, and these."""
    knots: dict[str, dict[str, ParameterEntry]] = {}
    parameters = {}
    for name, entry in summary.parameters.items():
        if entry.knot is None:
            parameters[name] = entry
        else:
            knots.setdefault(without_knot(name), {})[entry.knot] = entry
    names, matrix = summary.correlation.names, summary.correlation.matrix
    kept = [k for k, name in enumerate(names) if name in parameters]
    correlation = CorrelationEntry(
        tuple(names[k] for k in kept), tuple(tuple(matrix[i][j] for j in kept) for i in kept)
    )
    return replace(summary, parameters=parameters, correlation=correlation), knots
