"""The search of every method that runs members: a compiled batch of them, iteration by iteration.

An ensemble begins at the prior and ends as the posterior; a search begins at each start in turn,
and is judged by the Gauss-Newton step still to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.density import physical
from caliche.estimation.ensemble.batches import Batch, RecordBatches
from caliche.estimation.ensemble.core import MemberMethod, Runner, Verdict
from caliche.estimation.ensemble.engine import Engine, keep, resume
from caliche.estimation.method import (
    CONVERGED,
    NOT_FINITE,
    RUNNING,
    STATUS,
    Callback,
    History,
    Outcome,
    ended,
    remaining_step,
)
from caliche.estimation.outcome import prior_cost
from caliche.files.checkpoint import Checkpoint, fingerprint
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem

# A search has arrived when the Gauss-Newton step still to go is shorter, in posterior sds.
ARRIVED = 0.1


class Members:
    """A method that runs members: see `MemberMethod` for what each has of its own.

    What stands here is that of a search over all of the record.
    """

    needs_gradient = False
    keeps_state = True
    gives_posterior = False
    centre_first = False
    tempered = False
    by_chance = False
    batches = 1

    @property
    def updates(self) -> int:
        return 1

    def batch(self, state: Any) -> tuple[int, np.ndarray]:
        raise NotImplementedError

    def runner(self, problem: Problem) -> Runner:
        return Batch(problem)

    def sloped(self, state: Any, slopes: np.ndarray) -> Any:
        return state

    def misfit(self, state: Any) -> float | None:
        return None

    def ended(self, problem: Problem, engines: list[Engine]) -> Outcome:
        return of_search(problem, engines)

    def promise_kept(self, state: Any, half_square: float) -> Verdict | None:
        return None

    def search(
        self: MemberMethod,
        problem: Problem,
        starts: Float[Array, "start parameter"],
        callback: Callback | None = None,
        checkpoint: Checkpoint | None = None,
        seed: int = 0,
    ) -> Outcome:
        """See `caliche.estimation.method.Method`.

        Raises
        ------
        InputError : several starts of an ensemble; too few members that run; a state of another
            problem; a record that cannot be cut into so many batches.
        """
        begin = np.asarray(starts)
        if self.gives_posterior and len(begin) > 1:
            raise InputError(
                f"one start with method {self.name}, whose ensemble is drawn from the prior",
                f"{len(begin)} starts",
                "leave starts out; members = 100 makes the ensemble larger",
            )
        runner = self.runner(problem)
        windows = RecordBatches(problem, self.batches) if self.batches > 1 else None
        engines = [Engine(self, problem.space, u, seed + 1000003 * k) for k, u in enumerate(begin)]
        mark = ""
        if checkpoint is not None:
            mark = fingerprint(self, seed, begin, problem)
            if checkpoint.resume:
                resume(checkpoint.path, mark, engines)
        _run(engines, runner, windows, callback, checkpoint, mark)
        if self.gives_posterior:
            batch = runner if isinstance(runner, Batch) else Batch(problem)
            return _of_ensemble(problem, engines[0], batch)
        return self.ended(problem, engines)


def _run(
    engines: list[Engine],
    runner: Runner,
    windows: RecordBatches | None,
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
            if part is None or windows is None:
                engine.tell(*runner.run(u))
            else:
                engine.tell(windows.residuals(u, *part))
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


# -- an ensemble -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EnsembleOutcome(Outcome):
    """Where an ensemble ended; its J is that at the estimate, to which its way leads.

    engine : which is done.  batch : to run more members.
    residual : (time + 1, stream) at the estimate.
    misfit : what the observations say of it in J, all but the prior.
    """

    engine: Engine
    batch: Batch
    residual: np.ndarray
    misfit: float

    @property
    def members(self) -> np.ndarray:
        """Members u (N, P) of the posterior."""
        found = self.engine.posterior
        assert found is not None
        return found


def _of_ensemble(problem: Problem, engine: Engine, batch: Batch) -> EnsembleOutcome:
    space, u = problem.space, engine.estimate
    residual = batch.grid(u[None])[0]
    term = term_of(problem, physical(space, u))
    misfit = 0.5 * float(np.sum(residual**2) + np.sum(term**2))
    cost = misfit + prior_cost(space, u)
    verdict = engine.verdict or Verdict(False, "it was not finished")
    status = CONVERGED if verdict.converged else RUNNING
    final = ended(
        u[None],
        np.array([cost]),
        np.array([np.nan]),
        np.array([status if np.isfinite(cost) else NOT_FINITE]),
        np.array([engine.runs + 1]),
    )
    controls = np.stack([*engine.controls, u])
    return EnsembleOutcome(
        final=final,
        history=History(np.array([[*engine.misfits, cost]]), controls[None]),
        n_iterations=len(controls),
        reasons=(verdict.reason,),
        failed=sum(engine.failed),
        engine=engine,
        batch=batch,
        residual=residual,
        misfit=misfit,
    )


def term_of(problem: Problem, values: np.ndarray) -> np.ndarray:
    """Residuals (..., row) of the term of the information at physical values (..., P)."""
    if not isinstance(problem, InverseProblem) or problem.adjustment is None:
        return np.zeros((*values.shape[:-1], 0))
    term = problem.adjustment
    return (values - np.asarray(term.centre)) @ np.asarray(term.root).T


# -- a search --------------------------------------------------------------------------------


def of_search(problem: Problem, engines: list[Engine]) -> Outcome:
    """The best members, judged by the step still to go there."""
    cost = np.array([engine.misfits[-1] for engine in engines])
    controls = np.stack([engine.estimate for engine in engines])
    remaining = np.asarray(_remaining(problem, jnp.asarray(controls)))
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
    return Outcome(
        ended(controls, cost, remaining, status, runs),
        History(misfits, ways),
        longest,
        tuple(
            _reason(verdict, float(left), int(s))
            for verdict, left, s in zip(verdicts, remaining, status, strict=True)
        ),
        sum(sum(engine.failed) for engine in engines),
    )


@jax.jit
def _remaining(problem: Problem, u: Float[Array, "start p"]) -> Float[Array, " start"]:
    def one(u: Float[Array, " p"]) -> Float[Array, ""]:
        return remaining_step(problem, u, problem.normal_equations(u))

    return jax.lax.map(one, u)


def _reason(verdict: Verdict, remaining: float, status: int) -> str:
    if status == NOT_FINITE:
        return STATUS[status]
    step = f"a Gauss-Newton step would move the parameters by {remaining:.2g} of their standard "
    if status == CONVERGED:
        return f"converged: {verdict.reason}; {step}deviations"
    return f"{verdict.reason}, but {step}deviations: the search has not found the optimum"
