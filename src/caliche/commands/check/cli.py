"""`caliche check`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import ExperimentArgument, SetOption


def check(
    experiment: ExperimentArgument,
    prior_predictive: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Draws of the prior to hold the data against; 0: none. [default: 79]"
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw what the prior predicts: .png, .svg or .pdf."),
    ] = None,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Check data, clock, gradients and priors (prior predictive).

    Finds what would stop `caliche estimate`, says what it would cost, and whether the observations
    lie within what the priors can produce. Writes nothing but the figure and the JSON, if asked.
    """
    from caliche.terminal.workbench import loader

    load = loader()
    from caliche.commands.check.figures import write_prior_figure
    from caliche.commands.check.run import check_experiment, check_figure_path
    from caliche.sensitivity.prior_predictive import MEMBERS

    members = MEMBERS if prior_predictive is None else prior_predictive
    check_figure_path(figure, members)
    drawn, found = [], []
    loaded = load(experiment, set_ or [])
    for line in check_experiment(loaded, members, drawn.append, found.append):
        typer.echo(line)
    if figure is not None and drawn:
        write_prior_figure(drawn[0], figure)
        typer.echo(f"Figure      {figure}")
    if json_ is not None:
        json_.write(found[0])
