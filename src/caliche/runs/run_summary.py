"""What a run found, as summary.json keeps it: `estimate` and `train` write it, others read it.

The defaults are what a run of an earlier version may have left out. Nothing here loads JAX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from caliche.evaluation.plausibility import Judgement
from caliche.evaluation.structural_error import StreamStructure
from caliche.keys.records import OMITTED, Mismatch
from caliche.remarks import Remark
from caliche.wording import number_of

REMEDY = "restore that file, or run the experiment again"
# Keys that only a search for parameters has, not a training.
OF_A_SEARCH = (
    "error_bars",
    "ensemble",
    "correlation",
    "starts",
    "optima",
    "residuals",
    "cost",
    "hyperparameters",
    "derived",
    "plausibility",
    "structural_error",
)


@dataclass(frozen=True, kw_only=True)
class ParameterEntry:
    """A parameter, or a knot of one that varies in time; see `caliche.ParameterEstimate`.

    sd, sd_naive, interval95 : None where there is no error bar.  truth : of a twin.
    """

    long_name: str = ""
    unit: str = ""
    estimate: float
    sd: float | None = None
    sd_naive: float | None = None
    initial: float | None = None
    lower: float | None = None
    upper: float | None = None
    fixed: bool = False
    prior: str = ""
    at_bound: bool = False
    knot: str | None = None
    tied: str = ""
    interval95: tuple[float, float] | None = None
    truth: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreEntry:
    """Scores of a stream, see `evaluation.scores.Score`; whether it was fitted, and its sigma."""

    n: int = 0
    rmse: float | None = None
    bias: float | None = None
    r2: float | None = None
    nse: float | None = None
    sd_obs: float | None = None
    sd_model: float | None = None
    mae: float | None = None
    r: float | None = None
    percent_bias: float | None = None
    kge_2009: float | None = None
    kge_2012: float | None = None
    overlap: float | None = None
    error_p05: float | None = None
    error_p95: float | None = None
    nme: float | None = None
    fitted: bool = False
    sigma: float | None = None


@dataclass(frozen=True)
class CorrelationEntry:
    """Correlation of the errors of the free parameters, knots among them: (P, P)."""

    names: tuple[str, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()

    def check(self) -> None:
        """Refuse a matrix of another size than its names."""
        p = len(self.names)
        if [len(row) for row in self.matrix] != [p] * p:
            raise Mismatch(f"a correlation of {p} by {p} numbers", _size(self.matrix))


@dataclass(frozen=True)
class StartEntry:
    """Where a start began and ended; see `caliche.Start`."""

    initial: Mapping[str, float] = field(default_factory=dict)
    estimate: Mapping[str, float] = field(default_factory=dict)
    misfit: float = float("nan")
    converged: bool = False
    status: str = ""
    optimum: int | None = None


@dataclass(frozen=True)
class OptimumEntry:
    """A place where starts ended."""

    estimate: Mapping[str, float] = field(default_factory=dict)
    misfit: float = float("nan")
    starts: int = 0


@dataclass(frozen=True)
class ResidualEntry:
    """Residuals of a fitted stream."""

    lag1_autocorrelation: float | None = None
    variance_ratio: float | None = None


@dataclass(frozen=True)
class CostEntry:
    """The terms of J at the estimate."""

    observations: Mapping[str, float]
    prior: float


@dataclass(frozen=True)
class EnsembleEntry:
    """The members of a posterior ensemble; see `caliche.Ensemble`."""

    members: int
    times: tuple[float, ...] = ()
    failed: tuple[int, ...] = ()


@dataclass(frozen=True)
class InformationEntry:
    """How much the observations tell; see `estimation.information.InformationEstimate`."""

    factors: Mapping[str, float] = field(default_factory=dict)
    inflation: Mapping[str, float] = field(default_factory=dict)
    memory_hours: Mapping[str, float] = field(default_factory=dict)
    memories: Mapping[str, float | None] = field(default_factory=dict)
    share: float = 1.0
    names: tuple[str, ...] = ()
    root: tuple[tuple[float, ...], ...] = ()
    centre: tuple[float, ...] = ()

    def check(self) -> None:
        """Refuse a term of another size than its names."""
        p = len(self.names)
        if len(self.centre) != p or any(len(row) != p for row in self.root):
            raise Mismatch(f"a root and a centre of {number_of(p, 'parameter')}", _size(self.root))


@dataclass(frozen=True)
class HyperparameterEntry:
    """What was estimated besides the parameters; see `caliche.Hyperparameters`."""

    smoothness: Mapping[str, float] = field(default_factory=dict)
    sigma: Mapping[str, float] = field(default_factory=dict)
    autocorrelation: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    log_evidence: float = float("nan")
    converged: bool = True
    n_iterations: int = 0
    n_model_runs: int = 0
    information: InformationEntry | None = None

    def check(self) -> None:
        """Refuse sizes that are not positive, and autocorrelations beyond one."""
        for name, value in {**self.smoothness, **self.sigma}.items():
            if not value > 0.0:
                raise Mismatch(f"a positive number for {name}", f"{value:g}")
        for name, value in self.autocorrelation.items():
            if not abs(value) < 1.0:
                raise Mismatch(f"an autocorrelation between -1 and 1 for {name}", f"{value:g}")


@dataclass(frozen=True)
class DerivedEntry:
    """A property that follows from parameters."""

    value: float
    sd: float | None = None
    unit: str = ""
    long_name: str = ""


@dataclass(frozen=True)
class VerdictEntry:
    """The first line, and all remarks."""

    headline: str
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class SeedEntry:
    """A network that was trained from one seed, and its scores."""

    seed: int
    loss: float
    epochs: int
    best_epoch: int
    converged: bool
    reason: str
    seconds_per_epoch: float | None = None
    fit: Mapping[str, ScoreEntry] = field(default_factory=dict)
    holdout: Mapping[str, ScoreEntry] | None = None


@dataclass(frozen=True)
class WindowScores:
    """Scores in the fitted window and in the hold-out, where there is one."""

    fit: Mapping[str, ScoreEntry]
    holdout: Mapping[str, ScoreEntry] | None = None


@dataclass(frozen=True)
class TrainingEntry:
    """What was trained, and how; `bulk` is the model without a network, at its first guess.

    observations : values that were learned from, and those that decided when to stop.
    """

    fluxes: Literal["neural-flux", "neural-conductance", "neural-residual"]
    states: bool
    inputs: tuple[str, ...]
    width: int
    depth: int
    weights: int
    window_days: float
    windows: int
    observations: tuple[int, int]
    seeds: tuple[SeedEntry, ...]
    bulk: WindowScores


@dataclass(frozen=True)
class Estimate:
    """A parameter of any command that estimates, as far as its value."""

    estimate: float

    def check(self) -> None:
        """Refuse an estimate that is no number."""
        if not math.isfinite(self.estimate):
            raise Mismatch("an estimate", "none")


@dataclass(frozen=True)
class Estimates:
    """What the summaries of all commands that estimate have in common."""

    parameters: Mapping[str, Estimate]
    hyperparameters: HyperparameterEntry | None = None


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The content of summary.json: numbers, words and versions; None for what does not exist.

    correlation, parameters : of every entry, knots among them, as ALBEDO[KNOT].
    structural_error : by stream; None in a run that is older than it.
    """

    experiment: str = ""
    title: str
    description: str = ""
    method: str
    converged: bool
    reason: str
    seed: int | None = None
    error_bars: str = "curvature"
    ensemble: EnsembleEntry | None = None
    n_iterations: int | None = None
    n_model_runs: int | None = None
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    parameters: Mapping[str, ParameterEntry]
    correlation: CorrelationEntry = CorrelationEntry()
    starts: tuple[StartEntry, ...] = ()
    optima: tuple[OptimumEntry, ...] = ()
    fit: Mapping[str, ScoreEntry]
    holdout: Mapping[str, ScoreEntry] | None = None
    residuals: Mapping[str, ResidualEntry] = field(default_factory=dict)
    cost: CostEntry | None = None
    hyperparameters: HyperparameterEntry | None = None
    derived: Mapping[str, DerivedEntry] = field(default_factory=dict)
    plausibility: Mapping[str, Judgement] = field(default_factory=dict)
    training: TrainingEntry | None = field(default=None, metadata=OMITTED)
    verdict: VerdictEntry | None = None
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    command: str | None = None
    structural_error: Mapping[str, StreamStructure] | None = None

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """The remarks of the verdict; none in a run that is older than they are."""
        return () if self.verdict is None else self.verdict.remarks


def _size(matrix: tuple[tuple[float, ...], ...]) -> str:
    widths = sorted({len(row) for row in matrix})
    rows = number_of(len(matrix), "row")
    return f"{rows} of {' or '.join(map(str, widths))}" if widths else "no rows"
