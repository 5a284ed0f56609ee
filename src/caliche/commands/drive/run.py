"""`caliche drive`: calibrate a model that is an executable, by a contract of folders.

The contract is that of `caliche.executables.workers`, with the folders
`iteration_III/member_MMM`. What is done is never run again: the same command goes on.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caliche.errors import InputError
from caliche.estimation.ensemble.ask_tell import AskTell, Found
from caliche.estimation.verdict import FAR, far_from_prior, prior_distance
from caliche.evaluation.verdict import vector_remarks
from caliche.executables.config import DriveConfig
from caliche.executables.workers import Batch, Workers, counted
from caliche.files.manifest import read_json, write_manifest
from caliche.files.whole_file import clear, write_text
from caliche.remarks import Remark, as_table, ended
from caliche.runs.folder import finite, versions

CONFIG, STATE, RESULT = "drive.toml", "state.npz", "result.json"


@dataclass(frozen=True)
class News:
    """What `drive` tells after each member."""

    iteration: int
    done: int
    of: int
    failed: int
    misfit: float | None


@dataclass(frozen=True)
class Driven:
    """A finished drive."""

    found: Found
    reasons: Counter[str]
    summary: dict[str, Any]


def make_job(config: DriveConfig) -> AskTell:
    """The method at its beginning."""
    return AskTell(
        config.method,
        config.parameters,
        config.observed,
        config.sigma,
        seed=config.seed,
        **config.options,
    )


def drive(
    config: DriveConfig,
    folder: Path,
    resume: bool = False,
    workers: int | None = None,
    callback: Callable[[News], None] | None = None,
    command: str | None = None,
) -> Driven:
    """Calibrate; everything is kept in `folder`.

    Parameters
    ----------
    resume : go on in a folder that a drive was stopped in.
    workers : runs at the same time, instead of the configuration's.

    Raises
    ------
    InputError : a folder that is there already, or is not when going on; a command that cannot be
        started; too few members that run.
    """
    job = make_job(config)
    _prepare(config, folder, resume)
    if resume and (folder / STATE).is_file():
        job.restore(folder / STATE)
    with Workers(config, workers or config.workers) as pool:
        while not job.done:
            before = job.iteration
            place = folder / f"iteration_{before:03d}"
            if job.tries:
                place = place / f"redrawn_{job.tries}"
            told = _Teller(callback, before, job)
            outputs, why = pool.run(Batch(place, before, job.names, job.ask()), told.tell)
            try:
                job.tell(outputs)
            except InputError as error:
                raise _explained(error, why, place) from None
            if job.iteration > before:
                job.save(folder / STATE)
    return _finish(config, folder, job, command)


class _Teller:
    """Counts members as they come in."""

    def __init__(self, callback: Callable[[News], None] | None, iteration: int, job: AskTell):
        self._callback, self._iteration = callback, iteration
        self._misfit = job.misfits[-1] if job.misfits else None
        self._done = self._failed = 0

    def tell(self, failed: bool, of: int) -> None:
        self._done += 1
        self._failed += failed
        if self._callback is not None:
            self._callback(News(self._iteration + 1, self._done, of, self._failed, self._misfit))


def begun(config: DriveConfig, folder: Path) -> bool:
    """Whether a drive was stopped in a folder, before its end.

    Raises
    ------
    InputError : it was, but with another configuration.
    """
    kept = folder / CONFIG
    if not kept.is_file() or (folder / RESULT).is_file():
        return False
    if kept.read_text(encoding="utf-8") != config.text:
        raise InputError(
            f"the file with which the drive in {folder} was begun",
            "another one, or one that was changed since",
            "choose another --out, or undo the change",
        )
    return True


def _prepare(config: DriveConfig, folder: Path, resume: bool) -> None:
    kept = folder / CONFIG
    if resume:
        if not kept.is_file():
            raise InputError(
                "the folder of a drive that was stopped",
                f"{folder}",
                "give the --out of that drive",
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "a folder that does not exist yet",
            f"{folder}, which does",
            "choose another --out",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, "drive")
    write_text(kept, config.text)


# -- the end -------------------------------------------------------------------------------------


def _explained(error: InputError, why: Sequence[str], place: Path) -> InputError:
    """The refusal with what most of the runs said."""
    if not why:
        return error
    reason, number = max(counted(why).items(), key=lambda item: item[1])
    file = re.match(r"left (outputs\.\w+) that", reason)
    return InputError(
        error.expected,
        f"{error.got}; {number} of them: {reason}",
        f"look at {file[1] if file else 'stderr.txt'} in the members of {place}",
    )


def _remarks(config: DriveConfig, job: AskTell, found: Found) -> list[Remark]:
    """What a careful referee would say of the estimate."""
    said: list[Remark] = []
    for p in config.parameters:
        if p.name in found.no_effect:
            prior = p.prior.describe(p.declaration.unit)
            text = (
                f"No output depends on {p.name}: the observations say nothing of it, and what is "
                f"known is its prior ({prior})."
            )
            said.append(Remark("no-effect", text, True, (p.name,)))
            continue
        away = float(prior_distance(p.prior, found.estimate[p.name]))
        if abs(away) > FAR:
            prior = p.prior.describe(p.declaration.unit)
            said.append(
                Remark("far-from-prior", far_from_prior(p.name, away, prior), True, (p.name,))
            )
    if len(found.misfits) and math.isfinite(found.misfits[-1]):
        u = np.asarray(job.space.to_whitened(found.estimate))
        own = 0.5 * float(np.sum(np.where(job.space.informative & np.isfinite(u), u, 0.0) ** 2))
        misfit = max(0.0, float(found.misfits[-1]) - own)
        said += vector_remarks(config.observed, config.sigma, misfit, len(config.parameters))
    return said


def _finish(config: DriveConfig, folder: Path, job: AskTell, command: str | None) -> Driven:
    found = job.result()
    # From the members' folders: a drive that was stopped and went on counts all of them.
    told = (read_json(path) or {} for path in sorted(folder.glob("iteration_*/**/status.json")))
    reasons = counted(str(status["reason"]) for status in told if status.get("reason"))
    entries = {}
    for p in config.parameters:
        unseen = p.name in found.no_effect
        sd, interval = found.sd or {}, found.interval or {}
        bare = unseen or p.name not in sd or p.name not in interval
        entries[p.name] = {
            "estimate": None if unseen else found.estimate[p.name],
            "sd": None if bare else sd[p.name],
            "interval95": None if bare else list(interval[p.name]),
            "no_effect": unseen,
            "unit": p.declaration.unit,
            "prior": p.prior.describe(p.declaration.unit),
        }
    remarks = _remarks(config, job, found)
    summary = finite(
        {
            "title": config.title,
            "verdict": as_table(ended(found.converged, found.reason), remarks),
            "method": found.method,
            "seed": config.seed,
            "converged": found.converged,
            "reason": found.reason,
            "error_bars": None if found.sd is None else "ensemble",
            "parameters": entries,
            "misfit": found.misfits.tolist(),
            "n_observations": int(np.isfinite(config.observed).sum()),
            "n_missing": int((~np.isfinite(config.observed)).sum()),
            "n_model_runs": found.n_runs + found.n_last,
            "n_failed": found.n_failed,
            "failures": dict(reasons),
            "versions": versions(),
            "command": command,
        }
    )
    if found.members is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(found.names)
        writer.writerows(found.members.tolist())
        write_text(folder / "members.csv", text.getvalue())
    best = {"parameters": found.estimate}
    write_text(folder / "parameters.json", json.dumps(best, indent=1) + "\n")
    write_text(folder / RESULT, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    clear(folder)
    return Driven(found, reasons, summary)
