"""`caliche callmip`: its commands, their options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.terminal.exits import BAD_INPUT
from caliche.terminal.json_file import JsonOption

callmip = typer.Typer(
    help="CalLMIP Phase 1b: prepare, run, check and score an entry.\n\n"
    "`check` and `score` read the files of any model. caliche itself has no carbon: with it "
    "Scenarios 3, 4 and 6 are whole, and the required Scenario 1 is not.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
EntryArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder of an entry, or of its output files.")
]


@callmip.command()
def check(folder: EntryArgument, json_: JsonOption = None) -> None:
    """Check output files of any model before they are uploaded.

    Every file by itself (name, attributes, layout, units, days, values), then the folder; also
    one file. Writes nothing. Exit code 2 if any check fails.
    """
    from caliche.callmip.check import check_outputs
    from caliche.commands.callmip.words import check_lines
    from caliche.keys.records import to_json
    from caliche.terminal.tables import wrapped

    found = check_outputs(folder)
    for line in check_lines(found):
        typer.echo(wrapped(line))
    if json_ is not None:
        json_.write({"passed": found.passed, **to_json(found)})
    if not found.passed:
        raise typer.Exit(BAD_INPUT)


@callmip.command()
def score(folder: EntryArgument, json_: JsonOption = None) -> None:
    """Score output files of any model: RMSE, bias, r, NME, bands.

    Per tower, season and vegetation, beside regressions on the weather (1lin, 3km27) where that is
    at hand, with gains and losses from prior to posterior. Flux files are looked for in the folder
    and in CALICHE_DATA/callmip. Writes scores.json and scores.html into the folder.
    """
    import json

    from caliche.callmip.score import score_outputs
    from caliche.commands.callmip.folder import held_days
    from caliche.commands.callmip.page import SCORES, write_scores_page
    from caliche.commands.callmip.tables import DROP, HEADER, score_rows
    from caliche.files.whole_file import write_text
    from caliche.keys.records import to_json
    from caliche.terminal.options import command_line
    from caliche.terminal.tables import print_notes, print_table, wrapped

    place = folder if folder.is_dir() else folder.parent
    found = score_outputs(folder, held_days(place), command_line())
    write_text(place / SCORES, json.dumps(to_json(found), indent=1, allow_nan=False) + "\n")
    page = write_scores_page(place)
    print_table(HEADER, score_rows(found), drop=DROP)
    typer.echo("")
    for text in found.sentences:
        typer.echo(wrapped(text))
    print_notes(found.notes)
    typer.echo(f"\nPage: {page}")
    if json_ is not None:
        json_.write(to_json(found))
