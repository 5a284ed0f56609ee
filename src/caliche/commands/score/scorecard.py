"""A run against a control run: their scorecard, from two folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caliche.errors import InputError
from caliche.evaluation.benchmarks import observed_streams
from caliche.evaluation.scorecard.card import Record, Scorecard, scorecard
from caliche.report.run.folder import RunFolder, read_run
from caliche.variables import FORCING


def card_of_runs(run: RunFolder, control: Path) -> Scorecard:
    """The scorecard of a run against the run in another folder.

    Over the hold-out where there is one, else over the fit, of the streams that both have.

    Raises
    ------
    InputError : a folder that is none of a run; runs over other times or observations.
    """
    other = read_run(control)
    if run.local_time.shape != other.local_time.shape or (run.local_time != other.local_time).any():
        raise InputError(
            "two runs over the same times", f"others in {control}", "run both over the same window"
        )
    known = set(observed_streams(other.results))
    names = [name for name in observed_streams(run.results) if name in known]
    if not names:
        raise InputError(
            "a stream that was observed in both runs", "none", "give runs of the same observations"
        )
    observed = _stacked(run, names, "observed")
    before = _stacked(other, names, "observed")
    same = np.isfinite(observed) & np.isfinite(before)
    if not np.allclose(observed[same], before[same], rtol=1e-5):
        raise InputError(
            "two runs with the same observations",
            f"others in {control}",
            "give runs of the same site and data",
        )
    held = run.holdout | other.holdout
    inside = held if held.any() else ~held
    models = [_stacked(folder, names, "modelled") for folder in (run, other)]
    fine = same & inside[:, None] & np.isfinite(models[0]) & np.isfinite(models[1])
    site = run.summary.title
    record = Record(
        tuple(names),
        np.where(fine, observed, np.nan),
        run.local_time,
        run.step,
        {n: run.series(f"forcing_{n}") for n in FORCING if f"forcing_{n}" in run.results},
    )
    return scorecard({site: record}, {site: models[0]}, {site: models[1]})


def _stacked(folder: RunFolder, names: list[str], what: str) -> np.ndarray:
    return np.stack([folder.series(f"{name}_{what}") for name in names], axis=1)
