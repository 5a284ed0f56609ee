"""Options that several commands share, and the command as typed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from caliche.errors import InputError

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


def out_option(default: str) -> Any:
    """`--out`, of a command that goes on with what was stopped."""
    text = "Folder to write. The same command with the same --out goes on where it was stopped."
    return typer.Option(help=f"{text} [default: {default}]")


def new_folder_option(default: str) -> Any:
    """`--out`, of a command that keeps nothing before its end."""
    return typer.Option(help=f"Folder to write; must not exist. [default: {default}]")


def seed_option(what: str = "Seed of all that is drawn at random.") -> Any:
    """`--seed`, of a command with another default than the experiment's."""
    return typer.Option(min=0, max=2**32 - 1, help=what)


def method_option(names: str, metavar: str = "NAME") -> Any:
    """`--method`, the names that a command knows."""
    return typer.Option(metavar=metavar, help=f"Method: {names}")


def listed(given: Sequence[str]) -> list[str]:
    """Names of an option that may be repeated, or hold several between commas."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def refuse_for_program(given: Mapping[str, Any]) -> None:
    """Refuse options that an executable does not have.

    Raises
    ------
    InputError : one of them was given.
    """
    for name, value in given.items():
        if value:
            raise InputError(
                "options that an executable has", f"{name}, which is of experiments", "leave it out"
            )


def refuse_for_model(given: Mapping[str, Any]) -> None:
    """Refuse options that only an executable has.

    Raises
    ------
    InputError : one of them was given.
    """
    for name, value in given.items():
        if value is not None:
            raise InputError(
                "options that an experiment has",
                f"{name}, which is of executables",
                "leave it out: runs of a model of caliche go together",
            )


def bundled_names(incomplete: str) -> list[str]:
    """Names of bundled experiments, for a shell to complete."""
    from caliche.experiments.config.toml import bundled

    return [name for name in bundled() if name.startswith(incomplete)]


ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A bundled name (see `caliche experiments`) or a TOML file.",
        autocompletion=bundled_names,
    ),
]
SetOption = Annotated[list[str] | None, set_option()]
StartsOption = Annotated[
    int | None,
    typer.Option(help="Number of points from which a search starts. [default: the experiment's]"),
]
SeedOption = Annotated[
    int | None, seed_option("Seed of all that is drawn at random. [default: the experiment's]")
]


def command_line() -> str:
    """The command as typed, without the machine's folders."""
    return shlex.join(["caliche", *sys.argv[1:]])
