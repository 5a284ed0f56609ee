"""The report's section on the posterior, if `caliche posterior` has been run on the folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from caliche.errors import InputError
from caliche.files.netcdf import check_array, need_names, open_arrays
from caliche.keys.records import read_checked
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
from caliche.runs.posterior_summary import POSTERIOR_REMEDY, PosteriorSummary

_KNOWN = {
    "profile_value": ("parameter", "point"),
    "profile_rise": ("parameter", "point"),
}


@dataclass(frozen=True)
class PosteriorFolder:
    """posterior.json, posterior.nc and the draws in result.nc; empty where there are none."""

    summary: dict[str, Any]
    arrays: xr.Dataset
    draws: xr.Dataset


def read_posterior(folder: Path, steps: int | None = None) -> PosteriorFolder | None:
    """What `caliche posterior` added to a run folder; None if it was not run.

    steps : times of the run, which its bands share.

    Raises
    ------
    InputError : a file that cannot be read.
    """
    if not (folder / "posterior.json").is_file():
        return None
    summary = read_checked(PosteriorSummary, folder / "posterior.json", POSTERIOR_REMEDY)
    arrays = draws = xr.Dataset()
    if (folder / "posterior.nc").is_file():
        arrays = open_arrays(folder / "posterior.nc", POSTERIOR_REMEDY, known=_KNOWN)
    _check_arrays(arrays, summary, folder / "posterior.nc")
    if steps is not None and arrays.sizes.get("time", steps) != steps:
        expected = f"bands at the {steps} times of the run in {folder / 'posterior.nc'}"
        raise InputError(expected, f"{arrays.sizes['time']}", POSTERIOR_REMEDY)
    if "nuts" in summary:
        needed = dict.fromkeys(
            [n for n, p in summary["parameters"].items() if p.get("nuts")], ("chain", "draw")
        )
        draws = open_arrays(folder / "result.nc", POSTERIOR_REMEDY, needed, group="posterior")
    return PosteriorFolder(summary, arrays, draws)


def _check_arrays(arrays: xr.Dataset, summary: Mapping[str, Any], path: Path) -> None:
    """Refuse bands that are not whole, and profiles or members of other parameters."""
    for name in map(str, arrays.data_vars):
        if name.endswith(("_lower", "_upper", "_noisy")):
            check_array(arrays, name, ("time",), path, POSTERIOR_REMEDY)
        if name.startswith("members_"):
            method = name.removeprefix("members_")
            dims = (f"member_{method}", "parameter")
            check_array(arrays, name, dims, path, POSTERIOR_REMEDY)
        if name.endswith("_lower"):
            stream = name.removesuffix("_lower")
            ends = [f"{stream}_{end}" for end in ("upper", "lower_noisy", "upper_noisy")]
            _need(arrays, ends, path)
    if any(name in arrays for name in _KNOWN):
        _need(arrays, [*_KNOWN, "parameter"], path)
    if "parameter" in arrays:
        need_names(arrays, "parameter", summary["parameters"], path, POSTERIOR_REMEDY)


def _need(arrays: xr.Dataset, names: Sequence[str], path: Path) -> None:
    absent = [name for name in names if name not in arrays.variables]
    if absent:
        raise InputError(f"{' and '.join(absent)} in {path}", "none", POSTERIOR_REMEDY)


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
            "label": wording.parameter_label(name, entry.get("long_name") or ""),
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
