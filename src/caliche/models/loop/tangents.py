"""The time loop with a forward tangent for each entry of the control vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, Model, Params, Prepared, State
from caliche.models.loop.dependence import depends
from caliche.models.loop.run import run
from caliche.models.loop.time_loop import Cut, ParamsInTime, cut, start_run, varying_leaves


class Tangents(NamedTuple):
    """Values of the outputs at one time, and their slopes by u.

    values : one scalar an output.  slopes : for each output, its derivatives by every entry of u,
    as an array (P,), or as a tuple of P scalars if tangents are separate.
    """

    values: tuple[Float[Array, ""], ...]
    slopes: tuple[Any, ...]


StateOf = Callable[[Any, ParamsInTime], State | None]
Absorb = Callable[[Any, Any, Tangents], tuple[Any, Any]]


def simulate_tangents(
    model: Model,
    params_of: Callable[[Any], ParamsInTime],
    u: Float[Array, " p"],
    forcing: Forcing | Cut,
    output: Callable[[Diagnostics], tuple[Float[Array, ""], ...]],
    absorb: Absorb,
    total: Any = None,
    inputs: Any = None,
    separate: bool = False,
    period: int = 0,
    state_of: StateOf = lambda u, params: None,
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
    inputs : pytree of arrays (time + 1, ...) that `absorb` reads, such as observations; it and
        the forcing may come cut.
    separate : one set of scalars per tangent instead of arrays (P, ...); faster for many members
        under vmap, where scalars become vectors of members, and slower to compile. Not for
        parameters that vary in time.
    period : see `simulate`.
    state_of : the state to start from as a function of the control vector (a tuple of its entries)
        and of the parameters there; None starts as the model says.

    Returns
    -------
    the total; what was kept of time 0; what was kept of each step, stacked (time, ...).
    """
    entries = tuple(u[p] for p in range(len(u)))
    if any(p.ndim for p in jax.eval_shape(lambda *e: params_of(e), *entries).values()):
        return _tangents_in_time(
            model, params_of, entries, forcing, output, absorb, total, inputs, period, state_of
        )
    _, rest = cut(forcing)

    def start(*entries: Float[Array, ""]) -> tuple[Prepared, tuple[State, Any]]:
        params = params_of(entries)
        prepare, _, _, state, initial = start_run(
            model, params, forcing, output, period, state_of(entries, params)
        )
        return prepare({}), (state, initial)

    # What a free parameter does not reach has no tangent along it.
    along = [(p,) for p in range(len(u))] if separate else [tuple(range(len(u)))]
    moves = [depends(lambda *e: start(*e)[0], entries, which) for which in along]
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
    at_zero, later = cut(inputs)
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

    (_, _, total), series = run(body, (state, d_state, total), (rest, later))
    return total, kept, series


def _tangents_in_time(
    model: Model,
    params_of: Callable[[Any], ParamsInTime],
    entries: tuple[Float[Array, ""], ...],
    forcing: Forcing | Cut,
    output: Callable[[Diagnostics], tuple[Float[Array, ""], ...]],
    absorb: Absorb,
    total: Any,
    inputs: Any,
    period: int,
    state_of: StateOf,
) -> tuple[Any, Any, Any]:
    """`simulate_tangents` where parameters vary in time: every step is prepared by itself."""

    def values(*entries: Float[Array, ""]) -> ParamsInTime:
        return dict(params_of(entries))

    known = values(*entries)
    vary = varying_leaves(
        model,
        {n: v for n, v in known.items() if v.ndim == 0},
        {n: v[0] for n, v in known.items() if v.ndim == 1},
    )

    def start(*entries: Float[Array, ""]) -> tuple[Prepared, State, Any]:
        params = values(*entries)
        _, _, _, state, initial = start_run(
            model, params, forcing, output, period, state_of(entries, params)
        )
        # What does not vary in time is prepared once, with its tangents.
        prepared = model.prepare({n: v if v.ndim == 0 else v[0] for n, v in params.items()})
        return eqx.filter(prepared, vary, inverse=True), state, initial

    every = tuple(range(len(entries)))
    directions = jnp.eye(len(entries))
    moves = depends(values, entries, every)
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
    at_zero, later = cut(inputs)
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

    _, rest = cut(forcing)
    carry, kept_later = run(body, (state, d_state, total), (rest, later, series))
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
