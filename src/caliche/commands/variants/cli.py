"""`caliche variants`: the command, its progress and its table."""

from __future__ import annotations

import math
import shutil
import sys
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
GAP = "  "
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
        print(_filled(note))
    for text in summary["sentences"][:FEW]:
        print("\n" + _filled(text))
    if len(summary["sentences"]) > FEW:
        more = number_of(len(summary["sentences"]) - FEW, "more such sentence")
        print(f"\nand {more}, see variants.json")
    print("\n" + _filled(" ".join(summary["conclusion"])))
    for text in base.get("warnings", ()):
        print("\n" + _filled(f"Note on the base: {text}"))
    for status, title in (("cannot run", "Not run:"), ("did not converge", "Did not converge:")):
        lines = of_status(variants, status)
        if lines:
            print(f"\n{title}")
            for line in lines:
                print(_filled(line, indent="  "))


def print_tables(base: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> None:
    """One table, or if it is too wide, one of the fits and then one or more of the estimates."""
    from caliche.commands.variants.words import free_parameters

    records = [base, *variants]
    name = _Column("variant", [r["name"] for r in records])
    what = _Column("with", ["as it is", *(v["what"] for v in variants)], words=True)
    estimates = [
        _Column(
            p,
            [_cell(r["shifts"][p], base["parameters"][p]["sd"], r is base) for r in records],
        )
        for p in free_parameters(base)
    ]
    fits = [_Column("RMSE", [_rmse(r["rmse"], r["comparable"]) for r in records])]
    if any(r["holdout_rmse"] for r in records):
        held = [_rmse(r["holdout_rmse"], r["holdout_comparable"]) for r in records]
        fits.append(_Column("hold-out", held))
    fits.append(_Column("ΔBIC", [_delta(r) for r in records]))
    limit = _limit()
    if _width([name, what, *estimates, *fits]) <= limit:
        _print_group([name, what, *estimates, *fits])
        return
    groups = [[name, what, *fits], [name]]
    for column in estimates:
        if len(groups[-1]) > 1 and _width([*groups[-1], column]) > limit:
            groups.append([name])
        groups[-1].append(column)
    for number, group in enumerate(groups):
        if number:
            print()
        _print_group(group)


def _limit() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDEST


def _cell(entries: Sequence[Mapping[str, Any]], sd: float | None, is_base: bool) -> str:
    """Estimate and shift; of several layers one after the other."""
    from caliche.commands.variants.words import signed

    parts = []
    for entry in entries:
        text = _short(entry["estimate"], sd)
        if entry["fixed"]:
            text += " ="
        elif entry["shift"] is not None and not is_base:
            text += f" ({signed(entry['shift'])})"
        parts.append(text)
    return " / ".join(parts) or "–"


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


class _Column:
    """A heading of several lines above cells, some of several lines too."""

    MOST = 40  # characters of a column of words

    def __init__(self, head: str, cells: Sequence[str], words: bool = False) -> None:
        import textwrap

        if words:
            self.head = [head]
            self.cells = [textwrap.wrap(cell, self.MOST) or [""] for cell in cells]
        else:
            self.cells = [cell.split(" / ") for cell in cells]
            self.head = _broken(head, max(8, *(len(t) for cell in self.cells for t in cell)))
        self.width = max(len(line) for lines in [self.head, *self.cells] for line in lines)


def _width(group: Sequence[_Column]) -> int:
    return sum(c.width for c in group) + len(GAP) * (len(group) - 1)


def _broken(head: str, width: int) -> list[str]:
    """A name broken at its underscores into lines of about a width."""
    lines = [""]
    for part in head.split("_"):
        if lines[-1] and len(lines[-1]) + len(part) + 1 > width:
            lines.append("")
        lines[-1] += f"{'_' if lines[-1] or len(lines) > 1 else ''}{part}"
    return lines


def _print_group(group: Sequence[_Column]) -> None:
    height = max(len(c.head) for c in group)
    heads = [[""] * (height - len(c.head)) + c.head for c in group]
    for k in range(height):
        _print_line([head[k] for head in heads], group)
    _print_line(["─" * c.width for c in group], group)
    for row in range(len(group[0].cells)):
        cells = [c.cells[row] for c in group]
        for k in range(max(map(len, cells))):
            _print_line([cell[k] if k < len(cell) else "" for cell in cells], group)


def _print_line(cells: Sequence[str], group: Sequence[_Column]) -> None:
    print(GAP.join(t.ljust(c.width) for t, c in zip(cells, group, strict=True)).rstrip())


def _filled(text: str, indent: str = "") -> str:
    import textwrap

    return textwrap.fill(
        text,
        _limit(),
        initial_indent=indent,
        subsequent_indent=indent + ("  " if indent else ""),
        break_long_words=False,
        break_on_hyphens=False,
    )
