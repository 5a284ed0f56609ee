"""`caliche estimate`: its options and help."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from caliche.cards.methods import MEMBER_METHODS, METHODS
from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED, STARTED
from caliche.terminal.options import ExperimentArgument, OutOption, SetOption, command_line
from caliche.terminal.workbench import workbench


def estimate(
    experiment: ExperimentArgument,
    method: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(METHODS)}; without gradients {', '.join(MEMBER_METHODS)}."),
    ] = None,
    starts: Annotated[int | None, typer.Option(help="Number of starting points.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is drawn.")] = None,
    out: OutOption = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run without gradients that was stopped; give its --out again.",
        ),
    ] = False,
    set_: SetOption = None,
) -> None:
    """Calibrate parameters, with error bars and a report.

    Writes a folder with result.nc, summary.json, config.toml and report.html. Exit code 0 if the
    calibration converged, 3 if it ran but did not, 2 for bad input.
    """
    from caliche.commands.estimate.terminal import print_summary
    from caliche.terminal.progress import Progress

    load, run_experiment, write_report = workbench()
    from caliche.experiments.config.methods import known_method
    from caliche.runs.folder import new_folder, state_file

    imported = time.perf_counter() - STARTED
    if method is not None:
        known_method(method)
    flags = {"starts": starts, "seed": seed}
    given = [f"method.{key}={value}" for key, value in flags.items() if value is not None]
    loaded = load(experiment, [*(set_ or []), *given])
    folder = new_folder(out, loaded.config.name)
    loaded.problem()  # bad data are told before any progress is shown
    try:
        with Progress(loaded.config.name) as progress:
            run = run_experiment(
                loaded,
                method=method,
                starts=starts,
                out=folder,
                callback=progress.update,
                command=command_line(),
                import_seconds=imported,
                resume=resume,
            )
    except KeyboardInterrupt:
        state = state_file(folder)
        if not state.is_file():
            raise
        typer.echo(
            f"caliche: interrupted; {state} is kept, and the same command with --out {folder} "
            "--resume goes on from there",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    print_summary(run.summary)
    report = write_report(run.folder)
    typer.echo(f"\nReport: {report}")
    if not run.result.converged:
        raise typer.Exit(NOT_CONVERGED)
