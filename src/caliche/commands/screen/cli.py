"""`caliche screen`: the command, its progress and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caliche.errors import InputError
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SetOption,
    command_line,
    method_option,
    out_option,
    seed_option,
)
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, fresh_folder, stoppable
from caliche.wording import agree, number_of

if TYPE_CHECKING:
    from caliche.commands.screen.run import Plan
    from caliche.commands.screen.summary import ScreeningSummary
    from caliche.sensitivity.run import Progress as News


def screen(
    experiment: ExperimentArgument,
    method: Annotated[
        str, method_option("morris (cheap) or sobol (shares of the variance).")
    ] = "morris",
    samples: Annotated[
        int | None,
        typer.Option(
            help="Trajectories of morris, or points of sobol; each takes as many runs as there are "
            "parameters, and 1 or 2 more. [default: 128 or 1024]"
        ),
    ] = None,
    seed: Annotated[int, seed_option()] = 0,
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
    start_ranges: Annotated[
        bool,
        typer.Option(
            "--start-ranges", help="Draw from the start ranges of parameters, not from flat priors."
        ),
    ] = False,
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-screen-TIME")] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Sensitivity analysis: Morris' screening or Sobol' indices.

    Runs the model over the whole of the priors, and says first what that will cost. Writes a folder
    with screening.nc, summary.json, screening.html, figures, and reduced.toml: the experiment with
    the unimportant parameters fixed. Exit code 0, or 2 for bad input.
    """
    from caliche.runtime import configure

    together = read_groups(groups)
    configure(devices="all")
    from caliche.commands.screen.page import write_screening_page
    from caliche.commands.screen.run import screen_experiment
    from caliche.commands.screen.summary import ScreeningSummary
    from caliche.experiments import load_experiment
    from caliche.files.whole_file import remove
    from caliche.report.pages import REMEDY
    from caliche.runs.folder import finished_summary, mark_of, new_folder, state_file

    loaded = load_experiment(experiment, set_ or [])
    name = loaded.config.name
    mark = mark_of(loaded, method, samples, seed, together, keep, start_ranges)
    said = None if fresh else finished_summary(out, "screen", mark, ScreeningSummary, REMEDY)
    if said is not None and out is not None:
        folder, summary = out, said
        remove(state_file(out))
        typer.echo(f"This screening is finished in {folder}.", err=True)
    else:
        folder = (fresh_folder if fresh else new_folder)(out, f"{name}-screen")
        state = state_file(folder)
        goes_on = state.is_file()
        with (
            stoppable(f"{state} is kept", folder, out, state.is_file),
            Progress(f"Screening {name}") as progress,
        ):
            if goes_on:
                progress.say(f"Going on from {state}")

            def tell(news: News) -> None:
                last = news.done == news.total
                progress.update(news_words(news), news.done, news.total, now=last)

            summary = screen_experiment(
                loaded,
                method,
                samples,
                seed,
                together,
                keep,
                start_ranges,
                folder,
                goes_on,
                lambda plan: progress.say(plan_words(plan)),
                tell,
                command_line(),
                mark,
            ).summary
    print_screening(summary)
    typer.echo(f"\nReport: {write_screening_page(folder)}")
    typer.echo(f"Reduced experiment: {folder / 'reduced.toml'}")
    if json_ is not None:
        json_.write(summary)


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


def plan_words(plan: Plan) -> str:
    """What will be run."""
    each, groups = plan.runs // plan.samples, len(plan.groups)
    what = agree(groups, "parameter or group", "parameters or groups")
    return (
        f"{plan.experiment}: {plan.method} with {groups} {what}: "
        f"{number_of(plan.samples, 'sample')} of {number_of(each, 'run')}, "
        f"{number_of(plan.runs, 'run')} of {number_of(plan.steps, 'step')}, "
        f"{plan.together} at once"
        + (f" ({plan.note})" if plan.note else "")
        + "; compiling, then timing the first block"
    )


def news_words(news: News) -> str:
    """How far a screening is."""
    text = f"{news.done:,} of {number_of(news.total, 'run')}, {news.failed:,} failed"
    if news.done == news.total:
        return f"{text}, {news.seconds:.1f} s"
    return f"{text}, about {news.left or 0.0:.0f} s left"


def print_screening(summary: ScreeningSummary) -> None:
    """A table for each stream, the most important parameters first, then what follows."""
    from caliche.commands.screen.tables import stream_table
    from caliche.terminal.tables import print_table, wrapped

    print()
    over = summary.over
    begin = f"{summary.title}: {summary.method} over the {over}"
    print(
        wrapped(
            f"{begin}, {number_of(summary.samples_left, 'sample')}. In brackets: 95 % intervals."
        )
    )
    for stream in summary.streams:
        title, header, rows = stream_table(summary, stream)
        print(f"\n{title}")
        print_table(header, rows, drop=header[:1:-1])
    print()
    for text in summary.sentences:
        print(wrapped(text))
    for text in summary.warnings:
        print("\n" + wrapped(f"Note: {text}"))
