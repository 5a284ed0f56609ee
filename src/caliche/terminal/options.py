"""Options that several commands share, and the command as typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

At = Annotated[
    str | None,
    typer.Option(
        metavar="POINT",
        help="Where to linearise: truth (of a twin), initial, or the folder of a run. "
        "[default: truth for a twin, else initial]",
    ),
]


def set_option(
    what: str = "the configuration", example: str = "parameters.albedo.value=0.2"
) -> Any:
    """`--set`, of a command that changes something else or is better served by another example."""
    text = f"Change {what}, in TOML syntax: {example}. Repeatable."
    return typer.Option("--set", metavar="KEY=VALUE", help=text)


def new_folder_option(default: str) -> Any:
    """`--out`, of a command that begins a folder."""
    return typer.Option(help=f"Folder to write; must not exist. [default: {default}]")


def folder_option(default: str) -> Any:
    """`--out`, of a command that goes on in the folder of a run that was stopped."""
    text = f"Folder to write; a run that was stopped there goes on. [default: {default}]"
    return typer.Option(help=text)


ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT", help="A bundled name (see `caliche experiments`) or a TOML file."
    ),
]
SetOption = Annotated[list[str] | None, set_option()]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with a run that was stopped; give its --out again.")
]
OutOption = Annotated[Path | None, new_folder_option("runs/EXPERIMENT-TIME")]


def command_line() -> str:
    """The command as typed, without the machine's folders."""
    return shlex.join(["caliche", *sys.argv[1:]])
