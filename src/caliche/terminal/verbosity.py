"""How much a command says while it works: `--quiet`, as usual, or `--verbose`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Annotated

import typer

from caliche.terminal.exits import STARTED
from caliche.wording import number_of

LONG = 0.05  # seconds of compiling from which a program is named


@dataclass
class Verbosity:
    """What was asked for, and for `--verbose` what was compiled so far.

    quiet : no progress on the standard error.
    verbose : what is compiled is named, and times are told at the end.
    """

    quiet: bool = False
    verbose: bool = False
    programs: list[float] = field(default_factory=list)  # seconds of each program

    def compiled(self, name: str, seconds: float) -> None:
        """Take note of a program that JAX compiled, or read from its cache."""
        if not self.verbose:
            return
        self.programs.append(seconds)
        if seconds >= LONG:
            print(f"compiled {name} in {seconds:.2f} s", file=sys.stderr, flush=True)

    def tell_times(self) -> None:
        """The last line of `--verbose`."""
        text = f"caliche: {time.perf_counter() - STARTED:.1f} s since the start"
        if self.programs:
            number = number_of(len(self.programs), "program")
            text += f", of which {sum(self.programs):.1f} s compiling {number}"
        print(text, file=sys.stderr, flush=True)


NOW = Verbosity()


def reset() -> None:
    """As usual, at the beginning of a command."""
    NOW.quiet = NOW.verbose = False
    NOW.programs.clear()


def _quiet(asked: bool) -> None:
    NOW.quiet = NOW.quiet or asked


def _verbose(asked: bool) -> None:
    if asked and not NOW.verbose:
        from caliche.runtime import tell_compiled

        NOW.verbose = True
        tell_compiled(NOW.compiled)


def options(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            callback=_verbose,
            expose_value=False,
            help="Tell what is compiled, and how long everything took.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_quiet,
            expose_value=False,
            help="Show no progress; results and notes only.",
        ),
    ] = False,
) -> None:
    """The options that every command has."""
