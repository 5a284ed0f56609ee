"""Many sites at once: blocks of members that share vector instructions, spread over devices.

A site is one column with forcing and observations of its own; the model, the free parameters and
the streams are the same everywhere. Sites are independent, so a block is evaluated by every device
on its own part, with no word between them. Levenberg-Marquardt runs in step for a block until most
of its sites are done; those still running are set aside and packed into a block of their own, so
that a site that has converged costs nothing more. What a site gets does not depend on the company
it was in.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.block_data import (
    DATA,
    BlockData,
    SiteData,
    at_site,
    take,
    without_data,
)
from caliche.estimation.least_squares import LevenbergMarquardt, LevenbergMarquardtState
from caliche.estimation.method import CONVERGED, NOT_FINITE, RUNNING, spectrum
from caliche.estimation.residuals import (
    ErrorBars,
    StreamSums,
    curvature,
    error_bars,
    usual_spacing,
)
from caliche.inverse_problem import InverseProblem
from caliche.models.time_loop import cut, preparation

# Members for each device: their states stay in the second-level cache of a core.
LANES = 64
# A block is broken up when fewer than this fraction of it still runs.
BREAK_UP = 0.5
# Where sites stop by default, in standard deviations. They take one whole Gauss-Newton step more
# after that, which lands about a hundred times closer to the optimum.
TOLERANCE = 1e-3
# A step that left less than FAST of the way should be followed by one that leaves as little: a site
# stops as soon as that would bring it to CLOSE tolerances, and goes on if it does not.
FAST, CLOSE = 0.1, 0.1


class SiteEstimates(NamedTuple):
    """Results of some sites, along axis 0.

    sites, status, iterations : (site,).  cost : (site,) J as in `Iterate`.
    u : (site, P), NaN for a failed site.  errors : what the curvature at u says.
    sums : statistics of the residuals by stream.
    """

    sites: np.ndarray
    status: np.ndarray
    iterations: np.ndarray
    cost: np.ndarray
    u: np.ndarray
    errors: ErrorBars
    sums: StreamSums


class _Pending(NamedTuple):
    """Sites on their way: data (axes as in `SiteData`), usual spacing of observations
    (stream, site), and the state of the method and its iterations so far (site in front)."""

    data: SiteData
    spacing: np.ndarray
    state: LevenbergMarquardtState
    iterations: np.ndarray

    def __len__(self) -> int:
        return len(self.data.sites)


class BlockEstimator:
    """Levenberg-Marquardt for any number of sites, a block at a time.

    Parameters
    ----------
    problem : the model, free parameters, streams and their sigma; forcing and observations are
        those of no site in particular.
    method : settings of Levenberg-Marquardt; a site that has converged, or will have by one step
        more, takes that step, whose evaluation is that of the error bars.
    lanes : members for each device in a block; multiples of 8 fill the vectors of any processor.
    devices : those to use, not more than `devices_for` gives; default all of this process that it
        gives.

    Raises
    ------
    InputError : a stream that is a mean over several steps.
    """

    def __init__(
        self,
        problem: InverseProblem,
        method: LevenbergMarquardt | None = None,
        lanes: int = LANES,
        devices: Sequence[Any] | None = None,
    ) -> None:
        if not problem.pointwise or problem.space.variations or problem.period:
            raise InputError(
                "streams compared at the instant or over the last step with independent errors, "
                "and constant parameters, when there are many sites",
                "means over steps, nuisances, errors with memory, a periodic start or parameters "
                "that vary in time", "estimate such sites one by one with caliche estimate",
            )  # fmt: skip
        self.problem = without_data(problem.for_block())
        self.method = LevenbergMarquardt(tolerance=TOLERANCE) if method is None else method
        if devices is None:
            devices = devices_for(self.problem, jax.local_devices())
        self.devices = list(devices)
        self.size = lanes * len(self.devices)
        mesh = Mesh(np.array(self.devices), ("site",))
        self._data, self._first, self._last = jax.tree.map(
            lambda spec: NamedSharding(mesh, spec), (DATA, P("site"), P(None, "site"))
        )
        self._init, self._advance, self._curvature = _programs(self.method, mesh)

    def run(self, batches: Iterable[SiteData]) -> Iterator[SiteEstimates]:
        """Estimate the sites of every batch; results come in the order in which sites finish.

        At most one batch of data and the sites set aside (less than a block) are held.
        """
        waiting: list[_Pending] = []
        for batch in batches:
            for part in self._parts(batch):
                pending = self._start(part)
                if len(pending) < self.size:  # it fills a block together with others
                    waiting.append(pending)
                else:
                    yield from self._work(pending, waiting)
                while sum(map(len, waiting)) >= self.size:
                    block, rest = _split(_join(waiting), self.size)
                    waiting = [rest] if len(rest) else []
                    yield from self._work(block, waiting)
                    del block, rest
                del part, pending
            del batch  # its memory is that of the next one
        while waiting:
            block, waiting = _join(waiting), []
            yield from self._work(block, waiting)

    # -- parts --------------------------------------------------------------------------------

    def _parts(self, batch: SiteData) -> Iterator[SiteData]:
        n = len(batch.sites)
        for first in range(0, n, self.size):
            last = first + self.size
            # What has to wait for others must not keep the whole batch in memory.
            yield take(batch, slice(first, last) if last <= n else np.arange(first, n))

    def _start(self, data: SiteData) -> _Pending:
        n = len(data.sites)
        starts = jnp.tile(self.problem.space.initial(), (self.size, 1))
        state = jax.device_get(self._init(self.problem, jax.device_put(starts, self._first)))
        seen = data.mask & self.problem.operator.visible(len(data.mask))[:, :, None]
        streams = range(seen.shape[1])
        spacing = [[usual_spacing(seen[:, k, i]) for i in range(n)] for k in streams]
        return _Pending(
            data, np.asarray(spacing, np.int32).reshape(len(streams), n),
            jax.tree.map(lambda x: x[:n], state), np.zeros(n, int),
        )  # fmt: skip

    def _work(self, block: _Pending, waiting: list[_Pending]) -> Iterator[SiteEstimates]:
        """Advance a block until most of it is done; set aside what still runs."""
        n = len(block)
        rows = np.arange(self.size) % n  # a short block is filled up with copies
        data = self.place(take(block.data, rows))
        state = jax.device_put(jax.tree.map(lambda x: x[rows], block.state), self._first)
        iterations = block.iterations.copy()
        alone = n <= BREAK_UP * self.size  # too few to be worth breaking up
        while True:
            status = np.asarray(state.iterate.status)[:n]
            running = (status == RUNNING) & (iterations < self.method.max_iterations)
            if not running.any() or (not alone and running.mean() < BREAK_UP):
                break
            still = jax.device_put(running[rows], self._first)
            state = self._advance(self.problem, data, state, still)
            iterations += running
        done, left = np.flatnonzero(~running), np.flatnonzero(running)
        if len(done):
            found = self._finish(block, data, state, iterations, rows, done)
            short = self._short(found, np.asarray(state.iterate.remaining)[done])
            if not short.all():
                yield jax.tree.map(lambda x: x[~short], found)
            left = np.sort(np.concatenate([left, done[short]]))
        if len(left):
            kept = jax.tree.map(lambda x: np.asarray(x)[left], state)
            status = np.full_like(kept.iterate.status, RUNNING)
            kept = kept._replace(iterate=kept.iterate._replace(status=status))
            spacing = block.spacing[:, left]
            waiting.append(_Pending(take(block.data, left), spacing, kept, iterations[left]))

    def _short(self, found: SiteEstimates, before: np.ndarray) -> np.ndarray:
        """Which sites stopped in the hope of a step that did not bring them near enough."""
        tolerance = self.method.tolerance
        hoped = (found.status == CONVERGED) & (before > tolerance)
        missed = found.errors.remaining > CLOSE * tolerance
        return hoped & missed & (found.iterations < self.method.max_iterations)

    def _finish(
        self,
        block: _Pending,
        data: BlockData,
        state: LevenbergMarquardtState,
        iterations: np.ndarray,
        rows: np.ndarray,
        done: np.ndarray,
    ) -> SiteEstimates:
        """Results of the sites that are done."""
        spacing = jax.device_put(block.spacing[:, rows], self._last)
        curvature = self._curvature(self.problem, data, state, spacing)
        found = jax.device_get((*curvature, state.iterate.status))
        u, sums, hessian, status = jax.tree.map(lambda x: x[done], found)
        informative = self.problem.space.informative
        cost = 0.5 * (sums.square.sum(axis=1) + ((informative * u) ** 2).sum(axis=1))
        errors = error_bars(self.problem.space, u, sums, hessian)
        failed = status == NOT_FINITE
        u, cost = np.where(failed[:, None], np.nan, u), np.where(failed, np.nan, cost)
        sites = block.data.sites[done]
        return SiteEstimates(sites, status, iterations[done], cost, u, errors, sums)

    def place(self, data: SiteData) -> BlockData:
        """The data on the devices, each with its own sites."""
        visible = self.problem.operator.visible(len(data.mask))
        seen = tuple(
            (data.values[:, k], data.mask[:, k] & visible[:, k, None])
            for k in range(data.values.shape[1])
        )
        knots = np.zeros((0, len(data.sites)))
        initial = knots if data.initial_values is None else data.initial_values
        return jax.device_put(BlockData(cut(data.forcing), cut(seen), initial), self._data)


def devices_for(problem: InverseProblem, devices: Sequence[Any]) -> list[Any]:
    """Those of the devices that many runs of a problem, as it is given, may be spread over.

    The modes of a layered column and a periodic start need LAPACK, which shares a batch of matrices
    out among the threads that run the devices; they then wait for each other without end (jaxlib
    0.10.2). Such a problem gets one device of each process.
    """

    def prepared(u: Array) -> Any:
        prepare, first, _ = preparation(problem.model, problem.space.to_physical(u))
        return prepare(first)

    if len(devices) > 1:
        modes = "eigh" in str(jax.make_jaxpr(prepared)(problem.space.initial()))
        devices = devices[:1] if modes or problem.period else devices
    return list(devices)


@functools.lru_cache(maxsize=16)
def _programs(method: LevenbergMarquardt, mesh: Mesh) -> tuple[Any, Any, Any]:
    """The compiled steps of a block, shared by all estimators of one kind: first states
    (problem, u), next states (problem, data, state, running), and ends (problem, data, state,
    spacing): u, and the sums and Hessians of `curvature` there."""

    def init(problem: InverseProblem, u: Float[Array, " p"]) -> LevenbergMarquardtState:
        return method.init(problem, u)

    def advance(
        problem: InverseProblem, data: BlockData, state: LevenbergMarquardtState, running: Array
    ) -> LevenbergMarquardtState:
        new = method.advance(at_site(problem, data), state)
        lands = _lands(state.iterate.remaining, new.iterate.remaining, method.tolerance)
        status = jnp.where(lands & (new.iterate.status == RUNNING), CONVERGED, new.iterate.status)
        new = new._replace(iterate=new.iterate._replace(status=status))
        return jax.tree.map(lambda old, after: jnp.where(running, after, old), state, new)

    def end(
        problem: InverseProblem, data: BlockData, state: LevenbergMarquardtState, spacing: Array
    ) -> tuple[Array, StreamSums, Float[Array, "stream p p"]]:
        """One whole step on from where a site has converged."""
        there, u = at_site(problem, data), state.iterate.u
        step = spectrum(there, u, state.equations).step
        u = jnp.where((state.iterate.status == CONVERGED) & jnp.isfinite(step), u + step, u)
        return u, *curvature(there, u, spacing)

    def compiled(function: Any, axes: tuple, specs: tuple) -> Any:
        each = jax.vmap(function, in_axes=(None, *axes))
        return jax.jit(
            jax.shard_map(
                each, mesh=mesh, in_specs=(P(), *specs), out_specs=P("site"), check_vma=False
            )
        )

    site = P("site")
    return (
        compiled(init, (0,), (site,)),
        compiled(advance, (-1, 0, 0), (DATA, site, site)),
        compiled(end, (-1, 0, 1), (DATA, site, P(None, "site"))),
    )


def _lands(before: Array, after: Array, tolerance: float) -> Array:
    """Whether a step from where `after` is left to go, of `before`, should bring a site home."""
    rate = after / before
    return jnp.isfinite(before) & (rate < FAST) & (rate * after < CLOSE * tolerance)


def _join(parts: Sequence[_Pending]) -> _Pending:
    """Several lots of sites as one."""
    if len(parts) == 1:
        return parts[0]
    data = [p.data for p in parts]
    initial = None
    if data[0].initial_values is not None:
        initial = np.concatenate([d.initial_values for d in data], axis=1)  # type: ignore[misc]
    names = data[0].forcing
    joined = SiteData(
        {name: np.concatenate([d.forcing[name] for d in data], axis=1) for name in names},
        np.concatenate([d.values for d in data], axis=2),
        np.concatenate([d.mask for d in data], axis=2),
        initial,
        np.concatenate([d.sites for d in data]),
    )
    return _Pending(
        joined,
        np.concatenate([p.spacing for p in parts], axis=1),
        jax.tree.map(lambda *x: np.concatenate(x), *(p.state for p in parts)),
        np.concatenate([p.iterations for p in parts]),
    )


def _split(pending: _Pending, n: int) -> tuple[_Pending, _Pending]:
    """The first n sites, and the others."""

    def part(rows: np.ndarray) -> _Pending:
        state = jax.tree.map(lambda x: x[rows], pending.state)
        data, spacing = take(pending.data, rows), pending.spacing[:, rows]
        return _Pending(data, spacing, state, pending.iterations[rows])

    return part(np.arange(n)), part(np.arange(n, len(pending)))
