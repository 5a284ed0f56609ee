"""EmulatedModel: a column whose step a neural network takes in place of the model.

The state is a vector of physical quantities, see `caliche.models.emulated.view`; a step adds the
network's increments to it. Fluxes come from the network too, and all other diagnostics follow from
both. Parameters that the network learned with are its inputs; the others keep the values that they
had when it was trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.models.base import Diagnostics, Forcing, Model, ParameterDeclaration, Params
from caliche.models.emulated.lad_view import LaDView
from caliche.models.emulated.network import Embedded, StepNetwork
from caliche.models.emulated.soil_heat_view import SoilHeatView
from caliche.models.emulated.view import ColumnView
from caliche.models.lad.model import LaD
from caliche.models.soil_heat.model import SoilHeat

Vector = Float[Array, " _"]


@dataclass(frozen=True)
class Trained:
    """What a network was trained on, in physical units.

    inputs : parameters that are inputs, with the lowest and highest value that it saw.
    fixed : the other parameters, with the one value that it saw. Those that only the start knows
        are neither: the exact model makes the state at the start.
    """

    inputs: tuple[tuple[str, float, float], ...]
    fixed: tuple[tuple[str, float], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that are inputs."""
        return tuple(name for name, _, _ in self.inputs)


class PreparedEmulation(NamedTuple):
    """What the parameters alone determine."""

    params: dict[str, Any]
    exact: Any
    embedded: Embedded


class EmulatedModel(eqx.Module):
    """A `Model` whose step is a network's.

    Parameters
    ----------
    view : the exact model, and its state as a vector; it gives the state at the start.
    network : trained on it; physical in, physical out.
    trained : which parameters it knows, and where.
    """

    view: ColumnView
    network: StepNetwork
    trained: Trained = eqx.field(static=True)

    @property
    def exact(self) -> Model:
        """The model that the network stands for."""
        return self.view.model

    @property
    def declarations(self) -> tuple[ParameterDeclaration, ...]:
        """The parameters of the exact model, bounded by what the network was trained with."""
        inputs = {name: (low, high) for name, low, high in self.trained.inputs}
        fixed = dict(self.trained.fixed)
        found = []
        for d in self.exact.declarations:
            if d.name in inputs:
                lower, upper = inputs[d.name]
                default = min(max(d.default, lower), upper)
            elif d.name in fixed:
                default = lower = upper = fixed[d.name]
            else:
                found.append(d)
                continue
            found.append(dataclasses.replace(d, default=default, lower=lower, upper=upper))
        return tuple(found)

    def demand_inputs(self, names: Iterable[str]) -> None:
        """Refuse to estimate what the network knows at one value only.

        Raises
        ------
        InputError : a parameter that was fixed when the network was trained.
        """
        for name in names:
            if name in dict(self.trained.fixed):
                raise InputError(
                    f"free parameters that the network was trained with "
                    f"({', '.join(self.trained.names)})",
                    f"{name}, which was fixed at {dict(self.trained.fixed)[name]:g}",
                    "fix it, or train with it free",
                )

    @property
    def forcing_variables(self) -> tuple[str, ...]:
        return self.exact.forcing_variables

    @property
    def diagnostics(self) -> tuple[str, ...]:
        return self.exact.diagnostics

    @property
    def depths(self) -> Mapping[str, np.ndarray]:
        return self.exact.depths

    @property
    def derived_labels(self) -> Mapping[str, tuple[str, str]]:
        return self.exact.derived_labels

    def derived(self, params: Params) -> Mapping[str, Float[Array, ""]]:
        return self.exact.derived(params)

    def prepare(self, params: Params) -> PreparedEmulation:
        inputs = jnp.stack([params[name] for name in self.trained.names])
        embedded = self.network.embed(inputs)
        return PreparedEmulation(dict(params), self.exact.prepare(params), embedded)

    def init_state(self, prepared: PreparedEmulation, forcing: Forcing) -> Vector:
        state = self.exact.init_state(prepared.exact, forcing)
        return self.view.read(prepared.exact, state)

    def diagnose(self, prepared: PreparedEmulation, state: Vector) -> Diagnostics:
        return self.view.seen(prepared.params, state)

    def step(
        self, prepared: PreparedEmulation, state: Vector, forcing: Forcing
    ) -> tuple[Vector, Diagnostics]:
        weather = jnp.stack([forcing[name] for name in self.forcing_variables])
        y = self.network.step(prepared.embedded, jnp.concatenate([state, weather]))
        increments, fluxes = y[: len(state)], y[len(state) :]
        after = self.view.possible(prepared.params, state + increments)
        return after, self.view.diagnostics(prepared.params, forcing, state, after - state, fluxes)


def view_of(model: Model) -> ColumnView:
    """The state of a model as a vector.

    Raises
    ------
    InputError : a model, or options of it, for which there is none.
    """
    if isinstance(model, SoilHeat) and not model.cell_faces:
        return SoilHeatView(model)
    if isinstance(model, LaD) and model.scheme == "smooth" and not model.soil_freezing:
        return LaDView(model)
    raise InputError(
        "a model whose state a network can step: soil-heat, or lad with scheme = 'smooth' and "
        "soil_freezing = false",
        f"{type(model).__name__} with other options",
        "change [model], or use the model itself",
    )
