"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import gc
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from caliche.cards.methods import MEMBER_METHODS, METHODS
from caliche.cli_analysis import design, identify
from caliche.cli_assimilate import assimilate
from caliche.cli_compare import compare
from caliche.cli_drive import drive
from caliche.cli_joint import joint
from caliche.cli_options import ExperimentArgument, OutOption, SetOption, new_folder_option
from caliche.cli_parameters import parameters
from caliche.cli_posterior import posterior
from caliche.cli_score import score
from caliche.cli_screen import screen
from caliche.cli_train import train
from caliche.cli_variants import variants
from caliche.errors import InputError

_STARTED = time.perf_counter()
OK, BAD_INPUT, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130
# Typer brings its own click, or uses the installed one; both say so of an unknown option.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="caliche",
    help="Calibrate land-surface models with exact gradients and honest error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def estimate(
    experiment: ExperimentArgument,
    method: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(METHODS)}; without gradients {', '.join(MEMBER_METHODS)}."),
    ] = None,
    starts: Annotated[int | None, typer.Option(help="Number of starting points.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is drawn.")] = None,
    out: OutOption = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run without gradients that was stopped; give its --out again.",
        ),
    ] = False,
    set_: SetOption = None,
) -> None:
    """Calibrate parameters, with error bars and a report.

    Writes a folder with result.nc, summary.json, config.toml and report.html. Exit code 0 if the
    calibration converged, 3 if it ran but did not, 2 for bad input.
    """
    from caliche.cli_output import Progress, print_summary

    load, run_experiment, write_report = _workbench()
    from caliche.experiments.parse import known_method
    from caliche.experiments.run import new_folder, state_file

    imported = time.perf_counter() - _STARTED
    if method is not None:
        known_method(method)
    flags = {"starts": starts, "seed": seed}
    given = [f"method.{key}={value}" for key, value in flags.items() if value is not None]
    loaded = load(experiment, [*(set_ or []), *given])
    folder = new_folder(out, loaded.config.name)
    loaded.problem()  # bad data are told before any progress is shown
    try:
        with Progress(loaded.config.name) as progress:
            run = run_experiment(
                loaded,
                method=method,
                starts=starts,
                out=folder,
                callback=progress.update,
                command=_command(),
                import_seconds=imported,
                resume=resume,
            )
    except KeyboardInterrupt:
        state = state_file(folder)
        if not state.is_file():
            raise
        typer.echo(
            f"caliche: interrupted; {state} is kept, and the same command with --out {folder} "
            "--resume goes on from there", err=True,
        )  # fmt: skip
        raise SystemExit(INTERRUPTED) from None
    print_summary(run.summary)
    report = write_report(run.folder)
    typer.echo(f"\nReport: {report}")
    if not run.result.converged:
        raise typer.Exit(NOT_CONVERGED)


@app.command()
def sites(
    experiment: ExperimentArgument,
    collection: Annotated[
        Path,
        typer.Argument(
            metavar="COLLECTION", help="netCDF file or zarr store with dimensions site and time."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write; a run that was stopped there goes on.")
    ],
    batch: Annotated[int | None, typer.Option(help="Sites read and written together.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Where a site stops, in posterior standard deviations. [default: 1e-4]"),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(help="Devices to use. [default: every core, or every GPU]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="How many processes share the work.")
    ] = None,
    process: Annotated[int | None, typer.Option(help="Which of them this is, from 0.")] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where processes agree on their devices."),
    ] = None,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Take processes and devices from Slurm.")
    ] = False,
    set_: SetOption = None,
) -> None:
    """Calibrate every site of a collection.

    Writes a folder with result.nc, summary.json and config.toml, batch by batch: the same command
    goes on with a run that was stopped. Exit code 0 if every site converged, 3 if some did not, 2
    for bad input.
    """
    from caliche.cli_output import SitesProgress, print_sites
    from caliche.runtime import configure

    configure(devices="all" if devices is None else devices)
    from caliche.experiments import load_experiment
    from caliche.sites import estimate_sites, join

    loaded = load_experiment(experiment, set_ or [])
    share = join(processes, process, coordinator, distributed)
    try:
        with SitesProgress(loaded.config.name) as progress:
            run = estimate_sites(
                loaded, collection, out, batch, tolerance=tolerance, devices=devices, share=share,
                callback=progress.update, command=_command(),
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo(
            f"caliche: interrupted; finished batches are kept in {out}, and the same command goes "
            "on from there", err=True,
        )  # fmt: skip
        raise SystemExit(INTERRUPTED) from None
    print_sites(run.summary, run.folder)
    if run.failed:
        raise typer.Exit(NOT_CONVERGED)


@app.command()
def simulate(
    experiment: ExperimentArgument,
    out: Annotated[Path | None, new_folder_option("runs/EXPERIMENT-simulation-TIME")] = None,
    set_: SetOption = None,
) -> None:
    """Run the model once, as configured, and score it."""
    from caliche.cli_output import print_scores

    load, *_ = _workbench()
    from caliche.experiments.run import run_simulation

    folder, scores = run_simulation(load(experiment, set_ or []), out)
    print_scores("The model with the values of the configuration:", scores)
    typer.echo(f"\nSeries: {folder / 'simulation.nc'}")


@app.command()
def check(
    experiment: ExperimentArgument,
    prior_predictive: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Draws of the prior to hold the data against; 0: none. [default: 79]"
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw what the prior predicts: .png, .svg or .pdf."),
    ] = None,
    set_: SetOption = None,
) -> None:
    """Look over data, window, parameters, gradients and priors.

    Finds what would stop `caliche estimate`, says what it would cost, and whether the observations
    lie within what the priors can produce. Writes nothing but the figure, if asked for one.
    """
    load, *_ = _workbench()
    from caliche.experiments.check import MEMBERS, check_experiment
    from caliche.report.prior_figure import check_figure_path, write_prior_figure

    members = MEMBERS if prior_predictive is None else prior_predictive
    check_figure_path(figure, members)
    drawn = []
    for line in check_experiment(load(experiment, set_ or []), members, drawn.append):
        typer.echo(line)
    if figure is not None and drawn:
        write_prior_figure(drawn[0], figure)
        typer.echo(f"Figure      {figure}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a command wrote.")],
) -> None:
    """Write the page of a folder again, whichever command wrote it."""
    from caliche.report.folders import write_page

    typer.echo(f"Report: {write_page(run)}")


