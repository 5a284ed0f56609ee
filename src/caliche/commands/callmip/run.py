"""An entry to CalLMIP run: prior, calibration, posterior, and the files to hand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from caliche.callmip.protocol import (
    POSTERIOR,
    PRIOR,
    VARIABLES,
    OutputName,
    cal_val,
)
from caliche.callmip.weather import write_weather
from caliche.callmip.write import write_output
from caliche.commands.callmip.calibrate import Calibration, calibrate
from caliche.commands.callmip.config import Entry, read_entry
from caliche.commands.callmip.folder import CALIBRATION, OUTPUT
from caliche.commands.callmip.prepare import FITTED
from caliche.commands.callmip.towers import COMMENTS, Tower, open_towers
from caliche.evaluation.prediction import predict_slopes
from caliche.files.whole_file import write_text
from caliche.keys.records import to_json
from caliche.wording import listing


def run_entry(
    folder: Path,
    leave_out: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    command: str | None = None,
) -> dict[str, Any]:
    """Run an entry and write its folder: output/, weather/ and calibration.json.

    Parameters
    ----------
    leave_out : whether to calibrate once without each tower.
    tell : called with a line for each fit.

    Returns
    -------
    the content of calibration.json.

    Raises
    ------
    InputError : an entry or an experiment that cannot be.
    """
    entry = read_entry(folder)
    towers = open_towers(entry)
    found = calibrate(entry, towers, leave_out, tell)
    for tower in towers:
        _write_tower(entry, tower, found)
        weather = tower.weather()
        if weather is not None:
            write_weather(weather, folder, tower.site.code)
    content = _content(entry, towers, found, command)
    write_text(folder / CALIBRATION, json.dumps(to_json(content), indent=1) + "\n")
    return content


def _write_tower(entry: Entry, tower: Tower, found: Calibration) -> None:
    """The prior and the posterior file of a tower."""
    prior = np.asarray(tower.experiment.space.initial())
    posterior, covariance = found.at(entry, tower)
    days = tower.days[tower.rows].astype("datetime64[D]")
    spread, comments = _spread(entry, tower, found, posterior, covariance)
    for stage, u, unc in ((PRIOR, prior, {}), (POSTERIOR, posterior, spread)):
        role = cal_val(tower.site.role)
        name = OutputName(entry.table.model, entry.table.scenario, tower.site.code, role, stage)
        values = tower.outputs(u)
        write_output(
            entry.folder / OUTPUT, name, tower.site, days, values, unc, {**COMMENTS, **comments}
        )


def _spread(
    entry: Entry, tower: Tower, found: Calibration, u: np.ndarray, covariance: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Standard deviation of each calibrated flux by day, and what it is made of."""
    streams = {name: FITTED[name] for name in entry.variables}
    problem = tower.without_observations(list(streams.values()))
    if tower.calibrates and set(tower.fitted) == set(streams.values()):
        problem = tower.problem()  # whose program is compiled already
    names = problem.stream_names
    _, slopes = predict_slopes(problem, u)
    variance = np.einsum("tsp,pq,tsq->ts", slopes, covariance, slopes)[tower.rows]
    spread, comments = {}, {}
    for name, stream in streams.items():
        missed = _model_error(found, tower.site.code, stream)
        k = names.index(stream)
        spread[name] = np.sqrt(np.maximum(variance[:, k], 0.0) + missed**2)
        share = 100.0 * float(np.mean(variance[:, k]) / np.mean(spread[name] ** 2))
        comments[f"{name}_post_unc"] = (
            f"standard deviation: parameters ({share:.0f} % of the variance) and what the model "
            f"misses ({missed:.3g} W m-2 of a daily mean); without errors of measurement"
        )
    return spread, comments


def _model_error(found: Calibration, site: str, stream: str) -> float:
    """What a model misses at a tower; where it was not calibrated, as elsewhere on average."""
    known = found.model_error.get(site, {})
    if stream in known:
        return known[stream]
    others = [e[stream] for e in found.model_error.values() if stream in e]
    return float(np.sqrt(np.mean(np.square(others)))) if others else 0.0


def _content(
    entry: Entry, towers: tuple[Tower, ...], found: Calibration, command: str | None
) -> dict[str, Any]:
    """What calibration.json says."""
    r = found.result
    made = set().union(*(tower.outputs_had for tower in towers))
    empty = [name for name in VARIABLES if name not in made]
    sites = {}
    for tower in towers:
        code = tower.site.code
        held = tower.days[tower.rows][tower.held[tower.rows]]
        sites[code] = {
            "role": tower.site.role,
            "fitted": list(tower.fitted),
            "scored_only": list(tower.scored_only),
            "held_out": [str(day) for day in held.astype("datetime64[D]")],
            "model_error": dict(found.model_error.get(code, {})),
            "left_out": dict(found.left_out.get(code, {})),
        }
    notes = list(found.without_effect)
    notes.append(
        f"Empty, as the model does not compute them: {listing(empty)}. Without carbon this is no "
        "entry to the required Scenario 1."
    )
    for code, entry_ in sites.items():
        if entry_["scored_only"]:
            streams = listing(s.replace("_", " ") for s in entry_["scored_only"])
            notes.append(f"{code}: {streams} has fewer than 60 days and is scored, not fitted.")
    return {
        "title": entry.table.title,
        "model": entry.table.model,
        "scenario": entry.table.scenario,
        "converged": r.converged,
        "reason": r.reason,
        "parameters": {
            name: {
                "unit": p.unit,
                "prior": p.initial,
                "estimate": p.estimate,
                "sd": p.sd,
                "interval95": p.interval,
                "at_bound": p.at_bound,
            }
            for name, p in r.parameters.items()
            if not p.fixed
        },
        "sites": sites,
        "notes": notes,
        "warnings": [remark.sentence for remark in r.remarks],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }
