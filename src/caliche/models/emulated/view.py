"""The state of a column as a vector of physical quantities: what a network steps in its place."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from caliche.models.base import Diagnostics, Forcing, Model, Params, Prepared, State

Vector = Float[Array, " _"]


@runtime_checkable
class ColumnView(Protocol):
    """A model whose state can be read as a vector and written from one.

    Attributes
    ----------
    model : the exact one.
    states : names of the entries of the vector, as of streams.
    units : of the states.
    fluxes : diagnostics of a step that do not follow from the state before and after it.
    """

    @property
    def model(self) -> Any: ...
    @property
    def states(self) -> tuple[str, ...]: ...
    @property
    def units(self) -> tuple[str, ...]: ...
    @property
    def fluxes(self) -> tuple[str, ...]: ...

    def read(self, prepared: Prepared, state: State) -> Vector:
        """The vector (state,) of a state of the model."""
        ...

    def write(self, prepared: Prepared, vector: Vector) -> State:
        """A state of the model from its vector."""
        ...

    def possible(self, params: Params, vector: Vector) -> Vector:
        """The nearest vector that can be: stores no less than empty, and no more than full."""
        ...

    def fluxes_of(self, diagnostics: Diagnostics) -> Vector:
        """The `fluxes` (flux,) among the diagnostics of a step."""
        ...

    def seen(self, params: Params, vector: Vector) -> Diagnostics:
        """The diagnostics that a state alone determines."""
        ...

    def diagnostics(
        self, params: Params, forcing: Forcing, before: Vector, increments: Vector, fluxes: Vector
    ) -> Diagnostics:
        """All diagnostics of a step, from the state before it, its increments and its fluxes."""
        ...

    def energy_imbalance(
        self, params: Params, forcing: Forcing, increments: Vector, fluxes: Vector
    ) -> Float[Array, ""]:
        """Energy that came in over a step and was not kept, W m-2."""
        ...


def exact_step(
    view: ColumnView, params: Params, vector: Vector, forcing: Forcing
) -> tuple[Vector, Vector]:
    """Increments (state,) and fluxes (flux,) of a step of the exact model."""
    model: Model = view.model
    prepared = model.prepare(params)
    after, diagnostics = model.step(prepared, view.write(prepared, vector), forcing)
    return view.read(prepared, after) - vector, view.fluxes_of(diagnostics)
