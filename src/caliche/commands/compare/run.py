"""`caliche compare`: the same problem by several methods, each from several seeds.

All minimise the same cost: hyperparameters that are to be estimated are held at what
Levenberg-Marquardt finds for them by marginal likelihood, before the comparison.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.cards.methods import UNCOUNTED_ITERATIONS, by_gradients, card_of
from caliche.commands.compare.folder import CompareFolder, find_folder, what_is_compared
from caliche.errors import InputError
from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.density import physical
from caliche.estimation.ensemble.batches import Batch
from caliche.evaluation.verdict import problem_scores, score_remarks
from caliche.experiments.config.methods import known_method, method_options
from caliche.experiments.config.toml import merge, parse_override
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import fingerprint
from caliche.parameters import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.remarks import Remark, as_table, from_table, same_misfit, unlike
from caliche.runs.folder import as_run, finite, versions, write_data
from caliche.wording import number_of

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Asked:
    """A method as it was asked for: `etki`, or `4denvar:iterated=true;members=40`."""

    label: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Row:
    """One method from one seed. Distances are root-mean-square over the parameters, in standard
    deviations of the best fit as `estimate` gives them; `farthest` is the largest of those from the
    best fit. `error` is why it could not run."""

    method: str
    seed: int
    converged: bool = False
    misfit: float = float("nan")
    from_best: float = float("nan")
    farthest: float = float("nan")
    from_truth: float | None = None
    model_runs: int = 0
    run_seconds: float = float("nan")
    compile_seconds: float = float("nan")
    reason: str = ""
    error: str = ""
    estimates: dict[str, float] = field(default_factory=dict)
    remarks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _KeptRow(Row):
    """A row as its file keeps it, with the estimate (P,) in whitened coordinates."""

    remarks: list[Remark] = field(default_factory=list)  # type: ignore[assignment]
    u: list[float] | None = None


@dataclass(frozen=True)
class Comparison:
    """All rows, and the folder they were written to."""

    folder: Path
    rows: Sequence[Row]
    summary: Mapping[str, Any]


def read_methods(text: str) -> list[Asked]:
    """Methods from a list such as `lm,4denvar:iterated=true;members=40,etki`.

    Raises
    ------
    InputError : an unknown method or option; a method named twice.
    """
    asked = []
    for label in (part.strip() for part in text.split(",") if part.strip()):
        name, _, given = label.partition(":")
        known_method(name)
        table: dict[str, Any] = {}
        for option in (part for part in given.split(";") if part.strip()):
            table = merge(table, parse_override(option))
        options = method_options(table, name, f"the options of {name}")
        asked.append(Asked(label, name, options))
    labels = [a.label for a in asked]
    if not asked or len(set(labels)) < len(labels):
        raise InputError("methods to compare, each named once", repr(text), "--method lm,etki,cma")
    return asked


def expected_runs(asked: Asked, size: int) -> int:
    """Roughly how many model runs a method will make."""
    card = card_of(asked.name)
    runs = by_gradients(UNCOUNTED_ITERATIONS) if card is None else card.runs
    return runs(size, asked.options)


def announce(problem: InverseProblem, asked: Sequence[Asked], seeds: int) -> str:
    """What a comparison will cost, from one timed run of the model."""
    u = np.asarray(problem.space.initial())[None]
    batch = Batch(problem)
    batch.residuals(u)
    began = time.perf_counter()
    batch.residuals(u)
    once = time.perf_counter() - began
    runs = {a.label: seeds * expected_runs(a, problem.space.size) for a in asked}
    each = ", ".join(f"{label} {number:,}" for label, number in runs.items())
    total = sum(runs.values())
    return (
        f"{len(asked)} method{'s' * (len(asked) > 1)} from {seeds} seed{'s' * (seeds > 1)}: about "
        f"{total:,} model runs ({each}). One run by itself takes {1e3 * once:.2g} ms, so about "
        f"{_duration(once * total)} or less, and some seconds of compiling for each method."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def prepare(
    experiment: Experiment, asked: Sequence[Asked], seeds: int, out: Path | None = None
) -> tuple[InverseProblem, CompareFolder]:
    """The problem as it was given, and the folder in which to begin or to go on.

    Raises
    ------
    InputError : bad input; a folder of another comparison.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"a number of seeds from 1 to {MOST_SEEDS:,}", str(seeds), "--repeats 3")
    problem = experiment.problem()
    mark = fingerprint(experiment.unknown, problem)
    run = what_is_compared(mark, seeds, [a.label for a in asked])
    return problem, CompareFolder(find_folder(out, experiment.config.name, run), run)


