"""`caliche identify`: its options and help."""

from __future__ import annotations

from typing import Annotated

import typer

from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import At, ExperimentArgument, SetOption, seed_option
from caliche.terminal.tables import without_empty, wrapped
from caliche.terminal.workbench import loader
from caliche.wording import number_of


def identify(
    experiment: ExperimentArgument,
    at: At = None,
    points: Annotated[
        int, typer.Option(help="Give the verdicts at so many more points, drawn over the ranges.")
    ] = 0,
    seed: Annotated[int, seed_option()] = 0,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Identifiability: Fisher information, before any fit.

    Needs no fit: it follows from the exact derivatives at one point, and holds near it, for the
    declared errors. Exit code 0, or 2 for bad input.
    """
    load = loader()
    from caliche.commands.identify import words
    from caliche.commands.identify.run import identify_experiment
    from caliche.terminal.tables import print_table

    summary = identify_experiment(load(experiment, set_ or []), at, points, seed)
    typer.echo(wrapped(words.headline(summary)) + "\n")
    header, rows = without_empty(words.HEADER, words.rows(summary))
    narrow = ["prior sd", "unit", "shrinkage", "value ± sd"]
    print_table(header, rows, drop=[name for name in narrow if name in header])
    typer.echo()
    sentences = words.sentences(summary)
    for sentence in sentences:
        typer.echo(wrapped(sentence))
    if summary["points"]:
        number, failed = summary["points"]["number"], summary["points"]["failed"]
        lost = f" (the model failed at {failed})" if failed else ""
        typer.echo(f"\nVerdicts at {number_of(number, 'point')} over the ranges{lost}:")
        print_table(*words.point_rows(summary), drop=["unit"])
    if json_ is not None:
        json_.write({**summary, "sentences": sentences})
