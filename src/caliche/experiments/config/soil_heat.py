"""The [model] table of an experiment with SoilHeat: what its keys and its options share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from caliche.errors import InputError
from caliche.keys.declare import key

if TYPE_CHECKING:
    from caliche.models import SoilHeat
    from caliche.models.soil_heat.closures import TurbulentClosure

SCHEMES = ("sdirk2", "crank-nicolson", "backward-euler")
TURBULENCE = ("combined", "bowen-ratio", "bulk-transfer", "monin-obukhov")
LONGWAVE = ("kirchhoff", "unweighted")
BOTTOMS = ("fixed-temperature", "varying-temperature", "measured-temperature", "zero-flux")
INITIALS = ("bottom-temperature", "uniform", "observed", "estimated")
INTERPOLATIONS = ("linear", "cubic")
MOISTURE = ("parameter", "bucket")


@dataclass(frozen=True, kw_only=True)
class SoilHeatKeys:
    """What [model] and its configuration have in common for `caliche.models.SoilHeat`."""

    name: Literal["soil-heat"] = key("which model", "soil-heat")
    scheme: str = key("numerical scheme of the time steps", "sdirk2", choices=SCHEMES)
    turbulence: str = key("closure of the turbulent fluxes", "combined", choices=TURBULENCE)
    longwave: str = key(
        "whether incoming longwave radiation counts with the emissivity",
        "kirchhoff",
        choices=LONGWAVE,
    )
    bottom: str = key("condition at the bottom", "fixed-temperature", choices=BOTTOMS)
    bottom_stream: str | None = key(
        'soil temperature that a bottom = "measured-temperature" follows', None
    )
    initial: str = key(
        "how temperatures at the start are found", "bottom-temperature", choices=INITIALS
    )
    initial_depths: tuple[float, ...] = key(
        "depths of the observed or estimated initial profile", (), unit="m"
    )
    initial_interpolation: str = key(
        "interpolation between those depths", "linear", choices=INTERPOLATIONS
    )
    layer_bottoms: tuple[float, ...] = key(
        "depths at which soil layers end, each with properties of its own", (), unit="m"
    )
    spin_up_period_days: float | None = key(
        "first part of the window that is repeated until the state is periodic",
        None,
        unit="days",
        above=0,
    )
    moisture: str = key(
        "surface moisture: a parameter, or a store of water that rain fills",
        "parameter",
        choices=MOISTURE,
    )
    measurement_height: float | None = key(
        'height of the air\'s sensors above displacement, for turbulence = "monin-obukhov"',
        None,
        unit="m",
        above=0,
    )

    @property
    def period(self) -> float | None:
        """Period (s) of a periodic spin-up, or None."""
        return None if self.spin_up_period_days is None else self.spin_up_period_days * 86400.0


@dataclass(frozen=True, kw_only=True)
class ModelConfig(SoilHeatKeys):
    """A model and its grid; keys as in `caliche.models.SoilHeat`. `ModelOptions` of it."""

    node_depths: tuple[float, ...]
    fluxes: str = ""
    learner: None = None
    structural: bool = True

    @property
    def attributes(self) -> Mapping[str, str]:
        """None that sites could have in common."""
        return {}

    def build(
        self, time_step: float, varying: Sequence[str] = (), initial_values: Any = None
    ) -> SoilHeat:
        """See `ModelOptions`."""
        return build_soil_heat(self, time_step, varying, initial_values)


def build_soil_heat(
    c: ModelConfig, time_step: float, varying: Sequence[str], initial_values: Any
) -> SoilHeat:
    """SoilHeat with these options, see `ModelOptions.build`."""
    from caliche.models import SoilHeat  # not needed to list experiments

    model = SoilHeat(
        node_depths=c.node_depths,
        time_step=time_step,
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
    _check_bottom(c, varying)
    declared = {d.name for d in model.declarations}  # others, and starts, are refused by the space
    return model.for_varying([n for n in varying if n in declared and not n.startswith("initial_")])


def closure_of(model: ModelConfig) -> TurbulentClosure:
    """The closure of the turbulent fluxes, at the height where the air is measured."""
    from caliche.models.soil_heat.closures import CLOSURES, monin_obukhov

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
