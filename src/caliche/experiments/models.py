"""The model of an experiment."""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Array

from caliche.errors import InputError, nearest
from caliche.experiments.config.tables import ExperimentConfig
from caliche.models.base import Model
from caliche.models.emulated.model import EmulatedModel
from caliche.models.lad.fluxes import FluxLaw
from caliche.models.soil_heat.closures import CLOSURES


def build_model(config: ExperimentConfig, initial_values: Array | None) -> Model:
    """The configured model, with an observed initial profile where it has one.

    Raises
    ------
    InputError : a bottom temperature that varies where temperatures are counted from it; a free
        parameter that an emulated column knows at one value only.
    """
    varying = [name for name, p in config.parameters.items() if p.variation is not None]
    model = config.model.build(config.window.time_step, varying, initial_values)
    if isinstance(model, EmulatedModel):
        model.demand_inputs(name for name, p in config.parameters.items() if p.free)
    return model


def unknown_parameter(name: str, declared: Collection[str]) -> InputError:
    """What to say of a parameter that the model does not have."""
    others = any(name == d.name for c in CLOSURES.values() for d in c.declarations)
    if others or name in ("water_capacity", "initial_wetness"):
        return InputError(
            "a parameter of the model",
            f"{name!r}, of another turbulence or moisture",
            f"leave it out, or write {name} = false in [parameters] if it comes by extends",
        )
    return InputError("a parameter of the model", repr(name), nearest(name, declared))


def refuse_untrained(config: ExperimentConfig, law: FluxLaw | None) -> None:
    """Raises InputError if the model has a network that nobody has trained."""
    c = config.model
    if c.learner is not None and law is None:
        raise InputError(
            "fluxes = 'bulk' in [model], or a network that was trained",
            f"fluxes = {c.fluxes!r}",
            f"caliche train {config.name}",
        )
