"""`caliche compare`: the command, its progress and its table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from caliche.experiments.compare import Row


def compare(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", help="A bundled name (see `caliche experiments`) or a TOML file."
        ),
    ],
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
        typer.Option(
            help="Folder to write; must not exist. [default: runs/EXPERIMENT-compare-TIME]"
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As in `estimate`. Repeatable."),
    ] = None,
) -> None:
    """Estimate with several methods from several seeds.

    Says first what it will cost. Writes a folder with compare.csv, compare.json and config.toml.
    Exit code 0 if every run converged, 3 if one did not, 2 for bad input.
    """
    from caliche.cli import INTERRUPTED, NOT_CONVERGED
    from caliche.runtime import configure

    configure()
    from caliche.experiments import load_experiment
    from caliche.experiments.compare import announce, compare_methods, read_methods
    from caliche.experiments.run import new_folder

    asked = read_methods(methods)
    loaded = load_experiment(experiment, set_ or [])
    folder = new_folder(out, f"{loaded.config.name}-compare")
    print(announce(loaded, asked, max(seeds, 1)), file=sys.stderr, flush=True)
    width = max(len(a.label) for a in asked)

    def tell(row: Row) -> None:
        told = "cannot run" if row.error else f"J {row.misfit:.6g}, {row.model_runs} runs"
        text = f"{row.method:<{width}}  seed {row.seed}: {told}"
        print(text, file=sys.stderr, flush=True)

    command = shlex.join(["caliche", *sys.argv[1:]])
    try:
        found = compare_methods(loaded, asked, seeds, folder, tell, command)
    except KeyboardInterrupt:
        if not folder.exists():
            raise
        typer.echo(f"caliche: interrupted; what was finished is in {folder}", err=True)
        raise SystemExit(INTERRUPTED) from None
    print_comparison(found.rows)
    typer.echo(f"\nTable: {found.folder / 'compare.csv'}")
    if not all(row.converged for row in found.rows):
        raise typer.Exit(NOT_CONVERGED)


def print_comparison(rows: Sequence[Row]) -> None:
    """One row a method and seed, then why some did not converge."""
    from caliche.cli_output import print_table

    twin = any(row.from_truth is not None for row in rows)
    lowest = min((row.misfit for row in rows if row.misfit == row.misfit), default=0.0)
    table = []
    for row in rows:
        if row.error:
            table.append([row.method, str(row.seed), "cannot run"] + [""] * (5 + twin))
            continue
        cells = [row.method, str(row.seed), "yes" if row.converged else "NO"]
        cells += [f"{row.misfit:.6g}", f"{row.misfit - lowest:.2g}", _number(row.from_best)]
        if twin:
            cells.append(_number(row.from_truth))
        cells += [f"{row.model_runs:,}", f"{row.run_seconds:.2f}", f"{row.compile_seconds:.1f}"]
        table.append(cells)
    header = ["method", "seed", "converged", "misfit J", "above lowest", "from best, sd"]
    header += ["from truth, sd"] if twin else []
    header += ["model runs", "run, s", "compile, s"]
    table = [row + [""] * (len(header) - len(row)) for row in table]
    print()
    print_table(header, table, drop=["above lowest", "compile, s"])
    told = dict.fromkeys(
        f"{row.method}, seed {row.seed}: {row.reason}" for row in rows if not row.converged
    )
    for text in told:
        print(f"\nNote: {text}")


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2g}"
