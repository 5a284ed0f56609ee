"""The folder of history matching: runs as they are made, and what is found of them at the end.

run.json        what the run is: hashes of configuration and options
config.toml     the configuration
kept/           runs of the model; those of waves stay
result.nc       what is left;  summary.json  the same as numbers and words
reduced.toml    the experiment with its ranges narrowed, for `caliche estimate`
members/        runs of an executable, which stay
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from caliche.commands.history_match.arrays import dataset_of
from caliche.executables.config import DriveConfig
from caliche.experiments.experiment import Experiment
from caliche.files.whole_file import write_text, written_aside
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.result import Matched
from caliche.history_matching.study import Options
from caliche.parameters.space import ParameterSpace
from caliche.runs.folder import as_run, finite
from caliche.runs.parts import Parts

COMMAND = "history-match"
SAME = {
    "configuration": "the same configuration",
    "data": "the same data",
    "options": "the same options",
}
# By how much of its width what is left is widened on either side, for the bounds of an estimate.
WIDER = 0.2


class MatchFolder:
    """The folder of a run, begun or taken up again.

    Raises
    ------
    InputError : a folder that holds something else, or another run, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._parts = path, Parts(path, COMMAND, "kept", SAME)

    def begin(self, run: Mapping[str, Any], config: str) -> None:
        """Begin a run of a configuration, or go on with it."""
        self._parts.begin(run, config)

    @property
    def members(self) -> Path:
        """Where runs of an executable stay."""
        return self.path / "members"

    def recorder(self, mark: str) -> Recorder:
        """The memory of the runs of the model."""
        return Recorder(self._parts.parts, mark)

    def close(self, narrowed: str, found: Matched, summary: Mapping[str, Any]) -> None:
        """Write what was found; the runs are not needed any more.

        narrowed : the content of reduced.toml.
        """
        with written_aside(self.path / "result.nc") as scratch:
            dataset_of(found).to_netcdf(scratch, engine="h5netcdf")
        write_text(self.path / "reduced.toml", narrowed)
        text = json.dumps(finite(summary), indent=1, allow_nan=False)
        write_text(self.path / "summary.json", text + "\n")
        self._parts.remove()


def identity(
    experiment: Experiment, options: Options, kinds: Sequence[str], share: float, run: Path | None
) -> dict[str, Any]:
    """What a run is, for run.json. An audit may be asked for later."""
    data = hashlib.sha256()
    for name in sorted(str(n) for n in experiment.dataset.variables):
        values = np.ascontiguousarray(experiment.dataset[name].values)
        data.update(f"{name} {values.dtype} {values.shape}".encode())
        data.update(values.tobytes())
    config = json.dumps(experiment.config.raw, sort_keys=True, default=str)
    said = {"metrics": list(kinds), "discrepancy": share, "run": run.name if run else None}
    return _identity(experiment.config.name, config, data.hexdigest(), options, said)


def identity_of_program(
    config: DriveConfig, options: Options, kinds: Sequence[str], share: float
) -> dict[str, Any]:
    """The same of an executable: its file and observations, not what the program itself is."""
    data = hashlib.sha256(config.observed.tobytes() + config.sigma.tobytes())
    said = {"metrics": list(kinds), "discrepancy": share, "run": None}
    return _identity(config.name, config.text, data.hexdigest(), options, said)


def _identity(
    name: str, config: str, data: str, options: Options, said: Mapping[str, Any]
) -> dict[str, Any]:
    asked = {**asdict(replace(options, audit=0)), **said}
    return {
        "experiment": name,
        "configuration": hashlib.sha256(config.encode()).hexdigest(),
        "data": data,
        "options": json.loads(json.dumps(asked)),
    }


def reduced_experiment(experiment: Experiment, folder: Path, found: Matched) -> str:
    """The experiment with bounds about what is left, see `reduced`."""
    raw = tomllib.loads(as_run(experiment, folder))
    raw["name"] = f"{raw['name']}-reduced"
    nuisances = [n for n in experiment.space.names if n not in experiment.config.parameters]
    return reduced(raw, experiment.space, found, nuisances)


def reduced(
    raw: dict[str, Any], space: ParameterSpace, found: Matched, nuisances: Sequence[str] = ()
) -> str:
    """A configuration with bounds about what is left, as TOML.

    Flat priors between bounds get those of what is left, a fifth wider on either side, start ranges
    within, and the least implausible point as first guess. Informative priors stay as they are.
    """
    if found.nroy.empty:
        return "# Nothing is left of the ranges: they are as they were.\n" + tomli_w.dumps(raw)
    best = found.physical[int(np.argmin(found.nroy.statistic))]
    told = []
    for k, entry in enumerate(space.entries):
        name = entry.parameter.name
        if entry.knot is not None:
            continue  # bounds of one that varies hold for all its knots
        where = "nuisances" if name in nuisances else "parameters"
        table = raw.setdefault(where, {}).setdefault(name, {})
        table["value"] = float(best[k])
        if entry.informative:
            table.pop("start", None)
            continue
        (low, high), prior = found.after[k], entry.parameter.prior
        more = WIDER * (high - low)
        lower, upper = max(low - more, prior.lower), min(high + more, prior.upper)
        table["lower"], table["upper"] = float(lower), float(upper)
        inside = 1e-6 * (upper - lower)
        table["start"] = [float(max(low, lower + inside)), float(min(high, upper - inside))]
        table["value"] = float(np.clip(best[k], *table["start"]))
        told.append(name)
    text = ", ".join(told) if told else "nothing"
    return (
        "# Ranges narrowed by caliche history-match to what it left, and a fifth more:\n"
        f"# {text}.\n" + tomli_w.dumps(raw)
    )
