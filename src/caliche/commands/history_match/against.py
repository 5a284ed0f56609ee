"""A run that was fitted beside what history matching leaves: its intervals on the same axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caliche.errors import InputError
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.result import Matched
from caliche.history_matching.simulator import Simulator
from caliche.keys.records import checked, read_record
from caliche.metrics.metric import Metrics
from caliche.problems.inverse import InverseProblem
from caliche.runs.posterior_summary import POSTERIOR_REMEDY, PosteriorSummary
from caliche.runs.read_results import read_results
from caliche.runs.run_summary import REMEDY, RunSummary

# Of posterior.json, in the order in which they are drawn.
SAMPLED = {"profile": "profile", "nuts": "NUTS", "etki": "ETKI", "eki": "EKI", "denvar": "4DEnVar"}
LAPLACE = "Laplace"


def fitted_intervals(run: Path, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Of each parameter the estimate of a run, and its 95 % intervals by each method.

    Raises
    ------
    InputError : no run of these parameters.
    """
    results = read_results(run)
    if results.kind not in ("estimate", "train"):
        raise InputError(
            "the folder of caliche estimate, for --against",
            f"{run}, of caliche {results.kind}",
            "run caliche estimate on the same experiment",
        )
    fitted = checked(RunSummary, results.summary, run / "summary.json", REMEDY).parameters
    lost = [name for name in names if name not in fitted]
    if lost:
        raise InputError(
            f"a run of the same parameters ({', '.join(names)})",
            f"{run}, without {', '.join(lost)}",
            "run caliche estimate on the same experiment",
        )
    found = {
        name: {"estimate": fitted[name].estimate, "intervals": _alone(fitted[name].interval95)}
        for name in names
    }
    path = run / "posterior.json"
    if path.is_file():
        sampled = read_record(PosteriorSummary, path, POSTERIOR_REMEDY).parameters
        for name in names:
            for key, word in SAMPLED.items():
                entry = getattr(sampled.get(name), key, None)
                if entry is not None and entry.interval95 is not None:
                    found[name]["intervals"][word] = list(entry.interval95)
    return found


def _alone(interval: tuple[float, float] | None) -> dict[str, list[float]]:
    return {} if interval is None else {LAPLACE: list(interval)}


def against(
    run: Path, problem: InverseProblem, metrics: Metrics, found: Matched, starts: bool
) -> dict[str, Any]:
    """What summary.json says of a run beside what is left: intervals by their place along each
    range, and how implausible its estimate is to the metrics.

    starts : whether start ranges were searched.

    Raises
    ------
    InputError : as `fitted_intervals`.
    """
    fitted = fitted_intervals(run, found.names)
    grid = np.linspace(0.0, 1.0, found.edges.shape[1])
    for k, entry in enumerate(fitted.values()):
        edges = found.edges[k]
        entry["places"] = {
            word: np.interp(ends, edges, grid).tolist() for word, ends in entry["intervals"].items()
        }
        entry["place"] = float(np.interp(entry["estimate"], edges, grid))
    ranges = Ranges(problem.space, starts)
    at = ranges.from_values({name: entry["estimate"] for name, entry in fitted.items()})
    simulator = Simulator(problem, metrics, ranges, Recorder(None))
    statistic = found.rule.combine(found.targets, simulator.values(at[None]))
    return {"run": run.name, "implausibility": float(statistic[0]), "parameters": fitted}
