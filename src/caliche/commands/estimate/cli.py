"""`caliche estimate`: its options and help."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from caliche.cards.methods import MEMBER_METHODS, METHODS, keeps_state
from caliche.terminal.exits import NOT_CONVERGED, STARTED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SeedOption,
    SetOption,
    StartsOption,
    command_line,
    method_option,
    out_option,
)
from caliche.terminal.stop import FreshOption, fresh_folder, stoppable
from caliche.terminal.workbench import workbench


def estimate(
    experiment: ExperimentArgument,
    method: Annotated[
        str | None,
        method_option(f"{', '.join(METHODS)}; without gradients {', '.join(MEMBER_METHODS)}."),
    ] = None,
    starts: StartsOption = None,
    seed: SeedOption = None,
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-TIME")] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Calibrate: Levenberg-Marquardt, L-BFGS, ensemble Kalman.

    Writes a folder with result.nc, summary.json, config.toml and report.html: parameters with error
    bars, scores and figures. A run of a method without gradients that was stopped goes on. Exit
    code 0 if the calibration converged, 3 if it ran but did not, 2 for bad input.
    """
    from caliche.commands.estimate.terminal import print_summary
    from caliche.terminal.progress import Progress, iterations

    load, run_experiment, write_report = workbench()
    from caliche.experiments.config.methods import known_method
    from caliche.keys.records import to_json
    from caliche.runs.folder import mark_of, new_folder, state_file
    from caliche.runs.run import finished_run

    imported = time.perf_counter() - STARTED
    if method is not None:
        known_method(method)
    flags = {"starts": starts, "seed": seed}
    given = [f"method.{key}={value}" for key, value in flags.items() if value is not None]
    loaded = load(experiment, [*(set_ or []), *given])
    mark = mark_of(loaded, method)  # bad data are told before any progress is shown
    found = None if fresh else finished_run(out, mark)
    if found is None or out is None:
        folder = (fresh_folder if fresh else new_folder)(out, loaded.config.name)
        state, name = state_file(folder), loaded.config.name
        goes_on = state.is_file() and keeps_state(method or loaded.config.method.name)
        with (
            stoppable(f"{state} is kept", folder, out, state.is_file),
            Progress(f"Calibrating {name}", f"Calibrating {name} (compiling first)") as progress,
        ):
            if goes_on:
                progress.say(f"Going on from {state}")
            found = run_experiment(
                loaded,
                method=method,
                starts=starts,
                out=folder,
                callback=iterations(progress),
                command=command_line(),
                import_seconds=imported,
                resume=goes_on,
                mark=mark,
            ).found
    else:
        folder = out
        typer.echo(f"This calibration is finished in {folder}.", err=True)
    print_summary(found)
    report = write_report(folder)
    typer.echo(f"\nReport: {report}")
    if json_ is not None:
        json_.write(to_json(found))
    if not found.converged:
        raise typer.Exit(NOT_CONVERGED)
