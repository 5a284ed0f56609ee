"""The model of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Array

from caliche.errors import InputError
from caliche.experiments.config import ExperimentConfig, ModelConfig, ParameterConfig
from caliche.experiments.lad_config import LaDConfig
from caliche.models import SoilHeat
from caliche.models.base import Model
from caliche.models.closures import CLOSURES
from caliche.models.lad_fluxes import FluxLaw


def build_model(config: ExperimentConfig, initial_values: Array | None) -> Model:
    """The configured model, with an observed initial profile where it has one."""
    c = config.model
    if isinstance(c, LaDConfig):
        return c.build(config.window.time_step)
    return SoilHeat(
        node_depths=c.node_depths,
        time_step=config.window.time_step,
        scheme=c.scheme,  # type: ignore[arg-type]
        turbulence=CLOSURES[c.turbulence],
        longwave=c.longwave,  # type: ignore[arg-type]
        bottom=c.bottom,  # type: ignore[arg-type]
        initial=c.initial,  # type: ignore[arg-type]
        initial_depths=c.initial_depths,
        initial_values=initial_values,
        layer_bottoms=c.layer_bottoms,
        solver=solver_for(c, config.parameters),
    )


def solver_for(
    model: ModelConfig, parameters: Mapping[str, ParameterConfig]
) -> Literal["modal", "elimination"]:
    """The column solver that bears what varies in time.

    The shapes of a layered soil's modes follow its properties, and a state made of them would
    mean another profile at each step; a homogeneous soil's shapes do not.

    Raises
    ------
    InputError : a bottom temperature that varies where anomalies are counted from it.
    """
    varying = [name for name, p in parameters.items() if p.variation is not None]
    if "bottom_temperature" in varying and model.bottom == "fixed-temperature":
        raise InputError(
            "a bottom_temperature that is constant with bottom = 'fixed-temperature'",
            "a variation of it", "set bottom = 'varying-temperature' in [model]",
        )  # fmt: skip
    soil = ("thermal_conductivity", "volumetric_heat_capacity")
    changes = any(name.startswith(soil) for name in varying)
    return "elimination" if changes and model.layer_bottoms else "modal"


def refuse_untrained(config: ExperimentConfig, law: FluxLaw | None) -> None:
    """Raises InputError if the model has a network that nobody has trained."""
    c = config.model
    if isinstance(c, LaDConfig) and c.learns and law is None:
        raise InputError(
            "fluxes = 'bulk' in [model], or a network that was trained", f"fluxes = {c.fluxes!r}",
            f"caliche train {config.name}",
        )  # fmt: skip
