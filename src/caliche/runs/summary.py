"""The content of a run's summary.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from caliche.estimation import Result
from caliche.evaluation.plausibility import judge_result
from caliche.evaluation.prediction import Prediction, score_windows
from caliche.evaluation.verdict import experiment_remarks
from caliche.experiments.experiment import Experiment
from caliche.remarks import Remark, as_table, ended, unlike
from caliche.runs.folder import finite, versions


def summarise(
    experiment: Experiment,
    result: Result,
    prediction: Prediction,
    seconds: Mapping[str, float],
    command: str | None,
    suspicions: Sequence[Remark] = (),
) -> dict[str, Any]:
    """The content of summary.json: numbers, words and versions; null for what does not exist."""
    truth = experiment.truth or {}
    observations = experiment.config.observations
    fit, holdout = score_windows(experiment, prediction)
    said = experiment_remarks(experiment, prediction, fit)
    if any(remark.kind == "wrong-sign" for remark in said):
        suspicions = ()  # a bias or a lag is no advice where the sign is the fault
    remarks = unlike([*result.remarks, *said, *suspicions])

    def scores(by_stream: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: {**asdict(s), "fitted": observations[name].fit, "sigma": observations[name].sigma}
            for name, s in by_stream.items()
        }

    parameters = {}
    for name, p in result.parameters.items():
        entry = asdict(p)
        interval = entry.pop("interval")
        entry.pop("name")
        entry["interval95"] = None if interval is None else list(interval)
        entry["truth"] = truth.get(name)
        parameters[name] = entry
    summary = {
        "experiment": experiment.config.name,
        "title": experiment.config.title,
        "description": experiment.config.description,
        "method": result.method,
        "converged": result.converged,
        "reason": result.reason,
        "seed": result.seed,
        "error_bars": result.error_bars,
        "ensemble": None
        if result.ensemble is None
        else {
            "members": len(result.ensemble.u),
            "times": result.ensemble.times.tolist(),
            "failed": list(result.ensemble.failed),
        },
        "n_iterations": result.n_iterations,
        "n_model_runs": result.n_model_runs,
        "seconds": dict(seconds),
        "parameters": parameters,
        "correlation": {"names": list(result.names), "matrix": result.correlation.tolist()},
        "starts": [asdict(start) for start in result.starts],
        "optima": [asdict(optimum) for optimum in result.optima],
        "fit": scores(fit),
        "holdout": None if holdout is None else scores(holdout),
        "residuals": {
            name: {
                "lag1_autocorrelation": r.lag1_autocorrelation,
                "variance_ratio": r.variance_ratio,
            }
            for name, r in result.residuals.items()
        },
        "cost": {
            "observations": {name: r.cost for name, r in result.residuals.items()},
            "prior": result.prior_cost,
        },
        "hyperparameters": None
        if result.hyperparameters is None
        else asdict(result.hyperparameters),
        "derived": {
            name: {"value": value, "sd": sd, "unit": unit, "long_name": text}
            for name, (value, sd, unit, text) in result.derived.items()
        },
        "plausibility": judge_result(result, truth),
        "verdict": as_table(ended(result.converged, result.reason), remarks, result.starts),
        "warnings": [remark.sentence for remark in remarks],
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }
    return finite(summary)
