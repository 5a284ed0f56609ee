"""What a score of CalLMIP's output files says: as it is written to scores.json, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PRIOR, POSTERIOR, ONE, CLUSTERS = "prior", "posterior", "1lin", "3km27"


@dataclass(frozen=True)
class FluxScore:
    """Scores of one series over the days with a measured value; None where one does not exist.

    Attributes
    ----------
    n : days.  rmse, bias : unit of the flux, model minus observation.  r : correlation.
    nme : mean absolute error over that of the observed mean.  sd_obs : standard deviation of the
    observations, unit of the flux.  sd_ratio : that of the model over it.
    covered : share of days inside the 90 % band of `_post_unc` alone.
    covered_both : likewise, with the uncertainty of the measurement added in quadrature.
    """

    n: int
    rmse: float | None = None
    bias: float | None = None
    r: float | None = None
    nme: float | None = None
    sd_obs: float | None = None
    sd_ratio: float | None = None
    covered: float | None = None
    covered_both: float | None = None


@dataclass(frozen=True)
class TowerFlux:
    """One flux at one tower, under every run and benchmark that there is.

    Attributes
    ----------
    site, vegetation : code, and IGBP class in words.  scenario : 1 to 6.  unit : of the flux.
    period : "all days", or "held out" where the entry kept days back.
    scores : run or benchmark -> its score.  seasons : months -> run -> score.
    shift : days by which the model has to be moved to agree best; 0 is right.
    trained : which days the benchmarks were fitted to, in words; empty without any.
    """

    site: str
    vegetation: str
    scenario: int
    flux: str
    unit: str
    period: str
    scores: Mapping[str, FluxScore]
    seasons: Mapping[str, Mapping[str, FluxScore]] = field(default_factory=dict)
    shift: int | None = None
    trained: str = ""

    @property
    def gain(self) -> float | None:
        """By what share the posterior's RMSE is below the prior's; negative where it is above."""
        before, after = (self.scores.get(name) for name in (PRIOR, POSTERIOR))
        if before is None or after is None or not before.rmse or after.rmse is None:
            return None
        return 1.0 - after.rmse / before.rmse


@dataclass(frozen=True)
class EntryScores:
    """All scores of a folder.

    model : with its version.  towers : a flux at a tower each.
    vegetation : class in words -> flux -> run -> mean RMSE over its towers.
    sentences : what came of it.  notes : what was left out, and why.
    """

    model: str
    towers: tuple[TowerFlux, ...]
    vegetation: Mapping[str, Mapping[str, Mapping[str, float]]]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    command: str | None = None
