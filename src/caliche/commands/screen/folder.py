"""What a screening writes: screening.nc, summary.json, config.toml and reduced.toml."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr

from caliche._version import __version__
from caliche.commands.screen.outputs import Outputs
from caliche.commands.screen.summary import (
    Effect,
    OutputEntry,
    ParameterEntry,
    ScreeningSummary,
    StreamEntry,
)
from caliche.commands.screen.words import COURSE, CYCLE, MEAN, RMSE, sentences, warnings_of
from caliche.experiments.experiment import Experiment
from caliche.keys.records import Known, as_kept, json_text
from caliche.names import without_knot
from caliche.parameters.space import ParameterSpace
from caliche.runs.folder import as_run, versions, write_data, write_whole
from caliche.sensitivity.designs import SOBOL
from caliche.sensitivity.indices import Indices
from caliche.variables import variable

WHAT = {
    "S1": "main effect, as a share of the variance",
    "ST": "total effect, as a share of the variance",
    "mu": "mean elementary effect",
    "mu_star": "mean absolute elementary effect",
    "sigma": "standard deviation of the elementary effects",
}
OF = {
    MEAN: "the mean over the window",
    RMSE: "the root-mean-square error",
    COURSE: "the mean of each bin of time",
    CYCLE: "the mean by hour of the day",
}
ENDS = {"lower": "lower end of the 95 % interval of the ", "upper": "upper end of that of the "}
# What of a parameter's table stays when it is fixed: bounds say how far a nuisance may reach.
_STAYS = ("kind", "streams", "lower", "upper")


def write_screening(
    experiment: Experiment,
    folder: Path,
    outputs: Outputs,
    found: Indices,
    summary: ScreeningSummary,
    mark: str = "",
) -> None:
    """Write the folder; nothing is left if that fails."""

    def write(inside: Path) -> None:
        (inside / "config.toml").write_text(as_run(experiment, folder), encoding="utf-8")
        write_data(experiment, inside)
        text = reduced(experiment, folder, summary)
        (inside / "reduced.toml").write_text(text, encoding="utf-8")
        (inside / "summary.json").write_text(json_text(summary), encoding="utf-8")
        dataset(experiment, outputs, found).to_netcdf(inside / "screening.nc", engine="h5netcdf")

    write_whole(folder, "screen", write, mark)


def dataset(experiment: Experiment, outputs: Outputs, found: Indices) -> xr.Dataset:
    """Every index with its interval, by stream, parameter (or group), and time or hour."""
    data: dict[str, Any] = {}
    axes = {MEAN: (), RMSE: (), COURSE: ("time",), CYCLE: ("hour",)}
    units = ", ".join(f"{s}: {variable(s).unit}" for s in outputs.streams)
    kinds = [k for k in OF if any(outputs.columns(s, k) for s in range(len(outputs.streams)))]
    for kind in kinds:
        blank = outputs.counts[:, outputs.within(kind)] == 0  # (stream, number)

        def cut(values: np.ndarray, kind: str = kind, blank: np.ndarray = blank) -> np.ndarray:
            """(stream, ..., number) from (..., output)."""
            each = values[..., : outputs.number]
            each = each.reshape(*each.shape[:-1], len(outputs.streams), outputs.each)
            each = np.moveaxis(each[..., outputs.within(kind)], -2, 0)
            hidden = blank.reshape(len(blank), *(1,) * (each.ndim - 2), -1)
            each = np.where(hidden, np.nan, each)
            return each if axes[kind] else each[..., 0]

        dims = ("stream", "parameter", *axes[kind])
        for name, values in found.by_name.items():
            for part, end in zip(values, ("", "_lower", "_upper"), strict=True):
                text = f"{ENDS.get(end[1:], '')}{WHAT[name]}, of {OF[kind]}"
                unit = {"units": "1"} if found.method == SOBOL else {"comment": f"unit: {units}"}
                data[f"{kind}_{name}{end}"] = (dims, cut(part), {"long_name": text, **unit})
        for what, values in (("mean", found.mean), ("variance", found.variance)):
            text = f"{what} over all runs, of {OF[kind]}"
            attributes = {
                "long_name": text,
                "comment": f"unit{' squared' * (what != 'mean')}: {units}",
            }
            data[f"{kind}_{what}"] = (("stream", *axes[kind]), cut(values), attributes)
    for kind in (COURSE, CYCLE):
        columns = [outputs.column(s, kind) for s in range(len(outputs.streams))]
        if found.method != SOBOL or kind not in kinds:
            continue
        for name, values in found.by_name.items():
            for part, end in zip(values, ("", "_lower", "_upper"), strict=True):
                text = f"{ENDS.get(end[1:], '')}{WHAT[name]}, of all of {OF[kind]} together"
                data[f"{kind}_all_{name}{end}"] = (
                    ("stream", "parameter"),
                    part[:, columns].T,
                    {"long_name": text, "units": "1"},
                )
    return xr.Dataset(
        data,
        coords={
            "stream": list(outputs.streams),
            "parameter": list(found.groups.names),
            "time": (
                "time",
                outputs.times,
                {
                    "long_name": "beginning of the bin, local standard time"
                    if outputs.width != "step"
                    else "end of the step, local standard time"
                },
            ),
            "hour": ("hour", outputs.hours, {"long_name": "hour of the day, local standard time"}),
        },
        attrs={
            "Conventions": "CF-1.11",
            "title": experiment.config.title,
            "source": f"caliche {__version__}",
            "experiment": experiment.config.name,
            "method": found.method,
            "samples": found.rows,
            "bin": outputs.width,
        },
    )


def summarise(
    experiment: Experiment,
    space: ParameterSpace,
    outputs: Outputs,
    found: Indices,
    kept: Sequence[str],
    told: Mapping[str, Any],
) -> ScreeningSummary:
    """The content of summary.json; `told` are its fields that say how it was done."""
    names = found.groups.names
    entries = [space.names[k] for k in range(space.size)]
    made = ScreeningSummary(
        experiment=experiment.config.name,
        title=experiment.config.title,
        description=experiment.config.description,
        **told,
        samples_left=found.rows,
        groups={
            name: tuple(dict.fromkeys(without_knot(entries[k]) for k in columns))
            for name, columns in zip(names, found.groups.columns, strict=True)
        },
        parameters={
            p.name: ParameterEntry(
                p.declaration.unit,
                p.declaration.long_name,
                space.describe_prior(p.name),
                Known(p.initial),
            )
            for p in space.free
        },
        bin=outputs.width,
        streams={
            stream: StreamEntry(
                variable(stream).unit,
                variable(stream).long_name,
                outputs.fitted[k],
                experiment.config.observations[stream].sigma,
                int(outputs.n_observed[k]),
                {kind: _of(found, outputs, k, kind) for kind in outputs.kinds(k)},
            )
            for k, stream in enumerate(outputs.streams)
        },
        kept=tuple(kept),
        fixed=tuple(name for name in names if name not in kept),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return as_kept(dataclasses.replace(made, sentences=sentences(made), warnings=warnings_of(made)))


def _of(found: Indices, outputs: Outputs, stream: int, kind: str) -> OutputEntry:
    """What was found of one output: by parameter, and of all together."""
    column = outputs.column(stream, kind)
    varies = bool(found.variance[column] > 0.0)
    by_parameter = {}
    for k, name in enumerate(found.groups.names):
        shown = {
            index: tuple(float(part[k, column]) for part in values)
            for index, values in found.by_name.items()
            if varies and math.isfinite(values[0][k, column])
        }
        share, sd = (float(x[k, column]) if varies else None for x in (found.shares, _sd(found)))
        by_parameter[name] = Effect(share, sd, **shown)  # type: ignore[arg-type]
    additive = None
    if found.additive is not None and varies:
        additive = tuple(Known(float(part[column])) for part in found.additive)
    sd = math.sqrt(max(float(found.variance[column]), 0.0))
    return OutputEntry(varies=varies, sd=Known(sd), additive=additive, parameters=by_parameter)  # type: ignore[arg-type]


def _sd(found: Indices) -> np.ndarray:
    """(g, o + a) standard deviation that a group causes: root of its total effect. With Morris that
    of a straight line with the root-mean-square effect as its slope."""
    return np.sqrt(found.total / (1.0 if found.method == SOBOL else 12.0))


# -- the reduced experiment ------------------------------------------------------------------------


def reduced(experiment: Experiment, folder: Path, summary: ScreeningSummary) -> str:
    """The experiment with what does not matter fixed at its first guess, as TOML."""
    raw = tomllib.loads(as_run(experiment, folder))
    fixed = {}
    for name in (name for group in summary.fixed for name in summary.groups[group]):
        tables = raw["parameters"] if name in raw.get("parameters", {}) else raw["nuisances"]
        stays = {key: value for key, value in tables[name].items() if key in _STAYS}
        fixed[name] = summary.parameters[name].initial
        tables[name] = {**stays, "value": fixed[name], "fixed": True}
    raw["name"] = f"{raw['name']}-reduced"
    told = ", ".join(fixed) if fixed else "nothing"
    return f"# Fixed by caliche screen, which found that it matters little: {told}.\n" + (
        tomli_w.dumps(raw)
    )
