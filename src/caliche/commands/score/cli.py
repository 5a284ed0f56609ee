"""`caliche score RUN`: every score of a run, and the benchmarks its fluxes are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.errors import InputError
from caliche.terminal.json_file import JsonOption
from caliche.wording import listing

if TYPE_CHECKING:
    import xarray as xr

    from caliche.evaluation.benchmarks import Comparison
    from caliche.evaluation.scorecard.card import Scorecard
    from caliche.evaluation.scores import Score
    from caliche.evaluation.structural_error import StreamStructure
    from caliche.report.run.folder import RunFolder

# Column -> entry of a score.
_COLUMNS = {
    "RMSE": "rmse",
    "MAE": "mae",
    "bias": "bias",
    "bias %": "percent_bias",
    "r": "r",
    "R2": "r2",
    "NSE": "nse",
    "KGE 2009": "kge_2009",
    "KGE 2012": "kge_2012",
    "overlap": "overlap",
    "5 % error": "error_p05",
    "95 % error": "error_p95",
    "NME": "nme",
}
# What a narrow terminal does without, first to last.
_DROP_CARD = ("control's", "sd ratio", "control", "RMSE", "n")
_DROP = ("R2", "KGE 2009", "NME", "bias %", "95 % error", "5 % error", "MAE", "r", "overlap")


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    against: Annotated[
        Path | None,
        typer.Option(metavar="CONTROL", help="Folder of a control run, for a scorecard."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the scorecard as an HTML page.")
    ] = None,
    json_: JsonOption = None,
) -> None:
    """Scores (RMSE, NSE, KGE) beside regressions on the weather.

    Reads the run folder alone. Scores are of the hold-out, or of the fit if nothing was held out.
    Then what of the misfit depends on hour, month, rain, wind or radiation, and whether parameters
    could do anything about it. With --against, where the run is better or worse than a control run.
    """
    if page is not None and against is None:
        raise InputError("a control run for the page", "none", "add --against CONTROL")
    from caliche.commands.score.scorecard import card_of_runs
    from caliche.evaluation.benchmarks import compare, held_out, observed_streams
    from caliche.evaluation.scores import score as score_series
    from caliche.keys.records import to_json
    from caliche.report.run.folder import read_run
    from caliche.report.run.structure import structural_entries
    from caliche.variables import VARIABLES

    folder = read_run(run)
    results = folder.results
    names, held = observed_streams(results), held_out(results)
    steps = held if held.any() else ~held
    temperatures = {name for name, v in VARIABLES.items() if v.unit == "K"}
    scores = {
        name: score_series(
            folder.series(f"{name}_observed")[steps],
            folder.series(f"{name}_modelled")[steps],
            not any(name.startswith(t) for t in temperatures),
        )
        for name in names
    }
    card = None if against is None else card_of_runs(folder, against)
    compared, structure = compare(results), structural_entries(folder)
    _print(folder, bool(held.any()), scores, compared)
    _print_structure(structure)
    if card is not None and against is not None:
        _print_scorecard(folder, card, against, page)
    if json_ is not None:
        found = _as_json(bool(held.any()), scores, compared)
        more = {} if card is None else {"scorecard": asdict(card)}
        json_.write({**found, "structural_error": to_json(structure), **more})


def _print_scorecard(folder: RunFolder, card: Scorecard, against: Path, page: Path | None) -> None:
    """Print where a run is better or worse than another, and write the page."""
    from caliche.commands.score.page import write_scorecard_page
    from caliche.report.scorecard import sentences, table_rows
    from caliche.terminal.tables import print_table

    name = f"the run in {against}"
    typer.echo(f"\nScorecard against {name}; negative changes are better:")
    header, rows = table_rows(card)
    print_table(
        [h for h in header if h != "site"], [[row[0], *row[2:]] for row in rows], drop=_DROP_CARD
    )
    for sentence in sentences(card, name):
        typer.echo(sentence)
    if page is not None:
        written = write_scorecard_page(page, card, folder.summary.title, name)
        typer.echo(f"\nScorecard: {written}")


def _as_json(held: bool, scores: Mapping[str, Score], compared: list[Comparison]) -> dict[str, Any]:
    benchmarks = {
        c.stream: {
            "n_training": c.n_training,
            "scores": {name: asdict(s) for name, s in c.scores.items()},
            "normalised": {n: v if math.isfinite(v) else None for n, v in c.normalised.items()},
            "beats": c.beaten,
            "loses_to": c.lost_to,
            "notes": dict(c.notes),
        }
        for c in compared
    }
    return {
        "period": "holdout" if held else "fit",
        "scores": {name: asdict(s) for name, s in scores.items()},
        "benchmarks": benchmarks,
    }


def _print(
    folder: RunFolder, held: bool, scores: Mapping[str, Score], compared: list[Comparison]
) -> None:
    from caliche.evaluation.verdict import score_remarks
    from caliche.report.run.validation import (
        benchmark_caveat,
        benchmark_notes,
        plausibility_sentences,
        verdict,
    )
    from caliche.terminal.tables import print_headline, print_notes, print_table

    fitted = {stream.name for stream in folder.streams if stream.fitted}
    if folder.summary.verdict is not None:
        print_headline(folder.summary.title, folder.summary.verdict.headline)
    when = "Hold-out" if held else "Nothing was held out. Scores of the fit"
    typer.echo(f"{when}, {which_steps(folder.results, list(scores))}:")
    rows = [
        [name + ("" if name in fitted else " (not fitted)"), *_cells(s)]
        for name, s in scores.items()
    ]
    print_table(["stream", "n", *_COLUMNS], rows, drop=_DROP)
    for c in compared:
        typer.echo(f"\n{c.stream}: {verdict(c)}")
        rows = [[name, _number(c.normalised[name]), *_cells(s)] for name, s in c.scores.items()]
        print_table(["", "score", "n", *_COLUMNS], rows, drop=_DROP)
        for note in benchmark_notes(c):
            typer.echo(note)
    if compared:
        typer.echo("\nscore: seven metrics scaled from 0, best of those compared, to 1, worst.")
        typer.echo(benchmark_caveat(compared))
    for sentence in plausibility_sentences(folder.summary):
        typer.echo(sentence)
    said = score_remarks({name: asdict(s) for name, s in scores.items() if name in fitted})
    known = {remark.sentence for remark in folder.summary.remarks}
    when = "in the hold-out" if held else "in the fit"
    print_notes(f"{remark.sentence} ({when})" for remark in said if remark.sentence not in known)


def which_steps(results: xr.Dataset, names: Sequence[str]) -> str:
    """Which steps scores are of: measured ones, where quality flags tell which these are."""
    bare = [n for n in names if results[f"{n}_observed"].attrs.get("quality_flags", 0) == 0]
    if not bare:
        return "measured steps only"
    which = "" if len(bare) == len(names) else f" for {listing(bare)}"
    return (
        f"steps with a value (no quality flags{which}: measured and gap-filled values cannot be "
        "told apart)"
    )


def _print_structure(entries: Mapping[str, StreamStructure]) -> None:
    """What of each stream's misfit goes with hour, month, rain, wind and radiation."""
    from caliche.report.run.structure import KINDS, shares
    from caliche.terminal.tables import print_table

    if not entries:
        return
    typer.echo("\nStructural error, % of each misfit (- not seen beyond chance), whole record:")
    rows = [
        [name, f"{entry.rms:.3g} {entry.unit}".removesuffix(" 1"), *shares(entry)]
        for name, entry in entries.items()
    ]
    print_table(["stream", "RMSE", *KINDS.values()], rows)
    for entry in entries.values():
        typer.echo(entry.sentence)


def _cells(s: Score) -> list[str]:
    return [str(s.n), *(_number(getattr(s, key)) for key in _COLUMNS.values())]


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3g}"
