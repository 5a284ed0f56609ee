"""`caliche variants`: the command, its progress and its table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    ExperimentArgument,
    SeedOption,
    command_line,
    out_option,
    set_option,
)
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable
from caliche.wording import number_of

# The widest table in a pipe, where nobody says how wide it may be.
WIDEST = 110
MOST = 40  # characters of a line of a column of words
FEW = 12  # sentences that are printed


def variants(
    experiment: ExperimentArgument,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Only these, separated by commas: albedo, emissivity, closure, longwave, dz, dt, "
            "scheme, depth, bottom, layers, initial, window, own, or single variants.",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: KEY=VALUE; ...'",
            help="A variant of your own, in the keys of --set. Repeatable.",
        ),
    ] = None,
    starts: Annotated[
        int, typer.Option(help="Number of points from which each search starts.")
    ] = 5,
    seed: SeedOption = None,
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-variants-TIME")] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: Annotated[list[str] | None, set_option("the base and all variants")] = None,
) -> None:
    """Structural uncertainty: other choices of model and data.

    Writes a folder with variants.json, variants.csv, variants.html and a configuration of each
    variant. Exit code 0 if the base and all variants that could run converged, 3 if one did not, 2
    for bad input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.variants.page import write_variants_page
    from caliche.commands.variants.run import chosen_variants, first_guesses, run_variants
    from caliche.experiments import load_experiment

    given = [] if seed is None else [f"method.seed={seed}"]
    loaded = load_experiment(experiment, [*(set_ or []), *given])
    names = [word.strip() for word in (only or "").split(",") if word.strip()]
    own = variant or []
    number = len(chosen_variants(loaded, first_guesses(loaded), names, own))
    name = loaded.config.name
    folder = folder_of(out, f"{name}-variants", fresh)
    with (
        stoppable(
            f"finished variants are kept in {folder}", folder, out, (folder / "run.json").is_file
        ),
        Progress(f"Variants of {name}") as progress,
    ):
        progress.say(
            f"{name} and {number_of(number, 'variant')} of it, each from "
            f"{number_of(starts, 'start')}; most compile a program of their own, some seconds "
            f"each. Folder: {folder}"
        )

        def tell(done: int, of: int, record: Mapping[str, Any], before: bool) -> None:
            progress.say(variant_words(done, number, record, before))

        run = run_variants(loaded, folder, names, own, starts, tell, command_line())
    print_variants(run.summary)
    typer.echo(f"\nPage: {write_variants_page(run.folder)}")
    typer.echo(f"Table: {run.folder / 'variants.csv'}")
    if json_ is not None:
        json_.write(run.summary)
    if not run.converged:
        raise typer.Exit(NOT_CONVERGED)


def variant_words(number: int, of: int, record: Mapping[str, Any], before: bool) -> str:
    """A variant that is finished, see `caliche.commands.variants.run.Callback`."""
    status, taken = record["status"], record["seconds"]
    told = "" if status == "converged" else f", {status.upper()}: {record['reason']}"
    when = "done before" if before else f"{taken:.1f} s"
    line = f"[{number:>{len(str(of))}}/{of}] {record['name']}: {when}{told}"
    if number == 0 and not before and status == "converged" and of:
        # The base has the most starts, and a scoring run of its own: a fair guess for all.
        line += f"; about {duration(taken * of)} for the variants"
    return line


