"""`caliche drive`: the command, its progress and its table."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.wording import agree, number_of

if TYPE_CHECKING:
    from caliche.commands.drive.run import News

EVERY = 10.0  # seconds between the lines of progress


def drive(
    configuration: Annotated[
        Path, typer.Argument(metavar="FILE", help="A TOML file, see docs/ensemble.md.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. [default: runs/FILE-TIME]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Runs at the same time. [default: the file's]")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on in the folder --out of a drive that was stopped."),
    ] = False,
) -> None:
    """Calibrate a model that is any executable.

    Each member gets a folder with parameters.json, in which the command runs and leaves
    outputs.json or outputs.csv. Writes result.json and members.csv. Exit code 0 if the calibration
    converged, 3 if it ran but did not, 2 for bad input.
    """
    from caliche.errors import InputError
    from caliche.runtime import configure
    from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED

    configure()
    from caliche.commands.drive.config import read_drive
    from caliche.commands.drive.run import drive as run
    from caliche.commands.drive.run import make_job

    if workers is not None and workers < 1:
        raise InputError("at least one worker", str(workers), "--workers 2")
    if resume and out is None:
        raise InputError("the folder in which to go on", "no --out", "give its --out again")
    config = read_drive(configuration)
    folder = out or Path("runs") / f"{configuration.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    number, members = workers or config.workers, len(make_job(config).ask())
    print(
        f"{config.title}: {config.method} with {number_of(members, 'run')} an iteration, "
        f"{number} at a time, each of at most {config.timeout:g} s. {told(config.observed)}. "
        f"Folder: {folder}",
        file=sys.stderr,
        flush=True,
    )
    command = shlex.join(["caliche", *sys.argv[1:]])
    try:
        found = run(config, folder, resume, workers, Progress().update, command)
    except KeyboardInterrupt:
        print(
            f"caliche: interrupted; the same command with --out {folder} --resume goes on",
            file=sys.stderr,
        )
        raise SystemExit(INTERRUPTED) from None
    print_drive(found.summary)
    typer.echo(f"\nResult: {folder / 'result.json'}")
    if not found.found.converged:
        raise typer.Exit(NOT_CONVERGED)


def told(observed: Iterable[float]) -> str:
    """How many observations there are, and how many of them are missing."""
    values = list(observed)
    missing = sum(math.isnan(value) for value in values)
    text = number_of(len(values), "observation")
    if not missing:
        return text
    return f"{text}, of which {missing} {'is' if missing == 1 else 'are'} missing"


class Progress:
    """A line when an iteration is done, and now and then within one."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def update(self, news: News) -> None:
        """Show how far it is."""
        if news.done < news.of and time.monotonic() - self._told < EVERY:
            return
        self._told = time.monotonic()
        text = f"iteration {news.iteration}: {news.done} of {number_of(news.of, 'member')}"
        text += f", {news.failed} failed" if news.failed else ""
        text += "" if news.misfit is None else f"; misfit so far {news.misfit:.6g}"
        print(text, file=sys.stderr, flush=True)


def print_drive(summary: Mapping[str, Any]) -> None:
    """Estimates, and how it ended."""
    from caliche.report.numbers import plain, value_and_sd
    from caliche.terminal.tables import print_headline, print_notes, print_table

    print_headline(summary)
    rows = []
    for name, p in summary["parameters"].items():
        if p["no_effect"]:
            rows.append([name, "no effect", "", p["unit"]])
            continue
        if p["sd"] is None:
            rows.append([name, plain(p["estimate"]), "", p["unit"]])
            continue
        low, high = (plain(end) for end in p["interval95"])
        rows.append([name, value_and_sd(p["estimate"], p["sd"]), f"{low} to {high}", p["unit"]])
    print_table(["parameter", "estimate ± sd", "95 % interval", "unit"], rows)
    if summary["converged"]:
        print(f"\nHow it ended: {summary['reason']}")
    print_notes(remark["sentence"] for remark in summary["verdict"]["remarks"])
    if summary["error_bars"] == "ensemble":
        print("\nNote: error bars are the spread of the ensemble, declared errors at their word.")
    else:
        print("\nNote: a random search gives no error bars.")
    if summary["n_failed"]:
        print(
            f"\nNote: {summary['n_failed']} of {number_of(summary['n_model_runs'], 'run')} failed:"
        )
        for reason, number in sorted(summary["failures"].items(), key=lambda item: -item[1])[:5]:
            print(f"  {agree(number, 'once', f'{number} times')}: {reason}")
