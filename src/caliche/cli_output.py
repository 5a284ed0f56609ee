"""What the command line shows: progress, tables and the summary of a run."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from caliche.report.numbers import plain, value_and_sd
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.sites.run import Progress as SitesDone

FEW = 5  # failed sites that are named
MOST_KNOTS = 8  # of one parameter that get rows of their own
GAP = "   "  # between the columns of a table


class Progress:
    """Progress of a calibration: a bar on a terminal, plain lines in a pipe.

    `update` is the callback of `caliche.estimate`.
    """

    def __init__(self, name: str) -> None:
        self._console = Console(stderr=True)
        self._interactive = sys.stderr.isatty() and not self._console.is_dumb_terminal
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


class SitesProgress:
    """Progress over many sites: one line that is kept up to date, or in a pipe one now and then.

    `update` is the callback of `caliche.sites.estimate_sites`.
    """

    EVERY = 10.0  # seconds between the lines in a pipe

    def __init__(self, name: str) -> None:
        self._name, self._told, self._done = name, time.monotonic(), -1
        self._live = sys.stderr.isatty()

    def __enter__(self) -> SitesProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._done >= 0:
            self._show("", last=True)

    def update(self, progress: SitesDone) -> None:
        """Show how far it is."""
        new, last = progress.done > self._done, progress.done == progress.total
        due = self._done < 0 or last or time.monotonic() - self._told > self.EVERY
        if not new or not (self._live or due):
            return
        self._told, self._done = time.monotonic(), progress.done
        text = f"{self._name}: {progress.done} of {number_of(progress.total, 'site')}"
        if not progress.fresh:
            text += " done already; compiling" if progress.done else "; compiling"
        else:
            rate = progress.fresh / max(progress.seconds, 1e-9)
            text += f", {progress.failed} failed, {rate:.3g} sites per second"
        self._show(text, last=not self._live)

    def _show(self, text: str, last: bool) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = f"\r{text[:width]:<{width}}" if self._live else text
        print(line, file=sys.stderr, end="\n" if last else "", flush=True)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str] = ()
) -> None:
    """A plain table, in a pipe as wide as it needs to be.

    On a terminal too narrow for it the columns `drop` are left out, one after the other; if that
    is not enough, each row becomes a block of lines.
    """
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    table = [list(header), *map(list, rows)]
    dropping = list(drop)
    while limit and _width(table) > limit and dropping:
        column = table[0].index(dropping.pop(0))
        table = [row[:column] + row[column + 1 :] for row in table]
    if limit and _width(table) > limit:
        table = [list(header), *map(list, rows)]
        _print_blocks(table, limit)
        return
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    table.insert(1, ["─" * width for width in widths])
    for row in table:
        print(GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _width(table: Sequence[Sequence[str]]) -> int:
    columns = range(len(table[0]))
    return sum(max(len(row[k]) for row in table) for k in columns) + len(GAP) * (len(columns) - 1)


def _print_blocks(table: Sequence[Sequence[str]], limit: int) -> None:
    """Each row as a heading and its named entries, wrapped."""
    header, *rows = table
    label = max(len(name) for name in header[1:])
    for number, row in enumerate(rows):
        print(("\n" if number else "") + row[0])
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                begin = f"  {name.ljust(label)}{GAP}"
                print(
                    textwrap.fill(
                        cell, limit, initial_indent=begin, subsequent_indent=" " * len(begin),
                        break_long_words=False, break_on_hyphens=False,
                    )
                )  # fmt: skip


def print_summary(summary: Mapping[str, Any]) -> None:
    """The outcome first, then parameters, scores and warnings."""
    print_headline(summary)
    remarks = summary["verdict"]["remarks"]
    idle = {name for r in remarks if r["kind"] == "no-effect" for name in r["about"]}
    loose = {name for r in remarks if r["kind"] == "unconstrained" for name in r["about"]}
    known = any(p.get("truth") is not None for p in summary["parameters"].values())  # a twin
    rows = []
    for name, p in _few_knots(summary["parameters"]).items():
        if "knots" in p:
            row = [
                name,
                p["range"],
                f"{number_of(p['knots'], 'knot')}",
                plain(p["initial"]),
                p["unit"],
            ]
        elif p["fixed"] and p["sd"] is None:
            row = [name, plain(p["estimate"]), p.get("tied") or "fixed", "", p["unit"]]
        elif p["fixed"]:
            row = [name, value_and_sd(p["estimate"], p["sd"]), p["tied"], "", p["unit"]]
        else:
            low, high = (plain(v) for v in p["interval95"])
            estimate = value_and_sd(p["estimate"], p["sd"])
            if p.get("at_bound"):
                estimate = f"{estimate} (at its bound)"
            elif name in idle:
                estimate, low, high = "no estimate: no effect", "", ""
            elif name in loose:
                estimate = f"{estimate} (not constrained)"
            span = f"{low} to {high}" if low else ""
            row = [name, estimate, span, plain(p["initial"]), p["unit"]]
        truth = "" if p.get("truth") is None else plain(p["truth"])
        rows.append([*row[:2], truth, *row[2:]] if known else row)
    header = ["parameter", "estimate ± sd", "95 % interval", "first guess", "unit"]
    if known:
        header.insert(2, "truth")
    print_table(header, rows, drop=["first guess", "95 % interval"])
    print_scores("\nFit:", summary["fit"])
    if summary["holdout"]:
        print_scores("\nHold-out:", summary["holdout"])
    if summary.get("cost", {}).get("observations"):
        print(f"\n{cost_words(summary['cost'])}")
    print_notes(summary["warnings"])


def print_headline(summary: Mapping[str, Any]) -> None:
    """The first line: how it ended, and what a careful referee would say first."""
    text = f"{summary['title']}: {summary['verdict']['headline']}"
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    print(f"\n{text}\n")


def print_notes(sentences: Iterable[str]) -> None:
    """What a careful reader should know, a paragraph each."""
    for text in sentences:
        print(f"\nNote: {text}")


def cost_words(cost: Mapping[str, Any]) -> str:
    """The cost at the estimate and its terms, in a line."""
    terms = {**cost["observations"], "prior": cost["prior"]}
    parts = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    return f"Misfit J = {sum(terms.values()):.5g}: {parts}"


def _few_knots(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with one row in place of the knots of one that has many."""
    groups: dict[str, list[Any]] = {}
    for name, p in parameters.items():
        if p.get("knot") is not None:
            groups.setdefault(name.partition("[")[0], []).append(p)
    rows: dict[str, Any] = {}
    for name, p in parameters.items():
        parent = name.partition("[")[0]
        group = groups.get(parent, []) if p.get("knot") is not None else []
        if len(group) <= MOST_KNOTS:
            rows[name] = p
        elif parent not in rows:
            values = [q["estimate"] for q in group]
            text = f"{plain(min(values), 3)} to {plain(max(values), 3)}"
            rows[parent] = {**p, "knots": len(group), "range": text, "truth": None}
    return rows