def hold_hyperparameters(experiment: Experiment, folder: CompareFolder) -> Experiment:
    """The experiment with its hyperparameters as Levenberg-Marquardt finds them, once a folder.

    Raises
    ------
    InputError : the model gives no finite misfit.
    """
    if not experiment.unknown:
        return experiment
    found = folder.hyperparameters()
    if found is None:
        c = experiment.config.method
        given = {"starts": c.starts, **c.options} if c.name == "lm" else {}
        result = estimate(
            experiment.problem(), "lm", seed=c.seed, unknown=experiment.unknown, **given
        )
        found = result.hyperparameters
        if found is None:
            raise InputError(
                "a finite misfit, for the sizes of errors",
                result.reason,
                "give the sizes of errors, or other first guesses",
            )
        folder.write_hyperparameters(found)
    return experiment.calibrated(found)


def compare_methods(
    experiment: Experiment,
    asked: Sequence[Asked],
    seeds: int,
    out: Path | None = None,
    callback: Callable[[Row, bool], None] | None = None,
    command: str | None = None,
) -> Comparison:
    """Run every method from every seed, and write compare.json, compare.csv and config.toml.

    Seed 0 begins at the first guess, the others where multi-start would; an ensemble begins at the
    prior, and its seed draws the members. A method that cannot run says so in its row. What a
    comparison that was stopped has finished is not run again, see `compare_folder`.

    Parameters
    ----------
    callback : told each row, and whether it was there already.

    Raises
    ------
    InputError : bad input; no method that could run.
    """
    _, folder = prepare(experiment, asked, seeds, out)
    held = hold_hyperparameters(experiment, folder)
    problem = held.problem()
    begin = problem.space.draw_starts(seeds, 0)
    rows, found = [], []
    try:
        for method in asked:
            for seed in range(seeds):
                kept = folder.row(method.label, seed, _KeptRow)
                row, u = _one(problem, method, begin[seed], seed) if kept is None else _kept(kept)
                if kept is None:
                    written = {**asdict(row), "u": None if u is None else u.tolist()}
                    folder.write_row(method.label, seed, written)
                rows.append(row)
                found.append(u)
                if callback is not None:
                    callback(row, kept is not None)
    finally:
        able = any(row.error == "" for row in rows)
        complete = len(rows) == len(asked) * seeds
        summary = _finish(held, problem, rows, found, folder, command, complete) if able else {}
    if not able:
        folder.drop()
        raise InputError("a method that can run", rows[0].error, "choose another one")
    return Comparison(folder.path, rows, summary)


def _kept(written: Mapping[str, Any]) -> tuple[Row, np.ndarray | None]:
    """A row as it was written, and its estimate u."""
    u = written.get("u")
    row = Row(**{name: value for name, value in written.items() if name != "u"})
    return row, None if u is None else np.array(u, float)


def _one(
    problem: InverseProblem, asked: Asked, begin: Array, seed: int
) -> tuple[Row, np.ndarray | None]:
    """One method from one seed, and its estimate u."""
    row = Row(asked.label, seed)
    card = card_of(asked.name)
    ensemble = card is not None and card.gives_posterior
    try:
        result = estimate(
            problem, asked.name, starts=1 if ensemble else begin[None], seed=seed, **asked.options
        )
    except InputError as error:
        row.error = row.reason = str(error)
        return row, None
    row.converged, row.reason = result.converged, result.reason
    row.misfit = min(start.misfit for start in result.starts)
    row.model_runs = result.n_model_runs
    row.run_seconds, row.compile_seconds = result.seconds["run"], result.seconds["compile"]
    row.remarks = [asdict(remark) for remark in result.remarks]
    row.estimates = {name: result.parameters[name].estimate for name in result.names}
    return row, result.u


@jax.jit
def _slopes(space: ParameterSpace, u: Float[Array, " p"]) -> Float[Array, "p p"]:
    return jax.jacfwd(space.vector)(u)


