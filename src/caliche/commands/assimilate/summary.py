"""What summary.json of an assimilation says, as far as its page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from caliche.keys.records import Known, Mismatch


@dataclass(frozen=True)
class Estimate:
    """A parameter at the end of a window."""

    estimate: Known
    sd: float | None
    interval: tuple[float, float]
    at_bound: bool = False


@dataclass(frozen=True)
class LastEstimate:
    """A parameter at the end of the last window, and what is known of it besides."""

    long_name: str
    unit: str
    initial: float | None
    prior: str
    truth: float | None
    estimate: Known
    sd: float | None
    interval: tuple[float, float]
    at_bound: bool = False


@dataclass(frozen=True)
class StreamEntry:
    """How a stream was forecast; None where it was not observed after the first window."""

    unit: str
    n: int
    long_name: str = ""
    forecast_rmse: float | None = None
    forecast_bias: float | None = None
    analysis_rmse: float | None = None
    chi_square_ratio: float | None = None


@dataclass(frozen=True)
class Innovation:
    """Observations of a stream beside their forecast in a window."""

    chi_square: Known
    freedom: Known


@dataclass(frozen=True)
class Part:
    """The record of a window as it is kept until all are done; `first` and `last` are its steps."""

    first: int
    last: int
    observations: int
    converged: bool
    reason: str
    parameters: Mapping[str, Estimate]
    innovations: Mapping[str, Innovation]


@dataclass(frozen=True)
class WindowEntry:
    """One window."""

    number: int
    observations: int
    converged: bool
    reason: str
    start: str
    end: str
    parameters: Mapping[str, Estimate]
    innovations: Mapping[str, Innovation] = field(default_factory=dict)
    shift: float | None = None


@dataclass(frozen=True)
class VerdictLine:
    """The first line."""

    headline: str


@dataclass(frozen=True)
class AssimilationSummary:
    """The content of summary.json."""

    experiment: str
    title: str
    utc_offset: Known
    window_days: Known
    converged: bool
    parameters: Mapping[str, LastEstimate]
    streams: Mapping[str, StreamEntry]
    windows: tuple[WindowEntry, ...]
    sentences: tuple[str, ...]
    description: str = ""
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    command: str | None = None
    verdict: VerdictLine | None = None

    def check(self) -> None:
        """Refuse no windows, and windows of other parameters."""
        if not (self.windows and self.parameters and self.streams):
            raise Mismatch("windows, parameters and streams", "none")
        if abs(self.utc_offset) > 24.0:
            raise Mismatch("a utc_offset within 24 hours", f"{self.utc_offset:g}")
        for window in self.windows:
            if absent := [name for name in self.parameters if name not in window.parameters]:
                raise Mismatch(f"{absent[0]} in window {window.number}", "nothing")
