"""Commands that look at a problem without solving it: `identify` and `design`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from caliche.cli_options import ExperimentArgument, SetOption
from caliche.errors import InputError
from caliche.wording import number_of

At = Annotated[
    str | None,
    typer.Option(
        metavar="POINT",
        help="Where to linearise: truth (of a twin), initial, or the folder of a run. "
        "[default: truth for a twin, else initial]",
    ),
]


def identify(
    experiment: ExperimentArgument,
    at: At = None,
    points: Annotated[
        int, typer.Option(help="Give the verdicts at so many more points, drawn over the ranges.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the points.")] = 0,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything there as well.")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Say which parameters the observations can identify.

    Needs no fit: it follows from the exact derivatives at one point, and holds near it, for the
    declared errors. Exit code 0, or 2 for bad input.
    """
    _check_file(json_)
    load = _workbench()
    from caliche.cli_output import print_table
    from caliche.experiments.identify import identify_experiment
    from caliche.report import identify_words as words

    summary = identify_experiment(load(experiment, set_ or []), at, points, seed)
    typer.echo(_wrapped(words.headline(summary)) + "\n")
    header, rows = _without_empty(words.HEADER, words.rows(summary))
    narrow = ["prior sd", "unit", "shrinkage", "value ± sd"]
    print_table(header, rows, drop=[name for name in narrow if name in header])
    typer.echo()
    sentences = words.sentences(summary)
    for sentence in sentences:
        typer.echo(_wrapped(sentence))
    if summary["points"]:
        number, failed = summary["points"]["number"], summary["points"]["failed"]
        lost = f" (the model failed at {failed})" if failed else ""
        typer.echo(f"\nVerdicts at {number_of(number, 'point')} over the ranges{lost}:")
        print_table(*words.point_rows(summary), drop=["unit"])
    if json_ is not None:
        _write_json(json_, {**summary, "sentences": sentences})


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
    top: Annotated[int, typer.Option(help="How many sets to list.")] = 10,
    at: At = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write: every set as CSV and JSON, and a figure."),
    ] = None,
    set_: SetOption = None,
) -> None:
    """Rank depths and sensors by what they would tell.

    Needs no fit and no data but the forcing. Exit code 0, or 2 for bad input.
    """
    wanted, errors = _numbers(depths), _sigmas(sigma or [])
    others = None if streams is None else [n.strip() for n in streams.split(",") if n.strip()]
    if others == ["none"]:
        others = []
    load = _workbench()
    from caliche.cli_output import print_table
    from caliche.experiments.design import design_experiment, summarise, write_design
    from caliche.experiments.run import new_folder
    from caliche.report import design_words as words

    loaded = load(experiment, set_ or [])
    folder = None if out is None else new_folder(out, loaded.config.name)
    found = design_experiment(loaded, wanted, others, errors, size, add, autocorrelation, at)
    best = found.best(by)
    typer.echo(_wrapped(words.headline(found)) + "\n")
    print_table(*words.best_for_each(found), drop=["now"])
    typer.echo()
    typer.echo(_wrapped(words.ranking(found, by, min(top, len(best)))))
    print_table(*words.rows(found, best[:top]), drop=["cond", "d"])
    for line in words.legend(found):
        typer.echo(_wrapped(line))
    if folder is not None:
        from caliche.report.design_figure import write_design_figure

        write_design(found, folder)
        figure = write_design_figure(summarise(found), folder)
        typer.echo(f"\nWritten: {folder / 'design.csv'}, design.json"
                   + (f", {figure.name} and .png" if figure else ""))  # fmt: skip


def _workbench():
    """The heavy imports, with JAX set up before its first computation."""
    from caliche.runtime import configure

    configure()
    from caliche.experiments import load_experiment

    return load_experiment


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


def _check_file(path: Path | None) -> None:
    """Before any computation: can the file be written?"""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InputError("a file that can be written", str(path), "a file in a folder that exists")


def _write_json(path: Path, summary: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            "a file that can be written", f"{path}: {error.strerror}", "another --json"
        ) from None
    typer.echo(f"\nWritten: {path}")


def _without_empty(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without columns that say the same of every row: flat priors have no shrinkage."""
    kept = [k for k in range(len(header)) if {row[k] for row in rows} not in ({""}, {"flat"})]
    return [header[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _wrapped(text: str) -> str:
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, 100)
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip
