"""The only time loops: a run, a running total, and both with forward tangents.

A parameter is a scalar, or a series (time + 1,) whose entry k holds over the step that ends at time
k, as the forcing's does. A model is prepared once if its parameters are all scalars, else for every
step with the values of that step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, Model, Params, Prepared, Profile, State
from caliche.models.spin_up import periodic_state

Output = Callable[[Diagnostics], Any]
ParamsInTime = Mapping[str, Float[Array, "..."]]


def everything(diagnostics: Diagnostics) -> Mapping[str, Float[Array, "..."]]:
    """The default output of `simulate`: every diagnostic, profiles as arrays (node,)."""
    return {
        name: value.stack() if isinstance(value, Profile) else value
        for name, value in diagnostics.items()
    }


def simulate(
    model: Model,
    params: ParamsInTime,
    forcing: Forcing,
    output: Output = everything,
    segments: int = 1,
    period: int = 0,
) -> tuple[State, Any, Any]:
    """Run a model over a window.

    Parameters
    ----------
    model, params : the model and a value () or a series (time + 1,) for each parameter it declares.
    forcing : arrays (time + 1,). Entry k holds over the step that ends at time k; entry 0 belongs
        to the initial instant and drives no step.
    output : what to keep of the diagnostics of each step. Selecting inside the loop is what keeps
        memory small.
    segments : a reverse-mode gradient keeps the states of one segment at a time, and runs each
        segment twice. One for records of up to ten years; more for many members at once.
    period : start from the state to which the first so many steps bring the model back (see
        `caliche.models.spin_up`); 0 starts as the model says.

    Returns
    -------
    final state; output of the initial state (of the diagnostics that exist then); output of each
    step, stacked (time, ...).
    """
    prepare, params_later, rest, state, initial = _start(model, params, forcing, output, period)

    def step(state: State, now: tuple) -> tuple[State, Any]:
        params_now, forcing_now = now
        state, diagnostics = model.step(prepare(params_now), state, forcing_now)
        return state, output(diagnostics)

    final, series = _scan(step, state, (params_later, rest), segments)
    return final, initial, series


def simulate_total(
    model: Model,
    params: ParamsInTime,
    forcing: Forcing,
    output: Output,
    absorb: Callable[[Any, Any, Any], Any],
    total: Any,
    inputs: Any,
    segments: int = 1,
    period: int = 0,
) -> Any:
    """Run a model and keep only a running total, `absorb(total, inputs of the time, output)`.

    `inputs` is a pytree of arrays (time + 1, ...), such as observations; `absorb` is called for
    time 0 as well. The rest is as in `simulate`.
    """
    prepare, params_later, rest, state, initial = _start(model, params, forcing, output, period)
    total = absorb(total, jax.tree.map(lambda x: x[0], inputs), initial)

    def step(carry: tuple[State, Any], now: tuple) -> tuple[tuple[State, Any], None]:
        state, total = carry
        params_now, forcing_now, inputs_now = now
        state, diagnostics = model.step(prepare(params_now), state, forcing_now)
        return (state, absorb(total, inputs_now, output(diagnostics))), None

    later = jax.tree.map(lambda x: x[1:], inputs)
    (_, total), _ = _scan(step, (state, total), (params_later, rest, later), segments)
    return total


def preparation(
    model: Model, params: ParamsInTime
) -> tuple[Callable[[Params], Prepared], Params, ParamsInTime]:
    """How to prepare a step from the values of the parameters that vary in time.

    Returns a function of those values, the values at time 0, and those of each step (time,). What
    does not vary is prepared here, once.
    """
    constant = {name: value for name, value in params.items() if jnp.ndim(value) == 0}
    varying = {name: value for name, value in params.items() if name not in constant}
    if not varying:
        prepared = model.prepare(constant)
        return lambda _: prepared, {}, {}
    first, later = _split(varying)
    vary = _vary(model, constant, first)
    still = eqx.filter(model.prepare({**constant, **first}), vary, inverse=True)

    def prepare(now: Params) -> Prepared:
        return eqx.combine(eqx.filter(model.prepare({**constant, **now}), vary), still)

    return prepare, first, later


def _vary(model: Model, constant: Params, varying: Params) -> Any:
    """For each leaf of what the model prepares, whether it depends on what varies in time."""
    names = tuple(varying)

    def prepare(*values: Float[Array, ""]) -> Prepared:
        return model.prepare({**constant, **dict(zip(names, values, strict=True))})

    return _depends(prepare, tuple(varying.values()), tuple(range(len(names))))


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
    params_of: Callable[[Any], ParamsInTime],
    u: Float[Array, " p"],
    forcing: Forcing,
    output: Callable[[Diagnostics], tuple[Float[Array, ""], ...]],
    absorb: Absorb,
    total: Any = None,
    inputs: Any = None,
    separate: bool = False,
    period: int = 0,
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
        under vmap, where scalars become vectors of members, and slower to compile. Not for
        parameters that vary in time.
    period : see `simulate`.

    Returns
    -------
    the total; what was kept of time 0; what was kept of each step, stacked (time, ...).
    """
    entries = tuple(u[p] for p in range(len(u)))
    if any(p.ndim for p in jax.eval_shape(lambda *e: params_of(e), *entries).values()):
        return _tangents_in_time(
            model, params_of, entries, forcing, output, absorb, total, inputs, period
        )
    _, rest = _split(forcing)

    def start(*entries: Float[Array, ""]) -> tuple[Prepared, tuple[State, Any]]:
        prepare, _, _, state, initial = _start(model, params_of(entries), forcing, output, period)
        return prepare({}), (state, initial)

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