def print_sites(summary: Mapping[str, Any] | None, folder: Path) -> None:
    """Counts, then the parameters over the sites, then which sites failed and why."""
    print()
    if summary is None:
        print(f"This process has done its share; the others have not yet. Batches: {folder}/blocks")
        return
    failed = summary["sites"] - summary["converged"]
    print(f"{summary['title']}: {summary['verdict']['headline']}")
    if summary["converged"]:
        print()
        rows = []
        for name, p in summary["parameters"].items():
            low, middle, high = (plain(p[key]) for key in ("q05", "median", "q95"))
            sd = "-" if p["median_sd"] is None else f"{p['median_sd']:.2g}"
            rows.append([name, middle, f"{low} to {high}", sd, str(p["at_bound"]), p["unit"]])
        header = ["parameter", "median", "5 to 95 % of sites", "median sd", "at bound", "unit"]
        print_table(header, rows, drop=["at bound", "5 to 95 % of sites"])
    if failed:
        print(f"\n{failed} did not:")
        for entry in summary["failed"][:FEW]:
            print(f"  {entry['site']}: {entry['reason']}")
        if failed > FEW:
            print(f"  and {failed - FEW} more, see summary.json")
    print(f"\nResult: {folder / 'result.nc'}")


def print_scores(title: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """One line per stream."""
    print(title)
    rows = [
        [
            name + ("" if s.get("fitted") else " (not fitted)"),
            str(s["n"]),
            *(
                "-" if s.get(key) is None else f"{s[key]:.3g}"
                for key in ("rmse", "bias", "r", "nse")
            ),
        ]
        for name, s in scores.items()
    ]
    print_table(["stream", "n", "RMSE", "bias", "r", "NSE"], rows)