for _command_of in (
    assimilate, identify, design, screen, posterior, variants, compare, drive, joint, score, train,
    parameters,
):  # fmt: skip
    app.command()(_command_of)


@app.command()
def experiments() -> None:
    """List the bundled experiments."""
    from caliche.cli_output import print_table
    from caliche.experiments.config import bundled

    print_table(["experiment", "what it is"], [list(item) for item in bundled().items()])


@app.command()
def data() -> None:
    """List the data in the folder that CALICHE_DATA names."""
    from caliche.cli_output import print_table
    from caliche.data.locate import list_data

    rows = [[d.name, d.title, ", ".join(d.files)] for d in list_data()]
    print_table(["folder", "title", "files"], rows)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write, such as my-tower.toml.")],
) -> None:
    """Write an experiment file for your tower, to fill in."""
    from importlib import resources

    if path.suffix != ".toml":
        raise InputError(
            "a file name that ends in .toml", str(path), f"{path.name.partition('.')[0]}.toml"
        )
    if path.exists():
        raise InputError("a file that does not exist yet", f"{path}, which does", "another name")
    if not path.parent.is_dir():
        raise InputError("a folder that exists", str(path.parent), "make it first")
    template = resources.files("caliche.experiments") / "template.toml"
    path.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    typer.echo(f"Wrote {path}. Fill it in, then: caliche check {path}")


def _workbench():
    """The heavy imports, with JAX set up before its first computation."""
    from caliche.runtime import configure

    configure()
    from caliche.experiments import load_experiment
    from caliche.experiments.run import run_experiment
    from caliche.report import write_report

    return load_experiment, run_experiment, write_report


def _command() -> str:
    """The command as typed, without the machine's folders."""
    return shlex.join(["caliche", *sys.argv[1:]])


def main() -> NoReturn:
    """Entry point: bad input is one sentence on stderr and exit code 2."""
    code = OK
    # What is imported and traced stays. Looking through all of it for garbage, over and over, would
    # take an eighth of the time of a short command.
    gc.set_threshold(100_000, 50, 100)
    try:
        # Not standalone: typer then returns the exit code of typer.Exit and lets errors through.
        code = app(args=sys.argv[1:] or ["--help"], prog_name="caliche", standalone_mode=False)
    except InputError as error:
        code = _refuse(error)
    except USAGE_ERROR as error:
        code = _refuse(_usage(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # some versions of typer turn the interrupt into this exit code
        print("caliche: interrupted; nothing was written", file=sys.stderr)
    raise SystemExit(code or OK)


def _refuse(error: InputError) -> int:
    print(f"caliche: {error}", file=sys.stderr)
    return BAD_INPUT


def _usage(error: Exception) -> InputError:
    """Typer's complaint about the command line in the shape of every other one."""
    tell = getattr(error, "format_message", lambda: str(error))
    got, _, nearest = tell().strip().rstrip(".?").partition(". Did you mean ")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "caliche"
    return InputError(
        "a command line that can be read",
        got[:1].lower() + got[1:],
        nearest or f"{command} --help",
    )
