"""`caliche sites`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED
from caliche.terminal.options import ExperimentArgument, SetOption, command_line


def sites(
    experiment: ExperimentArgument,
    collection: Annotated[
        Path,
        typer.Argument(
            metavar="COLLECTION", help="netCDF file or zarr store with dimensions site and time."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write; a run that was stopped there goes on.")
    ],
    batch: Annotated[int | None, typer.Option(help="Sites read and written together.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Where a site stops, in posterior standard deviations. [default: 1e-4]"),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(help="Devices to use. [default: every core, or every GPU]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="How many processes share the work.")
    ] = None,
    process: Annotated[int | None, typer.Option(help="Which of them this is, from 0.")] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where processes agree on their devices."),
    ] = None,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Take processes and devices from Slurm.")
    ] = False,
    set_: SetOption = None,
) -> None:
    """Calibrate every site of a collection.

    Writes a folder with result.nc, summary.json and config.toml, batch by batch: the same command
    goes on with a run that was stopped. Exit code 0 if every site converged, 3 if some did not, 2
    for bad input.
    """
    from caliche.commands.sites.terminal import SitesProgress, print_sites
    from caliche.runtime import configure

    configure(devices="all" if devices is None else devices)
    from caliche.commands.sites.run import estimate_sites
    from caliche.experiments import load_experiment
    from caliche.sites import join

    loaded = load_experiment(experiment, set_ or [])
    share = join(processes, process, coordinator, distributed)
    try:
        with SitesProgress(loaded.config.name) as progress:
            run = estimate_sites(
                loaded,
                collection,
                out,
                batch,
                tolerance=tolerance,
                devices=devices,
                share=share,
                callback=progress.update,
                command=command_line(),
            )
    except KeyboardInterrupt:
        typer.echo(
            f"caliche: interrupted; finished batches are kept in {out}, and the same command goes "
            "on from there",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    print_sites(run.summary, run.folder)
    if run.failed:
        raise typer.Exit(NOT_CONVERGED)
