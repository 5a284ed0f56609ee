"""What the command line shows: progress, tables and the summary of a run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from caliche.errors import InputError, nearest
from caliche.report.numbers import plain, value_and_sd


class Progress:
    """Progress of a calibration: a bar on a terminal, plain lines in a pipe.

    `update` is the callback of `caliche.estimate`.
    """

    def __init__(self, name: str) -> None:
        self._console = Console(stderr=True)
        self._interactive = self._console.is_terminal and not self._console.is_dumb_terminal
        self._bar = Bar(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(), console=self._console, transient=True,
        )  # fmt: skip
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


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table without colour; in a pipe it is as wide as it needs to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=250)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_summary(summary: Mapping[str, Any]) -> None:
    """The outcome first, then parameters, scores and warnings."""
    print()
    if summary["converged"]:
        starts = summary["starts"]
        reached = sum(s["converged"] for s in starts)
        print(f"{summary['title']}: converged from {reached} of {len(starts)} starts")
    else:
        print(f"{summary['title']}: DID NOT CONVERGE: {summary['reason']}")
    print()
    rows = []
    for name, p in summary["parameters"].items():
        if p["fixed"]:
            rows.append([name, plain(p["estimate"]), "fixed", "", p["unit"]])
        else:
            low, high = (plain(v) for v in p["interval95"])
            guess = plain(p["initial"])
            rows.append(
                [name, value_and_sd(p["estimate"], p["sd"]), f"{low} to {high}", guess, p["unit"]]
            )
    print_table(["parameter", "estimate ± sd", "95 % interval", "first guess", "unit"], rows)
    print_scores("\nFit:", summary["fit"])
    if summary["holdout"]:
        print_scores("\nHold-out:", summary["holdout"])
    for warning in summary["warnings"]:
        print(f"\nNote: {warning}")


def print_scores(title: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """One line per stream."""
    print(title)
    rows = [
        [
            name + ("" if s.get("fitted") else " (not fitted)"),
            str(s["n"]),
            *("-" if s[key] is None else f"{s[key]:.3g}" for key in ("rmse", "bias", "r2", "nse")),
        ]
        for name, s in scores.items()
    ]
    print_table(["stream", "n", "RMSE", "bias", "R2", "NSE"], rows)


def print_parameters(turbulence: str | None) -> None:
    """Every declared parameter of SoilHeat."""
    from caliche.models import SoilHeat
    from caliche.models.closures import CLOSURES

    if turbulence is not None and turbulence not in CLOSURES:
        raise InputError("a closure", repr(turbulence), nearest(turbulence, CLOSURES))
    declared = {}
    for name in [turbulence] if turbulence else CLOSURES:
        model = SoilHeat((0.0, 0.1, 1.0), 1800.0, turbulence=CLOSURES[name])
        declared |= {d.name: d for d in model.declarations}
    rows = [
        [d.name, d.unit, f"{d.default:g}", f"{d.lower:g} to {d.upper:g}", d.long_name, d.source]
        for d in declared.values()
    ]
    print_table(["parameter", "unit", "default", "bounds", "what it is", "source"], rows)
