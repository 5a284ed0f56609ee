"""`caliche compare`: the same problem by several methods, each from several seeds."""

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

from caliche.errors import InputError
from caliche.estimation import MEMBER_METHODS, estimate
from caliche.estimation.density import physical
from caliche.estimation.ensemble_estimate import Batch
from caliche.estimation.posterior import posterior
from caliche.experiments.config import merge, parse_override
from caliche.experiments.experiment import Experiment
from caliche.experiments.parse import check_method, method_options
from caliche.experiments.run import as_run, finite, new_folder, versions, write_whole
from caliche.experiments.section import Section
from caliche.inverse_problem import InverseProblem
from caliche.parameters import ParameterSpace

# Model runs that a method takes on a problem of this kind, for P parameters and N members.
_ITERATIONS = {"lm": 8, "lbfgs": 6, "adam": 200, "eki": 9, "etki": 9, "uki": 9, "ga": 90,
               "cma": 170, "4denvar": 1}  # fmt: skip
_INNER = {"lbfgs": 5 * 5, "adam": 25 * 2}  # of an iteration, besides its judgement


@dataclass(frozen=True)
class Asked:
    """A method as it was asked for: `etki`, or `4denvar:iterated=true;members=40`."""

    label: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Row:
    """One method from one seed; distances are root-mean-square over the parameters, in standard
    deviations of the best fit. `error` is why it could not run."""

    method: str
    seed: int
    converged: bool = False
    misfit: float = float("nan")
    from_best: float = float("nan")
    from_truth: float | None = None
    model_runs: int = 0
    run_seconds: float = float("nan")
    compile_seconds: float = float("nan")
    reason: str = ""
    error: str = ""
    estimates: dict[str, float] = field(default_factory=dict)


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
        check_method(name)
        table: dict[str, Any] = {}
        for option in (part for part in given.split(";") if part.strip()):
            table = merge(table, parse_override(option))
        options = method_options(Section(table, f"the options of {name}"), name)
        asked.append(Asked(label, name, options))
    labels = [a.label for a in asked]
    if not asked or len(set(labels)) < len(labels):
        raise InputError("methods to compare, each named once", repr(text), "--methods lm,etki,cma")
    return asked


def expected_runs(asked: Asked, size: int) -> int:
    """Roughly how many model runs a method will make."""
    name = asked.name
    if name not in MEMBER_METHODS:
        return _ITERATIONS[name] * (1 + size + _INNER.get(name, 0))
    ten = min(100, max(20, 10 * size))
    usual = {"uki": 2 * size + 1, "cma": 4 + int(3 * np.log(size)),
             "ga": min(100, max(40, 20 * size))}  # fmt: skip
    members = asked.options.get("members") or usual.get(name, ten)
    iterations = 7 if asked.options.get("iterated") else _ITERATIONS[name]
    return iterations * members + 1


def announce(experiment: Experiment, asked: Sequence[Asked], seeds: int) -> str:
    """What a comparison will cost, from one timed run of the model."""
    problem = experiment.problem()
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


def compare_methods(
    experiment: Experiment,
    asked: Sequence[Asked],
    seeds: int,
    out: Path | None = None,
    callback: Callable[[Row], None] | None = None,
    command: str | None = None,
) -> Comparison:
    """Run every method from every seed, and write compare.json, compare.csv and config.toml.

    Seed 0 begins at the first guess, the others where multi-start would; an ensemble begins at the
    prior, and its seed draws the members. A method that cannot run says so in its row.

    Raises
    ------
    InputError : bad input; no method that could run.
    """
    if seeds < 1:
        raise InputError("at least one seed", str(seeds), "--seeds 3")
    if experiment.unknown:
        raise InputError(
            "errors and smoothness that are known", "hyperparameters to be estimated",
            "give their values: methods can be compared on the same misfit only",
        )  # fmt: skip
    folder = new_folder(out, f"{experiment.config.name}-compare")
    problem = experiment.problem()
    begin = problem.space.draw_starts(seeds, 0)
    rows, found = [], []
    try:
        for method in asked:
            for seed in range(seeds):
                row, u = _one(problem, method, begin[seed], seed)
                rows.append(row)
                found.append(u)
                if callback is not None:
                    callback(row)
    finally:
        summary = _finish(experiment, problem, rows, found, folder, command)
    if not any(row.error == "" for row in rows):
        raise InputError("a method that can run", rows[0].error, "choose another one")
    return Comparison(folder, rows, summary)


def _one(
    problem: InverseProblem, asked: Asked, begin: Array, seed: int
) -> tuple[Row, np.ndarray | None]:
    """One method from one seed, and its estimate u."""
    row = Row(asked.label, seed)
    ensemble = asked.name in MEMBER_METHODS and MEMBER_METHODS[asked.name]().gaussian
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
    row.estimates = {name: result.parameters[name].estimate for name in result.names}
    return row, result.u


@jax.jit
def _slopes(space: ParameterSpace, u: Float[Array, " p"]) -> Float[Array, "p p"]:
    return jax.jacfwd(space.vector)(u)


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
    best = found[min(usable, key=lambda k: rows[k].misfit)]
    assert best is not None
    curvature = posterior(problem, best)
    slopes = np.asarray(_slopes(space, jnp.asarray(best)))
    sd = np.array([curvature.sd(row, naive=True) for row in slopes])
    known = np.isfinite(sd) & (sd > 0.0)
    if not known.any():
        return
    centre = physical(space, best)
    truth = experiment.truth
    for k in usable:
        u = found[k]
        assert u is not None
        values = physical(space, u)
        rows[k].from_best = _rms(((values - centre) / sd)[known])
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
    folder: Path,
    command: str | None,
) -> dict[str, Any]:
    """Distances, then the folder; what is there of a comparison that was stopped is written too."""
    if not rows:
        return {}
    _distances(experiment, problem, rows, found)
    summary = finite(
        {
            "experiment": experiment.config.name,
            "title": experiment.config.title,
            "parameters": list(problem.space.names),
            "n_observations": problem.n_observations,
            "rows": [asdict(row) for row in rows],
            "versions": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
        }
    )

    def write(inside: Path) -> None:
        (inside / "compare.json").write_text(
            json.dumps(summary, indent=1, allow_nan=False) + "\n", "utf-8"
        )
        (inside / "compare.csv").write_text(as_csv(rows, problem.space.names), "utf-8")
        (inside / "config.toml").write_text(as_run(experiment, folder), "utf-8")

    write_whole(folder, write)
    return summary


def as_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    """One line a method and seed, with the estimates in columns of their own."""
    text = io.StringIO()
    columns = [c for c in asdict(rows[0]) if c != "estimates"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *names])
    for row in rows:
        values = asdict(row)
        writer.writerow([*(values[c] for c in columns), *(row.estimates.get(n, "") for n in names)])
    return text.getvalue()
