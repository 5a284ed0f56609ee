"""Progress of a calibration."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress:
    """Progress of a calibration: a bar on a terminal, plain lines in a pipe.

    `update` is the callback of `caliche.estimate`.
    """

    def __init__(self, name: str) -> None:
        self._console = Console(stderr=True)
        self._interactive = sys.stderr.isatty() and not self._console.is_dumb_terminal
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(f"Calibrating {name}", total=None, what="compiling")
        self._name = name
        self._starts = 0

    def __enter__(self) -> Progress:
        if self._interactive:
            self._bar.start()
        else:
            print(f"Calibrating {self._name} (compiling first)", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._interactive:
            self._bar.stop()

    def update(self, iteration: int, misfit: float, running: int) -> None:
        """Show an iteration: its number, the lowest misfit, and how many starts still run."""
        self._starts = max(self._starts, running)
        what = f"iteration {iteration}  misfit {misfit:.6g}  starts still running {running}"
        if self._interactive:
            done = self._starts - running
            self._bar.update(self._task, total=self._starts or None, completed=done, what=what)
        elif iteration <= 3 or iteration % 10 == 0 or running == 0:
            print(what, file=sys.stderr, flush=True)
