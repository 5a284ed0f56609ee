"""What summary.json of an emulation says, as far as its page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OutputEntry:
    """One output, and the checks of its emulator on runs that it never saw."""

    unit: str
    passed: bool
    sentence: str
    relative_error: float | None
    error: float | None
    spread: float | None
    distance: float | None
    highest: float | None
    left_out: float | None
    held: tuple[float | None, float | None, float | None]
    standardised: tuple[float | None, ...]
    pivoted: tuple[float | None, ...]
    kernel: str
    mean: str
    slopes: bool
    inflation: float | None
    scales: Mapping[str, float | None]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """The range of a parameter in which the emulator answers."""

    lower: float | None
    upper: float | None
    unit: str
    long_name: str


@dataclass(frozen=True)
class EmulationSummary:
    """The content of summary.json."""

    title: str
    kind: str
    emulated: str
    runs: int
    failed: int
    held_out: int
    slopes: bool
    mode: str
    thinned: int
    lost: float | None
    unseen: float | None
    box: Mapping[str, Range]
    milliseconds: Mapping[str, float | None]
    seconds: Mapping[str, float | None]
    outputs: Mapping[str, OutputEntry]
    passed: bool
    plan: tuple[str, ...]
    verdict: str
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    experiment: str = ""
    description: str = ""
    command: str | None = None
    versions: Mapping[str, str] | None = None
    created: str = ""
