"""Metrics of many members of a model in one compiled call, with or without their derivatives."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from caliche.errors import InputError
from caliche.estimation.devices import LANES, devices_for
from caliche.estimation.ensemble.core import NO_PREDICTION
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.recorder import Recorder
from caliche.metrics.metric import Metrics
from caliche.problems.inverse import InverseProblem
from caliche.wording import number_of

VALUES, FORWARD, REVERSE = "values", "forward", "reverse"
DROP, REDRAW, STOP = "drop", "redraw", "stop"
FAILURES = (DROP, REDRAW, STOP)
_MOST_VALUES = 2**24  # predictions that one call holds: 128 MB
_LANES_SLOPES = 8


class Costs(NamedTuple):
    """Seconds of a run, and of one with derivatives in either mode (None where not measured)."""

    values: float
    forward: float | None
    reverse: float | None


class MetricRuns(Protocol):
    """Runs of a model, whatever it is, as metrics.

    Attributes
    ----------
    recorder : remembers every call.  runs : how many were made.
    differentiable : whether runs can have slopes.
    """

    recorder: Recorder
    runs: int
    differentiable: bool

    def values(self, x: np.ndarray) -> np.ndarray: ...

    def with_slopes(self, e: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]: ...

    def costs(self, slopes: bool = True) -> Costs: ...


@dataclass
class Simulator:
    """Metrics at points of the unit cube.

    Parameters
    ----------
    failures : `drop` and `redraw` leave NaN where a run failed; `stop` refuses it.
    recorder : remembers every call.
    """

    problem: InverseProblem
    metrics: Metrics
    ranges: Ranges
    recorder: Recorder
    failures: str = DROP
    callback: Callable[[int], None] | None = None
    runs: int = 0
    differentiable: bool = True

    def __post_init__(self) -> None:
        devices = devices_for(self.problem, jax.local_devices())
        n_time, n_stream = self.problem.observations.mask.shape
        size = n_time * n_stream
        self._mesh = Mesh(np.array(devices), ("member",))
        self._lanes = {VALUES: max(1, min(LANES, _MOST_VALUES // size))}
        slopes = max(1, min(_LANES_SLOPES, _MOST_VALUES // (size * self.ranges.size)))
        self._lanes |= {FORWARD: slopes, REVERSE: slopes}

    def values(self, x: np.ndarray) -> np.ndarray:
        """(n, K) metrics of points (n, P) of the cube; NaN in all of a run that failed."""
        found = self.recorder(VALUES, self._values, x)
        self._count(x)
        if self.failures == STOP:
            refuse_lost(found)
        return found

    def with_slopes(self, e: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
        """(n, K) metrics and (n, K, P) their derivatives by emulator inputs e (n, P)."""
        number = len(self.metrics)
        found = self.recorder(mode, functools.partial(self._slopes, mode=mode), e)
        self._count(e)
        if self.failures == STOP:
            refuse_lost(found)
        found = found.reshape(len(e), number, 1 + self.ranges.size)
        return found[:, :, 0], found[:, :, 1:]

    def costs(self, slopes: bool = True) -> Costs:
        """What a run costs, measured on this machine; compiling is not in it."""
        centre = np.full((1, self.ranges.size), 0.5)
        u = self.ranges.to_u(centre)

        def seconds(mode: str) -> float:
            many = np.repeat(u, self._lanes[mode] * self._mesh.size, axis=0)
            self._run(mode, many)
            best = np.inf
            for _ in range(3):
                began = time.perf_counter()
                self._run(mode, many)
                best = min(best, time.perf_counter() - began)
            return best / len(many)

        if not slopes:
            return Costs(seconds(VALUES), None, None)
        return Costs(seconds(VALUES), seconds(FORWARD), seconds(REVERSE))

    def _count(self, x: np.ndarray) -> None:
        self.runs += len(x)
        if self.callback is not None:
            self.callback(self.runs)

    def _values(self, x: np.ndarray) -> np.ndarray:
        return _whole(self._run(VALUES, self.ranges.to_u(x)))

    def _slopes(self, e: np.ndarray, mode: str) -> np.ndarray:
        found = self._run(mode, self.ranges.inputs_to_u(e))
        found[:, :, 1:] *= self.ranges.slopes(e)[:, None, :]
        return _whole(found.reshape(len(e), -1))

    def _run(self, mode: str, u: np.ndarray) -> np.ndarray:
        width = self._lanes[mode] * self._mesh.size
        padded = np.concatenate([u, np.repeat(u[-1:], -len(u) % width, axis=0)])
        program = _program(self._mesh, mode)
        found = [
            np.asarray(program(self.problem, self.metrics, jnp.asarray(padded[k : k + width])))
            for k in range(0, len(padded), width)
        ]
        return np.concatenate(found)[: len(u)]


def _whole(found: np.ndarray) -> np.ndarray:
    """Outputs with NaN in all of a run of which any is not finite, or beyond all sense."""
    with np.errstate(invalid="ignore"):
        good = np.all(np.abs(found) < NO_PREDICTION, axis=1, keepdims=True)
    return np.where(good, found, np.nan)


@functools.lru_cache(maxsize=8)
def _program(mesh: Mesh, mode: str) -> Any:
    each = jax.vmap({VALUES: _one, FORWARD: _forward, REVERSE: _reverse}[mode], (None, None, 0))
    specs = P(), P(), P("member")
    return jax.jit(
        jax.shard_map(each, mesh=mesh, in_specs=specs, out_specs=P("member"), check_vma=False)
    )


def _one(problem: InverseProblem, metrics: Metrics, u: jax.Array) -> jax.Array:
    return metrics(problem.forward(u))


def _forward(problem: InverseProblem, metrics: Metrics, u: jax.Array) -> jax.Array:
    """(K, 1 + P) metrics, then their derivatives by u."""
    prediction, slopes = problem.predict_tangents(u)
    value, linear = jax.linearize(metrics, prediction)
    return jnp.concatenate([value[:, None], jax.vmap(linear, -1, -1)(slopes)], axis=1)


def _reverse(problem: InverseProblem, metrics: Metrics, u: jax.Array) -> jax.Array:
    """The same, from one backward run for each metric."""
    value, pull = jax.vjp(functools.partial(_one, problem, metrics), u)
    (slopes,) = jax.vmap(pull)(jnp.eye(len(metrics)))
    return jnp.concatenate([value[:, None], slopes], axis=1)


def best_mode(costs: Costs) -> str:
    """The cheaper mode of differentiation."""
    forward, reverse = costs.forward or np.inf, costs.reverse or np.inf
    return FORWARD if forward <= reverse else REVERSE


def refuse_failures(name: str) -> None:
    """Refuse a policy on failures that does not exist."""
    if name not in FAILURES:
        raise InputError(f"one of {', '.join(FAILURES)}", repr(name), "use --failures drop")


def refuse_lost(found: np.ndarray, why: str = "") -> None:
    """Refuse runs (n, ...) of which one failed, as `stop` asks."""
    lost = int(np.isnan(found).any(axis=1).sum())
    if lost:
        raise InputError(
            'no run to fail, as failures = "stop" asks',
            f"{lost} of {number_of(len(found), 'run')} without finite numbers{why}",
            "narrow the ranges, or use --failures drop",
        )
