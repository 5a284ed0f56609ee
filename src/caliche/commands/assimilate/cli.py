"""`caliche assimilate`: a record window by window. Nothing heavy is imported before that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.errors import InputError
from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import ExperimentArgument, SetOption, command_line, out_option
from caliche.terminal.progress import Progress
from caliche.terminal.stop import FreshOption, folder_of, stoppable
from caliche.wording import number_of

if TYPE_CHECKING:
    from caliche.commands.assimilate.summary import AssimilationSummary


def assimilate(
    experiment: ExperimentArgument,
    window: Annotated[float, typer.Option(metavar="DAYS", help="Length of a window.")],
    drift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]SD",
            help="How far parameters may wander from window to window, in prior standard "
            "deviations: one number for all, or albedo=0.3. Repeatable. [default: not at all]",
        ),
    ] = None,
    forget: Annotated[
        float,
        typer.Option(
            help="With each window, earlier observations count 1/FORGET of what they did; 1: "
            "nothing is forgotten."
        ),
    ] = 1.0,
    out: Annotated[Path | None, out_option("runs/EXPERIMENT-windows-TIME")] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: SetOption = None,
) -> None:
    """4D-Var windows: data assimilation, window by window.

    Each window hands its state and posterior to the next, and is forecast before it is
    assimilated. Writes a folder with result.nc, summary.json, config.toml and assimilation.html.
    Exit code 0 if every window converged, 3 if some did not, 2 for bad input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.assimilate.page import write_assimilation_page
    from caliche.commands.assimilate.run import run_assimilation, window_settings
    from caliche.experiments import load_experiment

    loaded = load_experiment(experiment, set_ or [])
    name, drifting = loaded.config.name, drifts(drift or [])
    window_settings(loaded, window, drifting, forget)  # before anything is said or written
    folder = folder_of(out, f"{name}-windows", fresh)
    with (
        stoppable(
            f"finished windows are kept in {folder}", folder, out, (folder / "run.json").is_file
        ),
        Progress(f"Assimilating {name}", f"Assimilating {name} (compiling first)") as progress,
    ):

        def tell(number: int, total: int, record: Mapping[str, Any]) -> None:
            text = window_words(number, total, record)
            progress.update(text, number, total, now=number == total)

        run = run_assimilation(loaded, window, folder, drifting, forget, tell, command_line())
    print_assimilation(run.summary)
    typer.echo(f"\nReport: {write_assimilation_page(run.folder)}")
    if json_ is not None:
        json_.write(run.summary)
    if not run.summary.converged:
        raise typer.Exit(NOT_CONVERGED)


def drifts(given: Sequence[str]) -> float | dict[str, float]:
    """What --drift says: one number, or one for each name."""
    found: dict[str, float] = {}
    for text in given:
        name, named, value = text.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            named, name = "=", ""
        if named and not name.strip():
            raise InputError("--drift SD or --drift NAME=SD", text, "--drift albedo=0.3")
    if "" in found and len(given) > 1:
        raise InputError(
            "one --drift for all parameters, or names", " and ".join(given), "name each of them"
        )
    return found.get("", found or 0.0)


def window_words(number: int, total: int, record: Mapping[str, Any]) -> str:
    """A window that is finished, see `caliche.assimilation.windows.Callback`."""
    chi = sum(i["chi_square"] for i in record["innovations"].values())
    freedom = sum(i["freedom"] for i in record["innovations"].values())
    what = f"chi-square of the forecast {chi / freedom:.3g}" if freedom else record["reason"]
    return (
        f"window {number} of {total}  {number_of(record['observations'], 'observation')}  "
        f"{what}  {number_of(record['iterations'], 'iteration')}"
    )


def print_assimilation(summary: AssimilationSummary) -> None:
    """Parameters in the first and the last window, how windows were forecast, and warnings."""
    from caliche.report.numbers import plain, value_and_sd
    from caliche.terminal.tables import print_headline, print_notes, print_table

    windows = summary.windows
    print_headline(summary.title, summary.headline)
    print(f"{summary.sentences[0]}\n")
    known = any(p.truth is not None for p in summary.parameters.values())
    rows = []
    for name, p in summary.parameters.items():
        first, last = (w.parameters[name] for w in (windows[0], windows[-1]))
        row = [name, *(value_and_sd(e.estimate, e.sd) for e in (first, last)), p.unit]
        if known:
            row.insert(3, "" if p.truth is None else plain(p.truth))
        rows.append(row)
    header = ["parameter", "window 1", f"window {len(windows)}", "unit"]
    if known:
        header.insert(3, "truth")
    print_table(header, rows)
    print("\nOne window ahead, from the second window on:")
    cells = [
        [
            name,
            str(s.n),
            *(
                plain(getattr(s, k), 3)
                for k in ("forecast_rmse", "forecast_bias", "analysis_rmse", "chi_square_ratio")
            ),
        ]
        for name, s in summary.streams.items()
    ]
    head = ["stream", "n", "forecast RMSE", "bias", "analysis RMSE", "chi-square / freedom"]
    print_table(head, cells, drop=["bias"])
    print_notes(summary.warnings)
