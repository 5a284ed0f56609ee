"""The [model] table of an experiment with Land Dynamics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from caliche.errors import InputError
from caliche.experiments.options import Learner
from caliche.keys.declare import key

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


def _covers() -> tuple[str, ...]:
    from caliche.models.lad.tables import COVERS  # loads JAX

    return tuple(COVERS)


def _soils() -> tuple[str, ...]:
    from caliche.models.lad.tables import SOILS  # loads JAX

    return tuple(SOILS)


@dataclass(frozen=True, kw_only=True)
class LaDTable:
    """Land Dynamics, and what its fluxes are made by. The defaults are those of the model."""

    name: Literal["lad"] = key("which model", "lad")
    vegetation: str = key("vegetation, which sets defaults of parameters", "grass", choices=_covers)
    soil: str = key("soil type, which sets defaults of parameters", "medium", choices=_soils)
    scheme: str = key(
        "smooth is differentiable at every switch; code is the original's",
        "smooth",
        choices=("smooth", "code"),
    )
    thicknesses: tuple[float, ...] = key(
        "thicknesses of the soil layers, from the surface down",
        (0.005, 0.045, 0.10, 0.35, 1.0),
        unit="m",
        above=0,
    )
    measurement_height: float = key(
        "height of the air's sensors above displacement", 10.0, unit="m", above=0
    )
    drag: str = key(
        "turbulent transfer after Monin and Obukhov, or neutral",
        "monin-obukhov",
        choices=("monin-obukhov", "neutral"),
    )
    gustiness: float = key("gustiness, added in quadrature to the wind", 0.3, unit="m s-1")
    soil_freezing: bool = key("whether water freezes in the soil", False)
    initial_snow: float = key("snow at the start", 0.0, unit="kg m-2")
    largest_snow: float = key("snow beyond which it runs off as ice", 1000.0, unit="kg m-2")
    spin_up_period_days: float | None = key(
        "first part of the window that is repeated until the state is periodic",
        None,
        unit="days",
        above=0,
    )
    fluxes: str = key(
        "law of the turbulent fluxes; those with a network have to be trained",
        "bulk",
        choices=tuple(FLUXES),
    )
    states: bool = key("whether the network sees the column besides the weather", True)


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
    structural: bool = False

    @property
    def learner(self) -> Learner | None:
        """The network in the fluxes, unless they are bulk fluxes."""
        if FLUXES[self.fluxes] is None:
            return None
        return Learner(dataclasses.replace(self, fluxes="bulk"), self._law, _standardised)

    @property
    def attributes(self) -> Mapping[str, str]:
        """Vegetation and soil."""
        defaults = {"vegetation": "grass", "soil": "medium"}
        return {key: str(self.options.get(key, d)) for key, d in defaults.items()}

    def build(
        self, time_step: float, varying: Sequence[str] = (), initial_values: Any = None
    ) -> LaD:
        """See `ModelOptions`; a network in the model is the smallest there can be."""
        from caliche.models import LaD  # not needed to list experiments

        model = LaD(time_step, **self.options)
        if self.learner is None:
            return model
        return dataclasses.replace(model, fluxes=self._law(time_step, 1, 1, 0))

    def _law(self, time_step: float, width: int, depth: int, seed: int) -> HybridFluxes:
        from caliche.models import LaD
        from caliche.models.lad.fluxes import BulkFluxes
        from caliche.models.lad.neural_fluxes import HybridFluxes

        model = LaD(time_step, **self.options)
        bulk = BulkFluxes(model.measurement_height, model.drag, model.gustiness)
        kind: Any = FLUXES[self.fluxes]
        return HybridFluxes.build(kind, self.states, bulk, width, depth, seed)


def _standardised(model: Any, params: Any, forcing: Any) -> LaD:
    from caliche.models.lad.neural_fluxes import standardised

    return standardised(model, params, forcing)


def read_lad(
    table: LaDTable, given: Mapping[str, Any], where: str, window: Any, synthetic: Any
) -> LaDConfig:
    """Configuration of a [model] table with name = "lad", of which some keys were `given`.

    Raises
    ------
    InputError : an option that LaD cannot have, or a synthetic forcing without humidity, wind and
        precipitation.
    """
    dry = synthetic is not None and synthetic.forcing == "huang-2026"
    if FLUXES[table.fluxes] is not None and table.scheme == "code":
        raise InputError(
            f"scheme = 'smooth' in {where} with a network in the fluxes",
            "scheme = 'code', whose derivatives jump",
            "leave scheme out",
        )
    if dry:
        raise InputError(
            f"forcing with humidity, wind and precipitation for name = 'lad' in {where}",
            "[synthetic]",
            'set forcing = "showers" there',
        )
    own = ("name", "fluxes", "states", "spin_up_period_days")
    options = {name: getattr(table, name) for name in given if name not in own}
    days = table.spin_up_period_days
    period = None if days is None else days * 86400.0
    config = LaDConfig(options, period=period, fluxes=table.fluxes, states=table.states)
    config.build(window.time_step)  # checks heights
    return config
