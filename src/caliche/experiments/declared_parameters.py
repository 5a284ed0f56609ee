"""Every parameter that the built-in models can have."""

from __future__ import annotations

from collections.abc import Iterable

from caliche.models import LaD, SoilHeat
from caliche.models.base import ParameterDeclaration
from caliche.models.soil_heat.closures import CLOSURES


def of_soil_heat(closures: Iterable[str] = tuple(CLOSURES)) -> list[ParameterDeclaration]:
    """Every parameter of SoilHeat with these closures."""
    declared = {}
    for name in closures:
        closure = CLOSURES[name]
        for moisture in ("parameter", "bucket")[: 1 if closure.per_wetness is None else 2]:
            model = SoilHeat((0.0, 0.1, 1.0), 1800.0, turbulence=closure, moisture=moisture)
            declared |= {d.name: d for d in model.declarations}
    return list(declared.values())


def of_lad() -> list[ParameterDeclaration]:
    """Every parameter of LaD, of its default cover (grass) and soil (medium)."""
    return list(LaD(1800.0, soil_freezing=True).declarations)


def of_emulated() -> list[ParameterDeclaration]:
    """None of its own: an emulated column has the parameters of the model that it stands for."""
    return []
