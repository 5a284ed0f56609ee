"""One window of a record as an inverse problem: what came before it is a Gaussian background.

What earlier windows said about the control vector u is (u - mean)^T information (u - mean) / 2,
which takes the place of the prior's |u|^2 / 2. What they did to the model is the state at the
window's start, which depends on u as well: state + slopes (u - centre), to first order. Everything
else is the problem of the whole record, so that all that takes an `InverseProblem` and uses
gradients takes a window (incremental 4D-Var with an exact tangent-linear model: Courtier, Thépaut
and Hollingsworth 1994, doi:10.1002/qj.49712051912).
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models.base import State
from caliche.models.loop.time_loop import ParamsInTime, simulate
from caliche.observations import ObservationOperator
from caliche.observations.nuisances import reach
from caliche.problems.inverse import InverseProblem
from caliche.variables import variable


class Carried(eqx.Module):
    """A state handed over: state + slopes (u - centre).

    Attributes
    ----------
    own : () whether the run starts as the model says instead, as the first window does.
    state, slopes : (state,) and (state, P), all numbers of the model's state in a row.
    centre : (P,) the u at which the state is `state`.
    """

    own: Array
    state: Float[Array, " state"]
    slopes: Float[Array, "state p"]
    centre: Float[Array, " p"]

    def at(self, u: Float[Array, " p"], own: State) -> State:
        """The state at u, of the structure of the model's own."""
        numbers, unravel = ravel_pytree(own)
        return unravel(jnp.where(self.own, numbers, self.state + self.slopes @ (u - self.centre)))


