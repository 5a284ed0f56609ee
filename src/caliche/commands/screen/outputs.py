"""What a screening looks at: a few numbers of each stream, made inside the compiled run.

Of each stream its mean over the fitted window, its root-mean-square error, its means over bins of
time (`course`), and its mean by hour of the day (`cycle`). Hours and bins are of local standard
time, at the middle of each step. Spin-up and first instant count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.commands.screen.summary import Kind
from caliche.commands.screen.words import COURSE, CYCLE, MEAN, RMSE
from caliche.evaluation.regimes import record
from caliche.experiments.experiment import Experiment
from caliche.problems.inverse import InverseProblem

MOST_BINS = 100
HOUR, DAY = np.timedelta64(1, "h"), np.timedelta64(1, "D")
# Widths of bins in time, in words, beside the step itself and before months and years.
_WIDTHS = {"hour": HOUR, "3 hours": 3 * HOUR, "6 hours": 6 * HOUR, "day": DAY, "week": 7 * DAY}


class StreamOutputs(eqx.Module):
    """Predictions (time + 1, stream) -> outputs (o,): for each stream the means over all rows of
    `weights`, then its root-mean-square error.

    weights : (row, time + 1) 1 where a time belongs to a row.  seen : (time + 1, stream) where the
    model can be compared at all.  mask, values : the observations.
    """

    weights: Float[Array, "row time"]
    seen: Float[Array, "time stream"]
    mask: Float[Array, "time stream"]
    values: Float[Array, "time stream"]

    def __call__(self, prediction: Float[Array, "time stream"]) -> Float[Array, " output"]:
        # The time axis last: it is what is summed over.
        clean = jnp.where(self.seen > 0.0, prediction, 0.0).T
        means = (clean @ self.weights.T) / jnp.maximum(self.weights @ self.seen, 1.0).T
        square = jnp.sum((clean - self.values.T) ** 2 * self.mask.T, axis=1)
        rmse = jnp.sqrt(square / jnp.maximum(self.mask.sum(axis=0), 1.0))
        return jnp.concatenate([means, rmse[:, None]], axis=1).reshape(-1)


@dataclass(frozen=True)
class Outputs:
    """The outputs of an experiment, and where each stands.

    streams, units, fitted : of each stream.  n_observed : (stream,) in the fitted window.
    times : start of each bin (local standard time).  width : of the bins, in words.
    hours : the hours of the day; empty where the record has no daily cycle.
    counts : (stream, output of a stream) how many model values each is a mean of.
    """

    function: StreamOutputs
    streams: tuple[str, ...]
    fitted: tuple[bool, ...]
    n_observed: np.ndarray
    times: np.ndarray
    width: str
    hours: np.ndarray
    counts: np.ndarray

    @property
    def each(self) -> int:
        """Outputs of a stream."""
        return 2 + len(self.times) + len(self.hours)

    @property
    def number(self) -> int:
        return self.each * len(self.streams)

    def within(self, kind: str) -> list[int]:
        """Where a kind stands among the outputs of a stream."""
        t, h = len(self.times), len(self.hours)
        return {
            MEAN: [0],
            COURSE: [*range(1, 1 + t)],
            CYCLE: [*range(1 + t, 1 + t + h)],
            RMSE: [self.each - 1],
        }[kind]

    def columns(self, stream: int, kind: str) -> list[int]:
        """Where the outputs of a kind stand, of those that exist."""
        first = stream * self.each
        return [first + k for k in self.within(kind) if self.counts[stream, k] > 0]

    def kinds(self, stream: int) -> list[Kind]:
        """The kinds of output that a stream has."""
        return [k for k in (COURSE, CYCLE, MEAN, RMSE) if self.columns(stream, k)]

    @property
    def sets(self) -> np.ndarray:
        """(2 stream, output) the means over course and cycle that make one index of each."""
        rows = np.zeros((2 * len(self.streams), self.number))
        for stream in range(len(self.streams)):
            for k, kind in enumerate((COURSE, CYCLE)):
                mine = self.columns(stream, kind)
                rows[2 * stream + k, mine] = 1.0 / max(len(mine), 1)
        return rows

    def column(self, stream: int, kind: str) -> int:
        """Where the one index of a kind stands, among outputs followed by `sets`."""
        if kind in (COURSE, CYCLE):
            return self.number + 2 * stream + (kind == CYCLE)
        return self.columns(stream, kind)[0]


def outputs_of(experiment: Experiment, problem: InverseProblem) -> Outputs:
    """The outputs of an experiment's fitted window; `problem` sees every scored stream there."""
    config = experiment.config
    n_time = problem.observations.mask.shape[0]
    # The first instant belongs to no step.
    inside = experiment.dataset.time.values[:n_time] > config.window.start
    local, step, _ = record(experiment, n_time)
    local = local.astype("datetime64[ns]")
    middle = local - step // 2
    times, which, width = _bins(local, middle, inside, step)
    rows = [inside, *((which == k) & inside for k in range(len(times)))]
    hours = np.zeros(0, int)
    if step <= 3 * HOUR and inside.sum() * step >= 2 * DAY:
        of_day = (middle - middle.astype("datetime64[D]")) // HOUR
        hours = np.unique(of_day[inside])
        rows += [(of_day == h) & inside for h in hours]
    weights = np.stack(rows).astype(float)
    streams = tuple(s.name for s in problem.operator.streams)
    seen = problem.operator.visible(n_time).astype(float)
    mask = np.asarray(problem.mask)
    values = np.where(mask, np.asarray(problem.observations.values), 0.0)
    function = StreamOutputs(*map(jnp.asarray, (weights, seen, mask.astype(float), values)))
    counts = np.concatenate([weights @ seen, mask.sum(axis=0)[None]]).T
    return Outputs(
        function,
        streams,
        tuple(config.observations[s].fit for s in streams),
        mask.sum(axis=0),
        times,
        width,
        hours,
        counts,
    )


def _bins(
    stamps: np.ndarray, middle: np.ndarray, inside: np.ndarray, step: np.timedelta64
) -> tuple[np.ndarray, np.ndarray, str]:
    """Start of each bin of time, the bin of each time, and their width in words: the narrowest of
    which there are at most 100."""
    if inside.sum() <= MOST_BINS:
        return stamps[inside], np.cumsum(inside) - 1, "step"
    first = middle[inside][0].astype("datetime64[D]").astype(middle.dtype)
    for word, size in _WIDTHS.items():
        which = (middle - first) // size
        if size >= step and len(np.unique(which[inside])) <= MOST_BINS:
            return _numbered(which, inside, lambda k, size=size: first + k * size, word)
    months = middle.astype("datetime64[M]")
    word, unit = ("month", "M") if len(np.unique(months[inside])) <= MOST_BINS else ("year", "Y")
    which = middle.astype(f"datetime64[{unit}]").astype(int)

    def begin(k: np.ndarray) -> np.ndarray:
        return k.astype(f"datetime64[{unit}]").astype(middle.dtype)

    return _numbered(which, inside, begin, word)


def _numbered(
    which: np.ndarray, inside: np.ndarray, start: Callable[[np.ndarray], np.ndarray], word: str
) -> tuple[np.ndarray, np.ndarray, str]:
    """Bins that occur, counted from zero."""
    found = np.unique(which[inside])
    return start(found), np.searchsorted(found, which), word
