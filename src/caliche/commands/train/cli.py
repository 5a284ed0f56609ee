"""`caliche train`: learn the turbulent fluxes of an experiment, and what its states are worth.

Nothing heavy is imported before the command needs it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.files.whole_file import write_text
from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED
from caliche.terminal.options import ResumeOption, set_option

if TYPE_CHECKING:
    from caliche.commands.train.run import TrainingRun

EVERY = 10.0  # seconds between the lines of progress in a pipe
# Folder of each member of the ablation -> the value of model.states.
ABLATION = {"without-states": False, "with-states": True}


def train(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="A bundled name or a TOML file, with a network in [model] fluxes.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write. [default: runs/EXPERIMENT-training-TIME]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Train this seed alone, instead of those of [training].")
    ] = None,
    resume: ResumeOption = False,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate", help="Train with and without the model's states, and compare over seeds."
        ),
    ] = False,
    set_: Annotated[list[str] | None, set_option(example="training.epochs=50")] = None,
) -> None:
    """Train the network in a model's fluxes.

    Writes a folder with result.nc, summary.json, config.toml, network.eqx and report.html. With
    --ablate, two such folders and ablation.json. Exit code 0 if the training converged, 3 if it ran
    but did not, 2 for bad input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.train.run import compare_runs, run_training
    from caliche.experiments import load_experiment
    from caliche.report import write_report

    changed = list(set_ or [])
    if seed is not None:
        changed += [f"training.seed={seed}", "training.seeds=1"]
    out = out or Path("runs") / f"{Path(experiment).stem}-training-{datetime.now():%Y%m%d-%H%M%S}"
    members = {out / name: [f"model.states={str(v).lower()}"] for name, v in ABLATION.items()}
    runs: list[TrainingRun] = []
    try:
        for folder, more in (members if ablate else {out: []}).items():
            loaded = load_experiment(experiment, [*changed, *more])
            with Progress(folder.name if ablate else loaded.config.name, loaded) as progress:
                run = run_training(loaded, folder, resume, progress.update, _command())
            runs.append(run)
            if not ablate:
                print_training(run.summary)
            typer.echo(f"\nReport: {write_report(run.folder)}")
    except KeyboardInterrupt:
        typer.echo(
            f"caliche: interrupted; the same command with --out {out} --resume goes on from the "
            "last checkpoint",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    if ablate:
        names = ("without states", "with states")
        tables = compare_runs({n: r.summary for n, r in zip(names, runs, strict=True)})
        table = write_text(out / "ablation.json", json.dumps(tables, indent=1) + "\n")
        print_ablation(runs[0].summary, tables)
        typer.echo(f"\nTable: {table}")
    if not all(run.summary["converged"] for run in runs):
        raise typer.Exit(NOT_CONVERGED)


class Progress:
    """Progress of a training: one line kept up to date, or in a pipe one now and then."""

    def __init__(self, name: str, experiment: Any) -> None:
        t = experiment.config.training
        self._name, self._epochs = name, t.epochs
        self._seeds = range(t.seed, t.seed + t.seeds)
        self._live, self._told, self._seed = sys.stderr.isatty(), 0.0, -1

    def __enter__(self) -> Progress:
        print(f"Training {self._name} (compiling first)", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._seed >= 0:
            print(file=sys.stderr, flush=True)

    def update(self, seed: int, epoch: int, loss: float, held_out: float, best: int) -> None:
        """Show an epoch, see `caliche.commands.train.run.Callback`."""
        which = f"seed {seed}  " if len(self._seeds) > 1 else ""
        text = (
            f"{which}epoch {epoch} of {self._epochs}  loss {loss:.4g}  "
            f"held out {held_out:.4g} (lowest in epoch {best})"
        )
        due = time.monotonic() - self._told > EVERY or epoch == self._epochs
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", file=sys.stderr, end="", flush=True)
        elif seed != self._seed or due:
            print(text, file=sys.stderr, flush=True)
            self._told = time.monotonic()
        self._seed = seed


def print_training(summary: Mapping[str, Any]) -> None:
    """How training went, and the scores beside those of bulk fluxes."""
    from caliche.report.numbers import plain
    from caliche.terminal.tables import print_headline, print_notes, print_scores, print_table

    t = summary["training"]
    print_headline(summary)
    free = {n: p for n, p in summary["parameters"].items() if not p["fixed"]}
    rows = [[n, plain(p["estimate"]), plain(p["initial"]), p["unit"]] for n, p in free.items()]
    print_table(["learned with the network", "value", "first guess", "unit"], rows)
    if len(t["seeds"]) > 1:
        rows = [
            [str(s["seed"]), str(s["epochs"]), str(s["best_epoch"]), f"{s['loss']:.4g}"]
            for s in t["seeds"]
        ]
        print()
        print_table(["seed", "epochs", "best", "held-out loss"], rows)
        print(f"Kept: seed {summary['seed']}, the lowest.")
    for part, title in (("fit", "Fit"), ("holdout", "Hold-out")):
        if summary[part]:
            print_scores(f"\n{title}:", summary[part])
            print_scores(f"\n{title}, with bulk fluxes at the first guess:", t["bulk"][part])
    if summary["converged"]:
        print(f"\nTraining ended: {summary['reason']}")
    print_notes(summary["warnings"])


def print_ablation(summary: Mapping[str, Any], tables: Mapping[str, Any]) -> None:
    """The comparison, a table for each stream."""
    from caliche.terminal.tables import print_table

    t, part = summary["training"], "Fit" if summary["holdout"] is None else "Hold-out"
    count = len(t["seeds"])
    seeds = f"mean ± sd over {count} seeds" if count > 1 else "of one seed"
    print(f"\n{summary['title']}: {t['fluxes']} with and without states. {part}, {seeds}.")
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


def _command() -> str:
    return shlex.join(["caliche", *sys.argv[1:]])
