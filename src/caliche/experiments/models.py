"""The model of an experiment."""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Array

from caliche.errors import InputError, nearest
from caliche.experiments.config.lad import LaDConfig
from caliche.experiments.config.tables import ExperimentConfig, ModelConfig
from caliche.models import SoilHeat
from caliche.models.base import Model
from caliche.models.lad.fluxes import FluxLaw
from caliche.models.soil_heat.closures import CLOSURES, TurbulentClosure, monin_obukhov


def build_model(config: ExperimentConfig, initial_values: Array | None) -> Model:
    """The configured model, with an observed initial profile where it has one.

    Raises
    ------
    InputError : a bottom temperature that varies where temperatures are counted from it.
    """
    c = config.model
    if isinstance(c, LaDConfig):
        return c.build(config.window.time_step)
    model = SoilHeat(
        node_depths=c.node_depths,
        time_step=config.window.time_step,
        scheme=c.scheme,  # type: ignore[arg-type]
        turbulence=closure_of(c),
        longwave=c.longwave,  # type: ignore[arg-type]
        bottom=c.bottom,  # type: ignore[arg-type]
        initial=c.initial,  # type: ignore[arg-type]
        initial_depths=c.initial_depths,
        initial_values=initial_values,
        layer_bottoms=c.layer_bottoms,
        initial_interpolation=c.initial_interpolation,  # type: ignore[arg-type]
        moisture=c.moisture,  # type: ignore[arg-type]
    )
    varying = [name for name, p in config.parameters.items() if p.variation is not None]
    _check_bottom(c, varying)
    declared = {d.name for d in model.declarations}  # others, and starts, are refused by the space
    return model.for_varying([n for n in varying if n in declared and not n.startswith("initial_")])


def closure_of(model: ModelConfig) -> TurbulentClosure:
    """The closure of the turbulent fluxes, at the height where the air is measured."""
    if model.measurement_height is not None:
        return monin_obukhov(model.measurement_height)
    return CLOSURES[model.turbulence]


def _check_bottom(model: ModelConfig, varying: Collection[str]) -> None:
    if "bottom_temperature" in varying and model.bottom == "fixed-temperature":
        raise InputError(
            "a bottom_temperature that is constant with bottom = 'fixed-temperature'",
            "a variation of it",
            "set bottom = 'varying-temperature' in [model]",
        )


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
    if isinstance(c, LaDConfig) and c.learns and law is None:
        raise InputError(
            "fluxes = 'bulk' in [model], or a network that was trained",
            f"fluxes = {c.fluxes!r}",
            f"caliche train {config.name}",
        )