def _tangents_in_time(
    model: Model,
    params_of: Callable[[Any], ParamsInTime],
    entries: tuple[Float[Array, ""], ...],
    forcing: Forcing,
    output: Callable[[Diagnostics], tuple[Float[Array, ""], ...]],
    absorb: Absorb,
    total: Any,
    inputs: Any,
    period: int,
) -> tuple[Any, Any, Any]:
    """`simulate_tangents` where parameters vary in time: every step is prepared by itself."""

    def values(*entries: Float[Array, ""]) -> ParamsInTime:
        return dict(params_of(entries))

    known = values(*entries)
    vary = _vary(
        model,
        {n: v for n, v in known.items() if v.ndim == 0},
        {n: v[0] for n, v in known.items() if v.ndim == 1},
    )

    def start(*entries: Float[Array, ""]) -> tuple[Prepared, State, Any]:
        params = values(*entries)
        _, _, _, state, initial = _start(model, params, forcing, output, period)
        # What does not vary in time is prepared once, with its tangents.
        prepared = model.prepare({n: v if v.ndim == 0 else v[0] for n, v in params.items()})
        return eqx.filter(prepared, vary, inverse=True), state, initial

    every = tuple(range(len(entries)))
    directions = jnp.eye(len(entries))
    moves = _depends(values, entries, every)
    params, linear = jax.linearize(values, *entries)
    slopes = jax.vmap(linear)(*directions)
    moving = {n: v for n, v in params.items() if moves[n]}
    # Derivatives by u in front of time (P, time + 1) would be read across memory.
    d_moving = {n: jnp.moveaxis(slopes[n], 0, -1) for n in moving}
    still = {n: v for n, v in params.items() if not moves[n]}
    constant = [{n: v for n, v in part.items() if v.ndim == 0} for part in (still, moving)]
    d_constant = {n: d for n, d in d_moving.items() if d.ndim == 1}
    series = [
        {n: v[1:] for n, v in still.items() if v.ndim == 1},
        {n: v[1:] for n, v in moving.items() if v.ndim == 1},
        {n: d[1:] for n, d in d_moving.items() if d.ndim == 2},
    ]
    (once, state, initial), linear = jax.linearize(start, *entries)
    d_once, d_state, slopes = jax.vmap(linear)(*directions)
    at_zero = jax.tree.map(lambda x: x[0], inputs)
    total, kept = absorb(total, at_zero, Tangents(initial, slopes))

    def body(carry: tuple, now: tuple) -> tuple[tuple, Any]:
        state, d_state, total = carry
        forcing_now, inputs_now, (still_now, moving_now, d_now) = now

        def step(moving: Params, once: Prepared, state: State) -> tuple[State, Any]:
            prepared = model.prepare({**constant[0], **still_now, **moving})
            prepared = eqx.combine(eqx.filter(prepared, vary), once)
            state, diagnostics = model.step(prepared, state, forcing_now)
            return state, output(diagnostics)

        (state, values), linear = jax.linearize(step, {**constant[1], **moving_now}, once, state)
        d_state, slopes = jax.vmap(linear)({**d_constant, **d_now}, d_once, d_state)
        total, kept = absorb(total, inputs_now, Tangents(values, slopes))
        return (state, d_state, total), kept

    _, rest = _split(forcing)
    later = jax.tree.map(lambda x: x[1:], inputs)
    carry, kept_later = jax.lax.scan(body, (state, d_state, total), (rest, later, series))
    return carry[2], kept, kept_later


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


def _start(
    model: Model, params: ParamsInTime, forcing: Forcing, output: Output, period: int
) -> tuple[Callable[[Params], Prepared], ParamsInTime, Forcing, State, Any]:
    """What a loop begins with: how to prepare a step, the parameters that vary and the forcing of
    each step, the initial state and its output. Diagnostics that the state cannot give (fluxes)
    are NaN."""
    first, rest = _split(forcing)
    prepare, params_0, params_later = preparation(model, params)
    prepared = prepare(params_0)
    state = model.init_state(prepared, first)
    if period:
        inputs = jax.tree.map(lambda x: x[:period], (params_later, rest))

        def advance(state: State) -> State:
            def step(state: State, now: tuple) -> tuple[State, None]:
                return model.step(prepare(now[0]), state, now[1])[0], None

            return jax.lax.scan(step, state, inputs)[0]

        state = periodic_state(advance, state)
    nan = jnp.asarray(jnp.nan)
    blank = {
        name: _constant(nan, len(model.depths[name])) if name in model.depths else nan
        for name in model.diagnostics
    }
    initial = output({**blank, **model.diagnose(prepared, state)})
    return prepare, params_later, rest, state, initial


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