def best_row(rows: Sequence[Row]) -> int | None:
    """The first of the rows that share the lowest misfit, which is as exact as any; None where no
    row has a misfit."""
    misfits = np.array([row.misfit for row in rows])
    if not np.isfinite(misfits).any():
        return None
    return int(np.argmax(same_misfit(misfits, float(np.nanmin(misfits)))))


def _ended(rows: Sequence[Row]) -> str:
    """How many runs converged and how many reached the best fit, as the beginning of a line."""
    best = best_row(rows)
    if best is None:
        return f"0 of {number_of(len(rows), 'run')} converged"
    converged = sum(row.converged for row in rows)
    misfits = np.array([row.misfit for row in rows])
    reached = int(np.sum(same_misfit(misfits, np.nanmin(misfits))))
    done = f"{converged} of {number_of(len(rows), 'run')} converged"
    return f"{done}, and {reached} reached the lowest misfit"


@jax.jit
def _forward(problem: InverseProblem, u: Float[Array, " p"]) -> Array:
    return problem.forward(u)


def _remarks(problem: InverseProblem, row: Row, u: np.ndarray | None) -> list[Remark]:
    """What a careful referee would say of the best fit."""
    found = list(from_table({"remarks": row.remarks}))
    if u is not None:
        predicted = np.asarray(_forward(problem, jnp.asarray(u)))
        found += score_remarks(problem_scores(problem, predicted))
    return list(unlike(found))


def _distances(
    experiment: Experiment,
    problem: InverseProblem,
    rows: Sequence[Row],
    found: Sequence[np.ndarray | None],
) -> None:
    """Fill in how far each estimate is from the best fit, and from the truth of a twin."""
    space = problem.space
    usable = [k for k, u in enumerate(found) if u is not None and np.isfinite(rows[k].misfit)]
    if not usable:
        return
    first = best_row([rows[k] for k in usable])
    best = None if first is None else found[usable[first]]
    assert best is not None
    curvature = posterior(problem, best)
    slopes = np.asarray(_slopes(space, jnp.asarray(best)))
    sd = np.array([curvature.sd(row) for row in slopes])
    known = np.isfinite(sd) & (sd > 0.0)
    if not known.any():
        return
    centre = physical(space, best)
    truth = experiment.truth
    for k in usable:
        u = found[k]
        assert u is not None
        values = physical(space, u)
        away = ((values - centre) / sd)[known]
        rows[k].from_best, rows[k].farthest = _rms(away), float(np.abs(away).max())
        if truth is not None:
            true = np.array([truth.get(name, np.nan) for name in space.names])
            rows[k].from_truth = _rms(((values - true) / sd)[known & np.isfinite(true)])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def _finish(
    experiment: Experiment,
    problem: InverseProblem,
    rows: Sequence[Row],
    found: Sequence[np.ndarray | None],
    folder: CompareFolder,
    command: str | None,
    complete: bool,
) -> dict[str, Any]:
    """Distances, then the table; what is there of a comparison that was stopped is written too."""
    _distances(experiment, problem, rows, found)
    best = best_row(rows)
    remarks = [] if best is None else _remarks(problem, rows[best], found[best])
    summary = finite(
        {
            "verdict": as_table(_ended(rows), remarks),
            "experiment": experiment.config.name,
            "title": experiment.config.title,
            "parameters": list(problem.space.names),
            "n_observations": problem.n_observations,
            "hyperparameters": None if experiment.found is None else asdict(experiment.found),
            "rows": [asdict(row) for row in rows],
            "finished": complete,
            "versions": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
        }
    )

    folder.write("config.toml", as_run(experiment, folder.path))
    write_data(experiment, folder.path)
    folder.write("compare.csv", as_csv(rows, problem.space.names))
    folder.write("compare.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    return summary


def as_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    """One line a method and seed, with the estimates in columns of their own."""
    text = io.StringIO()
    columns = [c for c in asdict(rows[0]) if c not in ("estimates", "remarks")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *names])
    for row in rows:
        values = asdict(row)
        writer.writerow([*(values[c] for c in columns), *(row.estimates.get(n, "") for n in names)])
    return text.getvalue()
