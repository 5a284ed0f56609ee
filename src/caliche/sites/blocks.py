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
from caliche.estimation.descent.levenberg_marquardt import (
    LevenbergMarquardt,
    LevenbergMarquardtState,
)
from caliche.estimation.devices import LANES, devices_for
from caliche.estimation.method import NOT_FINITE, RUNNING
from caliche.models.loop.time_loop import cut
from caliche.problems.inverse import InverseProblem
from caliche.sites.block_data import DATA, BlockData, SiteData, at_site, take, without_data
from caliche.sites.residuals import (
    ErrorBars,
    StreamSums,
    block_steps,
    curvature,
    error_bars,
    together,
)

# A block is broken up when fewer than this fraction of it still runs.
BREAK_UP = 0.5
# Where sites stop by default, in standard deviations; noise alone moves an estimate by one.
TOLERANCE = 1e-4


class SiteState(NamedTuple):
    """A site on its way: the state of the method, and the sums and Hessians of `curvature` at its
    iterate, from the same run."""

    search: LevenbergMarquardtState
    sums: StreamSums
    hessians: Any


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
    """Sites on their way: data (axes as in `SiteData`), and the state of the method and its
    iterations so far (site in front)."""

    data: SiteData
    state: SiteState
    iterations: np.ndarray

    def __len__(self) -> int:
        return len(self.data.sites)


class BlockEstimator:
    """Levenberg-Marquardt for any number of sites, a block at a time.

    Parameters
    ----------
    problem : the model, free parameters, streams and their sigma; forcing and observations are
        those of no site in particular.
    method : settings of Levenberg-Marquardt.
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
                "that vary in time",
                "estimate such sites one by one with caliche estimate",
            )
        self.problem = without_data(problem.for_block())
        self.method = LevenbergMarquardt(tolerance=TOLERANCE) if method is None else method
        if devices is None:
            devices = devices_for(self.problem, jax.local_devices())
        self.devices = list(devices)
        self.size = lanes * len(self.devices)
        mesh = Mesh(np.array(self.devices), ("site",))
        self._data, self._first = jax.tree.map(
            lambda spec: NamedSharding(mesh, spec), (DATA, P("site"))
        )
        self._init, self._advance = _programs(self.method, mesh)

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
        return _Pending(data, jax.tree.map(lambda x: x[:n], state), np.zeros(n, int))

    def _work(self, block: _Pending, waiting: list[_Pending]) -> Iterator[SiteEstimates]:
        """Advance a block until most of it is done; set aside what still runs."""
        n = len(block)
        rows = np.arange(self.size) % n  # a short block is filled up with copies
        data = self.place(take(block.data, rows))
        state = jax.device_put(jax.tree.map(lambda x: x[rows], block.state), self._first)
        iterations = block.iterations.copy()
        alone = n <= BREAK_UP * self.size  # too few to be worth breaking up
        while True:
            status = np.asarray(state.search.iterate.status)[:n]
            running = (status == RUNNING) & (iterations < self.method.max_iterations)
            if not running.any() or (not alone and running.mean() < BREAK_UP):
                break
            still = jax.device_put(running[rows], self._first)
            state = self._advance(self.problem, data, state, still)
            iterations += running
        done, left = np.flatnonzero(~running), np.flatnonzero(running)
        if len(done):
            yield self._finish(block, state, iterations, done)
        if len(left):
            kept = jax.tree.map(lambda x: np.asarray(x)[left], state)
            waiting.append(_Pending(take(block.data, left), kept, iterations[left]))

    def _finish(
        self, block: _Pending, state: SiteState, iterations: np.ndarray, done: np.ndarray
    ) -> SiteEstimates:
        """Results of the sites that are done."""
        search, sums, hessians = jax.tree.map(lambda x: np.asarray(x)[done], state)
        u, cost, status = search.iterate.u, search.iterate.cost, search.iterate.status
        n_steps = len(block.data.values) - 1
        steps = block_steps(self.problem.operator.time_step)
        errors = error_bars(self.problem.space, u, sums, hessians, steps, n_steps)
        failed = status == NOT_FINITE
        u, cost = np.where(failed[:, None], np.nan, u), np.where(failed, np.nan, cost)
        sites = block.data.sites[done]
        return SiteEstimates(sites, status, iterations[done], cost, u, errors, sums)

    def _fitted(self, data: SiteData) -> np.ndarray:
        """Which values (time + 1, stream, site) are fitted: observed, and possible to predict."""
        return data.mask & self.problem.operator.visible(len(data.mask))[:, :, None]

    def place(self, data: SiteData) -> BlockData:
        """The data on the devices, each with its own sites."""
        fitted = self._fitted(data)
        seen = tuple((data.values[:, k], fitted[:, k]) for k in range(fitted.shape[1]))
        knots = np.zeros((0, len(data.sites)))
        initial = knots if data.initial_values is None else data.initial_values
        return jax.device_put(BlockData(cut(data.forcing), cut(seen), initial), self._data)


@functools.lru_cache(maxsize=16)
def _programs(method: LevenbergMarquardt, mesh: Mesh) -> tuple[Any, Any]:
    """The compiled steps of a block, shared by all estimators of one kind: first states
    (problem, u), and next states (problem, data, state, running)."""

    def init(problem: InverseProblem, u: Float[Array, " p"]) -> SiteState:
        n, k = len(u), len(problem.operator.streams)
        lengths = len(block_steps(problem.operator.time_step))
        each = jnp.zeros(k)
        sums = StreamSums(each, each, jnp.zeros((lengths, k)), jnp.zeros((k, n)))
        return SiteState(method.init(problem, u), sums, jnp.zeros((k, n, n)))

    def advance(
        problem: InverseProblem, data: BlockData, state: SiteState, running: Array
    ) -> SiteState:
        there, u = at_site(problem, data), state.search.trial
        sums, hessians = curvature(there, u)
        search = method.absorb(there, state.search, together(problem.space, u, sums, hessians))
        accepted = jnp.all(search.iterate.u == u)
        sums, hessians = jax.tree.map(
            lambda new, old: jnp.where(accepted, new, old),
            (sums, hessians),
            (state.sums, state.hessians),
        )
        new = SiteState(search, sums, hessians)
        return jax.tree.map(lambda old, after: jnp.where(running, after, old), state, new)

    def compiled(function: Any, axes: tuple, specs: tuple) -> Any:
        each = jax.vmap(function, in_axes=(None, *axes))
        return jax.jit(
            jax.shard_map(
                each, mesh=mesh, in_specs=(P(), *specs), out_specs=P("site"), check_vma=False
            )
        )

    site = P("site")
    return compiled(init, (0,), (site,)), compiled(advance, (-1, 0, 0), (DATA, site, site))


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
        jax.tree.map(lambda *x: np.concatenate(x), *(p.state for p in parts)),
        np.concatenate([p.iterations for p in parts]),
    )


def _split(pending: _Pending, n: int) -> tuple[_Pending, _Pending]:
    """The first n sites, and the others."""

    def part(rows: np.ndarray) -> _Pending:
        state = jax.tree.map(lambda x: x[rows], pending.state)
        return _Pending(take(pending.data, rows), state, pending.iterations[rows])

    return part(np.arange(n)), part(np.arange(n, len(pending)))
