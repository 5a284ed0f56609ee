"""The report's section on the posterior, if `caliche posterior` has been run on the folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from caliche.errors import InputError
from caliche.report import wording
from caliche.report.run.folder import RunFolder
from caliche.report.run.posterior_plates import band_plate, marginals_plate
from caliche.report.run.posterior_tables import (
    METHODS,
    SKILL_HEADER,
    SKILL_TITLE,
    interval_text,
    skill_rows,
    skill_window,
)


@dataclass(frozen=True)
class PosteriorFolder:
    """posterior.json, posterior.nc and the draws in result.nc; empty where there are none."""

    summary: dict[str, Any]
    arrays: xr.Dataset
    draws: xr.Dataset


def read_posterior(folder: Path) -> PosteriorFolder | None:
    """What `caliche posterior` added to a run folder; None if it was not run.

    Raises
    ------
    InputError : a file that cannot be read.
    """
    if not (folder / "posterior.json").is_file():
        return None
    try:
        summary = json.loads((folder / "posterior.json").read_text("utf-8"))
        arrays = draws = xr.Dataset()
        if (folder / "posterior.nc").is_file():
            arrays = _load(folder / "posterior.nc")
        if "nuts" in summary:
            draws = _load(folder / "result.nc", group="posterior")
        missing = {"parameters", "explanation"} - set(summary)
        if missing:
            raise ValueError(f"no {' and '.join(sorted(missing))}")
    except (OSError, ValueError) as error:
        raise InputError(
            "a posterior.json and posterior.nc that can be read",
            f"{type(error).__name__} in {folder}: {error}",
            "run `caliche posterior` on the folder again, or remove both",
        ) from error
    return PosteriorFolder(summary, arrays, draws)


def _load(path: Path, group: str | None = None) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", group=group) as dataset:
        return dataset.load()


def posterior_content(run: RunFolder, found: PosteriorFolder | None) -> dict[str, Any] | None:
    """What the section's template needs."""
    if found is None:
        return None
    summary, parameters = found.summary, found.summary["parameters"]
    present = [m for m in METHODS if any(entry.get(m) for entry in parameters.values())]
    plates = [marginals_plate(run, parameters, found.arrays, found.draws)]
    for i, stream in enumerate(run.streams):
        if f"{stream.name}_lower" in found.arrays:
            covered = summary.get("bands", {}).get(stream.name, {})
            by = summary.get("bands_by", "nuts")
            plates.append(band_plate(run, stream, found.arrays, covered, f"band{i}", by))
    rows = [
        {
            "name": name,
            "label": wording.parameter_label(name, entry),
            "intervals": [interval_text(entry, method) for method in present],
            "unit": entry.get("unit", ""),
            "verdict": wording.capital((entry.get("profile") or {}).get("verdict", "")),
        }
        for name, entry in parameters.items()
    ]
    sentences = [*summary.get("agreement", ()), *summary.get("profile", {}).get("warnings", ())]
    if "nuts" in summary:
        sentences.append(f"Sampling: {summary['nuts']['verdict']}")
    ensembles = summary.get("ensembles", {})
    sentences += [f"{METHODS[name]}: {said['verdict']}." for name, said in ensembles.items()]
    return {
        "explanation": summary["explanation"],
        "methods": [wording.capital(METHODS[m]) for m in present],
        "verdicts": any(row["verdict"] for row in rows),
        "rows": rows,
        "sentences": sentences,
        "plates": plates,
        "skill": _skill(run, summary),
        "command": summary.get("command"),
    }


def _skill(run: RunFolder, summary: dict[str, Any]) -> dict[str, Any] | None:
    """The table of how well draws foresee observations, with the streams in words."""
    rows = skill_rows(summary)
    if not rows:
        return None
    labels = {stream.name: wording.capital(stream.label) for stream in run.streams}
    return {
        "title": SKILL_TITLE[skill_window(summary)],
        "header": [text if text == "n" else wording.capital(text) for text in SKILL_HEADER],
        "rows": [[labels.get(row[0], row[0]), *row[1:]] for row in rows],
    }
