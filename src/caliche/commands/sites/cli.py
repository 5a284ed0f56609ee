"""`caliche sites`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caliche.errors import InputError
from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import ExperimentArgument, SetOption, command_line, out_option
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable

if TYPE_CHECKING:
    from caliche.commands.sites.run import Progress as News


def sites(
    experiment: ExperimentArgument,
    collection: Annotated[
        Path,
        typer.Argument(
            metavar="COLLECTION", help="netCDF file or zarr store with dimensions site and time."
        ),
    ],
    out: Annotated[
        Path | None,
        out_option("runs/EXPERIMENT-sites-TIME; several processes need the same one"),
    ] = None,
    fresh: FreshOption = False,
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
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Thousands of sites, each by itself, on all cores or GPUs.

    Writes a folder with result.nc, summary.json and config.toml, batch by batch. Exit code 0 if
    every site converged, 3 if some did not, 2 for bad input.
    """
    from caliche.commands.sites.terminal import print_sites, sites_words
    from caliche.runtime import configure

    configure(devices="all" if devices is None else devices)
    from caliche.commands.sites.run import estimate_sites
    from caliche.experiments import load_experiment
    from caliche.sites import join

    if out is None and (distributed or (processes or 1) > 1):
        raise InputError("one folder for all processes", "no --out", "--out runs/all-sites")
    loaded = load_experiment(experiment, set_ or [])
    name = loaded.config.name
    folder = folder_of(out, f"{name}-sites", fresh)
    share = join(processes, process, coordinator, distributed)
    with (
        stoppable(
            f"finished batches are kept in {folder}", folder, out, (folder / "run.json").is_file
        ),
        Progress(f"Calibrating {name}") as progress,
    ):
        before = -1

        def tell(news: News) -> None:
            nonlocal before
            last = news.done == news.total and news.done > before
            before = news.done
            progress.update(sites_words(name, news), news.done, news.total, now=last)

        run = estimate_sites(
            loaded,
            collection,
            folder,
            batch,
            tolerance=tolerance,
            devices=devices,
            share=share,
            callback=tell,
            command=command_line(),
        )
    print_sites(run.summary, run.folder)
    if json_ is not None:
        json_.write(run.summary or {})
    if run.failed:
        raise typer.Exit(NOT_CONVERGED)
