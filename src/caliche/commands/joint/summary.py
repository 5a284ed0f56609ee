"""What summary.json of a joint calibration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from caliche.evaluation.scores import Score
from caliche.keys.records import OMITTED, Known, Mismatch
from caliche.runs.run_summary import VerdictEntry

FITTED, HELD_OUT = "fit", "hold-out"  # windows
Window = Literal["fit", "hold-out"]
Calibration = Literal["first guess", "by itself", "together", "left out"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A parameter, at a site or at all.

    sites : that take a parameter of the joint calibration.
    """

    long_name: str
    unit: str
    estimate: Known
    sd: float | None
    sd_naive: float | None = None
    interval95: tuple[float, float]
    prior: str = ""
    at_bound: bool = False
    sites: tuple[str, ...] = field(default=(), metadata=OMITTED)


@dataclass(frozen=True, kw_only=True)
class SiteEntry:
    """One site: its own calibration, and the values that it takes together with others.

    sigma : by stream, the middle one.  inflation : of the variances of errors, by stream.
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    converged: bool
    reason: str
    cost: Known
    sigma: Mapping[str, float] = field(default_factory=dict)
    inflation: Mapping[str, float] = field(default_factory=dict)
    by_itself: Mapping[str, Estimate]
    together: Mapping[str, Estimate]


@dataclass(frozen=True)
class ShareEntry:
    """How a parameter is shared."""

    by: str
    spread: float | None
    estimated: bool


@dataclass(frozen=True)
class CostEntry:
    """J of the joint calibration, and its terms."""

    total: Known
    prior: Known
    streams: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOutEntry:
    """The calibration of all sites but one."""

    converged: bool
    cost: float


@dataclass(frozen=True)
class StreamScores:
    """Scores of a stream in both windows; `held_out` is None where nothing was held out."""

    fitted: bool
    fit: Score
    held_out: Score | None = field(metadata={"name": HELD_OUT})

    def inside(self, window: Window) -> Score | None:
        """Scores in a window."""
        return self.fit if window == FITTED else self.held_out

    @property
    def window(self) -> Window:
        """The window that tells most: the hold-out where there is one."""
        return FITTED if self.held_out is None else HELD_OUT


@dataclass(frozen=True)
class ClusterEntry:
    """Groups of sites that are alike, by the site in their middle."""

    about: Mapping[str, tuple[str, ...]]
    silhouette: Known
    predictors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class JointSummary:
    """The content of summary.json."""

    title: str
    description: str = ""
    converged: bool
    reason: str
    verdict: VerdictEntry | None = None
    warnings: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    share: Mapping[str, ShareEntry]
    clusters: ClusterEntry | None = None
    parameters: Mapping[str, Estimate]
    cost: CostEntry
    sites: Mapping[str, SiteEntry]
    left_out: Mapping[str, LeftOutEntry] = field(default_factory=dict)
    scores: Mapping[Calibration, Mapping[str, Mapping[str, StreamScores]]]
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    command: str | None = None
    sentences: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The first line; empty in a folder that is older than it."""
        return "" if self.verdict is None else self.verdict.headline

    def check(self) -> None:
        """Refuse calibrations without scores of a site or stream that the first one has."""
        if not self.sites or not any(site.together for site in self.sites.values()):
            raise Mismatch("sites with parameters", "none")
        own = self.scores.get("by itself")
        if own is None:
            raise Mismatch("scores of sites by themselves", "none")
        for kind, by_site in self.scores.items():
            for site in self.sites:
                here, there = by_site.get(site), own.get(site)
                if here is None or there is None or set(here) != set(there):
                    raise Mismatch(f"scores {kind!r} of every stream of {site}", "others")
                for stream, found in here.items():
                    if (found.held_out is None) != (there[stream].held_out is None):
                        raise Mismatch(f"scores {kind!r} of {stream} in both windows", "others")
