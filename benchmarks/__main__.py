"""`python -m benchmarks`: run the benchmarks, print them, and write JSON or the page of results."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

import caliche

caliche.configure(cache=False)  # before anything computes; compile times are real ones

from benchmarks import (  # noqa: E402
    cases_limits,
    cases_many,
    cases_package,
    cases_rivals,
    cases_single,
    page,
)
from benchmarks.rows import CASES, SIZES, Case, Outcome, Size  # noqa: E402

# Their cases register themselves.
MODULES = (cases_single, cases_many, cases_package, cases_limits, cases_rivals)
WIDTH = 140  # of the output where it is no terminal


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time caliche against a C kernel and other ways of doing the same. Exit code 1 "
        "if a requirement fails; a missed target is only reported.",
        epilog="CALICHE_YARDSTICKS: folder of kern.c and kern.inc, if not shared/yardsticks beside "
        "the checkout. CALICHE_SUPY_PYTHON: an interpreter that has SuPy, if not this one.",
    )
    parser.add_argument("--quick", action="store_true", help="a minute or two, rougher numbers")
    parser.add_argument("--tiny", action="store_true", help="only to see that everything runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="run only these")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page of results")
    options = parser.parse_args(arguments)
    for name in options.only:
        if name not in CASES:
            parser.error(f"Expected one of {', '.join(CASES)}. Got {name!r}. Try: --list.")
    return options


def run_case(one: Case, size: Size) -> Outcome:
    """Run a case; an error ends this case only."""
    began = time.perf_counter()
    try:
        rows, error = one.measure(size), ""
    except Exception as reason:
        first = (str(reason).splitlines() or [""])[0]
        rows, error = [], f"{type(reason).__name__}: {first}"
    return Outcome(one, rows, time.perf_counter() - began, error)


def print_outcome(console: Console, outcome: Outcome) -> None:
    console.print(f"{outcome.case.title} ({outcome.case.name}, {outcome.seconds:.0f} s)", style="b")
    if outcome.rows:
        lines = [page.cells(row) for row in outcome.rows]
        used = page.used_columns(lines)
        table = Table(show_edge=False, box=None, pad_edge=False)
        for k in used:
            right = 0 < k < len(page.HEAD) - 1
            table.add_column(page.HEAD[k], justify="right" if right else "left", no_wrap=right)
        for row, line in zip(outcome.rows, lines, strict=True):
            style = "red" if row.failed else "yellow" if row.met is False else None
            table.add_row(*(line[k] for k in used), style=style)
        console.print(table)
    if outcome.error:
        console.print(f"Ended with an error: {outcome.error}", style="red")
    console.print()


def write_json(file: Path, outcomes: Sequence[Outcome], size: Size) -> None:
    cases = {
        outcome.case.name: {
            "title": outcome.case.title,
            "seconds": outcome.seconds,
            "error": outcome.error,
            "rows": [{**asdict(row), "met": row.met} for row in outcome.rows],
        }
        for outcome in outcomes
    }
    content = {
        "size": size.name,
        "machine": page.machine(),
        "versions": page.versions(),
        "cases": cases,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.list:
        for one in CASES.values():
            print(f"{one.name:14s} {one.title}")
        return 0
    size = SIZES["tiny" if options.tiny else "quick" if options.quick else "full"]
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=WIDTH)
    outcomes = []
    for name in options.only or CASES:
        with console.status(f"{name} ..."):
            outcome = run_case(CASES[name], size)
        print_outcome(console, outcome)
        outcomes.append(outcome)
    if options.json:
        write_json(options.json, outcomes, size)
    if options.out:
        page.write_page(outcomes, size, options.only, options.out)
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
