"""Steps of a model without tangents (see `caliche.models.loop.tangents`): kept, or a running total.

A parameter is a scalar, or a series (time + 1,) whose entry k holds over the step that ends at time
k, as the forcing's does. A model is prepared once if its parameters are all scalars, else for every
step with the values of that step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, Model, Params, Prepared, Profile, State
from caliche.models.loop.dependence import depends
from caliche.models.loop.run import run
from caliche.models.loop.spin_up import periodic_state
from caliche.physics.tangents import recomputed

Output = Callable[[Diagnostics], Any]
ParamsInTime = Mapping[str, Float[Array, "..."]]


class Cut(NamedTuple):
    """A record cut at its start: what belongs to time 0, and to each step (time, ...)."""

    first: Any
    later: Any


def cut(record: Any) -> Cut:
    """A pytree of arrays (time + 1, ...) cut at its start; one that is cut already stays.

    Cutting copies. The data of a block of sites, which are evaluated over and over, come cut.
    """
    if isinstance(record, Cut):
        return record
    return Cut(jax.tree.map(lambda v: v[0], record), jax.tree.map(lambda v: v[1:], record))


def everything(diagnostics: Diagnostics) -> Mapping[str, Float[Array, "..."]]:
    """The default output of `simulate`: every diagnostic, profiles as arrays (node,)."""
    return {
        name: value.stack() if isinstance(value, Profile) else value
        for name, value in diagnostics.items()
    }


def simulate(
    model: Model,
    params: ParamsInTime,
    forcing: Forcing | Cut,
    output: Output = everything,
    segments: int = 1,
    period: int = 0,
    state: State | None = None,
) -> tuple[State, Any, Any]:
    """Run a model over a window.

    Parameters
    ----------
    model, params : the model and a value () or a series (time + 1,) for each parameter it declares.
    forcing : arrays (time + 1,), or these cut. Entry k holds over the step that ends at time k;
        entry 0 belongs to the initial instant and drives no step.
    output : what to keep of the diagnostics of each step. Selecting inside the loop is what keeps
        memory small.
    segments : a reverse-mode gradient keeps the states of one segment at a time, and runs each
        segment twice. One for records of up to ten years; more for many members at once.
    period : start from the state to which the first so many steps bring the model back (see
        `caliche.models.loop.spin_up`); 0 starts as the model says.
    state : to start from instead of the model's own.

    Returns
    -------
    final state; output of the initial state (of the diagnostics that exist then); output of each
    step, stacked (time, ...).
    """
    prepare, params_later, rest, state, initial = start_run(
        model, params, forcing, output, period, state
    )

    def step(state: State, now: tuple) -> tuple[State, Any]:
        params_now, forcing_now = now
        state, diagnostics = model.step(prepare(params_now), state, forcing_now)
        return state, output(diagnostics)

    final, series = run(recomputed(step), state, (params_later, rest), segments)
    return final, initial, series


def simulate_total(
    model: Model,
    params: ParamsInTime,
    forcing: Forcing | Cut,
    output: Output,
    absorb: Callable[[Any, Any, Any], Any],
    total: Any,
    inputs: Any,
    segments: int = 1,
    period: int = 0,
    state: State | None = None,
) -> Any:
    """Run a model and keep only a running total, `absorb(total, inputs of the time, output)`.

    `inputs` is a pytree of arrays (time + 1, ...), or one that is cut, such as observations;
    `absorb` is called for time 0 as well. The rest is as in `simulate`.
    """
    prepare, params_later, rest, state, initial = start_run(
        model, params, forcing, output, period, state
    )
    at_zero, later = cut(inputs)
    total = absorb(total, at_zero, initial)

    def step(carry: tuple[State, Any], now: tuple) -> tuple[tuple[State, Any], None]:
        state, total = carry
        params_now, forcing_now, inputs_now = now
        state, diagnostics = model.step(prepare(params_now), state, forcing_now)
        return (state, absorb(total, inputs_now, output(diagnostics))), None

    (_, total), _ = run(recomputed(step), (state, total), (params_later, rest, later), segments)
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
    first, later = cut(varying)
    vary = varying_leaves(model, constant, first)
    still = eqx.filter(model.prepare({**constant, **first}), vary, inverse=True)

    def prepare(now: Params) -> Prepared:
        return eqx.combine(eqx.filter(model.prepare({**constant, **now}), vary), still)

    return prepare, first, later


def varying_leaves(model: Model, constant: Params, varying: Params) -> Any:
    """For each leaf of what the model prepares, whether it depends on what varies in time."""
    names = tuple(varying)

    def prepare(*values: Float[Array, ""]) -> Prepared:
        return model.prepare({**constant, **dict(zip(names, values, strict=True))})

    return depends(prepare, tuple(varying.values()), tuple(range(len(names))))


def start_run(
    model: Model,
    params: ParamsInTime,
    forcing: Forcing | Cut,
    output: Output,
    period: int,
    state: State | None = None,
) -> tuple[Callable[[Params], Prepared], ParamsInTime, Forcing, State, Any]:
    """What a loop begins with: how to prepare a step, the parameters that vary and the forcing of
    each step, the initial state and its output. Diagnostics that the state cannot give (fluxes)
    are NaN."""
    first, rest = cut(forcing)
    prepare, params_0, params_later = preparation(model, params)
    prepared = prepare(params_0)
    if state is None:
        state = model.init_state(prepared, first)
    if period:
        inputs = jax.tree.map(lambda x: x[:period], (params_later, rest))

        def advance(state: State) -> State:
            def step(state: State, now: tuple) -> tuple[State, None]:
                return model.step(prepare(now[0]), state, now[1])[0], None

            return run(step, state, inputs)[0]

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
