"""`caliche design`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.errors import InputError
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import At, ExperimentArgument, SetOption
from caliche.terminal.tables import wrapped
from caliche.terminal.workbench import loader


def design(
    experiment: ExperimentArgument,
    depths: Annotated[
        str | None,
        typer.Option(metavar="Z,Z,...", help="Depths of thermometers in m; 0 is the surface."),
    ] = None,
    streams: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Other sensors, such as outgoing_longwave,ground_heat_flux_0.08m; none for none. "
            "[default: all that the model gives]",
        ),
    ] = None,
    sigma: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SIGMA",
            help="Error of a stream or quantity, as in soil_temperature=0.3. Repeatable. "
            "[default: the experiment's, else typical ones]",
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Largest set. [default: 3]")] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Put the sensors beside those the experiment has.")
    ] = False,
    autocorrelation: Annotated[
        float, typer.Option(help="Of successive errors of each sensor, 0 to 1.")
    ] = 0.0,
    by: Annotated[
        str, typer.Option(help="Rank by a (parameters), d (volume) or one parameter's name.")
    ] = "a",
    top: Annotated[int, typer.Option(min=1, help="How many sets to list.")] = 10,
    at: At = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; must not exist: every set as CSV and JSON, and a figure. "
            "[default: none]"
        ),
    ] = None,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """Optimal sensor design: the best depths and sensors.

    Needs no fit and no data but the forcing. Exit code 0, or 2 for bad input.
    """
    wanted, errors = _numbers(depths), _sigmas(sigma or [])
    others = None if streams is None else [n.strip() for n in streams.split(",") if n.strip()]
    if others == ["none"]:
        others = []
    load = loader()
    from caliche.commands.design import words
    from caliche.commands.design.run import design_experiment, summarise, write_design
    from caliche.runs.folder import new_folder
    from caliche.terminal.tables import print_table

    loaded = load(experiment, set_ or [])
    folder = None if out is None else new_folder(out, loaded.config.name)
    found = design_experiment(loaded, wanted, others, errors, size, add, autocorrelation, at)
    best = found.best(by)
    typer.echo(wrapped(words.headline(found)) + "\n")
    print_table(*words.best_for_each(found), drop=["now"])
    typer.echo()
    typer.echo(wrapped(words.ranking(found, by, min(top, len(best)))))
    print_table(*words.rows(found, best[:top]), drop=["cond", "d"])
    for line in words.legend(found):
        typer.echo(wrapped(line))
    if folder is not None:
        from caliche.commands.design.figures import write_design_figure

        write_design(found, folder)
        figure = write_design_figure(summarise(found), folder)
        typer.echo(
            f"\nWritten: {folder / 'design.csv'}, design.json"
            + (f", {figure.name} and .png" if figure else "")
        )
    if json_ is not None:
        json_.write(summarise(found))


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        found = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        found = [-1.0]
    if any(not 0.0 <= z < float("inf") for z in found):
        raise InputError("depths in metres", repr(text), "--depths 0,0.05,0.15")
    return found


def _sigmas(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise InputError(
                "a sigma of the form NAME=NUMBER", repr(text), "--sigma soil_temperature=0.3"
            ) from None
    return found
