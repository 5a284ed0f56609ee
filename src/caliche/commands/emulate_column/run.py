"""`caliche emulate-column`: a network that takes the steps of an experiment's column.

While it trains the folder holds config.toml, settings.json and a checkpoint of each seed; the
network and summary.json come when it is done. A folder with checkpoints alone is gone on with.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from caliche.column_networks import weather
from caliche.column_networks.checks import (
    Costs,
    Drift,
    JacobianCheck,
    check_drift,
    check_jacobian,
    measure_costs,
    step_errors,
)
from caliche.column_networks.data import DataSettings, Material, prepare_material
from caliche.column_networks.store import facts_of, write_network
from caliche.column_networks.training import TrainedColumn, TrainingSettings, train_column
from caliche.commands.emulate_column.summary import (
    ColumnSummary,
    CostEntry,
    DriftEntry,
    JacobianEntry,
    SeedEntry,
)
from caliche.commands.emulate_column.words import passed, sentences, verdict, warnings_of
from caliche.emulators.box import Box, box_of
from caliche.emulators.design import latin_hypercube
from caliche.errors import InputError
from caliche.experiments.experiment import Experiment
from caliche.files.manifest import write_manifest
from caliche.files.whole_file import write_text
from caliche.keys.records import as_kept, json_text, read_table, read_text, to_json
from caliche.models.emulated.model import EmulatedModel, view_of
from caliche.models.emulated.network import number_of_weights
from caliche.parameters.space import ParameterSpace
from caliche.runs.folder import as_run, new_folder, versions, write_data

CONFIG, SETTINGS, EMULATED = "config.toml", "settings.json", "emulated.toml"
DRIFT_RUNS = 8  # long runs that are held against the model's
REMEDY = "choose another --out"


@dataclass(frozen=True)
class ColumnSettings:
    """How a network is made: its data, its training, how many are trained, and the first seed."""

    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    seeds: int = 1
    seed: int = 0


@dataclass(frozen=True)
class ColumnRun:
    """A network, the material that it was trained on, and what was found of it."""

    folder: Path | None
    model: EmulatedModel
    material: Material
    summary: ColumnSummary


Say = Callable[[str], None]
Tell = Callable[[int, int, float, float, int], None]
"""Called after each epoch with seed, epoch, both losses, and the epoch of the lowest held-out."""


def emulate_column(
    experiment: Experiment,
    settings: ColumnSettings | None = None,
    others: Sequence[Experiment] = (),
    out: Path | None = None,
    say: Say | None = None,
    tell: Tell | None = None,
    command: str | None = None,
) -> ColumnRun:
    """Train a network of an experiment's column, check it, and write its folder (all but the page).

    A training that was stopped in the same folder goes on from its last checkpoint.

    Parameters
    ----------
    others : experiments that lend their weather.

    Raises
    ------
    InputError : anything wrong with configurations or data; a folder that holds a finished network,
        or one of another experiment or other settings.
    """
    settings = settings or ColumnSettings()
    _check(settings)
    if experiment.exact is not None:
        raise InputError(
            "a model to train a network on", "a network in its place", "give the experiment itself"
        )
    view = view_of(experiment.model)
    records = _records(experiment, others)
    space, box = experiment.space, box_of(experiment.space)
    folder = _folder(experiment, settings, others, out)
    began = time.perf_counter()
    material = prepare_material(view, space, box, records, settings.data, say)
    made = time.perf_counter()
    _begin(folder, experiment, settings, others)
    trained = []
    for seed in range(settings.seed, settings.seed + settings.seeds):

        def one(epoch: int, loss: float, held: float, best: int, seed: int = seed) -> None:
            if tell is not None:
                tell(seed, epoch, loss, held, best)

        file = folder / f"checkpoint-{seed}.eqx"
        trained.append(train_column(material, settings.training, seed, file, one))
    learned = time.perf_counter()
    best = min(trained, key=lambda t: t.loss)
    model = EmulatedModel(view, best.network, material.trained)
    if say is not None:
        say("holding it against the exact model")
    checks = _checks(model, material, space, box, records, settings.data.seed)
    ended = time.perf_counter()
    seconds = {"data": made - began, "training": learned - made, "checks": ended - learned}
    summary = _summarise(experiment, model, material, settings, trained, best, checks, seconds)
    summary = dataclasses.replace(
        summary,
        command=command,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    facts = facts_of(material, settings.training.width, settings.training.depth)
    write_network(folder, best.network, facts)
    write_text(folder / "summary.json", json_text(summary))
    return ColumnRun(folder, model, material, as_kept(summary))


def _check(settings: ColumnSettings) -> None:
    """Refuse settings that make no network."""
    d, t = settings.data, settings.training
    least = {
        "runs": (d.runs, 8),
        "samples": (d.samples, 500),
        "epochs": (t.epochs, 1),
        "width": (t.width, 1),
        "depth": (t.depth, 0),
        "seeds": (settings.seeds, 1),
    }
    for name, (value, low) in least.items():
        if value < low:
            raise InputError(f"--{name} of {low} or more", str(value), f"--{name} {low}")
    for name, weight in (("derivatives", t.derivatives), ("rollouts", t.rollouts)):
        if not weight >= 0.0:
            raise InputError(f"--{name} of 0 or more", f"{weight:g}", f"--{name} 0 leaves it out")
    if not 0.0 <= d.beside <= 1.0:
        raise InputError("--beside from 0 to 1", f"{d.beside:g}", "--beside 0.5")
    if not 0.0 < d.days <= 3660.0:
        raise InputError("--days above 0 and up to ten years", f"{d.days:g}", "--days 15")


def _records(experiment: Experiment, others: Sequence[Experiment]) -> list[dict[str, np.ndarray]]:
    """The weather of all experiments."""
    found, step = [], experiment.config.window.time_step
    for other in (experiment, *others):
        if other.config.window.time_step != step:
            raise InputError(
                f"weather with the experiment's time step of {step:g} s",
                f"{other.config.window.time_step:g} s in {other.config.name}",
                "set window.time_step alike",
            )
        own = {k: np.asarray(v, float) for k, v in other.scoring_problem().forcing.items()}
        missing = [n for n in experiment.model.forcing_variables if n not in own]
        if missing:
            raise InputError(
                f"weather with {', '.join(missing)}",
                f"none in {other.config.name}",
                "leave that --weather out",
            )
        found.append({n: own[n] for n in experiment.model.forcing_variables})
    return found


def _settings_text(settings: ColumnSettings, others: Sequence[Experiment]) -> str:
    return json_text({**to_json(settings), "weather": [o.config.name for o in others]})


def _folder(
    experiment: Experiment, settings: ColumnSettings, others: Sequence[Experiment], out: Path | None
) -> Path:
    """A new folder, or that of the same training which was stopped."""
    if out is None or not (out / CONFIG).is_file() or not (out / SETTINGS).is_file():
        return new_folder(out, f"{experiment.config.name}-column")
    if (out / "summary.json").is_file():  # finished, and refused
        return new_folder(out, "")
    same = read_text(out / CONFIG, REMEDY) == as_run(experiment, out)
    kept = json_text(read_table(out / SETTINGS, REMEDY))
    if not same or kept != _settings_text(settings, others):
        raise InputError(
            f"the experiment and the settings that {out} was begun with",
            "others",
            "choose another --out, or give the command as it was",
        )
    return out


def _begin(
    folder: Path, experiment: Experiment, settings: ColumnSettings, others: Sequence[Experiment]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, "emulate-column")
    write_text(folder / CONFIG, as_run(experiment, folder))
    write_text(folder / SETTINGS, _settings_text(settings, others))
    write_text(folder / EMULATED, _emulated(experiment, folder))
    write_data(experiment, folder)


def _emulated(experiment: Experiment, folder: Path) -> str:
    """The experiment with the network in place of its model, as TOML beside the network."""
    raw = {**experiment.config.raw, "model": {"name": "emulated", "folder": "."}}
    raw["name"] = f"{experiment.config.name}-emulated"
    config = dataclasses.replace(experiment.config, raw={**raw, "model": {}})
    text = as_run(dataclasses.replace(experiment, config=config), folder)
    return f'{text}\n[model]\nname = "emulated"\nfolder = "."\n'


def _checks(
    model: EmulatedModel,
    material: Material,
    space: ParameterSpace,
    box: Box,
    records: Sequence[dict[str, np.ndarray]],
    seed: int,
) -> tuple[JacobianCheck, Drift, Costs]:
    stretches = weather.cut(records, model.exact.time_step)  # type: ignore[attr-defined]
    u = latin_hypercube(DRIFT_RUNS, box, seed + 2)
    drift = check_drift(model, material, space, u, stretches, seed)
    forcing = weather.weather(stretches, True, 1, 2000, np.random.default_rng(seed))
    params = {
        d.name: space.to_physical(jnp.asarray(box.centre))[d.name] for d in model.declarations
    }
    costs = measure_costs(model, params, {n: v[0] for n, v in forcing.items()})
    return check_jacobian(model, material), drift, costs


def _summarise(
    experiment: Experiment,
    model: EmulatedModel,
    material: Material,
    settings: ColumnSettings,
    trained: Sequence[TrainedColumn],
    best: TrainedColumn,
    checks: tuple[JacobianCheck, Drift, Costs],
    seconds: dict[str, float],
) -> ColumnSummary:
    jacobian, drift, costs = checks
    view, config, steps = model.view, experiment.config, material.held_out.steps
    one_step = step_errors(model, steps)
    t, d = settings.training, settings.data
    summary = ColumnSummary(
        experiment=config.name,
        title=config.title,
        description=config.description,
        model=config.model.name,
        time_step=config.window.time_step,
        states=view.states,
        units=view.units,
        fluxes=view.fluxes,
        weather=model.forcing_variables,
        parameters=model.trained.names,
        settings={
            "width": t.width,
            "depth": t.depth,
            "derivatives": t.derivatives,
            "rollouts": t.rollouts,
            "energy": t.energy,
            "epochs": t.epochs,
            "days": d.days,
            "beside": d.beside,
            "rollout": d.rollout,
        },
        amounts={
            "runs": d.runs,
            "samples": len(material.learned.steps.x),
            "held_out_samples": len(steps.x),
        },
        weights=number_of_weights(model.network),
        seeds=tuple(
            SeedEntry(r.seed, r.loss, r.best_epoch, len(r.history) - 1, r.converged, r.reason)
            for r in trained
        ),
        seed=best.seed,
        converged=best.converged,
        history=_rows(best.history),
        parts=best.parts,
        one_step=dict(zip((*view.states, *view.fluxes), one_step.tolist(), strict=True)),
        jacobian=JacobianEntry(
            _rows(jacobian.emulated),
            _rows(jacobian.exact),
            _rows(jacobian.difference),
            jacobian.error,
            jacobian.state_error,
            tuple(jacobian.eigenvalues.tolist()),
            tuple(jacobian.exact_eigenvalues.tolist()),
            jacobian.radius,
            jacobian.exact_radius,
            len(jacobian.point_errors),
        ),
        drift=DriftEntry(
            tuple(int(k) for k in drift.days),
            _rows(drift.errors),
            tuple(drift.spread.tolist()),
            drift.imbalance,
            drift.mean_imbalance,
            drift.exact_imbalance,
            DRIFT_RUNS,
            drift.failed,
        ),
        costs=CostEntry(
            costs.single, costs.exact_single, costs.batch, costs.exact_batch, costs.columns
        ),
        seconds=seconds,
    )
    content: Any = to_json(summary)
    return dataclasses.replace(
        summary,
        passed=passed(content),
        verdict=verdict(content),
        sentences=tuple(sentences(content)),
        warnings=tuple(warnings_of(content)),
    )


def _rows(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.asarray(values, float).tolist())
