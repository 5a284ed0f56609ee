"""How a command is stopped and gone on with: one sentence, one exit code, one convention.

The same command with the same `--out` goes on where it was stopped; `--fresh` refuses to. What
systems and their queues send before they end a process (SIGTERM) is as Ctrl-C is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from caliche.errors import InputError
from caliche.terminal.exits import exit_code, stopped

FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Refuse to go on with what was stopped in --out; begin in a new folder."
    ),
]

# Folders of this command that are finished: whoever interrupts what comes after, such as the
# report, is told of them.
FINISHED: list[Path] = []


@contextmanager
def stoppable(
    what: str, folder: Path, out: Path | None, kept: Callable[[], bool], command: str = ""
) -> Iterator[None]:
    """What Ctrl-C means while something is computed: one sentence, and its exit code.

    Parameters
    ----------
    what : what is kept, with its verb: "finished windows are kept in runs/a".
    folder : the folder of the run.
    out : `--out` as given.
    kept : whether there is something to go on from; if not, nothing was written.
    command : what goes on; default the same command.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not kept():
            raise
        same = "the same command" if out is not None else f"the same command with --out {folder}"
        typer.echo(
            f"caliche: {stopped()}; {what}, and {command or same} goes on from there", err=True
        )
        raise SystemExit(exit_code()) from None
    FINISHED.append(folder)


def interrupted() -> str:
    """The sentence of an interrupt after which there is nothing to go on from."""
    if not FINISHED:
        return f"caliche: {stopped()}; nothing was written"
    return f"caliche: {stopped()}; what was found is in {FINISHED[-1]}"


def folder_of(out: Path | None, name: str, fresh: bool) -> Path:
    """The folder of a command that keeps what is finished in it: `--out`, or a new one.

    Raises
    ------
    InputError : with `fresh`, see `fresh_folder`.
    """
    if fresh or out is None:
        return fresh_folder(out, name)
    return out


def fresh_folder(out: Path | None, name: str) -> Path:
    """The folder of a run that begins anew, in which nothing was begun. Makes nothing yet.

    Raises
    ------
    InputError : there is something, or the state of a run that was stopped lies beside it.
    """
    from caliche.runs.folder import new_folder, state_file

    folder = new_folder(out, name)
    refuse_state(state_file(folder))
    return folder


def refuse_state(state: Path) -> None:
    """With `--fresh`: refuse the state of something that was stopped.

    Raises
    ------
    InputError : the file is there.
    """
    if state.is_file():
        raise InputError(
            "nothing to go on with",
            f"{state}, of a run that was stopped",
            "leave out --fresh to go on with it, choose another --out, or move that file away",
        )
