"""What a method is, when it has converged, and the one loop that runs it from many starts."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from caliche.files.checkpoint import Checkpoint
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import NormalEquations, Problem

RUNNING, CONVERGED, STALLED, NOT_FINITE = 0, 1, 2, 3
GIVEN_UP = 7  # 4 to 6 are sites that cannot be calibrated, see `caliche.commands.sites.ready`
STATUS = {
    RUNNING: "stopped at the limit of iterations before it converged",
    CONVERGED: "converged",
    STALLED: "stalled: no step lowers the misfit any more, yet the gradient is not zero",
    NOT_FINITE: "failed: the model gave no finite misfit",
    GIVEN_UP: "given up: its misfit is far above that of the best start and falls too slowly to "
    "reach it before the limit of iterations",
}
# A start is given up where its J is this far above the best that converged (nothing would ever
# choose it), and where the pace of so many last iterations would not close half of that gap.
FAR_ABOVE, WATCHED = 10.0, 25

# A search that can go no further has arrived if no more than this (posterior standard deviations)
# is left: the error of a model's own iterations hides what a smaller step would bring.
NEGLIGIBLE = 1e-3

# A flat prior's logistic coordinate this far out is within 1e-6 of the range from its bound.
BOUND_REACHED = 14.0
# Eigenvalues of the scaled Hessian below this are directions the data do not see at all.
RANK_TOLERANCE = 1e-12


class Iterate(NamedTuple):
    """What every method's state carries, for one start.

    `remaining` is the length of the Gauss-Newton step still to go, in posterior standard
    deviations: sqrt(g^T H^-1 g). It is the gradient measured in units that mean something.
    """

    u: Float[Array, " parameter"]
    cost: Float[Array, ""]
    remaining: Float[Array, ""]
    status: Int[Array, ""]
    model_runs: Int[Array, ""]


def ended(u: Any, cost: Any, remaining: Any, status: Any, model_runs: Any) -> Iterate:
    """Where starts ended, of arrays with a leading start axis."""
    return Iterate(u, cost, remaining, status, model_runs)


def unjudged(u: Float[Array, " parameter"]) -> Iterate:
    """The iterate of a start that has not been evaluated yet."""
    infinite = jnp.asarray(jnp.inf)
    return Iterate(u, infinite, infinite, jnp.asarray(RUNNING), jnp.asarray(0))


def at_bound(space: ParameterSpace, u: Any, gradient: Any) -> Any:
    """Parameters (P,) that lie on a bound and that the misfit pushes further out.

    Only a flat prior has bounds that can hold a parameter, and it may have one, two or none.
    """
    flat = ~space.informative
    priors = [entry.parameter.prior for entry in space.entries]
    has_lower = flat & np.array([math.isfinite(p.lower) for p in priors])
    has_upper = flat & np.array([math.isfinite(p.upper) for p in priors])
    below = has_lower & (u < -BOUND_REACHED) & (gradient >= 0.0)
    above = has_upper & (u > BOUND_REACHED) & (gradient <= 0.0)
    return below | above


def remaining_step(
    problem: Problem, u: Float[Array, " parameter"], equations: NormalEquations
) -> Float[Array, ""]:
    """Length of the remaining Gauss-Newton step in posterior standard deviations.

    Directions the data do not see, and parameters held by a bound, do not count.
    """
    return spectrum(problem, u, equations).remaining


class Spectrum(NamedTuple):
    """Gradient and curvature along the eigenvectors of the Hessian scaled to a unit diagonal.

    values : (P,) eigenvalues, 1 where not `seen`.  vectors : (P, P) in columns.
    scale : (P,) square root of the Hessian's diagonal.  gradient : (P,) along the eigenvectors.
    seen : (P,) False for directions the data do not see, in which rounding would be all there is.
    """

    values: Float[Array, " p"]
    vectors: Float[Array, "p p"]
    scale: Float[Array, " p"]
    gradient: Float[Array, " p"]
    seen: Array

    @property
    def remaining(self) -> Float[Array, ""]:
        """Length of the whole Gauss-Newton step, see `remaining_step`."""
        return jnp.sqrt(jnp.sum(jnp.where(self.seen, self.gradient**2 / self.values, 0.0)))

    @property
    def step(self) -> Float[Array, " p"]:
        """The whole Gauss-Newton step, none of it along directions that the data do not see."""
        along = jnp.where(self.seen, -self.gradient / self.values, 0.0)
        return self.vectors @ along / self.scale


def spectrum(
    problem: Problem, u: Float[Array, " parameter"], equations: NormalEquations
) -> Spectrum:
    """The spectrum at u, with parameters that a bound holds taken out."""
    gradient, hessian = without_held(problem, u, equations)
    scale = jnp.sqrt(jnp.clip(jnp.diagonal(hessian), 1e-300))
    values, vectors = jnp.linalg.eigh(hessian / jnp.outer(scale, scale))
    seen = values > RANK_TOLERANCE * values[-1]
    along = vectors.T @ (gradient / scale)
    return Spectrum(jnp.where(seen, values, 1.0), vectors, scale, along, seen)


def without_held(
    problem: Problem, u: Float[Array, " parameter"], equations: NormalEquations
) -> tuple[Float[Array, " parameter"], Float[Array, "parameter parameter"]]:
    """Gradient and Hessian with the parameters that a bound holds taken out (identity rows)."""
    held = at_bound(problem.space, u, equations.gradient)
    free = ~held
    identity = jnp.diag(held.astype(equations.hessian.dtype))
    hessian = jnp.where(free[:, None] & free[None, :], equations.hessian, identity)
    return jnp.where(held, 0.0, equations.gradient), hessian


@dataclass(frozen=True)
class History:
    """Every start's way: misfit (start, iteration) and u (start, iteration, P), NaN when done.

    The first entry is the start itself.
    """

    misfit: np.ndarray
    u: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """Where every start ended, how it got there and what it cost.

    reasons : why each start ended, where the method has words of its own for it.
    failed : model runs that failed, of all starts.
    """

    final: Iterate  # leaves have a leading start axis
    history: History
    n_iterations: int
    reasons: tuple[str, ...] = ()
    failed: int = 0


Callback = Callable[[int, float, int], None]
"""Called after each iteration with its number, the best misfit and how many starts still run."""


@runtime_checkable
class Method(Protocol):
    """What `estimate` asks of a method: a search from every start.

    A method is hashable, and equal to one with the same settings: it is part of the key under
    which compiled programs are kept.

    needs_gradient : whether it follows derivatives of the model.
    keeps_state : whether it goes on from a checkpoint.
    gives_posterior : whether it begins at the prior and ends as members of the posterior.
    """

    @property
    def name(self) -> str: ...

    @property
    def max_iterations(self) -> int: ...

    @property
    def needs_gradient(self) -> bool: ...

    @property
    def keeps_state(self) -> bool: ...

    @property
    def gives_posterior(self) -> bool: ...

    def search(
        self,
        problem: Problem,
        starts: Float[Array, "start parameter"],
        callback: Callback | None = None,
        checkpoint: Checkpoint | None = None,
        seed: int = 0,
    ) -> Outcome:
        """Where the search ends from each start; `seed` is that of its random numbers, if any."""
        ...


class Descent(ABC):
    """A method that follows gradients and advances one start; starts are vectorised outside.

    `init` gives a state whose field `iterate` is an `Iterate`; it does not run the model, so that
    there is one program to compile. `advance` makes one recorded iteration, which may be several
    inner ones, and judges where it has come to; the first one judges the start itself.
    It has converged when the step still to go is below `tolerance` posterior standard deviations.
    """

    name: str
    max_iterations: int
    tolerance: float

    needs_gradient = True
    keeps_state = False
    gives_posterior = False

    @abstractmethod
    def init(self, problem: Problem, u: Float[Array, " parameter"]) -> Any: ...

    @abstractmethod
    def advance(self, problem: Problem, state: Any) -> Any: ...

    def advance_all(self, problem: Problem, state: Any) -> Any:
        """`advance` for every start that still runs; leaves of the state have a start axis."""
        return _advance(self, problem, state)

    def search(
        self,
        problem: Problem,
        starts: Float[Array, "start parameter"],
        callback: Callback | None = None,
        checkpoint: Checkpoint | None = None,
        seed: int = 0,
    ) -> Outcome:
        """See `Method`. Nothing is left to chance, and no state is kept."""
        return run_method(self, problem, starts, callback)


def settled(state: Any) -> Any:
    """The state with types that stay the same from one iteration to the next.

    A constant is weakly typed until it meets an array; each change would compile once more.
    """
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)


@functools.partial(jax.jit, static_argnums=0)
def _init(method: Descent, problem: Problem, starts: Float[Array, "start p"]) -> Any:
    return settled(jax.vmap(method.init, in_axes=(None, 0))(problem, starts))


@functools.partial(jax.jit, static_argnums=0)
def _advance(method: Descent, problem: Problem, state: Any) -> Any:
    """One iteration of every start that still runs; the others stay as they are."""
    if state.iterate.status.shape[0] == 1:  # a model of scalars is faster than one of vectors of 1
        alone = method.advance(problem, jax.tree.map(lambda x: x[0], state))
        new = jax.tree.map(lambda x: jnp.asarray(x)[None], alone)
    else:
        new = jax.vmap(method.advance, in_axes=(None, 0))(problem, state)
    return where_running(state, new)


def where_running(state: Any, new: Any) -> Any:
    """The new state of starts that still ran, the old one of the others."""
    running = state.iterate.status == RUNNING

    def keep(old: Array, after: Array) -> Array:
        return jnp.where(running.reshape(-1, *[1] * (old.ndim - 1)), after, old)

    return settled(jax.tree.map(keep, state, new))


@functools.partial(jax.jit, static_argnums=0)
def _absorb(method: Any, problem: Problem, state: Any, known: NormalEquations) -> Any:
    """The state of every start that knows its normal equations, with no run counted."""

    def one(state: Any, known: NormalEquations) -> Any:
        new = method.absorb(problem, state, known)
        return eqx.tree_at(lambda s: s.iterate.model_runs, new, state.iterate.model_runs)

    return settled(jax.vmap(one)(state, known))


def run_method(
    method: Descent,
    problem: Problem,
    starts: Float[Array, "start parameter"],
    callback: Callback | None = None,
    known: NormalEquations | None = None,
) -> Outcome:
    """Run a method from every start until each has converged, stalled, failed, run out, or been
    given up, see `creeping`.

    known : the normal equations at the starts, with a leading start axis, where these were made by
    somebody else: the method does not make them again.
    """
    state = _init(method, problem, starts)
    if known is not None:
        state = _absorb(method, problem, state, known)
    costs, controls = [], []
    iteration = 0
    while iteration < method.max_iterations:
        running = np.asarray(state.iterate.status) == RUNNING
        if not running.any():
            break
        iteration += 1
        state = method.advance_all(problem, state)
        cost = np.asarray(state.iterate.cost)
        costs.append(np.where(running, cost, np.nan))
        controls.append(np.where(running[:, None], np.asarray(state.iterate.u), np.nan))
        status = np.array(state.iterate.status)
        slow = creeping(costs, status, method.max_iterations - iteration)
        if slow.any():
            status[slow] = GIVEN_UP
            state = eqx.tree_at(lambda s: s.iterate.status, state, jnp.asarray(status))
        if callback is not None:
            best = float(np.min(cost, initial=np.inf, where=np.isfinite(cost)))
            callback(iteration, best, int((status == RUNNING).sum()))
    history = History(np.stack(costs, axis=1), np.stack(controls, axis=1))
    final = jax.device_get(state.iterate)
    reasons = tuple(reason_of(method, final, k) for k in range(len(final.status)))
    return Outcome(final, history, iteration, reasons)


def is_rough(method: Descent, final: Iterate, best: int) -> bool:
    """Whether a start counts as arrived with a step left that is more than negligible."""
    left = float(final.remaining[best])
    return int(final.status[best]) == CONVERGED and left >= max(NEGLIGIBLE, method.tolerance)


def reason_of(method: Descent, final: Iterate, best: int) -> str:
    """Why a method stopped, in words."""
    status = int(final.status[best])
    remaining = float(final.remaining[best])
    if is_rough(method, final, best):
        return (
            f"converged to {remaining:.2g} posterior standard deviations and no nearer: the misfit "
            "is rough there, and no step lowers it any more"
        )
    if status == CONVERGED:
        why = f"less than the tolerance of {method.tolerance:g}"
        if remaining >= method.tolerance:
            why = "and no step lowers the misfit any more"
        return (
            f"converged: the next Gauss-Newton step would move the parameters by {remaining:.1g} "
            f"of their standard deviations, {why}"
        )
    if status == NOT_FINITE:
        return f"{STATUS[status]}, from any start" if len(final.status) > 1 else STATUS[status]
    return (
        f"{STATUS[status]}; the next Gauss-Newton step would still move the parameters by "
        f"{remaining:.2g} standard deviations"
    )


def creeping(costs: Sequence[np.ndarray], status: np.ndarray, left: int) -> np.ndarray:
    """Which starts still run but are too far above the best and too slow to reach it.

    Parameters
    ----------
    costs : (start,) J after each iteration so far.  status : (start,) now.
    left : iterations that may still be made.
    """
    running, arrived = status == RUNNING, status == CONVERGED
    if len(costs) <= WATCHED or not running.any() or not arrived.any():
        return np.zeros(len(status), bool)
    reached = np.array(costs)[:, arrived]
    gap = costs[-1] - np.nanmin(reached)
    fall = (costs[-1 - WATCHED] - costs[-1]) / WATCHED
    with np.errstate(invalid="ignore"):
        return running & (gap > FAR_ABOVE) & (fall * left < 0.5 * gap)
