"""`caliche screen`: the command, its progress and its tables."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.errors import InputError
from caliche.terminal.options import ExperimentArgument, ResumeOption, SetOption, new_folder_option
from caliche.wording import agree, number_of

if TYPE_CHECKING:
    from caliche.commands.screen.run import Plan
    from caliche.sensitivity.run import Progress

EVERY = 10.0  # seconds between the lines of progress in a pipe


def screen(
    experiment: ExperimentArgument,
    method: Annotated[
        str, typer.Option(help="morris (cheap) or sobol (shares of the variance).")
    ] = "morris",
    samples: Annotated[
        int | None,
        typer.Option(
            help="Trajectories of morris, or points of sobol; each takes as many runs as there are "
            "parameters, and 1 or 2 more. [default: 128 or 1024]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
    groups: Annotated[
        str,
        typer.Option(
            metavar="'NAME=A,B; ...'",
            help="Parameters to move together, under a name of their own.",
        ),
    ] = "",
    keep: Annotated[
        float,
        typer.Option(help="Share of the total effects that the parameters left free must hold."),
    ] = 0.95,
    starts: Annotated[
        bool,
        typer.Option(
            "--starts", help="Draw from the start ranges of parameters, not from flat priors."
        ),
    ] = False,
    out: Annotated[Path | None, new_folder_option("runs/EXPERIMENT-screen-TIME")] = None,
    resume: ResumeOption = False,
    set_: SetOption = None,
) -> None:
    """Say which parameters matter for what is observed.

    Runs the model over the whole of the priors, and says first what that will cost. Writes a folder
    with screening.nc, summary.json, screening.html, figures, and reduced.toml: the experiment with
    the unimportant parameters fixed. Exit code 0, or 2 for bad input.
    """
    from caliche.runtime import configure
    from caliche.terminal.exits import INTERRUPTED

    together = read_groups(groups)
    configure(devices="all")
    from caliche.commands.screen.page import write_screening_page
    from caliche.commands.screen.run import screen_experiment
    from caliche.experiments import load_experiment
    from caliche.runs.folder import new_folder, state_file

    loaded = load_experiment(experiment, set_ or [])
    if out is not None or not resume:
        out = new_folder(out, f"{loaded.config.name}-screen")
    try:
        with Line() as line:
            found = screen_experiment(
                loaded,
                method,
                samples,
                seed,
                together,
                keep,
                starts,
                out,
                resume,
                announce,
                line.update,
                shlex.join(["caliche", *sys.argv[1:]]),
            )
    except KeyboardInterrupt:
        if out is None or not state_file(out).is_file():
            raise
        typer.echo(
            f"caliche: interrupted; {state_file(out)} is kept, and the same command with --out "
            f"{out} --resume goes on from there",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    print_screening(found.summary)
    typer.echo(f"\nReport: {write_screening_page(found.folder)}")
    typer.echo(f"Reduced experiment: {found.folder / 'reduced.toml'}")


def read_groups(text: str) -> dict[str, list[str]]:
    """Groups written as NAME=A,B; NAME=C,D.

    Raises
    ------
    InputError : text of another form, or two groups of one name.
    """
    found: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, members = part.partition("=")
        listed = [word.strip() for word in members.split(",") if word.strip()]
        if not equals or not name.strip() or not listed:
            raise InputError(
                "groups of the form NAME=A,B; NAME=C,D",
                repr(part),
                "--groups 'soil=thermal_conductivity,volumetric_heat_capacity'",
            )
        if name.strip() in found:
            raise InputError(
                "groups of different names", f"two called {name.strip()}", "rename one"
            )
        found[name.strip()] = listed
    return found


def announce(plan: Plan) -> None:
    """What will be run."""
    each, groups = plan.runs // plan.samples, len(plan.groups)
    what = agree(groups, "parameter or group", "parameters or groups")
    print(
        f"{plan.experiment}: {plan.method} with "
        f"{groups} {what}: "
        f"{number_of(plan.samples, 'sample')} of {number_of(each, 'run')}, "
        f"{number_of(plan.runs, 'run')} of "
        f"{number_of(plan.steps, 'step')}, "
        f"{plan.together} at once"
        + (f" ({plan.note})" if plan.note else "")
        + "; compiling, then timing the first block",
        file=sys.stderr,
        flush=True,
    )


class Line:
    """One line that is kept up to date on a terminal, or one now and then in a pipe."""

    def __init__(self) -> None:
        self._live, self._told = sys.stderr.isatty(), -EVERY

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._told > 0.0:
            print(file=sys.stderr, flush=True)

    def update(self, progress: Progress) -> None:
        """Show how far it is."""
        last = progress.done == progress.total
        if not (self._live or last or time.monotonic() - self._told > EVERY):
            return
        self._told = time.monotonic()
        left = progress.left or 0.0
        text = (
            f"{progress.done:,} of {number_of(progress.total, 'run')}, {progress.failed:,} failed"
        )
        text += f", {progress.seconds:.1f} s" if last else f", about {left:.0f} s left"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", file=sys.stderr, end="", flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def print_screening(summary: Mapping[str, Any]) -> None:
    """A table for each stream, the most important parameters first, then what follows."""
    from caliche.commands.screen.tables import stream_table
    from caliche.terminal.tables import print_table

    print()
    over = summary["over"]
    begin = f"{summary['title']}: {summary['method']} over the {over}"
    print(
        _wrapped(
            f"{begin}, {number_of(summary['samples_left'], 'sample')}. In brackets: 95 % intervals."
        )
    )
    for stream in summary["streams"]:
        title, header, rows = stream_table(summary, stream)
        print(f"\n{title}")
        print_table(header, rows, drop=header[:1:-1])
    print()
    for text in summary["sentences"]:
        print(_wrapped(text))
    for text in summary["warnings"]:
        print(_wrapped(f"\nNote: {text}"))


def _wrapped(text: str) -> str:
    lead = "\n" * (len(text) - len(text.lstrip("\n")))
    width = min(shutil.get_terminal_size().columns, 100)
    text = text.strip().replace(" %", "\u00a0%")
    return lead + textwrap.fill(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
