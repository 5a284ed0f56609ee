"""What summary.json says of many sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from caliche.commands.sites.ready import MEANINGS
from caliche.estimation.method import CONVERGED
from caliche.estimation.verdict import FAR, VISIBLE, prior_distance
from caliche.experiments.config.tables import ExperimentConfig
from caliche.problems.inverse import InverseProblem
from caliche.remarks import FEW, MANY
from caliche.runs.folder import finite, versions
from caliche.wording import listing

# Names of failed sites that are written out; result.nc has them all.
MOST_NAMED = 1000
QUANTILES = {"q05": 0.05, "median": 0.5, "q95": 0.95}


# What may be wrong with sites that converged, and what the first line says of how many.
WRONG = {
    "bound": "{n} with a parameter at its bound",
    "far-from-prior": "{n} with a parameter far from its prior",
    "no-estimate": "{n} with a parameter that the observations do not constrain",
    "worse-than-mean": "{n} with a stream predicted worse than its mean",
    "errors-too-small": "{n} with residuals far larger than declared",
    "errors-too-large": "{n} with residuals far smaller than declared",
    "rough": "{n} that came no nearer to a rough optimum than a tenth of a standard deviation",
}


def _wrong(problem: InverseProblem, block: xr.Dataset) -> dict[str, int]:
    """How many sites of a batch, all of which converged, have something wrong, by kind."""
    entries, estimates = problem.space.entries, block["estimate"].values
    away = [prior_distance(e.parameter.prior, estimates[:, k]) for k, e in enumerate(entries)]
    with np.errstate(invalid="ignore"):
        size = block["rms_residual"].values / np.asarray(problem.observations.sigma)
        found = {
            "bound": block["at_bound"].values > 0,
            "far-from-prior": np.abs(np.stack(away, axis=1)) > FAR,
            "no-estimate": np.isinf(block["sd"].values),
            "worse-than-mean": block["nse"].values < 0.0,
            "errors-too-small": size > MANY,
            "errors-too-large": size < FEW,
            "rough": block["remaining_step"].values[:, None] > VISIBLE,
        }
    return {kind: int(where.any(axis=1).sum()) for kind, where in found.items()}


class Summary:
    """Counts and quantiles, gathered from one batch after the other."""

    def __init__(self, problem: InverseProblem) -> None:
        self._problem = problem
        self._counts: Counter[int] = Counter()
        self._failed: list[dict[str, str]] = []
        self._estimates: list[np.ndarray] = []
        self._sd: list[np.ndarray] = []
        self._at_bound = np.zeros(len(problem.space.free), int)
        self._iterations = self._calibrated = 0
        self._wrong: Counter[str] = Counter()

    def look(self, block: xr.Dataset) -> None:
        """Take in a batch."""
        status = block["status"].values
        self._counts.update(status.tolist())
        good = status == CONVERGED
        self._estimates.append(block["estimate"].values[good])
        self._sd.append(block["sd"].values[good])
        self._at_bound += block["at_bound"].values[good].sum(axis=0)
        self._iterations += int(block["iterations"].values.sum())
        self._calibrated += int((block["iterations"].values > 0).sum())
        self._wrong.update(_wrong(self._problem, block.isel(site=good)))
        for row in np.flatnonzero(~good)[: MOST_NAMED - len(self._failed)]:
            site, reason = str(block["site"].values[row]), str(block["reason"].values[row])
            entry = {"site": site, "status": MEANINGS[int(status[row])], "reason": reason}
            self._failed.append(entry)

    def content(
        self,
        config: ExperimentConfig,
        tolerance: float,
        seconds: Mapping[str, float],
        command: str | None,
    ) -> dict[str, Any]:
        """The content of summary.json. `seconds` are those of the call that finished the run."""
        estimates, sd = np.concatenate(self._estimates), np.concatenate(self._sd)
        parameters = {}
        for k, p in enumerate(self._problem.space.free):
            d, found, spread = p.declaration, estimates[:, k], sd[np.isfinite(sd[:, k]), k]
            parameters[p.name] = {
                "long_name": d.long_name,
                "unit": d.unit,
                **{
                    key: float(np.quantile(found, q)) if len(found) else None
                    for key, q in QUANTILES.items()
                },
                "median_sd": float(np.median(spread)) if len(spread) else None,
                "at_bound": int(self._at_bound[k]),
            }
        sites = sum(self._counts.values())
        how = f"{self._counts[CONVERGED]} of {sites} sites converged"
        parts = [
            text.format(n=self._wrong[kind]) for kind, text in WRONG.items() if self._wrong[kind]
        ]
        summary = {
            "experiment": config.name,
            "title": config.title,
            "sites": sites,
            "converged": self._counts[CONVERGED],
            "verdict": {
                "headline": f"{how}; of these {listing(parts)}" if parts else how,
                "sites": {kind: self._wrong[kind] for kind in WRONG},
            },
            "status": {MEANINGS[s]: n for s, n in sorted(self._counts.items())},
            "failed": self._failed,
            "parameters": parameters,
            "mean_iterations": self._iterations / max(self._calibrated, 1),
            "tolerance": tolerance,
            "seconds_of_last_call": dict(seconds),
            "versions": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
        }
        return finite(summary)
