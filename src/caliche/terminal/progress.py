"""Progress of a command: a line that is kept up to date on a terminal, lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from caliche.terminal.verbosity import NOW

EVERY = 10.0  # seconds between the lines in a pipe
FIRST = 3  # lines that a pipe gets in any case


class Progress:
    """Progress of a command on the standard error; nothing with `--quiet`.

    On a terminal one line with the time that has passed, which is gone at the end. In a pipe the
    first lines, then one now and then.

    Parameters
    ----------
    name : what is being done, in front of every line on a terminal.
    begin : the first line in a pipe; empty for none.
    """

    def __init__(self, name: str, begin: str = "") -> None:
        self._name, self._begin = name, begin
        self._bar: Any = None
        self._task: Any = None
        self._lines, self._told = 0, 0.0

    def __enter__(self) -> Progress:
        if NOW.quiet:
            return self
        if sys.stderr.isatty():
            self._start()
        if self._bar is None and self._begin:
            self.say(self._begin)
        return self

    def _start(self) -> None:
        """The line of a terminal that can rewrite one."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if console.is_dumb_terminal:
            return
        self._bar = Bar(
            TextColumn("{task.fields[name]}", markup=False),
            BarColumn(20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        what = "compiling" if self._begin else "working"
        self._task = self._bar.add_task(what, total=None, name=self._name)
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(
        self, text: str, done: int | None = None, total: int | None = None, now: bool = False
    ) -> None:
        """Show how far it is.

        Parameters
        ----------
        text : how far, in words.
        done, total : the same in numbers, where it is known.
        now : whether a pipe gets the line whatever the time.
        """
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=done or 0, total=total)
            return
        self._lines += 1
        if now or self._lines <= FIRST or time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            self.say(text)

    def say(self, line: str) -> None:
        """A line that stays, on a terminal above the one that changes."""
        if not NOW.quiet:
            print(line, file=sys.stderr, flush=True)


def iterations(progress: Progress) -> Callable[[int, float, int], None]:
    """The callback of `caliche.estimate` that shows an iteration: its number, the lowest misfit,
    and how many starts still run."""
    most = 0

    def tell(iteration: int, misfit: float, running: int) -> None:
        nonlocal most
        most = max(most, running)
        text = f"iteration {iteration}  misfit {misfit:.6g}  starts still running {running}"
        progress.update(text, most - running, most or None, now=running == 0)

    return tell
