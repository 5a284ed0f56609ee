"""The command line, made from the registry. A room is imported when its command is asked for."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from caliche._version import __version__
from caliche.commands.registry import BY_NAME, COMMANDS, PANELS
from caliche.errors import InputError
from caliche.terminal import stop, verbosity
from caliche.terminal.exits import BAD_INPUT, INTERRUPTED, OK, exit_code

try:  # from 0.26 on typer brings its own click, and names no class of it for bad command lines
    from typer._click.exceptions import ClickException
except ImportError:
    from click.exceptions import ClickException  # pyright: ignore[reportMissingImports]

# No rich: what it draws around a help is of no use in a pipe, and takes longer than all the rest.
_PLAIN: dict[str, Any] = {
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


class Rooms(TyperGroup):
    """The commands of the registry. Its help needs all of their options, a command only its own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.params += _options()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the registry."""
        return list(BY_NAME)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, made when it is asked for; None if there is none of that name."""
        if cmd_name not in BY_NAME:
            self.commands = dict.fromkeys(BY_NAME)  # among which the nearest name is looked for
            return None
        command = _made(cmd_name, BY_NAME[cmd_name].function())
        command.params += _options()
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands under the headings of the registry."""
        width = max(map(len, BY_NAME))
        for panel in PANELS:
            names = [command.name for command in COMMANDS if command.panel == panel]
            made = [self.get_command(ctx, name) for name in names]
            rows = [(c.name.ljust(width), c.get_short_help_str(formatter.width * 9)) for c in made]
            with formatter.section(panel):
                formatter.write_dl(rows)


def _made(name: str, function: Any) -> Any:
    """A function as a command by itself; an app as a command with commands of its own."""
    if isinstance(function, typer.Typer):
        group = typer.main.get_group(function)
        for command in group.commands.values():
            command.params += _options()
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, **_PLAIN)
    alone.command(name)(function)
    return typer.main.get_command(alone)


def _options() -> list[Any]:
    """The options that every command has."""
    return _made("options", verbosity.options).params


app = typer.Typer(
    cls=Rooms,
    name="caliche",
    help="Calibrate land-surface models with exact gradients and honest error bars.",
    epilog="What a command does, and its options: caliche COMMAND --help",
    no_args_is_help=True,
    **_PLAIN,
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"caliche {__version__}")
        raise typer.Exit(OK)


@app.callback()
def _of_all_commands(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options before the name of a command."""


def main() -> NoReturn:
    """Entry point: bad input is one sentence on stderr and exit code 2."""
    # What is imported and traced stays. Looking through all of it for garbage, over and over, would
    # take an eighth of the time of a short command.
    gc.set_threshold(100_000, 50, 100)
    verbosity.reset()
    stop.FINISHED.clear()
    with contextlib.redirect_stdout(sys.stdout):  # put back after `--json -`
        code = _run()
    if verbosity.NOW.verbose:
        verbosity.NOW.tell_times()
    raise SystemExit(code or OK)


def _run() -> int:
    try:
        # Not standalone: typer then returns the exit code of typer.Exit and lets errors through.
        code = app(args=sys.argv[1:] or ["--help"], prog_name="caliche", standalone_mode=False)
    except InputError as error:
        code = _refuse(error)
    except ClickException as error:
        code = _refuse(_usage(error))
    except BrokenPipeError:  # whoever read the output has enough
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        code = OK
    except (OSError, MemoryError) as error:
        if verbosity.NOW.verbose:
            raise
        code = _refuse(_of_the_system(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # some versions of typer turn the interrupt into this exit code
        print(stop.interrupted(), file=sys.stderr)
        code = exit_code()
    return code


def _refuse(error: InputError) -> int:
    print(f"caliche: {error}", file=sys.stderr)
    return BAD_INPUT


def _of_the_system(error: OSError | MemoryError) -> InputError:
    """What the system has no room or no right for."""
    if isinstance(error, MemoryError):
        return InputError(
            "as much memory as is asked for",
            str(error)[:200] or "less",
            "ask for fewer starts, members or nodes, or a shorter window",
        )
    name, reason = str(error.filename or "one of its files"), error.strerror or str(error)
    name = name if len(name) < 200 else f"{name[:80]}...{name[-40:]}"
    return InputError(
        "a file or folder that can be used",
        f"{name}: {reason[:1].lower()}{reason[1:]}",
        "see to its name, its rights and the space on its disk",
    )


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
