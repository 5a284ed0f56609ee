"""What history matching found, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from caliche._lazy import load
from caliche.history_matching.conflict import Conflict
from caliche.history_matching.implausibility import Rule, Targets
from caliche.history_matching.nonimplausible import Nonimplausible

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Removed:
    """Share of the whole cube that each metric removes.

    alone : (K,) by itself, with the cut-off of all.  added : (K,) that would be left without it.
    """

    alone: np.ndarray
    added: np.ndarray


@dataclass(frozen=True)
class Wave:
    """One wave.

    Attributes
    ----------
    number : from 1 on.
    runs, failed, slopes : model runs of the wave, those that failed, and whether they had slopes.
    fraction, error : of the cube that is left after it.
    marginals : (P, bin) share of what is left in each of twenty parts of each range.
    removed : by metric.
    refused : metrics whose emulator failed its checks, and why.
    emulator_share : largest, over metrics and NROY, of emulator sd over that of observation error
        and discrepancy together; 0 for the model itself.
    sentence : why it is the last one; empty if it is not.
    """

    number: int
    runs: int
    failed: int
    slopes: bool
    fraction: float
    error: float
    marginals: np.ndarray
    removed: Removed
    refused: tuple[str, ...] = ()
    emulator_share: float = 0.0
    sentence: str = ""


@dataclass(frozen=True)
class Audit:
    """Direct runs of points that were ruled out, and of points that were kept.

    Attributes
    ----------
    excluded, kept : how many were run of either.
    wrongly_excluded : share of the model's own NROY that was ruled out.
    wrongly_kept : share of what was kept that the model rules out.
    lowest_lost : lowest exact implausibility among what was ruled out wrongly; None if none was.
    cutoff : beyond which the model rules out.
    """

    excluded: int
    kept: int
    wrongly_excluded: float
    wrongly_kept: float
    lowest_lost: float | None
    cutoff: float


@dataclass(frozen=True)
class Matched:
    """What is not ruled out, and how it was found.

    Attributes
    ----------
    names, units : (P,) of the parameters.
    targets, rule, cutoff : what was matched.
    chance : that the truth itself is ruled out, its errors correlated as declared.
    nroy : the points in the unit cube.
    physical : (n, P) the same in physical units.
    outputs, outputs_sd : (n, K) metrics of the points, and the emulator's standard deviation.
    before, after : (P, 2) ranges in physical units; NaN where nothing is left.
    edges : (P, bin + 1) physical values at the edges of the bins of marginals.
    by_factor : (discrepancy factor, fraction, error, whether it is only a bound).
    waves, audit, conflict : see there; one wave where the model itself was asked.
    method, why : `model` or `emulator`, and the reason for that in a sentence.
    seconds : of a model run, one with slopes forward and in reverse; NaN where not measured.
    runs : of the model.
    left_out : sentences on metrics that the record does not allow.
    isolated : (m, P) physical values of points that are left as well, in regions too small for the
        search; found by descent.
    truth : known values (P,) of a twin in the unit cube, and their implausibility; None without.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    targets: Targets
    rule: Rule
    cutoff: float
    chance: float
    nroy: Nonimplausible
    physical: np.ndarray
    outputs: np.ndarray
    outputs_sd: np.ndarray
    before: np.ndarray
    after: np.ndarray
    edges: np.ndarray
    by_factor: tuple[tuple[float, float, float, bool], ...]
    waves: tuple[Wave, ...]
    audit: Audit | None
    conflict: Conflict | None
    method: str
    why: str
    seconds: tuple[float, float, float]
    runs: int
    left_out: tuple[str, ...] = ()
    truth: tuple[np.ndarray, float] | None = None
    isolated: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def fraction(self) -> float:
        """Share of the ranges that is left."""
        return self.nroy.fraction

    def to_frame(self) -> pd.DataFrame:
        """One row for each point that is left: parameters, metrics, implausibility, region."""
        import pandas as pd

        parts: dict[str, Any] = dict(zip(self.names, self.physical.T, strict=True))
        parts |= dict(zip(self.targets.names, self.outputs.T, strict=True))
        parts |= {"implausibility": self.nroy.statistic, "region": self.nroy.regions}
        return pd.DataFrame(parts)

    def plot(self) -> Any:
        """The matrix of what is left, as a matplotlib figure."""
        return load("caliche.commands.history_match.figures:matrix_of")(self)

    def plot_outputs(self) -> Any:
        """Metrics of what is left against their targets, as a matplotlib figure."""
        return load("caliche.commands.history_match.figures:outputs_of")(self)
