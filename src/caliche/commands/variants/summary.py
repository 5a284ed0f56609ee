"""What variants.json says, as far as its page and a run that goes on read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caliche.keys.records import Known, Mismatch
from caliche.runs.run_summary import HyperparameterEntry

# What a variant that was fitted has.
_FITTED = (
    "parameters",
    "optimum",
    "optimum_physical",
    "fit",
    "chi_square",
    "fit_until",
    "residuals",
)
_COMPARED = ("shifts", "n_effective_parameters", "comparable", "holdout_comparable")


@dataclass(frozen=True)
class ParameterEntry:
    """A parameter of the base or of a variant."""

    long_name: str
    unit: str
    estimate: Known
    sd: float | None
    fixed: bool
    initial: float | None = None
    lower: float | None = None
    upper: float | None = None
    at_bound: bool = False


@dataclass(frozen=True)
class ShiftEntry:
    """A parameter of a variant beside one of the base."""

    estimate: Known
    sd: float | None
    fixed: bool
    at_bound: bool
    shift: float | None


@dataclass(frozen=True)
class ErrorEntry:
    """Root-mean-square error over several streams."""

    value: float
    unit: str
    streams: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreEntry:
    """Scores of a stream."""

    n: int
    unit: str
    fitted: bool
    rmse: float | None = None


@dataclass(frozen=True)
class ResidualEntry:
    """Residuals of a stream."""

    n: int


@dataclass(frozen=True)
class VerdictLine:
    """The first line."""

    headline: str


@dataclass(frozen=True)
class Record:
    """What was found for the base or a variant; None where it could not run."""

    name: str
    family: str
    kind: Literal["numerics", "physics", "prescribed", "data", "own"]
    what: str
    changes: str
    status: Literal["converged", "did not converge", "cannot run"]
    reason: str
    finer: bool = False
    seconds: Known = Known(0.0)  # noqa: RUF009
    hyperparameters: HyperparameterEntry | None = None
    parameters: Mapping[str, ParameterEntry] | None = None
    optimum: Mapping[str, float] | None = None
    optimum_physical: Mapping[str, float] | None = None
    residuals: Mapping[str, ResidualEntry] | None = None
    fit: Mapping[str, ScoreEntry] | None = None
    holdout: Mapping[str, ScoreEntry] | None = None
    chi_square: Mapping[str, float | None] | None = None
    fit_until: str | None = None
    n_effective_parameters: float | None = None
    shifts: Mapping[str, tuple[ShiftEntry, ...]] | None = None
    rmse: ErrorEntry | None = None
    holdout_rmse: ErrorEntry | None = None
    comparable: bool | None = None
    holdout_comparable: bool | None = None
    delta: Mapping[str, float | None] | None = None
    verdict: VerdictLine | None = None

    def check(self) -> None:
        """Refuse a variant that ran without what it found."""
        self.need(*_FITTED)

    def need(self, *names: str) -> None:
        """Refuse a variant that ran without some keys."""
        absent = [name for name in names if getattr(self, name) is None]
        if absent and self.status != "cannot run":
            raise Mismatch(f"{absent[0]!r} of {self.name}", "nothing")


@dataclass(frozen=True)
class VariantsSummary:
    """The content of variants.json."""

    experiment: str
    title: str
    base: Record
    variants: tuple[Record, ...]
    sentences: tuple[str, ...]
    conclusion: tuple[str, ...]
    effective_observations: float
    effective_observations_of: str = ""
    description: str = ""
    truth: Mapping[str, float] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str | None = None

    def check(self) -> None:
        """Refuse a base that did not run, and variants without a shift of each parameter."""
        if self.base.status == "cannot run":
            raise Mismatch("a base that ran", repr(self.base.status))
        free = {n for n, p in (self.base.parameters or {}).items() if not p.fixed}
        for record in (self.base, *self.variants):
            if record.status != "cannot run":
                record.need(*_COMPARED)
                if absent := sorted(free - set(record.shifts or {})):
                    raise Mismatch(f"shifts of {absent[0]} in {record.name}", "none")
