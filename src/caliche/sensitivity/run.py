"""Run a screening: block by block, past runs that fail, kept in a file on the way.

`screen` needs a function from points of the unit cube to outputs; `CubeRunner` is that function for
an inverse problem, with many members in one compiled call on every device.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from scipy.special import ndtri

from caliche.errors import InputError
from caliche.estimation.devices import LANES, devices_for
from caliche.estimation.ensemble.core import NO_PREDICTION
from caliche.estimation.ensemble.prior import NormalPrior, normal_prior
from caliche.files.checkpoint import Checkpoint, fingerprint, read_arrays, write_arrays
from caliche.files.whole_file import remove
from caliche.parameters.priors import Prior
from caliche.parameters.rows import by_rows
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.sensitivity.designs import SOBOL, Design, Sums
from caliche.sensitivity.indices import add

BLOCK = 2048  # runs between two looks at the clock; it decides in which order sums are made
KEEP_EVERY = 5.0  # seconds between two states that are kept
FEWEST_ROWS = 4  # that must be left
HOPELESS = 256  # rows after which it stops if every one of them has failed
_SAME = "problem, method, samples, groups and seed"  # that a state has to be of
# Predictions that one call holds: 256 MB.
_MOST_VALUES = 2**25
# Morris' grid has points on the edge of the cube; there it covers this share of each prior.
COVERED = 0.95


class Progress(NamedTuple):
    """How far it is: runs done, of how many, those that failed, and seconds of running; seconds
    that what is left will take, None before the first block is done."""

    done: int
    total: int
    failed: int
    seconds: float
    left: float | None


@dataclass
class Screened:
    """What a screening gave, and the state of one under way.

    failed : runs whose outputs were not finite.  failed_at : (parameter,) the sum of their points.
    dropped : rows left out because a run of theirs failed.  next_row : the first not yet run.
    """

    sums: Sums
    failed_at: np.ndarray
    failed: int = 0
    dropped: int = 0
    next_row: int = 0

    def arrays(self) -> dict[str, np.ndarray]:
        counts = np.array([self.failed, self.dropped, self.next_row])
        return {**self.sums._asdict(), "failed_at": self.failed_at, "counts": counts}

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> Screened:
        sums = Sums(*(arrays[name] for name in Sums._fields))
        return Screened(sums, arrays["failed_at"], *map(int, arrays["counts"]))


Evaluate = Callable[[np.ndarray], np.ndarray]


def screen(
    design: Design,
    evaluate: Evaluate,
    n_outputs: int,
    checkpoint: Checkpoint | None = None,
    mark: str = "",
    callback: Callable[[Progress], None] | None = None,
    names: Sequence[str] = (),
) -> Screened:
    """Run a design and sum up what the indices need.

    Parameters
    ----------
    evaluate : points (n, parameter) of the unit cube -> outputs (n, n_outputs). A run that failed
        gives numbers that are not finite, or beyond 1e15; its whole row is left out.
    checkpoint : a file for the state, which stays. With the same design and `mark` a run that goes
        on from it ends with the same numbers to the last bit.
    names : of the parameters, to say where runs fail.

    Raises
    ------
    InputError : fewer than 4 rows are left; a state of something else.
    """
    state = Screened(Sums.empty(len(design.groups), n_outputs), np.zeros(design.groups.dimensions))
    mark = fingerprint(design.points(0, min(design.rows, 256)), design.rows, n_outputs, mark)
    if checkpoint is not None and checkpoint.resume:
        arrays = read_arrays(checkpoint.path, mark, _SAME)
        state = Screened.from_arrays(arrays)
    size = max(1, BLOCK // design.per_row)
    total, began, kept = design.rows * design.per_row, time.perf_counter(), time.perf_counter()
    before = state.next_row
    while state.next_row < design.rows and not _hopeless(state):
        begin, end = state.next_row, min(state.next_row + size, design.rows)
        rows, points = np.arange(begin, end), design.points(begin, end)
        flat = points.reshape(-1, points.shape[-1])
        y = evaluate(flat).reshape(*points.shape[:2], n_outputs)
        with np.errstate(invalid="ignore"):
            good = np.all(np.abs(y) < NO_PREDICTION, axis=2)
        state.failed += int((~good).sum())
        state.failed_at += points[~good].sum(axis=0)
        whole = np.all(good, axis=1)
        state.dropped += int((~whole).sum())
        add(design, state.sums, y[whole], rows[whole])
        state.next_row = end
        now = time.perf_counter()
        last = end == design.rows
        if checkpoint is not None and (now - kept > KEEP_EVERY or last or begin == 0):
            write_arrays(checkpoint.path, mark, state.arrays())
            kept = now
        if callback is not None:
            each = (now - began) / (end - before)
            left = each * (design.rows - end)
            callback(
                Progress(state.next_row * design.per_row, total, state.failed, now - began, left)
            )
    if state.sums.number.sum() < FEWEST_ROWS:
        if checkpoint is not None:
            remove(checkpoint.path)  # going on would not help
        done = state.next_row * design.per_row
        raise InputError(
            f"at least {FEWEST_ROWS} of {design.rows} samples without a run that fails",
            f"{int(state.sums.number.sum())}, as {state.failed} of {done} runs gave no finite "
            f"numbers{where_failed(state, names)}",
            "narrow the priors or bounds, or run the model once with caliche simulate",
        )
    return state


def _hopeless(state: Screened) -> bool:
    return state.next_row >= HOPELESS and not state.sums.number.any()


def where_failed(state: Screened, names: Sequence[str]) -> str:
    """Where in the cube runs fail, in words: the parameter whose values stand out most, if any."""
    if not state.failed or not names:
        return ""
    mean = state.failed_at / state.failed
    away = (mean - 0.5) * np.sqrt(12.0 * state.failed)  # in standard errors of a uniform mean
    k = int(np.abs(away).argmax())
    if abs(away[k]) < 4.0:
        return ""
    return f", most where {names[k]} is {'high' if away[k] > 0 else 'low'}"


# -- an inverse problem over the cube --------------------------------------------------------------


@dataclass
class CubeRunner:
    """Outputs of a problem at points of the unit cube, whose sides are quantiles of the priors.

    Parameters
    ----------
    output : a pytree that, called with predictions (time + 1, stream), gives outputs (o,).
    design : decides how much of each prior the cube covers: all with `sobol`, the central 95 % with
        `morris`.
    starts : draw what has a flat prior and a start range from that range, uniformly.

    Raises
    ------
    InputError : a flat prior without two bounds or a start range.
    """

    problem: InverseProblem
    output: Any
    design: Design
    starts: bool = False
    devices: Sequence[Any] | None = None
    _compiled: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._cube = Cube(self.problem.space, self.design.method, self.starts)
        devices = jax.local_devices() if self.devices is None else self.devices
        self._lowered = self._lower(devices_for(self.problem, devices))

    def _lower(self, devices: list[Any]) -> Any:
        """The program for these devices, traced but not compiled; it decides the lanes."""
        runs = self.design.rows * self.design.per_row
        n_time, n_streams = self.problem.observations.mask.shape
        lanes = min(LANES, _MOST_VALUES // (n_time * n_streams), -(-runs // len(devices)))
        self.lanes = max(8, -(-lanes // 8) * 8)
        self.width = self.lanes * len(devices)
        u = jnp.zeros((self.width, self.problem.space.size))
        return _program(Mesh(np.array(devices), ("member",))).lower(self.problem, self.output, u)

    @property
    def mark(self) -> str:
        """What the outputs depend on."""
        return fingerprint(self.problem, self.output, self.design.method, self.starts)

    def compile(self) -> None:
        """Compile now, so that later times are those of running."""
        if self._compiled is None:
            self._compiled = self._lowered.compile()

    def __call__(self, points: np.ndarray) -> np.ndarray:
        self.compile()
        u = self._cube.to_u(points)
        padding = -len(u) % self.width
        padded = np.concatenate([u, np.repeat(u[-1:], padding, axis=0)])
        found = [
            self._compiled(self.problem, self.output, jnp.asarray(padded[k : k + self.width]))
            for k in range(0, len(padded), self.width)
        ]
        return np.concatenate([np.asarray(part) for part in found])[: len(u)]


@functools.lru_cache(maxsize=4)
def _program(mesh: Mesh) -> Any:
    def one(problem: InverseProblem, output: Any, u: jax.Array) -> jax.Array:
        return output(problem.forward(u))

    each = jax.vmap(one, in_axes=(None, None, 0))
    specs = P(), P(), P("member")
    return jax.jit(
        jax.shard_map(each, mesh=mesh, in_specs=specs, out_specs=P("member"), check_vma=False)
    )


class Cube:
    """The map from the unit cube to u: each side is the probability of a prior."""

    def __init__(self, space: ParameterSpace, method: str, starts: bool = False) -> None:
        self._covered = 1.0 if method == SOBOL else COVERED
        self._ranges: dict[int, tuple[Any, float, float]] = {}
        if starts:
            for k, entry in enumerate(space.entries):
                if entry.parameter.start is not None and not entry.informative:
                    self._ranges[k] = (entry.parameter.prior, *entry.parameter.start)
        self._prior = _prior(space)

    def to_u(self, points: np.ndarray) -> np.ndarray:
        """Points (n, parameter) of the cube as u (n, parameter)."""
        points = 0.5 + self._covered * (points - 0.5)
        u = self._prior.to_u(ndtri(points))
        for k, (prior, low, high) in self._ranges.items():
            values = low + (high - low) * points[:, k]
            u[:, k] = by_rows(functools.partial(_whitened, prior), values)
        return u


@functools.partial(jax.jit, static_argnums=0)
def _whitened(prior: Prior, values: jax.Array) -> jax.Array:
    return prior.to_whitened(values)


def _prior(space: ParameterSpace) -> NormalPrior:
    if space.correlation is not None:
        a, b, value = space.correlation.pairs[0]
        raise InputError(
            "independent priors, whose parts of the variance can be told apart",
            f"a correlation of {value:g} between {a} and {b}",
            "leave [[prior_correlations]] out of a screening",
        )
    try:
        return normal_prior(space, "a screening")
    except InputError as error:
        raise InputError(
            error.expected,
            error.got,
            error.suggestion.replace(", or use lm or cma", ", or fix it"),
        ) from None
