"""What summary.json of a joint calibration says, as far as its page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caliche.keys.records import Known, Mismatch

Calibration = Literal["first guess", "by itself", "together", "left out"]


@dataclass(frozen=True)
class Estimate:
    """A parameter, at a site or at all."""

    long_name: str
    unit: str
    estimate: Known
    sd: float | None
    interval95: tuple[float, float]
    prior: str = ""
    at_bound: bool = False


@dataclass(frozen=True)
class SiteEntry:
    """One site: its own calibration, and the values that it takes together with others."""

    converged: bool
    reason: str
    cost: Known
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
    """J of the joint calibration, and its prior's term."""

    total: Known
    prior: Known


@dataclass(frozen=True)
class Scores:
    """Scores of a stream in a window."""

    rmse: float | None
    nse: float | None


@dataclass(frozen=True)
class StreamScores:
    """Scores of a stream in both windows; `held_out` is None where nothing was held out."""

    fitted: bool
    fit: Scores
    held_out: Scores | None = field(metadata={"name": "hold-out"})


@dataclass(frozen=True)
class VerdictLine:
    """The first line."""

    headline: str


@dataclass(frozen=True)
class ClusterEntry:
    """Groups of sites that are alike."""

    about: Mapping[str, tuple[str, ...]]
    silhouette: Known
    predictors: tuple[str, ...]


@dataclass(frozen=True)
class JointSummary:
    """The content of summary.json."""

    title: str
    converged: bool
    reason: str
    share: Mapping[str, ShareEntry]
    parameters: Mapping[str, Estimate]
    cost: CostEntry
    sites: Mapping[str, SiteEntry]
    scores: Mapping[Calibration, Mapping[str, Mapping[str, StreamScores]]]
    sentences: tuple[str, ...]
    description: str = ""
    warnings: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    clusters: ClusterEntry | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    command: str | None = None
    verdict: VerdictLine | None = None

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
