"""Estimated properties against published ranges of soils and surfaces.

An estimate outside every range is a warning that it makes up for something else: the heat that
runs beside the probe, a wrong depth, a flux that the model does not have. One inside a range is
no proof.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caliche.keys.records import Mismatch

if TYPE_CHECKING:  # the report reads this module, without JAX
    from caliche.estimation import Result

OKE = "Oke (1987), Boundary Layer Climates, ISBN 978-0-415-04319-9, doi:10.4324/9780203407219"
MOENE = (
    "Moene and van Dam (2014), Transport in the Atmosphere-Vegetation-Soil Continuum, "
    "doi:10.1017/CBO9781139043137"
)
# The bulk properties of one material, which belong together.
BULK = ("thermal_conductivity", "volumetric_heat_capacity", "thermal_diffusivity")


@dataclass(frozen=True)
class Published:
    """Range of a property of one material or surface, in the unit of the parameter."""

    material: str
    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Judgement:
    """What published ranges say of one value.

    verdict : "inside" a range; "reached" by the 95 % interval alone; "outside" all of them.
    published : the ranges that hold the value, or all of them if none does.
    """

    value: float
    verdict: Literal["inside", "reached", "outside"]
    published: tuple[Published, ...]

    def check(self) -> None:
        """Refuse a judgement by nothing."""
        if not self.published:
            raise Mismatch("published ranges", "none")


def _materials() -> dict[str, list[Published]]:
    """Ranges of the bulk properties by name.

    Rows: material, source, then low and high of conductivity (W m-1 K-1), heat capacity
    (MJ m-3 K-1) and diffusivity (mm2 s-1). Soils run from dry to saturated; the conductivity of
    sand rises so fast with the first water that its diffusivity is highest in between.
    """
    both = f"{OKE}, table 2.1; {MOENE}, table 2.2"
    table = [
        (
            "dry to saturated sandy soil",
            f"{OKE}, table 2.1",
            (0.30, 2.20),
            (1.28, 2.96),
            (0.24, 0.74),
        ),
        ("dry to saturated clay soil", both, (0.15, 1.58), (1.42, 3.10), (0.10, 0.51)),
        ("dry to saturated peat soil", both, (0.04, 0.50), (0.25, 4.02), (0.10, 0.16)),
        (
            "dry to saturated dense sand",
            f"{MOENE}, table 2.2",
            (0.29, 2.90),
            (1.42, 2.81),
            (0.20, 1.20),
        ),
        (
            "asphalt, brick, dense concrete and stone",
            f"{OKE}, table 7.4",
            (0.75, 2.19),
            (1.37, 2.25),
            (0.38, 0.97),
        ),
    ]
    scale = (1.0, 1e6, 1e-6)
    return {
        name: [
            Published(material, ranges[k][0] * scale[k], ranges[k][1] * scale[k], source)
            for material, source, *ranges in table
        ]
        for k, name in enumerate(BULK)
    }


def _surfaces(*rows: tuple[str, float, float, str]) -> list[Published]:
    return [Published(name, low, high, f"{OKE}, table {table}") for name, low, high, table in rows]


RANGES: dict[str, list[Published]] = _materials() | {
    "albedo": _surfaces(
        ("dark to light soil", 0.05, 0.40, "1.1"),
        ("desert", 0.20, 0.45, "1.1"),
        ("grass", 0.16, 0.26, "1.1"),
        ("crops and tundra", 0.18, 0.25, "1.1"),
        ("forest", 0.05, 0.20, "1.1"),
        ("urban area", 0.10, 0.27, "7.3"),
        ("old to fresh snow", 0.40, 0.95, "1.1"),
    ),
    "emissivity": _surfaces(
        ("soil", 0.90, 0.98, "1.1"),
        ("desert", 0.84, 0.91, "1.1"),
        ("grass, crops and forest", 0.90, 0.99, "1.1"),
        ("urban area", 0.85, 0.95, "7.3"),
    ),
}

_VARIANT = re.compile(r"(_\d+)?(\[.*\])?$")  # of a layer, of a time


def base_name(name: str) -> str:
    """A property without its layer or time: thermal_conductivity_1 is thermal_conductivity."""
    return _VARIANT.sub("", name)


def judge(name: str, value: float, interval: tuple[float, float] | None) -> Judgement | None:
    """What published ranges say of one value; None where there are none for it.

    Parameters
    ----------
    value, interval : estimate and its 95 % interval, SI.
    """
    ranges = RANGES.get(base_name(name))
    if ranges is None or not math.isfinite(value):
        return None
    if interval is None or not all(math.isfinite(end) for end in interval):
        interval = (value, value)
    low, high = interval
    inside = [r for r in ranges if r.low <= value <= r.high]
    reached = any(low <= r.high and high >= r.low for r in ranges)
    verdict = "inside" if inside else "reached" if reached else "outside"
    return Judgement(value, verdict, tuple(inside or ranges))


def judge_result(result: Result, truth: Mapping[str, float]) -> dict[str, Judgement]:
    """Judgement of every estimated property that there are ranges for, and of the diffusivity.

    Empty unless the estimation converged. A parameter of a twin, whose truth is made up, one that
    the data leave open and one that was prescribed are not judged.
    """
    if not result.converged or truth:
        return {}
    values = {
        name: (p.estimate, p.interval)
        for name, p in result.parameters.items()
        if not p.fixed and p.sd is not None and not math.isinf(p.sd)
    }
    for name, (value, sd, *_) in result.derived.items():
        if math.isfinite(sd) and sd > 0.0:
            values[name] = (value, (value - 1.96 * sd, value + 1.96 * sd))
    judged = {name: judge(name, *pair) for name, pair in values.items()}
    return {name: verdict for name, verdict in judged.items() if verdict is not None}


def shared_materials(judged: Mapping[str, Judgement]) -> dict[str, tuple[set[str], int]]:
    """By layer suffix: materials that hold all bulk properties judged, and how many these are."""
    found: dict[str, tuple[set[str], int]] = {}
    for name, entry in judged.items():
        if base_name(name) not in BULK:
            continue
        suffix = name.removeprefix(base_name(name))
        inside = entry.verdict == "inside"
        materials = {p.material for p in entry.published} if inside else set()
        before, count = found.get(suffix, (materials, 0))
        found[suffix] = (before & materials, count + 1)
    return found
