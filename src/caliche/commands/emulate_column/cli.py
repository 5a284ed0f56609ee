"""`caliche emulate-column`: its options and help. Nothing heavy is imported before that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SetOption,
    command_line,
    out_option,
    seed_option,
)
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable

MOST_ROWS = 12  # of the drift table on the terminal


def emulate_column(
    experiment: ExperimentArgument,
    weather: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPERIMENT", help="Another experiment that lends its weather; repeatable."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(help="Runs of the exact model to learn from.")] = 64,
    days: Annotated[float, typer.Option(help="Length of those runs.")] = 15.0,
    samples: Annotated[
        int, typer.Option(help="Single steps to learn from, each with an exact derivative.")
    ] = 60_000,
    beside: Annotated[
        float,
        typer.Option(help="Share of those steps from states beside the trajectories."),
    ] = 0.5,
    epochs: Annotated[int, typer.Option(help="Epochs of 100 updates at most.")] = 60,
    width: Annotated[int, typer.Option(help="Units in each hidden layer.")] = 64,
    depth: Annotated[int, typer.Option(help="Hidden layers; 0 is a linear network.")] = 2,
    derivatives: Annotated[
        float, typer.Option(help="Weight of errors of derivatives; 0 trains on values alone.")
    ] = 1.0,
    rollouts: Annotated[
        float, typer.Option(help="Weight of errors of runs of 1 to 48 steps.")
    ] = 0.1,
    seeds: Annotated[int, typer.Option(help="Networks to train; the best is kept.")] = 1,
    seed: Annotated[int, seed_option()] = 0,
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-column-TIME")] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Neural emulator (surrogate) of an experiment's land column.

    Trains a network that takes the model's steps. Writes a folder with the network, emulated.toml
    (the experiment with the network in place of its model), summary.json and column.html. Exit
    code 0, 2 for bad input, or 3 when the network is refused.
    """
    from caliche.runtime import configure

    configure()
    from caliche.column_networks.data import DataSettings
    from caliche.column_networks.training import TrainingSettings
    from caliche.commands.emulate_column.page import write_column_page
    from caliche.commands.emulate_column.run import ColumnSettings
    from caliche.commands.emulate_column.run import emulate_column as train
    from caliche.commands.emulate_column.tables import cost_table, drift_table
    from caliche.experiments import load_experiment
    from caliche.keys.records import to_json
    from caliche.terminal.tables import print_table, wrapped

    settings = ColumnSettings(
        DataSettings(runs=runs, days=days, samples=samples, beside=beside, seed=seed),
        TrainingSettings(
            epochs=epochs, width=width, depth=depth, derivatives=derivatives, rollouts=rollouts
        ),
        seeds,
        seed,
    )
    loaded = load_experiment(experiment, set_ or [])
    others = [load_experiment(name) for name in weather or []]
    name = loaded.config.name
    folder = folder_of(out, f"{name}-column", fresh)
    with (
        stoppable(f"the last checkpoint is kept in {folder}", folder, out, folder.exists),
        Progress(f"Emulating the column of {name}") as progress,
    ):

        def tell(seed: int, epoch: int, loss: float, held_out: float, best: int) -> None:
            which = f"seed {seed}  " if seeds > 1 else ""
            text = (
                f"{which}epoch {epoch} of {epochs}  loss {loss:.3g}  held out {held_out:.3g} "
                f"(lowest in epoch {best})"
            )
            progress.update(text, epoch, epochs, now=epoch == epochs)

        run = train(loaded, settings, others, folder, progress.say, tell, command_line())
    summary = to_json(run.summary)
    typer.echo(wrapped(summary["verdict"]))
    for text in summary["sentences"]:
        typer.echo(wrapped(text))
    typer.echo()
    header, rows = drift_table(summary)
    print_table(header, rows[:: -(-len(rows) // MOST_ROWS)])  # the page has all of them
    typer.echo()
    print_table(*cost_table(summary))
    for text in summary["warnings"]:
        typer.echo("\n" + wrapped(f"Note: {text}"))
    typer.echo(f"\nExperiment with the network: {folder / 'emulated.toml'}")
    typer.echo(f"Report: {write_column_page(folder)}")
    if json_ is not None:
        json_.write(summary)
    if not summary["passed"]:
        raise typer.Exit(NOT_CONVERGED)
