"""What summary.json of history matching says, as far as its page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class RangeEntry:
    """The range of a parameter before and after; `place` as shares of the one before."""

    unit: str
    before: Pair
    after: Pair | None
    place: Pair | None
    long_name: str


@dataclass(frozen=True)
class MetricEntry:
    """A metric: target, errors, and what it removes by itself and in addition to the others."""

    unit: str
    target: float | None
    error: float | None
    discrepancy: float | None
    removed_alone: float | None
    removed_added: float | None
    naive: float | None = None
    bias: float | None = None


@dataclass(frozen=True)
class FactorEntry:
    """What is left with another size of the discrepancy; a bound where nothing was found."""

    factor: float | None
    fraction: float | None
    error: float | None
    bound: bool


@dataclass(frozen=True)
class WaveEntry:
    """One wave."""

    number: int
    runs: int
    failed: int
    slopes: bool
    fraction: float | None
    error: float | None
    refused: tuple[str, ...]
    emulator_share: float | None
    stop: str


@dataclass(frozen=True)
class AuditEntry:
    """Direct runs of points that were excluded and kept."""

    excluded: int
    kept: int
    wrongly_excluded: float | None
    wrongly_kept: float | None
    lowest_lost: float | None
    cutoff: float | None


@dataclass(frozen=True)
class TruthEntry:
    """The truth of a twin."""

    implausibility: float | None
    place: tuple[float | None, ...]


@dataclass(frozen=True)
class FittedEntry:
    """A parameter of a run that was fitted: 95 % intervals by method, and their places along the
    range."""

    estimate: float | None
    place: float | None
    intervals: Mapping[str, Pair]
    places: Mapping[str, Pair]


@dataclass(frozen=True)
class AgainstEntry:
    """A run that was fitted, beside what is left."""

    run: str
    implausibility: float | None
    parameters: Mapping[str, FittedEntry]


@dataclass(frozen=True)
class MatchSummary:
    """The content of summary.json."""

    title: str
    method: str
    why: str
    empty: bool
    fraction: float | None
    fraction_error: float | None
    sampler: str
    members: int
    failed_share: float | None
    regions: tuple[float, ...]
    rule: str
    cutoff: float
    chance: float
    runs: int
    parameters: Mapping[str, RangeEntry]
    metrics: Mapping[str, MetricEntry]
    by_factor: tuple[FactorEntry, ...]
    waves: tuple[WaveEntry, ...]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds_a_run: Mapping[str, float | None] | None = None
    audit: AuditEntry | None = None
    conflict: Mapping[str, Any] | None = None
    truth: TruthEntry | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    experiment: str = ""
    description: str = ""
    seed: int | None = None
    over: str = ""
    isolated: Any = None
    failures: Mapping[str, int] | None = None
    against: AgainstEntry | None = None
    command: str | None = None
    versions: Mapping[str, str] | None = None
    created: str = ""
