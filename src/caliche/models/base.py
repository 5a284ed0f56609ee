"""What a model is, and the only time loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

# Parameters, forcing and diagnostics are addressed by name everywhere: in closures that bring
# parameters of their own, in streams, in the TOML. A mapping of arrays says just that.
Params = Mapping[str, Float[Array, ""]]
Forcing = Mapping[str, Float[Array, "..."]]
Diagnostics = Mapping[str, "Float[Array, ''] | Profile"]
State = Any  # a pytree that belongs to the model
Prepared = Any  # what a model computes once from its parameters


@dataclass(frozen=True)
class Profile:
    """A diagnostic with a vertical axis: values () by index, computed when they are asked for.

    What nobody observes is never computed, nor even traced. `stack` gives all of it as an array.
    """

    length: int
    at: Callable[[int], Float[Array, ""]]
    stack: Callable[[], Float[Array, " node"]]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Float[Array, ""]:
        return self.at(range(self.length)[index])


@dataclass(frozen=True)
class ParameterDeclaration:
    """A parameter, declared once beside the model that uses it.

    `lower` and `upper` bound what is physically possible; `source` says where default and bounds
    come from. The listing, the prior, the documentation and the report are made from this.
    """

    name: str
    long_name: str
    unit: str
    default: float
    lower: float
    upper: float
    source: str


@runtime_checkable
class Model(Protocol):
    """A land-surface model of one column: two pure functions, and a preparation shared by steps.

    Attributes
    ----------
    declarations : the parameters, in order.
    forcing_variables : names of the forcing a step needs.
    diagnostics : names of what a step computes.
    depths : for each diagnostic with a vertical axis, the depths (m) of its entries.
    """

    @property
    def declarations(self) -> tuple[ParameterDeclaration, ...]: ...

    @property
    def forcing_variables(self) -> tuple[str, ...]: ...

    @property
    def diagnostics(self) -> tuple[str, ...]: ...

    @property
    def depths(self) -> Mapping[str, np.ndarray]: ...

    def prepare(self, params: Params) -> Prepared:
        """Everything that depends on parameters alone, such as factors of the column."""
        ...

    def init_state(self, prepared: Prepared, forcing: Forcing) -> State:
        """State at the start of the window, given the forcing at that instant."""
        ...

    def diagnose(self, prepared: Prepared, state: State) -> Diagnostics:
        """The diagnostics that a state alone determines (those observed at time zero)."""
        ...

    def step(self, prepared: Prepared, state: State, forcing: Forcing) -> tuple[State, Diagnostics]:
        """One time step: state at its end, and diagnostics at its end or averaged over it."""
        ...

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        """Unit and long name of each derived quantity."""
        ...

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        """Quantities computed from parameters alone, by name."""
        ...


Output = Callable[[Diagnostics], Any]


def everything(diagnostics: Diagnostics) -> Mapping[str, Float[Array, "..."]]:
    """The default output of `simulate`: every diagnostic, profiles as arrays (node,)."""
    return {
        name: value.stack() if isinstance(value, Profile) else value
        for name, value in diagnostics.items()
    }


def simulate(
    model: Model,
    params: Params,
    forcing: Forcing,
    output: Output = everything,
    segments: int = 1,
) -> tuple[State, Any, Any]:
    """Run a model over a window.

    Parameters
    ----------
    model, params : the model and a value for each parameter it declares.
    forcing : arrays (time + 1,). Entry k holds over the step that ends at time k; entry 0 belongs
        to the initial instant and drives no step.
    output : what to keep of the diagnostics of each step. Selecting inside the loop is what keeps
        memory small.
    segments : a reverse-mode gradient keeps the states of one segment at a time, and runs each
        segment twice. One for records of up to ten years; more for many members at once.

    Returns
    -------
    final state; output of the initial state (of the diagnostics that exist then); output of each
    step, stacked (time, ...).
    """
    first, rest = _split(forcing)
    prepared = model.prepare(params)
    state, initial = _start(model, prepared, first, output)

    def step(state: State, forcing_now: Forcing) -> tuple[State, Any]:
        state, diagnostics = model.step(prepared, state, forcing_now)
        return state, output(diagnostics)

    final, series = _scan(step, state, rest, segments)
    return final, initial, series


def simulate_total(
    model: Model,
    params: Params,
    forcing: Forcing,
    output: Output,
    absorb: Callable[[Any, Any, Any], Any],
    total: Any,
    inputs: Any,
    segments: int = 1,
) -> Any:
    """Run a model and keep only a running total, `absorb(total, inputs of the time, output)`.

    `inputs` is a pytree of arrays (time + 1, ...), such as observations; `absorb` is called for
    time 0 as well. The rest is as in `simulate`.
    """
    first, rest = _split(forcing)
    prepared = model.prepare(params)
    state, initial = _start(model, prepared, first, output)
    total = absorb(total, jax.tree.map(lambda x: x[0], inputs), initial)

    def step(carry: tuple[State, Any], now: tuple) -> tuple[tuple[State, Any], None]:
        state, total = carry
        forcing_now, inputs_now = now
        state, diagnostics = model.step(prepared, state, forcing_now)
        return (state, absorb(total, inputs_now, output(diagnostics))), None

    later = jax.tree.map(lambda x: x[1:], inputs)
    (_, total), _ = _scan(step, (state, total), (rest, later), segments)
    return total


class Tangents(NamedTuple):
    """Values of the outputs at one time, and their slopes by u.

    values : one scalar an output.  slopes : for each output, its derivatives by every entry of u,
    as an array (P,), or as a tuple of P scalars if tangents are separate.
    """

    values: tuple[Float[Array, ""], ...]
    slopes: tuple[Any, ...]


Absorb = Callable[[Any, Any, Tangents], tuple[Any, Any]]


def simulate_tangents(
    model: Model,
    params_of: Callable[[Any], Params],
    u: Float[Array, " p"],
    forcing: Forcing,
    output: Callable[[Diagnostics], tuple[Float[Array, ""], ...]],
    absorb: Absorb,
    total: Any = None,
    inputs: Any = None,
    separate: bool = False,
) -> tuple[Any, Any, Any]:
    """Run a model with a forward tangent for each entry of u.

    Derivatives are exact. What is kept of them is up to `absorb`: with a running total alone,
    nothing grows with the length of the record.

    Parameters
    ----------
    params_of, u : parameters as a function of the control vector (P,), which it gets as a tuple
        of its entries.
    output : the scalars to differentiate, of the diagnostics of each instant or step.
    absorb : (total, inputs of the time, Tangents) -> new total, and what to keep of this time;
        called for time 0 as well.
    inputs : pytree of arrays (time + 1, ...) that `absorb` reads, such as observations.
    separate : one set of scalars per tangent instead of arrays (P, ...); faster for many members
        under vmap, where scalars become vectors of members, and slower to compile.

    Returns
    -------
    the total; what was kept of time 0; what was kept of each step, stacked (time, ...).
    """
    first, rest = _split(forcing)

    def start(*entries: Float[Array, ""]) -> tuple[Prepared, tuple[State, Any]]:
        prepared = model.prepare(params_of(entries))
        return prepared, _start(model, prepared, first, output)

    entries = tuple(u[p] for p in range(len(u)))
    # What a free parameter does not reach has no tangent along it.
    along = [(p,) for p in range(len(u))] if separate else [tuple(range(len(u)))]
    moves = [_depends(lambda *e: start(*e)[0], entries, which) for which in along]
    moves_at_all = jax.tree.map(lambda *each: any(each), *moves)

    def start_moving(*entries: Float[Array, ""]) -> tuple[Any, Any]:
        prepared, outcome = start(*entries)
        moving, still = eqx.partition(prepared, moves_at_all)
        return (moving, outcome), still

    (moving, (state, initial)), linear, still = jax.linearize(start_moving, *entries, has_aux=True)
    directions = jnp.eye(len(u))
    if separate:
        pushed = [linear(*(directions[p, q] for q in range(len(u)))) for p in range(len(u))]
        d_moving = tuple(eqx.filter(d, m) for (d, _), m in zip(pushed, moves, strict=True))
        d_state = tuple(d for _, (d, _) in pushed)
        slopes = tuple(zip(*(d for _, (_, d) in pushed), strict=True))
    else:
        d_moving, (d_state, slopes) = jax.vmap(linear)(*directions)
    at_zero = jax.tree.map(lambda x: x[0], inputs)
    total, kept = absorb(total, at_zero, Tangents(initial, slopes))

    def body(carry: tuple, now: tuple) -> tuple[tuple, Any]:
        state, d_state, total = carry
        forcing_now, inputs_now = now

        def step(moving: Any, state: State) -> tuple[State, Any]:
            state, diagnostics = model.step(eqx.combine(moving, still), state, forcing_now)
            return state, output(diagnostics)

        (state, values), linear = jax.linearize(step, moving, state)
        if separate:
            pushed = [
                _push_sparse(linear, moving, d, s) for d, s in zip(d_moving, d_state, strict=True)
            ]
            d_state = tuple(s for s, _ in pushed)
            slopes = tuple(zip(*(d for _, d in pushed), strict=True))
        else:
            d_state, slopes = jax.vmap(linear)(d_moving, d_state)
        total, kept = absorb(total, inputs_now, Tangents(values, slopes))
        return (state, d_state, total), kept

    later = jax.tree.map(lambda x: x[1:], inputs)
    (_, _, total), series = jax.lax.scan(body, (state, d_state, total), (rest, later))
    return total, kept, series


def _push_sparse(linear: Callable, moving: Any, d_moving: Any, d_state: Any) -> Any:
    """`linear(d_moving, d_state)` where leaves of `d_moving` may be missing: no tangent there.

    The tangent of a linear function is the function, and JAX leaves out what a missing part of a
    tangent would have multiplied.
    """
    zeros = jax.tree.map(jnp.zeros_like, moving)
    present = jax.tree.map(lambda d: d is not None, d_moving, is_leaf=lambda d: d is None)
    rest = eqx.filter(zeros, present, inverse=True)

    def of_present(part: Any, state: Any) -> Any:
        return linear(eqx.combine(part, rest), state)

    at = eqx.filter(zeros, present), jax.tree.map(jnp.zeros_like, d_state)
    return jax.jvp(of_present, at, (d_moving, d_state))[1]


def _depends(function: Callable, entries: tuple[Array, ...], which: tuple[int, ...]) -> Any:
    """For each leaf of `function(*entries)`, whether it varies with these entries at all."""
    varying: set[int] = set()
    structures = []

    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def probe(index: int, leaf: Array) -> Array:
        return leaf

    @functools.partial(probe.defjvp, symbolic_zeros=True)
    def _note(index: int, primals: tuple, tangents: tuple) -> tuple[Array, Any]:
        if not isinstance(tangents[0], SymbolicZero):
            varying.add(index)
        return primals[0], tangents[0]

    def probed(*some: Float[Array, ""]) -> list:
        every = list(entries)
        for p, entry in zip(which, some, strict=True):
            every[p] = entry
        leaves, structure = jax.tree.flatten(function(*every))
        structures.append(structure)
        return [probe(k, leaf) for k, leaf in enumerate(leaves)]

    some = tuple(entries[p] for p in which)
    jax.eval_shape(lambda *some: jax.jvp(probed, some, some), *some)
    structure = structures[0]
    return jax.tree.unflatten(structure, [k in varying for k in range(structure.num_leaves)])


def _split(forcing: Forcing) -> tuple[Forcing, Forcing]:
    """Forcing at the initial instant, and over the steps."""
    first = {name: values[0] for name, values in forcing.items()}
    return first, {name: values[1:] for name, values in forcing.items()}


def _start(model: Model, prepared: Prepared, first: Forcing, output: Output) -> tuple[State, Any]:
    """The initial state, and its output; diagnostics it cannot give (fluxes) are NaN."""
    state = model.init_state(prepared, first)
    nan = jnp.asarray(jnp.nan)
    blank = {
        name: _constant(nan, len(model.depths[name])) if name in model.depths else nan
        for name in model.diagnostics
    }
    return state, output({**blank, **model.diagnose(prepared, state)})


def _constant(value: Float[Array, ""], length: int) -> Profile:
    return Profile(length, lambda _: value, lambda: jnp.full(length, value))


def _scan(step: Callable, carry: Any, inputs: Any, segments: int) -> tuple[Any, Any]:
    """`lax.scan`, of which reverse mode keeps no more than one segment."""
    if segments == 1:
        return jax.lax.scan(step, carry, inputs)
    n_steps = len(jax.tree.leaves(inputs)[0])
    length = -(-n_steps // segments)
    whole = n_steps // length

    def segment(carry: Any, part: Any) -> tuple[Any, Any]:
        return jax.lax.scan(step, carry, part)

    cut = jax.tree.map(lambda v: v[: whole * length].reshape(whole, length, *v.shape[1:]), inputs)
    carry, series = jax.lax.scan(jax.checkpoint(segment), carry, cut)
    series = jax.tree.map(lambda v: v.reshape(whole * length, *v.shape[2:]), series)
    carry, rest = segment(carry, jax.tree.map(lambda v: v[whole * length :], inputs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), series, rest)
