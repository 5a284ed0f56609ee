"""`caliche history-match`: the command, its progress and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from caliche.errors import InputError
from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SetOption,
    command_line,
    listed,
    out_option,
    refuse_for_model,
    refuse_for_program,
    seed_option,
)
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable
from caliche.wording import number_of


def history_match(
    experiment: ExperimentArgument,
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="NAME",
            help="auto (measures and says why), model (exact), or emulator (for slow models).",
        ),
    ] = "auto",
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What is matched, of each fitted stream: mean, change, sd, diurnal, seasonal, "
            "harmonics, bins, patterns, bowen, maximum, memory; of an executable values, mean, "
            "change, sd, bins. [default: mean,diurnal,seasonal; of an executable its values, or "
            "mean,change,sd of more than 12]",
        ),
    ] = None,
    discrepancy: Annotated[
        float,
        typer.Option(
            help="What the model may miss at its best, as a share of each series' standard "
            "deviation."
        ),
    ] = 0.1,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Folder of an estimate: persistence of errors and discrepancy from its residuals.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Folder of an estimate, shown on the page beside what is left, with what caliche "
            "posterior found of it.",
        ),
    ] = None,
    combine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="maximum, second (largest), third, or vector. [default: maximum up to 10 metrics, "
            "second above]",
        ),
    ] = None,
    keep: Annotated[
        float, typer.Option(help="Chance with which the truth is kept; sets the cut-off.")
    ] = 0.995,
    cutoff: Annotated[
        float | None, typer.Option(help="A cut-off instead, such as 3, whatever it then costs.")
    ] = None,
    waves: Annotated[int, typer.Option(help="Waves of emulators at most.")] = 5,
    runs: Annotated[
        int | None,
        typer.Option(help="Model runs of a wave. [default: 10 a parameter, 2 with slopes]"),
    ] = None,
    gradients: Annotated[
        str, typer.Option(help="Runs with slopes for emulators: auto (measured), always or never.")
    ] = "auto",
    audit: Annotated[
        int, typer.Option(help="Direct model runs that check emulators at the end.")
    ] = 0,
    members: Annotated[int, typer.Option(help="Points of what is left to be drawn.")] = 2000,
    workers: Annotated[
        int | None,
        typer.Option(help="Runs of an executable at the same time. [default: the file's]"),
    ] = None,
    points: Annotated[int, typer.Option(help="Points by which the ranges are searched.")] = 32768,
    start_ranges: Annotated[
        bool,
        typer.Option("--start-ranges", help="Search the start ranges of parameters, not bounds."),
    ] = False,
    failures: Annotated[
        str, typer.Option(help="Runs that fail: drop, redraw or stop. They are never ruled out.")
    ] = "drop",
    seed: Annotated[int, seed_option()] = 0,
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-history-match-TIME")] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """History matching: what the data do not rule out.

    Runs the model, or emulators wave by wave, over the whole of the ranges. The model is that of an
    experiment, or an executable (a file of caliche drive). Writes a folder with result.nc,
    summary.json, history-match.html, and reduced.toml: the same with its ranges narrowed. Exit code
    0, 3 if nothing is left, or 2 for bad input.
    """
    from caliche.runtime import configure

    configure(devices="all")
    from caliche.commands.history_match.page import write_match_page
    from caliche.commands.history_match.run import match_experiment, match_program
    from caliche.executables.config import is_drive, read_drive
    from caliche.experiments import load_experiment
    from caliche.history_matching.study import Options

    rule = read_rule(combine, keep, cutoff)
    options = Options(
        with_, rule, waves, runs, gradients, members, points, start_ranges, failures, audit, seed
    )
    kinds = listed([metrics or ""])
    if is_drive(experiment):
        refuse_for_program({"--run": run, "--against": against, "--set": set_})
        config = read_drive(Path(experiment))
        name, match = config.name, partial(match_program, config, workers=workers)
    else:
        refuse_for_model({"--workers": workers})
        loaded = load_experiment(experiment, set_ or [])
        name, match = loaded.config.name, partial(match_experiment, loaded, run=run, other=against)
    folder = folder_of(out, f"{name}-history-match", fresh)
    with (
        stoppable(f"runs are kept in {folder}", folder, out, (folder / "run.json").is_file),
        Progress(f"Matching {name}") as progress,
    ):
        if (folder / "run.json").is_file():
            progress.say(f"Going on from {folder}")

        def counted(done: int) -> None:
            progress.update(f"{number_of(done, 'run')} of the model")

        found = match(
            folder,
            options,
            kinds,
            discrepancy,
            command=command_line(),
            say=progress.say,
            counted=counted,
        )
    print_match(found.summary)
    typer.echo(f"\nReport: {write_match_page(found.folder)}")
    typer.echo(f"Narrowed experiment: {found.folder / 'reduced.toml'}")
    if json_ is not None:
        json_.write(found.summary)
    if found.summary["empty"]:
        raise typer.Exit(NOT_CONVERGED)


def read_rule(combine: str | None, keep: float, cutoff: float | None) -> Any:
    """The rule that `--combine`, `--keep` and `--cutoff` say; None for the usual one."""
    from caliche.history_matching.implausibility import MAXIMUM, NTH, VECTOR, Rule

    known = {
        "maximum": (MAXIMUM, 1),
        "second": (NTH, 2),
        "third": (NTH, 3),
        "vector": (VECTOR, 1),
    }
    if combine is None:
        if cutoff is None and keep == 0.995:
            return None
        return Rule(level=keep, given=cutoff)
    if combine not in known:
        raise InputError(f"--combine {', '.join(known)}", repr(combine), "--combine maximum")
    kind, n = known[combine]
    return Rule(kind, n, keep, cutoff)


def print_match(summary: Mapping[str, Any]) -> None:
    """The verdict, the ranges, the metrics, then what else matters."""
    from caliche.commands.history_match import tables
    from caliche.terminal.tables import print_table, wrapped

    print()
    first, *rest = summary["sentences"]
    print(wrapped(f"{summary['title']}: {first}"))
    some = (
        tables.ranges_table(summary),
        tables.metrics_table(summary),
        tables.factors_table(summary),
        tables.waves_table(summary) if summary["method"] == "emulator" else None,
        tables.audit_table(summary),
        tables.conflict_table(summary),
    )
    for table in some:
        if table is not None:
            print()
            print_table(*table)
    print()
    for text in rest:
        print(wrapped(text))
    for text in summary["warnings"]:
        print("\n" + wrapped(f"Note: {text}"))
