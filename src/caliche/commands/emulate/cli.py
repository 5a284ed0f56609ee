"""`caliche emulate`: its options and help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caliche.errors import InputError
from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SetOption,
    command_line,
    new_folder_option,
    seed_option,
)
from caliche.terminal.progress import Progress
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.emulators.plan import Plan


def emulate(
    experiment: ExperimentArgument,
    outputs: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="metrics of each stream, or pcs: principal components of all predictions.",
        ),
    ] = "metrics",
    runs: Annotated[
        str,
        typer.Option(
            metavar="N", help="Runs to learn from; auto is 10 a parameter, or 2 with slopes."
        ),
    ] = "auto",
    gradients: Annotated[
        str,
        typer.Option(metavar="WHEN", help="Exact slopes: auto (where they pay), always or never."),
    ] = "auto",
    kernel: Annotated[
        str, typer.Option(metavar="NAME", help="matern52 or squared-exponential.")
    ] = "matern52",
    reach: Annotated[
        float, typer.Option(help="Standard deviations of normal priors that the box covers.")
    ] = 2.0,
    seed: Annotated[int, seed_option()] = 0,
    out: Annotated[Path | None, new_folder_option("runs/EXPERIMENT-emulate-TIME")] = None,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Gaussian-process emulator (surrogate) of an experiment.

    Says first what it will cost. Fits, checks on runs held out, and writes a folder with
    emulator.nc, summary.json and emulation.html. Exit code 0, 2 for bad input, or 3 when the
    emulator is refused.
    """
    number = read_runs(runs)
    # On matrices of this size the threads of OpenBLAS wait for each other: ten times slower.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from caliche.runtime import configure

    configure()
    from caliche.commands.emulate.page import write_emulation_page
    from caliche.commands.emulate.run import emulate_experiment
    from caliche.commands.emulate.tables import cost_table, output_table
    from caliche.emulators.fit import Options
    from caliche.experiments import load_experiment
    from caliche.terminal.tables import print_table, wrapped

    options = Options(kernel=kernel, seed=seed)
    loaded = load_experiment(experiment, set_ or [])
    name = loaded.config.name
    with Progress(f"Emulating {name}") as progress:

        def announce(plan: Plan) -> None:
            for text in plan.sentences:
                progress.say(text)

        def tell(what: str, done: int, total: int) -> None:
            progress.update(
                f"{what}: {done:,} of {number_of(total, 'run')}", done, total, now=done == total
            )

        _, folder, summary = emulate_experiment(
            loaded,
            outputs,
            number,
            gradients,
            options,
            reach,
            seed,
            out,
            announce,
            tell,
            command_line(),
        )
    typer.echo(wrapped(summary["verdict"]))
    for text in summary["sentences"]:
        typer.echo(wrapped(text))
    typer.echo()
    print_table(*output_table(summary), drop=["left out, z²", "its limit", "distance"])
    typer.echo()
    print_table(*cost_table(summary))
    for text in summary["warnings"]:
        typer.echo("\n" + wrapped(f"Note: {text}"))
    typer.echo(f"\nReport: {write_emulation_page(folder)}")
    if json_ is not None:
        json_.write(summary)
    if not summary["passed"]:
        raise typer.Exit(NOT_CONVERGED)


def read_runs(text: str) -> int | None:
    """A number of runs, or None for auto.

    Raises
    ------
    InputError : anything else.
    """
    if text == "auto":
        return None
    if not text.isdigit():
        raise InputError("a number of runs, or auto", repr(text), "--runs 50")
    return int(text)
