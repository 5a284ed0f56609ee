"""The folder of a run over variants: one small file for each that is finished, and the whole.

    run.json            what the run is: hashes of configuration and data, starts, seed
    config.toml         the configuration of the base, to run it again
    finished/NAME.json  the base and the variants that are fitted
    finished/NAME.toml  their configurations, each for `caliche estimate`
    variants.json       everything, with the comparison;  variants.csv  as one table

Every file is written aside and moved into place, so that one that is there is whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caliche.commands.variants.summary import Record
from caliche.commands.variants.words import free_parameters
from caliche.experiments.experiment import Experiment
from caliche.files.whole_file import write_text
from caliche.runs.folder import as_run
from caliche.runs.parts import Parts

# The keys of run.json that a run must share with the one it goes on from, in words.
SAME = {
    "configuration": "the same configuration",
    "data": "the same data",
    "starts": "as many starts",
}
SCORES = ("rmse", "bias", "r", "r2", "nse")


class VariantsFolder:
    """The folder of a run, made or taken up again.

    Raises
    ------
    InputError : a folder that holds something else, or another run, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._parts = path, Parts(path, "variants", "finished", SAME)

    def begin(self, run: Mapping[str, Any], config: str) -> None:
        """Begin a run, or go on with it."""
        self._parts.begin(run, config)

    def record(self, name: str, changes: str) -> dict[str, Any] | None:
        """What was found for a variant with the same changes, if it is finished."""
        there = self._parts.read(name, Record)
        return there if there is not None and there.get("changes") == changes else None

    def keep(self, record: Mapping[str, Any], config: str | None) -> None:
        """Keep what was found for a variant, and its configuration."""
        if config is not None:
            write_text(self._parts.parts / f"{record['name']}.toml", config)
        self._parts.write(record["name"], record)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the whole."""
        text = json.dumps(summary, indent=1, allow_nan=False)
        write_text(self.path / "variants.csv", as_csv(summary["base"], summary["variants"]))
        write_text(self.path / "variants.json", text + "\n")


def identity(experiment: Experiment, starts: int) -> dict[str, Any]:
    """What a run is, for run.json."""
    data = hashlib.sha256()
    for name in sorted(str(n) for n in experiment.dataset.variables):
        values = np.ascontiguousarray(experiment.dataset[name].values)
        data.update(f"{name} {values.dtype} {values.shape}".encode())
        data.update(values.tobytes())
    raw = {key: value for key, value in experiment.config.raw.items() if key != "variants"}
    config = hashlib.sha256(json.dumps(raw, sort_keys=True, default=str).encode())
    return {
        "experiment": experiment.config.name,
        "configuration": config.hexdigest(),
        "data": data.hexdigest(),
        "starts": starts,
    }


def runnable(experiment: Experiment, name: str, folder: Path) -> str:
    """The configuration of a variant as TOML for `caliche estimate`."""
    text = as_run(experiment, folder)
    if experiment.config.synthetic is not None and name != "base":
        text = "# A twin: run by itself, this makes observations with its own model.\n" + text
    return text


def as_csv(base: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> str:
    """One row for each variant, the base first; empty where there is nothing."""
    rows = [_row(base, base), *(_row(base, variant) for variant in variants)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(base: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: record[key] for key in ("name", "family", "kind", "what", "status", "reason")}
    if record["status"] == "cannot run":
        return row
    row |= {key: record[key] for key in ("comparable", "holdout_comparable", "n_free")}
    row["n_effective_parameters"] = record["n_effective_parameters"]
    row["n_observations"] = sum(r["n"] for r in record["residuals"].values())
    row["chi_square"] = (
        None if None in record["chi_square"].values() else sum(record["chi_square"].values())
    )
    row |= record["criteria"] or {}
    row |= {f"delta_{key}": value for key, value in record.get("delta", {}).items()}
    row["largest_shift"] = record["largest_shift"]
    for name in free_parameters(base):
        for entry in record["shifts"][name]:
            column = entry["as"] if entry["as"] != name else name
            row |= {column: entry["estimate"], f"{column}_sd": entry["sd"]}
            # Two layers of the base may become one, which lies differently far from each.
            row[f"{name}_shift" if column == name else f"{name}_shift_as_{column}"] = entry["shift"]
    for name, p in record["parameters"].items():
        if not p["fixed"]:
            row |= {name: p["estimate"], f"{name}_sd": p["sd"]}
    for title in ("fit", "holdout"):
        for stream, score in (record[title] or {}).items():
            row |= {f"{title}_{key}_{stream}": score[key] for key in SCORES}
    return row
