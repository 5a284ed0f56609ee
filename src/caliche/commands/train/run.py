"""Training the network of an experiment, and the run folder that this leaves.

While it trains the folder holds config.toml and a checkpoint of each seed; result.nc, summary.json
and network.eqx come when it is done. A folder with checkpoints alone is gone on with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from caliche.errors import InputError
from caliche.estimation.result import ParameterEstimate, with_the_rest
from caliche.estimation.tangent_run import ENERGY_TERMS, surface_value
from caliche.estimation.verdict import bound_remarks, prior_remarks
from caliche.evaluation.prediction import Prediction, score_windows
from caliche.evaluation.verdict import experiment_remarks
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import write_leaves
from caliche.files.manifest import write_manifest
from caliche.files.whole_file import clear, write_text, written_aside
from caliche.keys.records import as_kept, json_text, read_record, read_text, to_json
from caliche.learning.training import Trained, TrainingSettings, cut, train
from caliche.models.base import Diagnostics
from caliche.models.lad.neural_fluxes import HybridFluxes, number_of_weights
from caliche.models.loop.time_loop import simulate
from caliche.problems.inverse import InverseProblem
from caliche.remarks import FAILED, Remark, capitalised, error_size_remarks, headline, unlike
from caliche.runs.dataset import series_dataset
from caliche.runs.folder import as_run, new_folder, versions, write_data
from caliche.runs.run_summary import (
    OF_A_SEARCH,
    REMEDY,
    ParameterEntry,
    RunSummary,
    ScoreEntry,
    SeedEntry,
    TrainingEntry,
    VerdictEntry,
    WindowScores,
)
from caliche.runs.summary import parameter_entry, score_entries
from caliche.runs.trained import CONFIG, NETWORK, untrained
from caliche.variables import label

Callback = Callable[[int, int, float, float, int], None]
"""Called after each epoch with seed, epoch, both losses, and the epoch of the lowest held-out."""


@dataclass(frozen=True)
class TrainingRun:
    """A run that trained, and what it found."""

    folder: Path
    found: RunSummary

    @property
    def summary(self) -> Mapping[str, Any]:
        """The content of summary.json."""
        return _as_json(self.found)

    @property
    def training(self) -> TrainingEntry:
        """What was trained, and how."""
        assert self.found.training is not None
        return self.found.training


def _as_json(found: RunSummary) -> dict[str, Any]:
    return {k: v for k, v in to_json(found).items() if k not in OF_A_SEARCH}


def run_training(
    experiment: Experiment,
    out: Path | None = None,
    callback: Callback | None = None,
    command: str | None = None,
) -> TrainingRun:
    """Train the networks of an experiment and write its run folder (all but the report).

    A training that was stopped in the same folder goes on from its last checkpoint.

    Raises
    ------
    InputError : anything wrong with configuration or data; a folder that holds a finished run, or
        one of another experiment.
    """
    t = experiment.config.training
    folder = _folder(experiment, out)
    settings = TrainingSettings(
        t.epochs,
        t.learning_rate,
        round(t.window_days * 86400.0 / experiment.config.window.time_step),
        t.patience,
    )
    cut(untrained(experiment, t.seed).problem(), settings.window_steps)  # or nothing is written
    guess = _predict(*_bulk(experiment))
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, "train")
    write_text(folder / CONFIG, as_run(experiment, folder))
    write_data(experiment, folder)
    members = []
    for seed in range(t.seed, t.seed + t.seeds):
        start = untrained(experiment, seed)

        def tell(epoch: int, loss: float, held_out: float, best: int, seed: int = seed) -> None:
            if callback is not None:
                callback(seed, epoch, loss, held_out, best)

        trained = train(start.problem(), settings, seed, folder / f"checkpoint-{seed}.eqx", tell)
        law = start.fluxes
        assert isinstance(law, HybridFluxes)
        after = start.with_fluxes(dataclasses.replace(law, network=trained.learned.network))
        members.append(
            _Member(after, trained, _predict(after.scoring_problem(), trained.learned.u))
        )
    summary = _write(folder, experiment, members, guess, command)
    return TrainingRun(folder, summary)


def finished_training(experiment: Experiment, folder: Path) -> TrainingRun | None:
    """The run of this experiment that a folder holds, if it is finished."""
    kept, summary = folder / CONFIG, folder / "summary.json"
    if not summary.is_file() or read_text(kept, REMEDY) != as_run(experiment, folder):
        return None
    return TrainingRun(folder, read_record(RunSummary, summary, REMEDY))


@dataclass(frozen=True)
class _Member:
    """A trained network: the experiment with it, how it came about, and what it says."""

    experiment: Experiment
    trained: Trained
    prediction: Prediction


def _folder(experiment: Experiment, out: Path | None) -> Path:
    if out is None or not (out / CONFIG).is_file():
        return new_folder(out, f"{experiment.config.name}-training")
    if read_text(out / CONFIG, REMEDY) != as_run(experiment, out):
        raise InputError(
            f"the experiment that {out} was begun with",
            "another configuration",
            "choose another --out, or leave the configuration as it was",
        )
    if (out / "summary.json").is_file():  # finished, and refused
        return new_folder(out, "")
    return out


def _bulk(experiment: Experiment) -> tuple[InverseProblem, Any]:
    """The same column with bulk fluxes, everything at its first guess."""
    config = experiment.config
    assert config.model.learner is not None
    bulk = dataclasses.replace(config, model=config.model.learner.plain)
    plain = dataclasses.replace(experiment, config=bulk)
    problem = plain.scoring_problem()
    return problem, problem.space.initial()


@jax.jit
def _run(problem: InverseProblem, u: Any) -> tuple[Any, dict[str, Any]]:
    """Streams (time + 1, stream) and energy terms (time + 1,)."""
    params = problem.space.to_physical(u)

    def output(diagnostics: Diagnostics) -> tuple[Any, Any]:
        energy = {name: surface_value(diagnostics[name]) for name in ENERGY_TERMS}
        return problem.operator.select(diagnostics), energy

    _, (first, blank), (series, energy) = simulate(problem.model, params, problem.forcing, output)
    whole = {name: jnp.append(blank[name], energy[name]) for name in ENERGY_TERMS}
    return problem.operator.finish(first, series, params), whole


def _predict(problem: InverseProblem, u: Any) -> Prediction:
    """Prediction without bands: nobody knows the covariance of weights."""
    streams, energy = _run(problem, u)
    names = [stream.name for stream in problem.operator.streams]
    return Prediction(
        {name: np.asarray(streams[:, k]) for k, name in enumerate(names)},
        {},
        {name: np.asarray(values) for name, values in energy.items()},
        {},
    )


def _write(
    folder: Path,
    experiment: Experiment,
    members: list[_Member],
    guess: Prediction,
    command: str | None,
) -> RunSummary:
    """Write network.eqx, result.nc and, last, summary.json."""
    best = min(members, key=lambda m: m.trained.loss)
    dataset = series_dataset(best.experiment, best.prediction, guess)
    longest = max(len(m.trained.history) for m in members)
    for k, what in enumerate(("training", "held_out")):
        losses = np.full((len(members), longest), np.nan)
        for row, member in zip(losses, members, strict=True):
            row[: len(member.trained.history)] = member.trained.history[:, k]
        text = f"mean squared misfit in units of sigma, {what.replace('_', ' ')} data"
        dataset[f"loss_{what}"] = (("seed", "epoch"), losses, {"long_name": text, "units": "1"})
    dataset = dataset.assign_coords(seed=[m.trained.seed for m in members])
    summary = _summarise(experiment, members, best, guess, command)
    write_leaves(folder / NETWORK, best.experiment.fluxes)
    with written_aside(folder / "result.nc") as scratch:
        dataset.to_netcdf(scratch, engine="h5netcdf")
    write_text(folder / "summary.json", json_text(_as_json(summary)))
    clear(folder)
    return summary


def _summarise(
    experiment: Experiment,
    members: list[_Member],
    best: _Member,
    guess: Prediction,
    command: str | None,
) -> RunSummary:
    """The content of summary.json, as far as it goes that of `caliche estimate`."""
    config, trained = experiment.config, best.trained
    law = best.experiment.fluxes
    assert isinstance(law, HybridFluxes)
    seconds = {key: sum(m.trained.seconds[key] for m in members) for key in ("compile", "run")}
    fit, held = _scores(best.experiment, best.prediction)
    guess_fit, guess_held = _scores(best.experiment, guess)
    said, how = _remarks(best), "trained" if trained.converged else f"{FAILED}: {trained.reason}"
    entries = tuple(
        SeedEntry(
            m.trained.seed,
            float(m.trained.loss),
            len(m.trained.history) - 1,
            m.trained.best_epoch,
            m.trained.converged,
            m.trained.reason,
            m.trained.seconds["epoch"],
            *_scores(m.experiment, m.prediction),
        )
        for m in members
    )
    found = RunSummary(
        experiment=config.name,
        title=config.title,
        description=config.description,
        method="training",
        converged=trained.converged,
        reason=trained.reason,
        seed=trained.seed,
        n_iterations=len(trained.history) - 1,
        seconds=seconds,
        parameters=_parameters(best),
        fit=fit,
        holdout=held,
        training=TrainingEntry(
            config.model.fluxes,  # type: ignore[arg-type]
            law.states,
            tuple(law.input_names),
            config.training.width,
            config.training.depth,
            number_of_weights(law.network),
            config.training.window_days,
            trained.n_windows,
            trained.n_observations,
            entries,
            WindowScores(guess_fit, guess_held),
        ),
        verdict=VerdictEntry(headline(how, said), said),
        warnings=tuple(remark.sentence for remark in said),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
    )
    return as_kept(found)


def _scores(
    experiment: Experiment, prediction: Prediction
) -> tuple[dict[str, ScoreEntry], dict[str, ScoreEntry] | None]:
    """Scores in the fitted window and in the hold-out."""
    fit, held = score_windows(experiment, prediction)
    return score_entries(experiment, fit), None if held is None else score_entries(experiment, held)


def _remarks(member: _Member) -> tuple[Remark, ...]:
    """What a careful referee would say of a trained network and the parameters beside it."""
    experiment, space, learned = member.experiment, member.experiment.space, _learned(member)
    fit, _ = score_windows(experiment, member.prediction)
    found = [*bound_remarks(space, learned), *prior_remarks(space, learned)]
    for name, s in fit.items():
        config = experiment.config.observations[name]
        if config.fit and config.sigma and s.rmse is not None:
            found += error_size_remarks(name, label(name), s.rmse / config.sigma, "residuals")
    found += experiment_remarks(experiment, member.prediction, fit)
    return unlike(capitalised(found))


def _learned(member: _Member) -> dict[str, ParameterEstimate]:
    """Parameters that were learned with the network; they have no error bars."""
    space = member.experiment.space
    values = np.asarray(space.vector(member.trained.learned.u))
    return {
        p.name: ParameterEstimate(
            p.name,
            p.declaration.long_name,
            p.declaration.unit,
            float(value),
            None,
            None,
            None,
            p.initial,
            p.prior.lower,
            p.prior.upper,
            False,
            space.describe_prior(p.name),
        )
        for p, value in zip(space.free, values, strict=True)
    }


def _parameters(member: _Member) -> dict[str, ParameterEntry]:
    """Parameters that were learned with the network, then the fixed ones; none has error bars."""
    found = with_the_rest(member.experiment.space, _learned(member))
    return {p.name: parameter_entry(p) for p in found.values()}


def compare_runs(runs: Mapping[str, TrainingEntry]) -> dict[str, dict[str, dict[str, Any]]]:
    """Stream -> row -> score -> (mean, sd over seeds), over the hold-out or else the fit.

    Parameters
    ----------
    runs : what was trained, by the name of their row. The first row is LaD with bulk fluxes
        at its first guess.
    """
    first = next(iter(runs.values()))
    part = "fit" if first.bulk.holdout is None else "holdout"
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for stream, score in getattr(first.bulk, part).items():
        rows = {"LaD, bulk fluxes": [score]}
        rows |= {n: [getattr(s, part)[stream] for s in t.seeds] for n, t in runs.items()}
        tables[stream] = {name: _spread(scores) for name, scores in rows.items()}
    return tables


def _spread(scores: list[ScoreEntry]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("rmse", "bias", "percent_bias", "nse", "kge_2009"):
        values = [getattr(s, key) for s in scores if getattr(s, key) is not None]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        found[key] = (float(np.mean(values)), spread) if values else None
    return found
