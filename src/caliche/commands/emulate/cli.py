"""`caliche emulate`: its options and help."""

from __future__ import annotations

from functools import partial
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
    listed,
    new_folder_option,
    refuse_for_model,
    refuse_for_program,
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
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="With --outputs metrics: which, as in caliche history-match. [default: "
            "mean,change,harmonics; of an executable its values, or mean,change,sd of more than "
            "12]",
        ),
    ] = None,
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
    workers: Annotated[
        int | None,
        typer.Option(help="Runs of an executable at the same time. [default: the file's]"),
    ] = None,
    seed: Annotated[int, seed_option()] = 0,
    out: Annotated[Path | None, new_folder_option("runs/EXPERIMENT-emulate-TIME")] = None,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Gaussian-process emulator (surrogate) of an experiment or an executable.

    An executable is a file of caliche drive. Says first what it will cost. Fits, checks on runs
    held out, and writes a folder with emulator.nc, summary.json and emulation.html. Exit code 0, 2
    for bad input, or 3 when the emulator is refused.
    """
    number = read_runs(runs)
    from caliche.runtime import configure

    configure()
    from caliche.commands.emulate.page import write_emulation_page
    from caliche.commands.emulate.run import emulate_experiment, emulate_program
    from caliche.commands.emulate.summary import EmulationSummary
    from caliche.commands.emulate.tables import cost_table, output_table
    from caliche.emulators.fit import Options
    from caliche.executables.config import is_drive, read_drive
    from caliche.experiments import load_experiment
    from caliche.keys.records import to_json
    from caliche.report.pages import REMEDY
    from caliche.runs.folder import finished_summary, mark_of
    from caliche.terminal.tables import print_table, wrapped

    options, mark = Options(kernel=kernel, seed=seed), ""
    kinds = listed([metrics or ""])
    if is_drive(experiment):
        refuse_for_program({"--set": set_})
        config = read_drive(Path(experiment))
        name, run = config.name, partial(emulate_program, config, workers=workers)
    else:
        refuse_for_model({"--workers": workers})
        loaded = load_experiment(experiment, set_ or [])
        mark = mark_of(loaded, outputs, number, gradients, options, reach, seed, kinds)
        name, run = loaded.config.name, partial(emulate_experiment, loaded, mark=mark)
    said = finished_summary(out, "emulate", mark, EmulationSummary, REMEDY) if mark else None
    if said is not None and out is not None:
        folder, summary = out, to_json(said)
        typer.echo(f"This emulation is finished in {folder}.", err=True)
    else:
        with Progress(f"Emulating {name}") as progress:

            def announce(plan: Plan) -> None:
                for text in plan.sentences:
                    progress.say(text)

            def tell(what: str, done: int, total: int) -> None:
                progress.update(
                    f"{what}: {done:,} of {number_of(total, 'run')}", done, total, now=done == total
                )

            _, folder, summary = run(
                outputs,
                number,
                gradients,
                options,
                reach,
                seed,
                out,
                kinds,
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
