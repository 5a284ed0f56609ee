"""The command line, made from the registry. A room is imported when its command is asked for."""

from __future__ import annotations

import gc
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from caliche.commands.registry import BY_NAME
from caliche.errors import InputError
from caliche.terminal.exits import BAD_INPUT, INTERRUPTED, OK

# Typer brings its own click, or uses the installed one; both say so of an unknown option.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


class Rooms(TyperGroup):
    """The commands of the registry. Its help needs all of their options, a command only its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the registry."""
        return list(BY_NAME)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, made when it is asked for; None if there is none of that name."""
        if cmd_name not in BY_NAME:
            self.commands = dict.fromkeys(BY_NAME)  # among which the nearest name is looked for
            return None
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        alone.command(cmd_name)(BY_NAME[cmd_name].function())
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Rooms,
    name="caliche",
    help="Calibrate land-surface models with exact gradients and honest error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _of_all_commands() -> None:
    """Options before the name of a command: there are none."""


def main() -> NoReturn:
    """Entry point: bad input is one sentence on stderr and exit code 2."""
    code = OK
    # What is imported and traced stays. Looking through all of it for garbage, over and over, would
    # take an eighth of the time of a short command.
    gc.set_threshold(100_000, 50, 100)
    try:
        # Not standalone: typer then returns the exit code of typer.Exit and lets errors through.
        code = app(args=sys.argv[1:] or ["--help"], prog_name="caliche", standalone_mode=False)
    except InputError as error:
        code = _refuse(error)
    except USAGE_ERROR as error:
        code = _refuse(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # some versions of typer turn the interrupt into this exit code
        print("caliche: interrupted; nothing was written", file=sys.stderr)
    raise SystemExit(code or OK)


def _refuse(error: InputError) -> int:
    print(f"caliche: {error}", file=sys.stderr)
    return BAD_INPUT


def _usage(error: Exception) -> InputError:
    """Typer's complaint about the command line in the shape of every other one."""
    tell = getattr(error, "format_message", lambda: str(error))
    got, _, nearest = tell().strip().rstrip(".?").partition(". Did you mean ")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "caliche"
    return InputError(
        "a command line that can be read",
        got[:1].lower() + got[1:],
        nearest or f"{command} --help",
    )
