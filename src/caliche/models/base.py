"""What a model is: two pure functions, and what it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
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

    What nobody observes is never computed, nor even traced. `stack` gives all of it as an array,
    and where a profile leaves a compiled function that array is what it consists of.
    """

    length: int
    at: Callable[[int], Float[Array, ""]]
    stack: Callable[[], Float[Array, " node"]]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Float[Array, ""]:
        return self.at(range(self.length)[index])


def _unflatten(length: int, children: tuple) -> Profile:
    (values,) = children  # perhaps not an array: JAX rebuilds trees of anything
    return Profile(length, lambda k: values[..., k], lambda: values)


jax.tree_util.register_pytree_node(Profile, lambda p: ((p.stack(),), p.length), _unflatten)


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
