"""`estimate` for methods that run members: a compiled batch, many iterations, one result."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.curvature import posterior
from caliche.estimation.ensemble.batches import Batch
from caliche.estimation.ensemble.core import MemberMethod, Verdict
from caliche.estimation.ensemble.engine import Engine, keep, resume
from caliche.estimation.ensemble.hyperparameters import estimate_in_rounds
from caliche.estimation.ensemble.result import ensemble_result, failure_note
from caliche.estimation.hyperparameters import Hyperparameters, Unknown, information_at, of_one_site
from caliche.estimation.method import (
    CONVERGED,
    NOT_FINITE,
    RUNNING,
    STATUS,
    Callback,
    History,
    Iterate,
    Outcome,
    remaining_step,
)
from caliche.estimation.outcome import best_start, curvature_result, first_guesses
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.files.checkpoint import Checkpoint, fingerprint
from caliche.problems.base import Problem

# A search has arrived when the Gauss-Newton step still to go is shorter, in posterior sds.
ARRIVED = 0.1


def estimate_by_members(
    problem: Problem,
    method: MemberMethod,
    starts: int | Float[Array, "start parameter"],
    seed: int,
    callback: Callback | None,
    unknown: Unknown | None,
    checkpoint: Checkpoint | None,
    watch: Stopwatch,
) -> Result:
    """See `caliche.estimate`. An ensemble begins at the prior, a search at each start in turn."""
    bars = unknown is not None and unknown.information == "bars"
    if unknown is None or not (unknown or (bars and method.gaussian)):
        result = _estimate(problem, method, starts, seed, callback, checkpoint, watch)
        if not bars:
            return result
        told = information_at(of_one_site(problem), result.u, declared=True)
        return dataclasses.replace(result, hyperparameters=Hyperparameters(information=told))

    def fit(
        problem: Problem, starts: Any, callback: Callback | None, kept: Checkpoint | None
    ) -> Result:
        return _estimate(problem, method, starts, seed, callback, kept, watch)

    def residuals(problem: Problem, u: np.ndarray) -> np.ndarray:
        return Batch(problem).grid(u)

    site = of_one_site(problem)
    return estimate_in_rounds(site, unknown, fit, residuals, starts, callback, checkpoint, watch)


def _estimate(
    problem: Problem,
    method: MemberMethod,
    starts: int | Float[Array, "start parameter"],
    seed: int,
    callback: Callback | None,
    checkpoint: Checkpoint | None,
    watch: Stopwatch,
) -> Result:
    begin = np.asarray(first_guesses(problem.space, starts, seed))
    if method.gaussian and len(begin) > 1:
        raise InputError(
            f"one start with method {method.name}, whose ensemble is drawn from the prior",
            f"{len(begin)} starts",
            "leave starts out; members = 100 makes the ensemble larger",
        )
    batch, windows = Batch(problem), None
    if getattr(method, "batches", 1) > 1:
        # It builds on this module.
        from caliche.estimation.ensemble.batches import RecordBatches

        windows = RecordBatches(problem, method.batches)  # type: ignore[attr-defined]
    engines = [Engine(method, problem.space, u, seed + 1000003 * k) for k, u in enumerate(begin)]
    mark = ""
    if checkpoint is not None:
        mark = _mark(problem, method, begin, seed)
        if checkpoint.resume:
            resume(checkpoint.path, mark, engines)
    _run(engines, batch, windows, callback, checkpoint, mark)
    if method.gaussian:
        return ensemble_result(problem, method, engines[0], batch.grid, seed, watch)
    return _search_result(problem, method, engines, seed, watch)


def _run(
    engines: list[Engine],
    batch: Batch,
    windows: Any,
    callback: Callback | None,
    checkpoint: Checkpoint | None,
    mark: str,
) -> None:
    """Every engine to its end, one after the other."""
    iteration = sum(len(engine.failed) for engine in engines)
    for number, engine in enumerate(engines):
        while engine.verdict is None:
            before = engine.state.iteration
            part, u = engine.batch, engine.ask()
            engine.tell(batch.residuals(u) if part is None else windows.residuals(u, *part))
            if engine.state.iteration == before:
                continue  # some members are drawn anew first
            engine.demand_effect()
            iteration += 1
            if checkpoint is not None:
                keep(checkpoint.path, mark, engines[: number + 1])
            if callback is not None:
                best = min(e.misfits[-1] for e in engines if e.misfits)
                left = len(engines) - number - (engine.verdict is not None)
                callback(iteration, best, left)


def _mark(problem: Problem, method: MemberMethod, starts: np.ndarray, seed: int) -> str:
    return fingerprint(method, seed, starts, problem)


# -- a search --------------------------------------------------------------------------------


def _search_result(
    problem: Problem,
    method: MemberMethod,
    engines: list[Engine],
    seed: int,
    watch: Stopwatch,
) -> Result:
    """Error bars from the curvature at the best member; judged by the step still to go there."""
    cost = np.array([engine.misfits[-1] for engine in engines])
    controls = np.stack([engine.estimate for engine in engines])
    remaining = _remaining(problem, jnp.asarray(controls))
    verdicts = [engine.verdict or Verdict(False, "") for engine in engines]
    arrived = [v.converged and left < ARRIVED for v, left in zip(verdicts, remaining, strict=True)]
    status = np.where(arrived, CONVERGED, RUNNING)
    status = np.where(np.isfinite(cost), status, NOT_FINITE)
    longest = max(len(engine.misfits) for engine in engines)
    misfits = np.full((len(engines), longest), np.nan)
    ways = np.full((*misfits.shape, problem.space.size), np.nan)
    for k, engine in enumerate(engines):
        misfits[k, : len(engine.misfits)] = engine.misfits
        ways[k, : len(engine.misfits)] = engine.controls
    runs = np.array([engine.runs for engine in engines])
    outcome = Outcome(
        Iterate(controls, cost, remaining, status, runs),  # type: ignore[arg-type]
        History(misfits, ways),
        longest,
    )
    best = best_start(outcome.final)
    curvature = posterior(problem, controls[best])
    result = curvature_result(
        problem,
        method.name,
        _reason(verdicts[best], float(remaining[best]), int(status[best])),
        seed,
        outcome,
        best,
        curvature,
        None,
        0,
        watch,
    )
    failed = sum(sum(engine.failed) for engine in engines)
    return dataclasses.replace(
        result, remarks=(*result.remarks, *failure_note(failed, int(runs.sum())))
    )


@jax.jit
def _remaining_of(problem: Problem, u: Float[Array, "start p"]) -> Float[Array, " start"]:
    def one(u: Float[Array, " p"]) -> Float[Array, ""]:
        return remaining_step(problem, u, problem.normal_equations(u))

    return jax.lax.map(one, u)


def _remaining(problem: Problem, u: Float[Array, "start p"]) -> np.ndarray:
    return np.asarray(_remaining_of(problem, u))


def _reason(verdict: Verdict, remaining: float, status: int) -> str:
    if status == NOT_FINITE:
        return STATUS[status]
    step = f"a Gauss-Newton step would move the parameters by {remaining:.2g} of their standard "
    if status == CONVERGED:
        return f"converged: {verdict.reason}; {step}deviations"
    return f"{verdict.reason}, but {step}deviations: a random search has not found the optimum"
