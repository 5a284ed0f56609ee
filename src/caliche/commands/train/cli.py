"""`caliche train`: learn the turbulent fluxes of an experiment, and what its states are worth.

Nothing heavy is imported before the command needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.files.whole_file import write_text
from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    bundled_names,
    command_line,
    out_option,
    seed_option,
    set_option,
)
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable

if TYPE_CHECKING:
    from caliche.commands.train.run import TrainingRun

# Folder of each member of the ablation -> the value of model.states.
ABLATION = {"without-states": False, "with-states": True}


def train(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="A bundled name or a TOML file, with a network in [model] fluxes.",
            autocompletion=bundled_names,
        ),
    ],
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-training-TIME")] = None,
    seed: Annotated[
        int | None,
        seed_option(
            "Seed of all that is drawn at random: one training instead of those of [training]."
        ),
    ] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate", help="Train with and without the model's states, and compare over seeds."
        ),
    ] = False,
    set_: Annotated[list[str] | None, set_option(example="training.epochs=50")] = None,
) -> None:
    """Hybrid modelling: train a neural network in the fluxes.

    Writes a folder with result.nc, summary.json, config.toml, network.eqx and report.html. With
    --ablate, two such folders and ablation.json. Exit code 0 if the training converged, 3 if it ran
    but did not, 2 for bad input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.train.run import compare_runs, finished_training, run_training
    from caliche.experiments import load_experiment
    from caliche.report import write_report
    from caliche.runs.folder import new_folder

    changed = list(set_ or [])
    if seed is not None:
        changed += [f"training.seed={seed}", "training.seeds=1"]
    place = folder_of(out, f"{Path(experiment).stem}-training", fresh)
    members = {place / name: [f"model.states={str(v).lower()}"] for name, v in ABLATION.items()}
    if (place / "ablation.json").is_file():
        new_folder(place, "")  # finished, and refused
    runs: list[TrainingRun] = []
    for folder, more in (members if ablate else {place: []}).items():
        loaded = load_experiment(experiment, [*changed, *more])
        name = folder.name if ablate else loaded.config.name
        with (
            stoppable(f"the last checkpoint is kept in {folder}", place, out, folder.exists),
            Progress(f"Training {name}", f"Training {name} (compiling first)") as progress,
        ):
            tell = epochs(progress, loaded.config.training)
            run = finished_training(loaded, folder) if ablate else None
            run = run or run_training(loaded, folder, callback=tell, command=command_line())
        runs.append(run)
        if not ablate:
            print_training(run)
        typer.echo(f"\nReport: {write_report(run.folder)}")
    found: Mapping[str, Any] = runs[0].summary
    if ablate:
        names = ("without states", "with states")
        tables = compare_runs({n: r.training for n, r in zip(names, runs, strict=True)})
        found = tables
        table = write_text(place / "ablation.json", json.dumps(tables, indent=1) + "\n")
        print_ablation(runs[0], tables)
        typer.echo(f"\nTable: {table}")
    if json_ is not None:
        json_.write(found)
    if not all(run.found.converged for run in runs):
        raise typer.Exit(NOT_CONVERGED)


def epochs(progress: Progress, training: Any) -> Callable[[int, int, float, float, int], None]:
    """What shows an epoch, see `caliche.commands.train.run.Callback`."""
    before = -1

    def tell(seed: int, epoch: int, loss: float, held_out: float, best: int) -> None:
        nonlocal before
        which = f"seed {seed}  " if training.seeds > 1 else ""
        text = (
            f"{which}epoch {epoch} of {training.epochs}  loss {loss:.4g}  "
            f"held out {held_out:.4g} (lowest in epoch {best})"
        )
        last = epoch == training.epochs
        progress.update(text, epoch, training.epochs, now=last or seed != before)
        before = seed

    return tell


def print_training(run: TrainingRun) -> None:
    """How training went, and the scores beside those of bulk fluxes."""
    from caliche.report.numbers import plain
    from caliche.terminal.tables import print_headline, print_notes, print_scores, print_table

    summary, t = run.found, run.training
    assert summary.verdict is not None
    print_headline(summary.title, summary.verdict.headline)
    free = {n: p for n, p in summary.parameters.items() if not p.fixed}
    rows = [[n, plain(p.estimate), plain(p.initial), p.unit] for n, p in free.items()]
    print_table(["learned with the network", "value", "first guess", "unit"], rows)
    if len(t.seeds) > 1:
        rows = [[str(s.seed), str(s.epochs), str(s.best_epoch), f"{s.loss:.4g}"] for s in t.seeds]
        print()
        print_table(["seed", "epochs", "best", "held-out loss"], rows)
        print(f"Kept: seed {summary.seed}, the lowest.")
    for scores, bulk, title in (
        (summary.fit, t.bulk.fit, "Fit"),
        (summary.holdout, t.bulk.holdout, "Hold-out"),
    ):
        if scores:
            print_scores(f"\n{title}:", scores)
            print_scores(f"\n{title}, with bulk fluxes at the first guess:", bulk or {})
    if summary.converged:
        print(f"\nTraining ended: {summary.reason}")
    print_notes(summary.warnings)


def print_ablation(run: TrainingRun, tables: Mapping[str, Any]) -> None:
    """The comparison, a table for each stream."""
    from caliche.terminal.tables import print_table

    summary, t = run.found, run.training
    part = "Fit" if summary.holdout is None else "Hold-out"
    count = len(t.seeds)
    seeds = f"mean ± sd over {count} seeds" if count > 1 else "of one seed"
    print(f"\n{summary.title}: {t.fluxes} with and without states. {part}, {seeds}.")
    for stream, rows in tables.items():
        print(f"\n{stream}")
        keys = {
            "RMSE": "rmse",
            "bias": "bias",
            "bias %": "percent_bias",
            "NSE": "nse",
            "KGE 2009": "kge_2009",
        }
        cells = [[name, *(_cell(row[k]) for k in keys.values())] for name, row in rows.items()]
        print_table(["", *keys], cells)


def _cell(value: tuple[float, float | None] | None) -> str:
    if value is None:
        return "-"
    mean, sd = value
    return f"{mean:.3g}" if sd is None else f"{mean:.3g} ± {sd:.2g}"
