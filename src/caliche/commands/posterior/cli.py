"""`caliche posterior`: intervals by curvature, by profile and by sampling, side by side.

Nothing heavy is imported before the command needs it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED
from caliche.terminal.options import set_option

if TYPE_CHECKING:
    from caliche.commands.posterior.run import Progress

EVERY = 10.0  # seconds between the lines of progress in a pipe


def posterior(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_EXPERIMENT",
            help="Folder of a run, or an experiment, which is then calibrated first.",
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="laplace, profile, nuts, etki, eki, 4denvar, ensembles (the last three) or all. "
            "Repeatable. [default: laplace and profile]"
        ),
    ] = None,
    declared: Annotated[
        bool,
        typer.Option(
            "--declared",
            help="Take the declared errors at their word, whatever the residuals say.",
        ),
    ] = False,
    chains: Annotated[int, typer.Option(help="Chains of nuts.")] = 4,
    warmup: Annotated[int, typer.Option(help="Steps of each chain that adapt the sampler.")] = 500,
    draws: Annotated[int, typer.Option(help="Draws of each chain.")] = 1000,
    target: Annotated[
        float, typer.Option(help="Acceptance rate of nuts; higher takes shorter steps.")
    ] = 0.8,
    members: Annotated[int, typer.Option(help="Members of each ensemble.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of nuts and of the ensembles.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write, for an experiment. [default: runs/EXPERIMENT-TIME]"),
    ] = None,
    set_: Annotated[list[str] | None, set_option("an experiment (a run stays as it is)")] = None,
) -> None:
    """Error bars by profile, NUTS and ensembles.

    Adds posterior.json and posterior.nc to the folder of the run, the draws to its result.nc in
    groups that ArviZ reads, and a section to its report. The same command goes on with a sampler
    that was stopped. Exit code 0, 3 if the draws cannot be relied upon, 2 for bad input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.posterior.agreement import METHODS
    from caliche.commands.posterior.ensembles import ENSEMBLES
    from caliche.commands.posterior.run import Options, run_posterior, unusable
    from caliche.posterior.sampling import Settings, need_blackjax
    from caliche.report import write_report
    from caliche.runs.open_run import is_run

    chosen = list(method or ("laplace", "profile"))
    chosen = list(METHODS) if "all" in chosen else chosen
    if "ensembles" in chosen:
        chosen = [name for name in chosen if name != "ensembles"] + list(ENSEMBLES)
    settings = Settings(chains, warmup, draws, seed, target)
    options = Options(chosen, not declared, settings, members)
    if "nuts" in chosen:
        need_blackjax()
    command = shlex.join(["caliche", *sys.argv[1:]])
    if is_run(run):
        _refuse_for_runs(out, set_)
        folder = Path(run)
    else:
        folder = _calibrate(run, out, set_ or [], command)
    try:
        with Line() as line:
            summary = run_posterior(folder, options, line.update, command)
    except KeyboardInterrupt:
        typer.echo(
            f"caliche: interrupted; `caliche posterior {folder}` with the same options goes on "
            "with the sampling from there",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    print_posterior(summary, read_summary(folder))
    typer.echo(f"\nReport: {write_report(folder)}")
    if unusable(summary) & set(chosen):
        raise typer.Exit(NOT_CONVERGED)


def _refuse_for_runs(out: Path | None, set_: list[str] | None) -> None:
    from caliche.errors import InputError

    for flag, value in (("--out", out), ("--set", set_)):
        if value:
            raise InputError(
                "a run as it is, in its own folder",
                f"{flag}",
                "leave it out, or give an experiment",
            )


def _calibrate(experiment: str, out: Path | None, set_: list[str], command: str) -> Path:
    """Calibrate an experiment first; the folder of the run."""
    from caliche.experiments import load_experiment
    from caliche.runs.folder import new_folder
    from caliche.runs.run import run_experiment
    from caliche.terminal.progress import Progress

    loaded = load_experiment(experiment, set_)
    folder = new_folder(out, loaded.config.name)
    loaded.problem()  # bad data are told before any progress is shown
    with Progress(loaded.config.name) as progress:
        return run_experiment(loaded, out=folder, callback=progress.update, command=command).folder


class Line:
    """Progress in one line that is kept up to date, or in a pipe one now and then."""

    def __init__(self) -> None:
        self._live, self._told, self._what = sys.stderr.isatty(), time.monotonic(), ""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._what:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{'':<{width}}\r", file=sys.stderr, end="", flush=True)

    def update(self, progress: Progress) -> None:
        """Show how far it is."""
        text = progress.what
        if progress.total:
            text += f" {progress.done} of {progress.total}"
        kind = progress.what.partition(",")[0]
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", file=sys.stderr, end="", flush=True)
        elif kind != self._what or time.monotonic() - self._told > EVERY:
            print(text, file=sys.stderr, flush=True)
            self._told = time.monotonic()
        self._what = kind


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary.json of a run."""
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def print_posterior(summary: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """What is to be said of the run, intervals side by side, then what to make of them."""
    from caliche.report.run.posterior_tables import (
        METHODS,
        SKILL_HEADER,
        SKILL_TITLE,
        interval_text,
        skill_rows,
        skill_window,
    )
    from caliche.terminal.tables import print_headline, print_notes, print_table

    present = [m for m in METHODS if any(p.get(m) for p in summary["parameters"].values())]
    rows = [
        [name, *(interval_text(entry, m) for m in present), entry["unit"]]
        for name, entry in summary["parameters"].items()
    ]
    if "verdict" in run:  # older runs have none
        print_headline(run)
    print("95 % intervals")
    print_table(["parameter", *(METHODS[m] for m in present), "unit"], rows)
    print(f"\n{summary['explanation']}")
    for name, entry in summary["parameters"].items():
        verdict = entry.get("profile", {}).get("verdict")
        if verdict:
            print(f"\nNote: {name}: {verdict}.")
    rows = skill_rows(summary)
    if rows:
        print(f"\n{SKILL_TITLE[skill_window(summary)]}")
        print_table(SKILL_HEADER, rows, drop=["width of band", "n"])
    notes = [*summary.get("profile", {}).get("warnings", ()), *summary["agreement"]]
    if "nuts" in summary:
        notes.append(f"NUTS: {summary['nuts']['verdict']}")
    notes += [f"{METHODS[n]}: {said['verdict']}" for n, said in summary["ensembles"].items()]
    print_notes(notes)
