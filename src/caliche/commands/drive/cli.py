"""`caliche drive`: the command, its progress and its table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import command_line, out_option
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable
from caliche.wording import agree, number_of

if TYPE_CHECKING:
    from caliche.commands.drive.run import News


def drive(
    configuration: Annotated[
        Path, typer.Argument(metavar="FILE", help="A TOML file, see docs/ensemble.md.")
    ],
    out: Annotated[Path | None, out_option("runs/FILE-TIME")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Runs at the same time. [default: the file's]")
    ] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
) -> None:
    """Any executable as the model (EKI, ETKI, 4DEnVar, CMA-ES).

    Each member gets a folder with parameters.json, in which the command runs and leaves
    outputs.json or outputs.csv. Writes result.json and members.csv. Exit code 0 if the calibration
    converged, 3 if it ran but did not, 2 for bad input.
    """
    from caliche.errors import InputError
    from caliche.runtime import configure

    configure()
    from caliche.commands.drive.run import begun, make_job
    from caliche.commands.drive.run import drive as run
    from caliche.executables.config import read_drive

    if workers is not None and workers < 1:
        raise InputError("at least one worker", str(workers), "--workers 2")
    config = read_drive(configuration)
    folder = folder_of(out, configuration.stem, fresh)
    goes_on = begun(config, folder)
    number, members = workers or config.workers, len(make_job(config).ask())
    with (
        stoppable(
            f"finished members are kept in {folder}", folder, out, (folder / "drive.toml").is_file
        ),
        Progress(f"Driving {configuration.stem}") as progress,
    ):
        progress.say(
            f"{config.title}: {config.method} with {number_of(members, 'run')} an iteration, "
            f"{number} at a time, each of at most {config.timeout:g} s. {told(config.observed)}. "
            f"Folder: {folder}"
        )

        def tell(news: News) -> None:
            progress.update(news_words(news), news.done, news.of, now=news.done == news.of)

        found = run(config, folder, goes_on, workers, tell, command_line())
    print_drive(found.summary)
    typer.echo(f"\nResult: {folder / 'result.json'}")
    if json_ is not None:
        json_.write(found.summary)
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


def news_words(news: News) -> str:
    """How far an iteration is."""
    text = f"iteration {news.iteration}: {news.done} of {number_of(news.of, 'member')}"
    text += f", {news.failed} failed" if news.failed else ""
    return text + ("" if news.misfit is None else f"; misfit so far {news.misfit:.6g}")


def print_drive(summary: Mapping[str, Any]) -> None:
    """Estimates, and how it ended."""
    from caliche.report.numbers import plain, value_and_sd
    from caliche.terminal.tables import print_headline, print_notes, print_table

    print_headline(summary["title"], summary["verdict"]["headline"])
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
        print("\nNote: a search gives no error bars.")
    if summary["n_failed"]:
        print(
            f"\nNote: {summary['n_failed']} of {number_of(summary['n_model_runs'], 'run')} failed:"
        )
        for reason, number in sorted(summary["failures"].items(), key=lambda item: -item[1])[:5]:
            print(f"  {agree(number, 'once', f'{number} times')}: {reason}")
