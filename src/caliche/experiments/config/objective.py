"""The [objective] table of an experiment: what is minimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from caliche.errors import InputError
from caliche.keys.declare import key

MISFIT, SCORECARD = "misfit", "scorecard"


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimised: the misfit J, or a scorecard against a control run (with method bo)."""

    kind: Literal["misfit", "scorecard"] = key("misfit J, or a scorecard", MISFIT)
    control: str = key(
        "control run of a scorecard: initial, the first guess, or the folder of a run", "initial"
    )
    conditions: tuple[str, ...] = key(
        "rows for each stream, some of mean, day, night, dry, wet, season; all if left out", ()
    )
    weights: Mapping[str, float] = key("weights of streams and conditions by name, 1 if absent", {})
    penalty: float = key("weight of a loss beyond its 95 % interval", 2.0, least=0)
    damping: float = key(
        "weight of a ratio of standard deviations, modelled over observed, away from 1",
        0.1,
        least=0,
    )


def check_objective(config: ObjectiveConfig, method: str, where: str) -> None:
    """Raises InputError where a scorecard is to be minimised by a method that cannot."""
    if config.kind == SCORECARD and method != "bo":
        raise InputError(
            f"method bo for the scorecard of {where}",
            f"{method}, which minimises the misfit",
            "write [method] name = 'bo', or leave [objective] out",
        )
