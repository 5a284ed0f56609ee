"""`caliche simulate`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import ExperimentArgument, SetOption, new_folder_option


def simulate(
    experiment: ExperimentArgument,
    out: Annotated[Path | None, new_folder_option("runs/EXPERIMENT-simulation-TIME")] = None,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Forward run: the model once, as configured, with its scores."""
    from caliche.terminal.tables import print_scores
    from caliche.terminal.workbench import loader

    load = loader()
    from caliche.commands.simulate.run import run_simulation

    folder, scores = run_simulation(load(experiment, set_ or []), out)
    print_scores("The model with the values of the configuration:", scores)
    typer.echo(f"\nSeries: {folder / 'simulation.nc'}")
    if json_ is not None:
        json_.write(scores)
