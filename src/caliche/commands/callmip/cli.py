"""`caliche callmip`: its commands, their options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caliche.terminal.exits import BAD_INPUT, NOT_CONVERGED
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


@callmip.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the new entry.")],
    sites: Annotated[
        list[str],
        typer.Option(
            metavar="SITE", help="Towers, with commas or repeated; `calibration` stands for all 21."
        ),
    ],
    scenario: Annotated[int, typer.Option(help="3 (LE), 4 (H) or 6 (LE and H).")] = 6,
    model: Annotated[
        str, typer.Option(help="Model and version in the names of files.")
    ] = "caliche-LaD.v1",
    weather: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE=EXPERIMENT",
            help="Take forcing, model and priors of an experiment, where there is no PLUMBER2 "
            "file. Repeatable.",
        ),
    ] = None,
    hold_out: Annotated[
        int | None, typer.Option(metavar="N", help="Keep one week of N from the calibration.")
    ] = None,
) -> None:
    """Begin an entry: callmip.toml and an experiment a tower.

    Flux files (SITE_daily_aggregated_*_Flux.nc) and PLUMBER2 weather (SITE_*_Met.nc) are looked for
    in FOLDER and in CALICHE_DATA/callmip. Every file that is missing is named, with where to get
    it, and then nothing is written.
    """
    from caliche.commands.callmip.prepare import start_entry
    from caliche.errors import InputError
    from caliche.terminal.tables import print_notes

    chosen = [code.strip() for said in sites for code in said.split(",") if code.strip()]
    taken = {}
    for said in weather or []:
        code, equals, experiment = said.partition("=")
        if not equals:
            raise InputError("--weather SITE=EXPERIMENT", repr(said), f"--weather {said}=FILE.toml")
        taken[code.strip()] = experiment.strip()
    remarks = start_entry(folder, chosen, scenario, model, taken, hold_out)
    typer.echo(f"Wrote {folder / 'callmip.toml'}. Look it over, then: caliche callmip run {folder}")
    print_notes(remarks)


@callmip.command()
def run(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an entry.")],
    leave_out: Annotated[
        bool, typer.Option(help="Calibrate once more without each tower, and score it there.")
    ] = False,
    json_: JsonOption = None,
) -> None:
    """Run an entry: prior, joint calibration, posterior, files.

    Writes output/ (two files a tower), weather/ and calibration.json into the folder, and checks
    the files. Fits that are done are kept: the same command goes on. Exit code 3 if the calibration
    did not converge, 2 if a file fails.
    """
    from caliche.runtime import configure

    configure()
    from caliche.callmip.check import check_outputs
    from caliche.commands.callmip.calibrate import KEPT
    from caliche.commands.callmip.run import run_entry
    from caliche.commands.callmip.words import check_lines, run_lines
    from caliche.terminal.options import command_line
    from caliche.terminal.progress import Progress
    from caliche.terminal.stop import stoppable
    from caliche.terminal.tables import print_notes, wrapped

    what = f"finished fits are kept in {folder / KEPT}"
    kept = (folder / KEPT).is_file
    with stoppable(what, folder, folder, kept), Progress(f"Calibrating {folder}") as progress:
        found = run_entry(folder, leave_out, progress.say, command_line())
    for line in run_lines(found):
        typer.echo(wrapped(line))
    print_notes([*found["warnings"], *found["notes"]])
    looked = check_outputs(folder)
    typer.echo("")
    for line in check_lines(looked):
        typer.echo(wrapped(line))
    typer.echo(f"\nNext: caliche callmip score {folder}")
    if json_ is not None:
        json_.write(found)
    if not looked.passed:
        raise typer.Exit(BAD_INPUT)
    if not found["converged"]:
        raise typer.Exit(NOT_CONVERGED)
