"""`caliche compare`: the command, its progress and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SetOption,
    command_line,
    listed,
    method_option,
    out_option,
)
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, fresh_folder, stoppable
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.commands.compare.run import Row

METHODS = ("lm", "lbfgs", "4denvar:iterated=true", "eki", "etki", "uki", "ga", "cma")


def compare(
    experiment: ExperimentArgument,
    method: Annotated[
        list[str] | None,
        method_option(
            "those of `caliche estimate`, with commas between them or the option repeated; "
            "settings follow a colon: 'lm,4denvar:iterated=true;members=40,etki'. [default: lm, "
            "lbfgs, 4denvar:iterated=true, eki, etki, uki, ga, cma]",
            "NAME,...",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Runs of each method, from the seeds 0, 1, 2 and so on.")
    ] = 3,
    out: Annotated[
        Path | None,
        out_option("an unfinished one of the same, or runs/EXPERIMENT-compare-TIME"),
    ] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Benchmark of methods: one problem, several methods, seeds.

    Says first what it will cost. Writes a folder with compare.csv, compare.json and config.toml.
    Sizes of errors and smoothness that are to be estimated are held at what lm finds, so that all
    methods have the same misfit.
    Exit code 0 if every run converged, 3 if one did not, 2 for bad input.
    """
    from caliche.runtime import configure
    from caliche.terminal.tables import print_headline, print_notes

    configure()
    from caliche.commands.compare.run import announce, compare_methods, prepare, read_methods
    from caliche.experiments import load_experiment

    asked = read_methods(",".join(METHODS if method is None else listed(method)))
    loaded = load_experiment(experiment, set_ or [])
    name = loaded.config.name
    place = fresh_folder(out, f"{name}-compare") if fresh else out
    problem, folder = prepare(loaded, asked, repeats, place)
    width = max(len(a.label) for a in asked)
    with (
        stoppable(f"finished runs are kept in {folder.path}", folder.path, out, folder.path.exists),
        Progress(f"Comparing on {name}") as progress,
    ):
        progress.say(announce(problem, asked, repeats))
        if folder.begun:
            progress.say(f"Going on in {folder.path}")

        def tell(row: Row, there: bool) -> None:
            runs = number_of(row.model_runs or 0, "run")
            told = "cannot run" if row.error else f"J {row.misfit:.6g}, {runs}"
            before = " (done before)" * there
            progress.say(f"{row.method:<{width}}  seed {row.seed}: {told}{before}")

        found = compare_methods(loaded, asked, repeats, folder.path, tell, command_line())
    held = held_words(found.summary["hyperparameters"])
    if held:
        print(f"\n{held}")
    print_headline(found.summary["title"], found.summary["verdict"]["headline"])
    print_comparison(found.rows)
    print_notes(remark["sentence"] for remark in found.summary["verdict"]["remarks"])
    typer.echo(f"\nTable: {found.folder / 'compare.csv'}")
    if json_ is not None:
        json_.write(found.summary)
    if not all(row.converged for row in found.rows):
        raise typer.Exit(NOT_CONVERGED)


def held_words(found: Mapping[str, Any] | None) -> str:
    """The hyperparameters that all methods share, in a sentence; empty without any."""
    kinds = (
        ("sigma", "size of errors"),
        ("autocorrelation", "autocorrelation"),
        ("smoothness", "smoothness"),
    )
    told = [
        f"{text} of {name} {value:.3g}"
        for kind, text in kinds
        for name, value in (found or {}).get(kind, {}).items()
    ]
    return f"Held at what lm found by marginal likelihood: {', '.join(told)}." if told else ""


def print_comparison(rows: Sequence[Row]) -> None:
    """One row a method and seed, then why some did not converge."""
    from caliche.terminal.tables import print_table

    twin = any(row.from_truth is not None for row in rows)
    lowest = min((row.misfit for row in rows if row.misfit == row.misfit), default=0.0)
    table = []
    for row in rows:
        if row.error:
            table.append([row.method, str(row.seed), "cannot run"] + [""] * (6 + twin))
            continue
        cells = [row.method, str(row.seed), "yes" if row.converged else "NO"]
        cells += [f"{row.misfit:.6g}", f"{row.misfit - lowest:.2g}"]
        cells += [_number(row.from_best), _number(row.farthest)]
        if twin:
            cells.append(_number(row.from_truth))
        cells += [f"{row.model_runs:,}", f"{row.run_seconds:.2f}", f"{row.compile_seconds:.1f}"]
        table.append(cells)
    header = ["method", "seed", "converged", "misfit J", "above lowest", "from best, sd"]
    header += ["farthest, sd"]
    header += ["from truth, sd"] if twin else []
    header += ["model runs", "run, s", "compile, s"]
    table = [row + [""] * (len(header) - len(row)) for row in table]
    print_table(header, table, drop=["above lowest", "compile, s", "farthest, sd"])
    told = dict.fromkeys(
        f"{row.method}, seed {row.seed}: {row.reason}" for row in rows if not row.converged
    )
    for text in told:
        print(f"\nNote: {text}")


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2g}"
