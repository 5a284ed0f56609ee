"""`--json FILE`: what a command found as JSON, in a file or, with `-`, on the standard output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from caliche.errors import InputError
from caliche.keys.records import json_text


class JsonAnswer:
    """Where `--json` writes; `-` is the standard output."""

    def __init__(self, path: str) -> None:
        self._path: Path | None = None if path == "-" else Path(path)
        self._stream: TextIO = sys.stdout

    def prepare(self) -> None:
        """Before any computation: refuse a file that cannot be written.

        With `-` everything else that the command prints goes to the standard error from now on;
        `caliche.cli.main` puts the standard output back.

        Raises
        ------
        InputError : a file that cannot be written.
        """
        if self._path is None:
            sys.stdout = sys.stderr
        elif self._path.is_dir() or not self._path.absolute().parent.is_dir():
            raise InputError(
                "a file that can be written", str(self._path), "a file in a folder that exists"
            )

    def write(self, found: Any) -> None:
        """Write what was found, a record or a table; what is not finite is written as null."""
        text = json_text(found)
        if self._path is None:
            self._stream.write(text)
            self._stream.flush()
            return
        try:
            self._path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                "a file that can be written", f"{self._path}: {error.strerror}", "another --json"
            ) from None
        typer.echo(f"\nWritten: {self._path}")


def _prepared(answer: JsonAnswer | None) -> JsonAnswer | None:
    if answer is not None:
        answer.prepare()
    return answer


JsonOption = Annotated[
    JsonAnswer | None,
    typer.Option(
        "--json",
        metavar="FILE",
        parser=JsonAnswer,
        callback=_prepared,
        help="Write what was found as JSON, too; -: to the standard output, which then holds "
        "nothing else.",
    ),
]
