"""What a run found, made into its summary.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from caliche.estimation import ParameterEstimate, Result
from caliche.evaluation.plausibility import judge_result
from caliche.evaluation.prediction import Prediction, score_windows
from caliche.evaluation.scores import Score
from caliche.evaluation.structural_error import StreamStructure
from caliche.evaluation.verdict import experiment_remarks
from caliche.experiments.experiment import Experiment
from caliche.keys.records import as_kept, from_json, to_json
from caliche.remarks import Remark, ended, headline, unlike
from caliche.runs.folder import versions
from caliche.runs.run_summary import (
    CorrelationEntry,
    CostEntry,
    DerivedEntry,
    EnsembleEntry,
    HyperparameterEntry,
    OptimumEntry,
    ParameterEntry,
    ResidualEntry,
    RunSummary,
    ScoreEntry,
    StartEntry,
    VerdictEntry,
)


def summarise(
    experiment: Experiment,
    result: Result,
    prediction: Prediction,
    seconds: Mapping[str, float],
    command: str | None,
    suspicions: Sequence[Remark] = (),
    structure: Mapping[str, StreamStructure] | None = None,
) -> RunSummary:
    """What a run found, as it is read again from its summary.json."""
    truth = experiment.truth or {}
    fit, holdout = score_windows(experiment, prediction)
    said = experiment_remarks(experiment, prediction, fit)
    if any(remark.kind == "wrong-sign" for remark in said):
        suspicions = ()  # a bias or a lag is no advice where the sign is the fault
    remarks = unlike([*result.remarks, *said, *suspicions])
    first = headline(ended(result.converged, result.reason), remarks, result.starts)
    ensemble = result.ensemble
    return as_kept(
        RunSummary(
            experiment=experiment.config.name,
            title=experiment.config.title,
            description=experiment.config.description,
            method=result.method,
            converged=result.converged,
            reason=result.reason,
            seed=result.seed,
            error_bars=result.error_bars,
            ensemble=None
            if ensemble is None
            else EnsembleEntry(len(ensemble.u), tuple(ensemble.times.tolist()), ensemble.failed),
            n_iterations=result.n_iterations,
            n_model_runs=result.n_model_runs,
            seconds=dict(seconds),
            parameters={
                name: parameter_entry(p, truth.get(name)) for name, p in result.parameters.items()
            },
            correlation=CorrelationEntry(
                result.names, tuple(map(tuple, result.correlation.tolist()))
            ),
            starts=tuple(StartEntry(**vars(start)) for start in result.starts),
            optima=tuple(OptimumEntry(**vars(optimum)) for optimum in result.optima),
            fit=score_entries(experiment, fit),
            holdout=None if holdout is None else score_entries(experiment, holdout),
            residuals={
                name: ResidualEntry(r.lag1_autocorrelation, r.variance_ratio)
                for name, r in result.residuals.items()
            },
            cost=CostEntry({n: r.cost for n, r in result.residuals.items()}, result.prior_cost),
            hyperparameters=None
            if result.hyperparameters is None
            else from_json(HyperparameterEntry, to_json(asdict(result.hyperparameters))),
            derived={name: DerivedEntry(*found) for name, found in result.derived.items()},
            plausibility=judge_result(result, truth),
            verdict=VerdictEntry(first, remarks),
            warnings=tuple(remark.sentence for remark in remarks),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            structural_error=structure,
        )
    )


def parameter_entry(p: ParameterEstimate, truth: float | None = None) -> ParameterEntry:
    """The entry of a parameter."""
    said = vars(p) | {"interval95": p.interval, "truth": truth}
    return ParameterEntry(**{k: v for k, v in said.items() if k not in ("name", "interval")})


def score_entries(experiment: Experiment, scores: Mapping[str, Score]) -> dict[str, ScoreEntry]:
    """The entries of streams that were scored."""
    observations = experiment.config.observations
    return {
        name: ScoreEntry(**vars(s), fitted=observations[name].fit, sigma=observations[name].sigma)
        for name, s in scores.items()
    }
