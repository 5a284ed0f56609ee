"""The [model] table of an experiment with Land Dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caliche.errors import InputError
from caliche.experiments.section import Section

if TYPE_CHECKING:
    from caliche.models import LaD

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

    The other attributes say, where every model is asked, that it has no profile or bottom from
    observations.
    """

    options: Mapping[str, Any]
    name: str = "lad"
    initial: str = "uniform"
    initial_depths: tuple[float, ...] = ()
    bottom_stream: None = None
    period: float | None = None

    def build(self, time_step: float) -> LaD:
        """The model, with a time step in s."""
        from caliche.models import LaD  # not needed to list experiments

        return LaD(time_step, **self.options)


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
    section.finish()
    if dry:
        raise InputError(
            f"forcing with humidity, wind and precipitation for name = 'lad' in {section.where}",
            "[synthetic]", 'set forcing = "showers" there',
        )  # fmt: skip
    given = {k: v for k, v in options.items() if k in section.table}
    config = LaDConfig(given, period=None if days is None else days * 86400.0)
    config.build(time_step)  # checks names and heights
    return config
