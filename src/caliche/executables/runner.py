"""Runs of an executable for emulators and history matching: predictions, metrics, and their cost.

Every call is a folder `batch_NNN` of members. The same search asks for the same batches, so that
one that was stopped finds its members and runs none of them again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from caliche.emulators.components import Outputs
from caliche.emulators.model_runs import Costs as Milliseconds
from caliche.emulators.plan import ALWAYS
from caliche.errors import InputError
from caliche.estimation.density import physical
from caliche.executables.problem import ProgramProblem
from caliche.executables.workers import Batch, Workers, counted
from caliche.files.manifest import read_json
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.recorder import Recorder
from caliche.history_matching.simulator import DROP, STOP, VALUES, Costs, refuse_lost
from caliche.metrics.metric import Metrics

TIMING = "timing"


def refuse_slopes(gradients: str) -> None:
    """Refuse to wait for slopes, which an executable does not have.

    Raises
    ------
    InputError : they are to be used `always`.
    """
    if gradients == ALWAYS:
        raise InputError(
            "a model whose slopes are known, for --gradients always",
            "an executable",
            "leave it out",
        )


@dataclass
class ProgramRunner:
    """Predictions of an executable.

    Parameters
    ----------
    workers : that run it, begun.  folder : of the batches.
    """

    problem: ProgramProblem
    workers: Workers
    folder: Path
    _batches: int = field(default=0, init=False)

    def fields(self, u: np.ndarray, tell: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Predictions (n, time, stream) at u (n, P); NaN where a run failed."""
        number = self.next_batch()
        return self.problem.fields(self.outputs(u, number, f"batch_{number:03d}", tell))

    def next_batch(self) -> int:
        """The number of another batch."""
        self._batches += 1
        return self._batches - 1

    def outputs(
        self,
        u: np.ndarray,
        number: int,
        name: str,
        tell: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Outputs (n, observation) at u (n, P), run in a folder of this name."""
        space, done = self.problem.space, 0

        def told(failed: bool, of: int) -> None:
            nonlocal done
            done += 1
            if tell is not None:
                tell(done, of)

        batch = Batch(self.folder / name, number, space.names, physical(space, u))
        return self.workers.run(batch, told)[0]

    def slopes(
        self,
        outputs: Outputs,
        u: np.ndarray,
        mode: str,
        tell: Callable[[int, int], None] | None = None,
    ) -> NoReturn:
        """An executable has none."""
        raise InputError("a model whose slopes are known", "an executable", "--gradients never")

    def costs(self, outputs: Outputs | None, slopes: bool) -> Milliseconds:
        """Measured milliseconds of a run, those that run at the same time shared."""
        return Milliseconds(1e3 * self.seconds())

    def seconds(self) -> float:
        """Measured seconds of a run at the first guess, over how many run at the same time."""
        u = np.asarray(self.problem.space.initial())[None]
        began = time.perf_counter()
        self.outputs(u, 0, TIMING)
        known = read_json(self.folder / TIMING / "member_000" / "status.json") or {}
        seconds = float(known.get("seconds", time.perf_counter() - began))
        return max(seconds, 1e-6) / self.workers.number

    def failures(self) -> dict[str, int]:
        """How often each reason was given for a run that failed, the most frequent first."""
        told = (read_json(path) or {} for path in sorted(self.folder.glob("batch_*/*/status.json")))
        found = counted(str(status["reason"]) for status in told if status.get("reason"))
        return dict(found.most_common())


@dataclass
class ProgramMetrics:
    """Metrics of an executable at points of the unit cube; see `Simulator`."""

    runner: ProgramRunner
    metrics: Metrics
    ranges: Ranges
    recorder: Recorder
    policy: str = DROP
    callback: Callable[[int], None] | None = None
    runs: int = 0
    differentiable: bool = False

    def values(self, x: np.ndarray) -> np.ndarray:
        """(n, K) metrics of points (n, P) of the cube; NaN in all of a run that failed."""
        number = self.runner.next_batch()
        found = self.recorder(VALUES, functools.partial(self._values, number=number), x)
        self.runs += len(x)
        if self.policy == STOP:
            reason = next(iter(self.runner.failures()), "")
            refuse_lost(found, f": {reason}" if reason else "")
        return found

    def _values(self, x: np.ndarray, number: int) -> np.ndarray:
        def tell(done: int, of: int) -> None:
            if self.callback is not None:
                self.callback(self.runs + done)

        u, name = self.ranges.to_u(x), f"batch_{number:03d}"
        outputs = self.runner.outputs(u, number, name, tell)
        found = self.metrics.of_fields(self.runner.problem.fields(outputs))
        lost = ~np.isfinite(found).all(axis=1, keepdims=True)
        return np.where(lost, np.nan, found)

    def with_slopes(self, e: np.ndarray, mode: str) -> NoReturn:
        """An executable has none."""
        raise InputError("a model whose slopes are known", "an executable", "--gradients never")

    def costs(self, slopes: bool = True) -> Costs:
        """Seconds of a run, measured."""
        return Costs(self.runner.seconds(), None, None)
