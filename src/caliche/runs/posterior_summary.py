"""What posterior.json says of a run: intervals by several methods, and what to make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caliche.keys.records import OMITTED, Known, Mismatch

POSTERIOR_REMEDY = "move posterior.json and posterior.nc away, and run `caliche posterior` again"
Named = Literal["laplace", "profile", "nuts", "etki", "eki", "4denvar"]


@dataclass(frozen=True)
class IntervalEntry:
    """A parameter by one method; an end is NaN where the data do not set it.

    open : which ends the profile did not find.
    """

    interval95: tuple[float, float] | None = None
    open: tuple[bool, bool] = field(default=(False, False), metadata=OMITTED)
    verdict: str = field(default="", metadata=OMITTED)


@dataclass(frozen=True)
class PosteriorParameter:
    """A parameter by every method that was run."""

    estimate: Known
    long_name: str = ""
    unit: str = ""
    at_bound: bool = False
    laplace: IntervalEntry | None = field(default=None, metadata=OMITTED)
    profile: IntervalEntry | None = field(default=None, metadata=OMITTED)
    nuts: IntervalEntry | None = field(default=None, metadata=OMITTED)
    etki: IntervalEntry | None = field(default=None, metadata=OMITTED)
    eki: IntervalEntry | None = field(default=None, metadata=OMITTED)
    denvar: IntervalEntry | None = field(default=None, metadata={**OMITTED, "name": "4denvar"})


@dataclass(frozen=True)
class MethodEntry:
    """What is said of a sampler or an ensemble."""

    verdict: str
    usable: bool = True


@dataclass(frozen=True)
class ProfileEntry:
    """What is said of the profiles."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkillEntry:
    """How well draws foresee a stream."""

    n: int
    rmse: float | None = None
    crps: float | None = None
    covered: float | None = None
    width: float | None = None


@dataclass(frozen=True)
class BandEntry:
    """The share of observations in the band of a stream, and their number."""

    covered: float | None = None
    n: int = 0


@dataclass(frozen=True)
class PosteriorSummary:
    """The content of posterior.json, as far as it is read again."""

    explanation: str
    parameters: Mapping[str, PosteriorParameter]
    errors: str = ""
    misfit: float = float("nan")
    ensembles: Mapping[Literal["etki", "eki", "4denvar"], MethodEntry] = field(default_factory=dict)
    skill: Mapping[Named, Mapping[Literal["fit", "holdout"], Mapping[str, SkillEntry]]] = field(
        default_factory=dict
    )
    agreement: tuple[str, ...] = ()
    profile: ProfileEntry | None = field(default=None, metadata=OMITTED)
    nuts: MethodEntry | None = field(default=None, metadata=OMITTED)
    bands: Mapping[str, BandEntry] = field(default_factory=dict)
    bands_by: Named = "nuts"
    command: str | None = None

    def check(self) -> None:
        """Refuse a posterior of nothing."""
        if not self.parameters:
            raise Mismatch("parameters", "none")
