"""What a search needs, and how it may be asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from caliche.errors import InputError, nearest
from caliche.history_matching.implausibility import Rule, Targets
from caliche.history_matching.nonimplausible import MEMBERS, POINTS
from caliche.history_matching.ranges import Ranges
from caliche.history_matching.simulator import DROP, MetricRuns, refuse_failures

AUTO, MODEL, EMULATOR = "auto", "model", "emulator"
METHODS = (AUTO, MODEL, EMULATOR)


@dataclass(frozen=True)
class Options:
    """How to match.

    Attributes
    ----------
    method : `model`, `emulator`, or `auto`, which measures.
    rule : how implausibilities are combined; usual_rule(K) without.
    waves : at most.  runs : of each wave; None for ten for each parameter, or two with slopes.
    gradients : `auto`, `always` or `never`: whether runs of a wave have slopes.
    members : points of NROY that are wanted.  points : by which the cube is searched.
    starts : search start ranges instead of bounds.
    failures : `drop`, `redraw` or `stop`.
    audit : direct runs that check the emulators at the end.
    """

    method: str = AUTO
    rule: Rule | None = None
    waves: int = 5
    runs: int | None = None
    gradients: str = AUTO
    members: int = MEMBERS
    points: int = POINTS
    starts: bool = False
    failures: str = DROP
    audit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"one of {', '.join(METHODS)}", repr(self.method), nearest(self.method, METHODS)
            )
        if self.gradients not in ("auto", "always", "never"):
            raise InputError("auto, always or never", repr(self.gradients), "--gradients auto")
        refuse_failures(self.failures)
        least = {"waves": 1, "members": 50, "points": 64, "audit": 0, "seed": 0}
        if self.runs is not None:
            least["runs"] = 4
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise InputError(
                    f"{lowest} or more {name}", f"{getattr(self, name)}", f"use {lowest} or more"
                )


@dataclass(frozen=True)
class Study:
    """Everything that a search needs."""

    simulator: MetricRuns
    ranges: Ranges
    targets: Targets
    rule: Rule
    options: Options
    say: Callable[[str], None] = field(default=lambda _text: None)

    @property
    def cutoff(self) -> float:
        return self.rule.cutoff(len(self.targets))

    def exact(self, x: np.ndarray) -> np.ndarray:
        """(n,) implausibility of the model itself."""
        return self.rule.combine(self.targets, self.simulator.values(x))
