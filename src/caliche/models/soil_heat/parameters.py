"""The parameters of SoilHeat, declared once, and what follows from them alone."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from caliche.models.base import ParameterDeclaration, Params
from caliche.models.soil_heat.closures import TurbulentClosure
from caliche.variables import stream_name

_COMBINED = "combined_heat_transfer_coefficient"
_DERIVED = {
    "thermal_diffusivity": ("m2 s-1", "thermal diffusivity"),
    "thermal_inertia": ("J m-2 K-1 s-1/2", "thermal inertia"),
    "daily_damping_depth": ("m", "damping depth of the daily wave"),
}
_HUANG = "Huang et al. (2026), arXiv:2505.02979"
_OKE = "Oke (1987), Boundary Layer Climates, tables 1.1 and 2.1"

_MANABE = "Manabe (1969), doi:10.1175/1520-0493(1969)097<0739:CATOC>2.3.CO;2"

_WATER = (
    ParameterDeclaration(
        "water_capacity",
        "water that the soil can hold for evaporation",
        "kg m-2",
        150.0,
        5.0,
        1000.0,
        _MANABE,
    ),
    ParameterDeclaration(
        "initial_wetness",
        "water in the soil at the start over its capacity",
        "1",
        0.5,
        0.0,
        1.0,
        _MANABE,
    ),
)
_SURFACE = (
    ParameterDeclaration(
        "albedo", "albedo of the surface to shortwave radiation", "1", 0.2, 0.01, 0.9, _OKE
    ),
    ParameterDeclaration(
        "emissivity", "longwave emissivity of the surface", "1", 0.95, 0.7, 1.0, _HUANG
    ),
)
_SOIL = (
    ParameterDeclaration(
        "thermal_conductivity",
        "thermal conductivity of the soil",
        "W m-1 K-1",
        0.8,
        0.05,
        5.0,
        _OKE,
    ),
    ParameterDeclaration(
        "volumetric_heat_capacity",
        "volumetric heat capacity of the soil",
        "J m-3 K-1",
        2.2e6,
        0.5e6,
        5.0e6,
        _OKE,
    ),
)
SOIL = tuple(p.name for p in _SOIL)


def _temperature(name: str, long_name: str) -> ParameterDeclaration:
    return ParameterDeclaration(name, long_name, "K", 293.0, 240.0, 340.0, _HUANG)


def layer_suffixes(layer_bottoms: Sequence[float]) -> list[str]:
    """What follows the name of a soil property: its layer, unless there is but one."""
    layers = len(layer_bottoms) + 1
    return [""] if layers == 1 else [f"_{k + 1}" for k in range(layers)]


def declare(
    turbulence: TurbulentClosure,
    suffixes: Sequence[str],
    bottom_is_parameter: bool,
    initial_is_parameter: bool,
    initial_depths: Sequence[float],
    bucket: bool = False,
) -> tuple[ParameterDeclaration, ...]:
    """Parameters of a configured SoilHeat.

    Parameters
    ----------
    suffixes : see `layer_suffixes`.
    bottom_is_parameter, initial_is_parameter : whether there is a `bottom_temperature` and a
        uniform `initial_temperature`.
    initial_depths : depths (m) of an estimated initial profile, or none.
    bucket : whether a store of water takes the place of `moisture_availability`.
    """
    soil = [
        ParameterDeclaration(
            f"{p.name}{suffix}",
            f"{p.long_name}, layer {suffix[1:]}" if suffix else p.long_name,
            p.unit,
            p.default,
            p.lower,
            p.upper,
            p.source,
        )
        for p in _SOIL
        for suffix in suffixes
    ]
    temperatures = []
    if bottom_is_parameter:
        temperatures.append(_temperature("bottom_temperature", "temperature at the bottom"))
    if initial_is_parameter:
        temperatures.append(_temperature("initial_temperature", "initial temperature"))
    temperatures += [
        _temperature(stream_name("initial_temperature", z), f"initial temperature at {z:g} m")
        for z in initial_depths
    ]
    turbulent = turbulence.declarations
    if bucket:
        turbulent = (*(d for d in turbulent if d.name != "moisture_availability"), *_WATER)
    return (*_SURFACE, *turbulent, *soil, *temperatures)


def derived_labels(
    turbulence: TurbulentClosure, suffixes: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Unit and long name of each derived quantity."""
    labels = {}
    if turbulence.name == "bowen-ratio":
        text = "heat transfer coefficient of sensible and latent heat together"
        labels[_COMBINED] = ("W m-2 K-1", text)
    for suffix in suffixes:
        labels |= {f"{name}{suffix}": label for name, label in _DERIVED.items()}
    return labels


def derive(
    params: Params, turbulence: TurbulentClosure, suffixes: Sequence[str]
) -> dict[str, Float[Array, ""]]:
    """Thermal diffusivity, inertia and daily damping depth of each layer; H of a Bowen closure."""
    values = {}
    if turbulence.name == "bowen-ratio":
        inverse = 1.0 / params["bowen_ratio"]
        values[_COMBINED] = params["heat_transfer_coefficient"] * (1.0 + inverse)
    for suffix in suffixes:
        conductivity = params[f"thermal_conductivity{suffix}"]
        capacity = params[f"volumetric_heat_capacity{suffix}"]
        diffusivity = conductivity / capacity
        values[f"thermal_diffusivity{suffix}"] = diffusivity
        values[f"thermal_inertia{suffix}"] = jnp.sqrt(conductivity * capacity)
        values[f"daily_damping_depth{suffix}"] = jnp.sqrt(diffusivity * 86400.0 / jnp.pi)
    return values
