"""The [model] table of an experiment with Land Dynamics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caliche.errors import InputError
from caliche.experiments.config.section import Section

if TYPE_CHECKING:
    from caliche.models import LaD
    from caliche.models.lad.neural_fluxes import HybridFluxes

# What [model] calls a law of the turbulent fluxes -> the kind of network in it, if any.
FLUXES = {
    "bulk": None,
    "neural-flux": "flux",
    "neural-conductance": "conductance",
    "neural-residual": "residual",
}

_KINDS = {
    "vegetation": str,
    "soil": str,
    "scheme": str,
    "measurement_height": float,
    "drag": str,
    "gustiness": float,
    "soil_freezing": bool,
    "initial_snow": float,
    "largest_snow": float,
}


@dataclass(frozen=True)
class LaDConfig:
    """Options of `caliche.models.LaD` other than the time step; the defaults are the model's.

    fluxes : law of the turbulent fluxes, one of `FLUXES`.  states : whether its network sees the
    column besides the weather; bulk fluxes have none.

    The other attributes say, where every model is asked, that it has no profile or bottom from
    observations.
    """

    options: Mapping[str, Any]
    name: str = "lad"
    initial: str = "uniform"
    initial_depths: tuple[float, ...] = ()
    bottom_stream: None = None
    period: float | None = None
    fluxes: str = "bulk"
    states: bool = True

    @property
    def learns(self) -> bool:
        """Whether the fluxes have to be learned before the model says anything."""
        return FLUXES[self.fluxes] is not None

    def build(self, time_step: float) -> LaD:
        """The model, with a time step in s; a network in it is the smallest there can be."""
        from caliche.models import LaD  # not needed to list experiments

        model = LaD(time_step, **self.options)
        return dataclasses.replace(model, fluxes=self.law(model, 1, 1, 0)) if self.learns else model

    def law(self, model: LaD, width: int, depth: int, seed: int) -> HybridFluxes:
        """The law of the fluxes with a network that has learned nothing yet."""
        from caliche.models.lad.fluxes import BulkFluxes
        from caliche.models.lad.neural_fluxes import HybridFluxes

        bulk = BulkFluxes(model.measurement_height, model.drag, model.gustiness)
        kind: Any = FLUXES[self.fluxes]
        return HybridFluxes.build(kind, self.states, bulk, width, depth, seed)


def parse_lad(section: Section, time_step: float, dry: bool) -> LaDConfig:
    """Configuration of a [model] table with name = "lad".

    Raises
    ------
    InputError : an option that LaD does not know or cannot have, or (`dry`) a synthetic forcing
        without humidity, wind and precipitation.
    """
    section.get("name", str)
    options = {k: section.get(k, kind, None) for k, kind in _KINDS.items()}
    options["thicknesses"] = section.numbers("thicknesses")
    days = section.positive("spin_up_period_days", float, None)
    fluxes = section.choice("fluxes", tuple(FLUXES), "bulk")
    states = section.get("states", bool, True)
    section.finish()
    if FLUXES[fluxes] is not None and options["scheme"] == "code":
        raise InputError(
            f"scheme = 'smooth' in {section.where} with a network in the fluxes",
            "scheme = 'code', whose derivatives jump",
            "leave scheme out",
        )
    if dry:
        raise InputError(
            f"forcing with humidity, wind and precipitation for name = 'lad' in {section.where}",
            "[synthetic]",
            'set forcing = "showers" there',
        )
    given = {k: v for k, v in options.items() if k in section.table}
    period = None if days is None else days * 86400.0
    config = LaDConfig(given, period=period, fluxes=fluxes, states=states)
    config.build(time_step)  # checks names and heights
    return config
