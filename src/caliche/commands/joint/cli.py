"""`caliche joint`: the command, its progress and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import command_line, out_option, set_option
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable

if TYPE_CHECKING:
    from caliche.commands.joint.summary import JointSummary


def joint(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A TOML file that joins sites, or the bundled four-towers."
        ),
    ],
    out: Annotated[Path | None, out_option("runs/FILE-TIME")] = None,
    leave_out: Annotated[
        bool,
        typer.Option(help="Calibrate without each site once, and score it by what the others say."),
    ] = True,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: Annotated[
        list[str] | None, set_option("the file", "common.parameters.albedo.value=0.2")
    ] = None,
) -> None:
    """Multi-site calibration: shared, grouped or pooled values.

    Writes a folder with result.nc, summary.json, parameters.csv (the values to use, by group and
    site) and report.html. Exit code 0 if all converged, 3 if a fit or a site did not, 2 for bad
    input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.joint.config import read_joint
    from caliche.commands.joint.folder import write_joint
    from caliche.commands.joint.page import write_joint_page
    from caliche.commands.joint.run import calibrate_jointly

    config = read_joint(file, set_ or [])
    folder = folder_of(out, config.name, fresh)
    with (
        stoppable(f"finished fits are kept in {folder}", folder, out, (folder / "stages").is_dir),
        Progress(f"Calibrating {config.name}") as progress,
    ):
        found, stages = calibrate_jointly(config, folder, leave_out, progress.say)
        summary = write_joint(found, folder, command_line())
        page = write_joint_page(folder)
        stages.remove()
    print_joint(summary)
    typer.echo(f"\nValues to use: {folder / 'parameters.csv'}")
    typer.echo(f"Report: {page}")
    if json_ is not None:
        json_.write(summary)
    if not found.converged:
        raise typer.Exit(NOT_CONVERGED)


def print_joint(summary: JointSummary) -> None:
    """Failures first, then values, scores and sentences."""
    from caliche.commands.joint.tables import score_rows, value_rows
    from caliche.terminal.tables import print_headline, print_table, wrapped

    for site, why in summary.failures.items():
        print(f"\nLeft out: {site}. {why}")
    print_headline(summary.title, summary.headline)
    header, rows = value_rows(summary)
    print_table(header, rows, drop=header[3:1:-1])
    print("\nRMSE of the fitted streams (in the hold-out, where there is one):")
    header, rows = score_rows(summary)
    print_table(header, rows)
    print()
    for text in summary.sentences:
        print(wrapped(text))
    for text in summary.warnings:
        print(wrapped(f"Note: {text}"))