class WindowProblem(InverseProblem):
    """An inverse problem with another Gaussian prior of u than that of its space, which starts from
    a state that depends on u.

    Attributes
    ----------
    carried : the state at the start; None as the model says.
    mean : (P,) of the prior.
    root : (P, P) with root^T root the information (inverse covariance); zero along what nothing is
        known of.
    """

    carried: Carried | None = None
    mean: Float[Array, " p"] = eqx.field(default_factory=lambda: jnp.zeros(0))
    root: Float[Array, "p p"] = eqx.field(default_factory=lambda: jnp.zeros((0, 0)))

    def background(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Residuals of the prior."""
        return self.root @ (u - self.mean)

    def initial_state(self, u: Float[Array, " p"] | tuple, params: ParamsInTime) -> State | None:
        if self.carried is None:
            return None
        return self.carried.at(jnp.stack(list(u)), own_state(self, params))


@dataclass(frozen=True)
class Piece:
    """A window of a record: which times are assimilated, and which the model runs over.

    first, last : times first ... last (included) are assimilated.  start : time at which the run
    starts, earlier than `first` - 1 where a mean or a clock needs what was before.  steps : of the
    run, the same for all windows but for the first; it may reach beyond the end of the record.
    carry : steps from `start` to that of the next window.
    """

    first: int
    last: int
    start: int
    steps: int
    carry: int


def cut(problem: InverseProblem, steps: int, lead: int = 0) -> list[Piece]:
    """Consecutive windows of so many steps; the last one may be shorter.

    Parameters
    ----------
    lead : steps of the spin-up, before the first window.

    Raises
    ------
    InputError : a window longer than the record, or too short for its means, clock or spin-up.
    """
    n_steps = problem.observations.mask.shape[0] - 1
    before, after = _overlap(problem.operator)
    if not 1 <= steps <= n_steps - lead:
        raise InputError(
            f"a window of 1 to {n_steps - lead} time steps, the length of the fitted record",
            f"{steps} time steps",
            "choose another --window",
        )
    if steps <= before or steps < after or lead + steps < problem.period:
        raise InputError(
            "a window longer than the means of its streams, the reach of a clock offset and a "
            "periodic spin-up",
            f"{steps} time steps",
            "choose a longer --window",
        )
    pieces = []
    for begin in range(lead, n_steps, steps):
        own = begin == lead
        start = 0 if own else begin - before
        first, last = 0 if own else begin + 1, min(begin + steps, n_steps)
        pieces.append(
            Piece(first, last, start, begin + steps + after - start, begin + steps - before - start)
        )
    return pieces


def _overlap(operator: ObservationOperator) -> tuple[int, int]:
    """How many steps before a window, and after it, the model has to run to see all of it."""
    before = after = 0
    for stream in operator.streams:
        lag, lead = reach(operator.nuisances, stream.name, operator.time_step)
        blind = max(stream.steps, 0 if variable(stream.name).is_state else 1)
        before, after = max(before, blind + lag - 1), max(after, lead)
    return before, after


def independent_of_parameters(problem: InverseProblem) -> InverseProblem:
    """The same problem with a state that means the same whatever the parameters are.

    SoilHeat counts temperatures from the bottom's, or in modes of layers, where that is cheaper;
    neither can be handed from one set of parameters to another.
    """
    for_varying = getattr(problem.model, "for_varying", None)
    if for_varying is None:
        return problem
    known = [d.name for d in problem.model.declarations if not d.name.startswith("initial_")]
    moved = [p.name for p in problem.space.free if p.name in known]
    moved += [tie.name for tie in problem.space.ties if tie.name in known]
    return dataclasses.replace(problem, model=for_varying(moved))


def own_state(problem: InverseProblem, params: ParamsInTime) -> State:
    """The state in which a model itself starts."""
    first = {name: value[0] for name, value in problem.forcing.items()}
    constant = {n: v if v.ndim == 0 else v[0] for n, v in params.items()}
    return problem.model.init_state(problem.model.prepare(constant), first)


def state_size(problem: InverseProblem) -> int:
    """How many numbers the state of the model has."""

    def numbers(problem: InverseProblem) -> Array:
        params = problem.space.to_physical(problem.space.initial())
        return ravel_pytree(own_state(problem, params))[0]

    return jax.eval_shape(numbers, problem).shape[0]


@dataclass(frozen=True)
class Handed:
    """What one window hands to the next.

    mean, information : (P,), (P, P) of the Gaussian prior of u; the cost is built from them.
    score : (P, P) covariance of the prior's part of the gradient, which is `information` if the
        errors are what they are declared to be; the error bars are built from it.
    state, slopes, centre : see `Carried`; an empty state before the first window.
    """

    mean: np.ndarray
    information: np.ndarray
    score: np.ndarray
    state: np.ndarray
    slopes: np.ndarray
    centre: np.ndarray


def first_of_all(problem: InverseProblem) -> Handed:
    """What the first window starts with: the prior of the space."""
    known, p = problem.space.informative, problem.space.size
    mean = np.where(known, 0.0, np.asarray(problem.space.initial()))
    prior = np.diag(known.astype(float))
    size = state_size(problem)
    return Handed(mean, prior, prior, np.zeros(size), np.zeros((size, p)), mean)


def square_root(matrix: np.ndarray) -> np.ndarray:
    """A root with root^T root = matrix, of a matrix without negative eigenvalues."""
    scale = np.sqrt(np.clip(np.diag(matrix), 1e-300, None))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * scale


def window_problem(problem: InverseProblem, piece: Piece, handed: Handed) -> WindowProblem:
    """The problem of one window of a record."""
    n_time = problem.observations.mask.shape[0]
    index = piece.start + np.arange(piece.steps + 1)
    kept = np.minimum(index, n_time - 1)  # beyond the end: anything, nothing there is observed

    def rows(values: Array) -> Array:
        return values[kept]

    observed = problem.observations
    mask = rows(problem.mask) & jnp.asarray((index >= piece.first) & (index <= piece.last))[:, None]
    sigma = observed.sigma if observed.sigma.ndim == 1 else rows(observed.sigma)
    observations = dataclasses.replace(
        observed, values=rows(observed.values), mask=mask, sigma=sigma
    )
    fixed = {n: rows(v) if v.ndim else v for n, v in problem.space.fixed.items()}
    carried = Carried(
        jnp.asarray(piece.start == 0),
        jnp.asarray(handed.state),
        jnp.asarray(handed.slopes),
        jnp.asarray(handed.centre),
    )
    return WindowProblem(
        model=problem.model,
        forcing={name: rows(values) for name, values in problem.forcing.items()},
        operator=problem.operator,
        observations=observations,
        space=dataclasses.replace(problem.space, fixed=fixed),
        period=problem.period if piece.start == 0 else 0,
        carried=carried,
        mean=jnp.asarray(handed.mean),
        root=jnp.asarray(square_root(handed.information)),
    )


@functools.partial(jax.jit, static_argnums=2)
def _carry(problem: InverseProblem, u: Float[Array, " p"], steps: int) -> tuple[Array, Array]:
    space = problem.space.until(steps + 1)
    forcing = {name: values[: steps + 1] for name, values in problem.forcing.items()}

    def final(u: Float[Array, " p"]) -> tuple[Array, Array]:
        params: ParamsInTime = space.to_physical(u)
        start = problem.initial_state(u, params)
        state, _, _ = simulate(
            problem.model, params, forcing, lambda _: (), period=problem.period, state=start
        )
        flat = ravel_pytree(state)[0]
        return flat, flat

    slopes, state = jax.jacfwd(final, has_aux=True)(u)
    return state, slopes


def carry(problem: WindowProblem, u: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """State (state,) after so many steps of a window run at u, and its slopes (state, P) by u,
    those of the state at the window's start included."""
    state, slopes = _carry(problem, jnp.asarray(u), steps)
    return np.asarray(state), np.asarray(slopes)
