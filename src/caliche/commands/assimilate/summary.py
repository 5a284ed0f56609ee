"""What summary.json of an assimilation says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from caliche.keys.records import Known, Mismatch
from caliche.runs.run_summary import CostEntry, VerdictEntry


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A parameter at the end of a window."""

    estimate: Known
    sd: float | None
    sd_naive: float | None = None
    interval: tuple[float, float]
    at_bound: bool = False


@dataclass(frozen=True, kw_only=True)
class LastEstimate:
    """A parameter at the end of the last window, and what is known of it besides."""

    long_name: str
    unit: str
    initial: float | None
    lower: float | None = None
    upper: float | None = None
    prior: str
    truth: float | None
    estimate: Known
    sd: float | None
    sd_naive: float | None = None
    interval: tuple[float, float]
    at_bound: bool = False


@dataclass(frozen=True, kw_only=True)
class StreamEntry:
    """How a stream was forecast; None where it was not observed after the first window."""

    long_name: str = ""
    unit: str
    n: int
    forecast_rmse: float | None = None
    forecast_bias: float | None = None
    analysis_rmse: float | None = None
    chi_square_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class Innovation:
    """Observations of a stream beside their forecast in a window."""

    n: int = 0
    rmse: float | None = None
    bias: float | None = None
    chi_square: int | Known
    freedom: int | Known


@dataclass(frozen=True)
class Residual:
    """Residuals of a stream in a window."""

    n: int = 0
    variance_ratio: float | None = None
    inflation: float | None = None
    lag1_autocorrelation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The record of a window as it is kept until all are done; `first` and `last` are its steps."""

    first: int
    last: int
    observations: int
    converged: bool
    reason: str
    parameters: Mapping[str, Estimate]
    innovations: Mapping[str, Innovation]


@dataclass(frozen=True, kw_only=True)
class WindowEntry:
    """One window: its steps, and what they gave; see `assimilation.windows.Analysis`.

    start, end : of the window, in UTC.
    """

    number: int
    first: int = 0
    last: int = 0
    observations: int
    converged: bool
    reason: str
    iterations: int = 0
    parameters: Mapping[str, Estimate]
    innovations: Mapping[str, Innovation] = field(default_factory=dict)
    residuals: Mapping[str, Residual] = field(default_factory=dict)
    cost: CostEntry | None = None
    shift: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    start: str
    end: str


@dataclass(frozen=True, kw_only=True)
class AssimilationSummary:
    """The content of summary.json.

    drift, forget : see `assimilation.windows.WindowSettings`.
    """

    experiment: str
    title: str
    description: str = ""
    site: str = ""
    utc_offset: Known
    window_days: Known
    drift: Known | Mapping[str, Known] = Known(0.0)  # noqa: RUF009
    forget: Known = Known(1.0)  # noqa: RUF009
    converged: bool
    parameters: Mapping[str, LastEstimate]
    streams: Mapping[str, StreamEntry]
    windows: tuple[WindowEntry, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    command: str | None = None
    sentences: tuple[str, ...] = ()
    verdict: VerdictEntry | None = None
    warnings: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The first line; empty in a folder that is older than it."""
        return "" if self.verdict is None else self.verdict.headline

    def check(self) -> None:
        """Refuse no windows, and windows of other parameters."""
        if not (self.windows and self.parameters and self.streams):
            raise Mismatch("windows, parameters and streams", "none")
        if abs(self.utc_offset) > 24.0:
            raise Mismatch("a utc_offset within 24 hours", f"{self.utc_offset:g}")
        for window in self.windows:
            if absent := [name for name in self.parameters if name not in window.parameters]:
                raise Mismatch(f"{absent[0]} in window {window.number}", "nothing")
