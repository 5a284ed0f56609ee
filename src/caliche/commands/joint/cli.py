"""`caliche joint`: the command, its progress and its tables."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from caliche.terminal.options import folder_option, set_option


def joint(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A TOML file that joins sites, or the bundled four-towers."
        ),
    ],
    out: Annotated[Path | None, folder_option("runs/FILE-TIME")] = None,
    leave_out: Annotated[
        bool,
        typer.Option(help="Calibrate without each site once, and score it by what the others say."),
    ] = True,
    set_: Annotated[
        list[str] | None, set_option("the file", "common.parameters.albedo.value=0.2")
    ] = None,
) -> None:
    """Calibrate several sites together, under one cost.

    Writes a folder with result.nc, summary.json, parameters.csv (the values to use, by group and
    site) and report.html. Exit code 0 if all converged, 3 if a fit or a site did not, 2 for bad
    input.
    """
    from caliche.runtime import configure
    from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED

    configure()
    from caliche.commands.joint.config import read_joint
    from caliche.commands.joint.folder import write_joint
    from caliche.commands.joint.page import write_joint_page
    from caliche.commands.joint.run import calibrate_jointly
    from caliche.runs.folder import new_folder

    config = read_joint(file, set_ or [])
    folder = new_folder(None, config.name) if out is None else out
    try:
        found, stages = calibrate_jointly(config, folder, leave_out, tell)
        summary = write_joint(found, folder, shlex.join(["caliche", *sys.argv[1:]]))
        page = write_joint_page(folder)
        stages.remove()
    except KeyboardInterrupt:
        if not (folder / "stages").is_dir():
            raise
        typer.echo(
            f"caliche: interrupted; finished fits are kept in {folder}, and the same command with "
            f"--out {folder} goes on from there",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    print_joint(summary)
    typer.echo(f"\nValues to use: {folder / 'parameters.csv'}")
    typer.echo(f"Report: {page}")
    if not found.converged:
        raise typer.Exit(NOT_CONVERGED)


def tell(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def print_joint(summary: Mapping[str, Any]) -> None:
    """Failures first, then values, scores and sentences."""
    from caliche.commands.joint.tables import score_rows, value_rows
    from caliche.terminal.tables import print_headline, print_table

    for site, why in summary["failures"].items():
        print(f"\nLeft out: {site}. {why}")
    print_headline(summary)
    header, rows = value_rows(summary)
    print_table(header, rows, drop=header[3:1:-1])
    print("\nRMSE of the fitted streams (in the hold-out, where there is one):")
    header, rows = score_rows(summary)
    print_table(header, rows)
    print()
    for text in summary["sentences"]:
        print(textwrap.fill(text, 100, subsequent_indent="  "))
    for text in summary["warnings"]:
        print(textwrap.fill(f"Note: {text}", 100, subsequent_indent="  "))