def duration(seconds: float) -> str:
    """Seconds up to two minutes, then minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def print_variants(summary: Mapping[str, Any]) -> None:
    """The table, then what it shows."""
    from caliche.commands.variants.words import of_status
    from caliche.terminal.tables import wrapped

    base, variants = summary["base"], summary["variants"]
    print()
    if base["status"] != "converged":
        print(f"{summary['title']}: the base DID NOT CONVERGE: {base['reason']}")
        return
    ran = [v for v in variants if v["status"] != "cannot run"]
    if "verdict" in base:
        print(f"{summary['title']}: base {base['verdict']['headline']}\n")
    print(f"{number_of(len(ran), 'variant')}, and how far the estimates move")
    print("Estimate, and in brackets its shift in standard deviations of the base.\n")
    print_tables(base, ran)
    print()
    held = base["holdout_rmse"]
    notes = [
        "=: fixed.  *: fitted to other observations, or held out over another period.",
        f"RMSE over the fitted streams, {(base['rmse'] or {'unit': 'sigma'})['unit']}"
        + (f"; hold-out {held['unit']}, of {', '.join(held['streams'])}." if held else "."),
        "ΔBIC: tempered BIC above the base's; negative is better. The residuals of "
        f"{summary['effective_observations_of']} leave "
        f"{summary['effective_observations']:.0f} independent observations.",
    ]
    for note in notes:
        print(wrapped(note))
    for text in summary["sentences"][:FEW]:
        print("\n" + wrapped(text))
    if len(summary["sentences"]) > FEW:
        more = number_of(len(summary["sentences"]) - FEW, "more such sentence")
        print(f"\nand {more}, see variants.json")
    print("\n" + wrapped(" ".join(summary["conclusion"])))
    for text in base.get("warnings", ()):
        print("\n" + wrapped(f"Note on the base: {text}"))
    for status, title in (("cannot run", "Not run:"), ("did not converge", "Did not converge:")):
        lines = of_status(variants, status)
        if lines:
            print(f"\n{title}")
            for line in lines:
                print(wrapped(line, "  ", "    "))


def print_tables(base: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> None:
    """One table, or if it is too wide, one of the fits and then one or more of the estimates."""
    from caliche.commands.variants.words import free_parameters
    from caliche.terminal.tables import print_table, table_width, terminal_width

    records = [base, *variants]
    name = ["variant", *(r["name"] for r in records)]
    what = ["with", *map(_words, ["as it is", *(v["what"] for v in variants)])]
    estimates = []
    for p in free_parameters(base):
        sd = base["parameters"][p]["sd"]
        cells = [_cell(r["shifts"][p], sd, r is base) for r in records]
        wide = max(8, *(len(line) for cell in cells for line in cell.split("\n")))
        estimates.append([_broken(p, wide), *cells])
    fits = [["RMSE", *(_rmse(r["rmse"], r["comparable"]) for r in records)]]
    if any(r["holdout_rmse"] for r in records):
        held = [_rmse(r["holdout_rmse"], r["holdout_comparable"]) for r in records]
        fits.append(["hold-out", *held])
    fits.append(["ΔBIC", *map(_delta, records)])
    limit = terminal_width() or WIDEST

    def fitting(columns: list[list[str]]) -> bool:
        return table_width(list(zip(*columns, strict=True))) <= limit

    groups = [[name, what, *estimates, *fits]]
    if not fitting(groups[0]):
        groups = [[name, what, *fits], [name]]
        for column in estimates:
            if len(groups[-1]) > 1 and not fitting([*groups[-1], column]):
                groups.append([name])
            groups[-1].append(column)
    for number, group in enumerate(groups):
        if number:
            print()
        header, *rows = zip(*group, strict=True)
        print_table(header, rows)


def _words(text: str) -> str:
    """A cell of words in several lines."""
    return "\n".join(textwrap.wrap(text, MOST)) or ""


def _cell(entries: Sequence[Mapping[str, Any]], sd: float | None, is_base: bool) -> str:
    """Estimate and shift; of several layers one below the other."""
    from caliche.commands.variants.words import signed

    parts = []
    for entry in entries:
        text = _short(entry["estimate"], sd)
        if entry["fixed"]:
            text += " ="
        elif entry["shift"] is not None and not is_base:
            text += f" ({signed(entry['shift'])})"
        parts.append(text)
    return "\n".join(parts) or "–"


def _short(value: float | None, sd: float | None) -> str:
    """A value to two digits of the base's sd, or to four: 0.761, 305.6, 2.65e6."""
    if value is None:
        return "–"
    size = math.floor(math.log10(abs(value))) if value else 0
    last = math.floor(math.log10(sd)) - 1 if sd else size - 3
    last = min(last, size - 1)
    if size >= 5 or size < -3:
        return f"{value / 10.0**size:.{min(size - last, 9)}f}e{size}"
    return f"{value:.{min(max(0, -last), 9)}f}"


def _rmse(value: Mapping[str, Any] | None, comparable: bool) -> str:
    if value is None:
        return "–"
    return f"{value['value']:.3g}{'' if comparable else '*'}"


def _delta(record: Mapping[str, Any]) -> str:
    from caliche.commands.variants.words import signed

    if not record.get("delta"):
        return "*" if not record["comparable"] else "–"
    return "0" if record["name"] == "base" else signed(record["delta"]["tempered_bic"])


def _broken(head: str, width: int) -> str:
    """A name broken at its underscores into lines of about a width."""
    lines = [""]
    for part in head.split("_"):
        if lines[-1] and len(lines[-1]) + len(part) + 1 > width:
            lines.append("")
        lines[-1] += f"{'_' if lines[-1] or len(lines) > 1 else ''}{part}"
    return "\n".join(lines)
