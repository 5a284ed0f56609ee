"""What `caliche check` found, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEADING = 12  # characters of a line before what it says


@dataclass(frozen=True)
class GradientEntry:
    """The exact gradient of J at the first guess beside two others: their largest differences,
    over its largest entry."""

    agree: bool
    forward: float
    finite_differences: float


@dataclass(frozen=True)
class CheckSummary:
    """What was found, and the lines that tell it.

    no_effect : parameters that move no fitted stream.  seconds : of compiling, and of one
    evaluation.  prior, sensors : sentences on draws of the prior, and on suspected sensors.
    lines : all of them by heading.
    """

    experiment: str
    title: str
    gradients: GradientEntry
    no_effect: tuple[str, ...]
    misfit: float
    observations: int
    seconds: Mapping[str, float]
    prior: tuple[str, ...]
    sensors: tuple[str, ...]
    lines: Mapping[str, tuple[str, ...]]


def by_heading(lines: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Lines under the headings that they begin with; one without belongs to that above it."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in lines:
        heading = line[:HEADING].strip().lower() or heading
        found.setdefault(heading, []).append(line[HEADING:].strip())
    return {name: tuple(said) for name, said in found.items()}
