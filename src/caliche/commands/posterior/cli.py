"""`caliche posterior`: intervals by curvature, by profile and by sampling, side by side.

Nothing heavy is imported before the command needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caliche.terminal.exits import NOT_CONVERGED
from caliche.terminal.json_file import JsonOption
from caliche.terminal.options import (
    bundled_names,
    command_line,
    listed,
    method_option,
    seed_option,
    set_option,
)
from caliche.terminal.progress import Progress, iterations
from caliche.terminal.stop import FreshOption, refuse_state, stoppable

if TYPE_CHECKING:
    from caliche.commands.posterior.run import Progress as News
    from caliche.runs.run_summary import RunSummary


def posterior(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_EXPERIMENT",
            help="Folder of a run, or an experiment, which is then calibrated first.",
            autocompletion=bundled_names,
        ),
    ],
    method: Annotated[
        list[str] | None,
        method_option(
            "laplace, profile, nuts, etki, eki, 4denvar, ensembles (the last three) or all; with "
            "commas between them or the option repeated. [default: laplace, profile]",
            "NAME,...",
        ),
    ] = None,
    declared: Annotated[
        bool,
        typer.Option(
            "--declared",
            help="Use the declared errors as they are, whatever the residuals say.",
        ),
    ] = False,
    chains: Annotated[int, typer.Option(help="Chains of nuts.")] = 4,
    warmup: Annotated[int, typer.Option(help="Steps of each chain that adapt the sampler.")] = 500,
    draws: Annotated[int, typer.Option(help="Draws of each chain.")] = 1000,
    target: Annotated[
        float, typer.Option(help="Acceptance rate of nuts; higher takes shorter steps.")
    ] = 0.8,
    members: Annotated[int, typer.Option(help="Members of each ensemble.")] = 200,
    seed: Annotated[int, seed_option()] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write, for an experiment; must not exist. [default: "
            "runs/EXPERIMENT-TIME]"
        ),
    ] = None,
    fresh: FreshOption = False,
    json_: JsonOption = None,
    set_: Annotated[list[str] | None, set_option("an experiment (a run stays as it is)")] = None,
) -> None:
    """Error bars by profile likelihood, MCMC (NUTS) and ensembles.

    Adds posterior.json and posterior.nc to the folder of the run, the draws to its result.nc in
    groups that ArviZ reads, and a section to its report. A sampler that was stopped goes on. Exit
    code 0, 3 if the draws cannot be relied upon, 2 for bad input.
    """
    from caliche.runtime import configure

    configure()
    from caliche.commands.posterior.agreement import METHODS
    from caliche.commands.posterior.ensembles import ENSEMBLES
    from caliche.commands.posterior.run import CHECKPOINT, Options, run_posterior, unusable
    from caliche.posterior.sampling import Settings, need_blackjax
    from caliche.report import write_report
    from caliche.report.run.folder import read_run
    from caliche.report.run.posterior import read_posterior
    from caliche.runs.open_run import is_run

    chosen = listed(method or ["laplace", "profile"])
    chosen = list(METHODS) if "all" in chosen else chosen
    if "ensembles" in chosen:
        chosen = [name for name in chosen if name != "ensembles"] + list(ENSEMBLES)
    settings = Settings(chains, warmup, draws, seed, target)
    options = Options(chosen, not declared, settings, members)
    if "nuts" in chosen:
        need_blackjax()
    if is_run(run):
        _refuse_for_runs(out, set_)
        folder = Path(run)
        if fresh:
            refuse_state(folder / CHECKPOINT)
    else:
        folder = _calibrate(run, out, set_ or [])
    there = read_run(folder)  # a damaged folder is told before anything is computed
    read_posterior(folder, there.local_time.size)
    again = f"`caliche posterior {folder}` with the same options"
    with (
        stoppable(f"what was sampled is kept in {folder}", folder, out, folder.exists, again),
        Progress(f"Posterior of {folder.name}") as progress,
    ):
        kind = ""

        def tell(news: News) -> None:
            nonlocal kind
            before, kind = kind, news.what.partition(",")[0]
            text = f"{news.what} {news.done} of {news.total}" if news.total else news.what
            progress.update(text, news.done, news.total or None, now=kind != before)

        summary = run_posterior(folder, options, tell, command_line())
    print_posterior(summary, there.summary)
    typer.echo(f"\nReport: {write_report(folder)}")
    if json_ is not None:
        json_.write(summary)
    if unusable(summary) & set(chosen):
        raise typer.Exit(NOT_CONVERGED)


def _refuse_for_runs(out: Path | None, set_: list[str] | None) -> None:
    from caliche.errors import InputError

    for flag, value in (("--out", out), ("--set", set_)):
        if value:
            raise InputError(
                "a run as it is, in its own folder",
                f"{flag}",
                "leave it out, or give an experiment",
            )


def _calibrate(experiment: str, out: Path | None, set_: list[str]) -> Path:
    """Calibrate an experiment first; the folder of the run."""
    from caliche.experiments import load_experiment
    from caliche.runs.folder import new_folder
    from caliche.runs.run import run_experiment

    loaded = load_experiment(experiment, set_)
    name = loaded.config.name
    folder = new_folder(out, name)
    loaded.problem()  # bad data are told before any progress is shown
    with Progress(f"Calibrating {name}", f"Calibrating {name} (compiling first)") as progress:
        tell = iterations(progress)
        return run_experiment(loaded, out=folder, callback=tell, command=command_line()).folder


def print_posterior(summary: Mapping[str, Any], run: RunSummary) -> None:
    """What is to be said of the run, intervals side by side, then what to make of them."""
    from caliche.report.run.posterior_tables import (
        METHODS,
        SKILL_HEADER,
        SKILL_TITLE,
        interval_text,
        skill_rows,
        skill_window,
    )
    from caliche.terminal.tables import print_headline, print_notes, print_table

    present = [m for m in METHODS if any(p.get(m) for p in summary["parameters"].values())]
    rows = [
        [name, *(interval_text(entry, m) for m in present), entry["unit"]]
        for name, entry in summary["parameters"].items()
    ]
    if run.verdict is not None:  # older runs have none
        print_headline(run.title, run.verdict.headline)
    print("95 % intervals")
    print_table(["parameter", *(METHODS[m] for m in present), "unit"], rows)
    print(f"\n{summary['explanation']}")
    for name, entry in summary["parameters"].items():
        verdict = entry.get("profile", {}).get("verdict")
        if verdict:
            print(f"\nNote: {name}: {verdict}.")
    rows = skill_rows(summary)
    if rows:
        print(f"\n{SKILL_TITLE[skill_window(summary)]}")
        print_table(SKILL_HEADER, rows, drop=["width of band", "n"])
    notes = [*summary.get("profile", {}).get("warnings", ()), *summary["agreement"]]
    if "nuts" in summary:
        notes.append(f"NUTS: {summary['nuts']['verdict']}")
    notes += [f"{METHODS[n]}: {said['verdict']}" for n, said in summary["ensembles"].items()]
    print_notes(notes)
