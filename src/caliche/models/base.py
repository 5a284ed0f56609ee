"""What a model is, and the only time loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Parameters, forcing and diagnostics are addressed by name everywhere: in closures that bring
# parameters of their own, in streams, in the TOML. A mapping of arrays says just that.
Params = Mapping[str, Float[Array, ""]]
Forcing = Mapping[str, Float[Array, "..."]]
Diagnostics = Mapping[str, Float[Array, "..."]]
State = Any  # a pytree that belongs to the model
Prepared = Any  # what a model computes once from its parameters


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

    def init_state(self, params: Params, forcing: Forcing) -> State:
        """State at the start of the window, given the forcing at that instant."""
        ...

    def diagnose(self, state: State) -> Diagnostics:
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


def everything(diagnostics: Diagnostics) -> Diagnostics:
    """The default output of `simulate`: every diagnostic."""
    return diagnostics


def simulate(
    model: Model,
    params: Params,
    forcing: Forcing,
    output: Output = everything,
    unroll: int = 1,
) -> tuple[State, Any, Any]:
    """Run a model over a window.

    Parameters
    ----------
    model, params : the model and a value for each parameter it declares.
    forcing : arrays (time + 1,). Entry k holds over the step that ends at time k; entry 0 belongs
        to the initial instant and drives no step.
    output : what to keep of the diagnostics of each step. Selecting inside the loop is what keeps
        memory small.
    unroll : steps unrolled in the compiled loop.

    Returns
    -------
    final state; output of the initial state (of the diagnostics that exist then); output of each
    step, stacked (time, ...).
    """
    prepared = model.prepare(params)
    first = {name: values[0] for name, values in forcing.items()}
    rest = {name: values[1:] for name, values in forcing.items()}
    state = model.init_state(params, first)

    def step(state: State, forcing_now: Forcing) -> tuple[State, Any]:
        state, diagnostics = model.step(prepared, state, forcing_now)
        return state, output(diagnostics)

    # Diagnostics that the initial state cannot give (fluxes over a step) are NaN at time zero.
    shapes = jax.eval_shape(lambda s, f: model.step(prepared, s, f)[1], state, first)
    blank = {name: jnp.full(s.shape, jnp.nan, s.dtype) for name, s in shapes.items()}
    initial = output({**blank, **model.diagnose(state)})
    final, series = jax.lax.scan(step, state, rest, unroll=unroll)
    return final, initial, series
