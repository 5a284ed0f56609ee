"""`caliche compare`: the command, its progress and its table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.terminal.options import ExperimentArgument, SetOption, folder_option
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.commands.compare.run import Row


def compare(
    experiment: ExperimentArgument,
    methods: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Methods, separated by commas; options follow a colon: "
            "'lm,4denvar:iterated=true;members=40,etki'.",
        ),
    ] = "lm,lbfgs,4denvar:iterated=true,eki,etki,uki,ga,cma",
    seeds: Annotated[int, typer.Option(help="Runs of each method.")] = 3,
    out: Annotated[
        Path | None,
        folder_option("an unfinished one of the same, or runs/EXPERIMENT-compare-TIME"),
    ] = None,
    set_: SetOption = None,
) -> None:
    """Estimate with several methods from several seeds.

    Says first what it will cost. Writes a folder with compare.csv, compare.json and config.toml.
    The same command goes on with a comparison that was stopped. Sizes of errors and smoothness
    that are to be estimated are held at what lm finds, so that all methods have the same misfit.
    Exit code 0 if every run converged, 3 if one did not, 2 for bad input.
    """
    from caliche.runtime import configure
    from caliche.terminal.exits import INTERRUPTED, NOT_CONVERGED
    from caliche.terminal.tables import print_headline, print_notes

    configure()
    from caliche.commands.compare.run import announce, compare_methods, prepare, read_methods
    from caliche.experiments import load_experiment

    asked = read_methods(methods)
    loaded = load_experiment(experiment, set_ or [])
    problem, folder = prepare(loaded, asked, seeds, out)
    print(announce(problem, asked, seeds), file=sys.stderr, flush=True)
    if folder.begun:
        print(f"Going on in {folder.path}", file=sys.stderr, flush=True)
    width = max(len(a.label) for a in asked)

    def tell(row: Row, there: bool) -> None:
        runs = number_of(row.model_runs or 0, "run")
        told = "cannot run" if row.error else f"J {row.misfit:.6g}, {runs}"
        text = f"{row.method:<{width}}  seed {row.seed}: {told}{' (done before)' * there}"
        print(text, file=sys.stderr, flush=True)

    command = shlex.join(["caliche", *sys.argv[1:]])
    try:
        found = compare_methods(loaded, asked, seeds, folder.path, tell, command)
    except KeyboardInterrupt:
        if not folder.path.exists():
            raise
        typer.echo(
            f"caliche: interrupted; what was finished is in {folder.path}, and the same command "
            f"with --out {folder.path} goes on",
            err=True,
        )
        raise SystemExit(INTERRUPTED) from None
    held = held_words(found.summary["hyperparameters"])
    if held:
        print(f"\n{held}")
    print_headline(found.summary)
    print_comparison(found.rows)
    print_notes(remark["sentence"] for remark in found.summary["verdict"]["remarks"])
    typer.echo(f"\nTable: {found.folder / 'compare.csv'}")
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
