"""What an estimation gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from caliche.estimation.curvature import ResidualStatistics
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.optima import Optimum
from caliche.names import without_knot
from caliche.parameters.space import ParameterSpace
from caliche.remarks import Remark


@dataclass(frozen=True)
class ParameterEstimate:
    """One parameter after estimation, in physical units.

    `sd` and `interval` (95 %) allow for the size and autocorrelation of the residuals, `sd_naive`
    does not. All three are None for a fixed parameter. An infinite sd means that the observations
    do not constrain the parameter; NaN, that it is held by a bound. `knot` names the knot of a
    parameter that varies in time, of which `estimate` is the value there. A parameter that follows
    another is `fixed`, with the other's error bars, and says in `tied` how: "= 2 × albedo".
    """

    name: str
    long_name: str
    unit: str
    estimate: float
    sd: float | None
    sd_naive: float | None
    interval: tuple[float, float] | None
    initial: float
    lower: float
    upper: float
    fixed: bool
    prior: str = ""
    at_bound: bool = False
    knot: str | None = None
    tied: str = ""


def with_the_rest(
    space: ParameterSpace, free: Mapping[str, ParameterEstimate]
) -> dict[str, ParameterEstimate]:
    """Estimates of every parameter of a space, from those of its free ones and their knots."""
    found, declared = dict(free), {d.name: d for d in space.declarations}
    for name, value in space.fixed.items():
        d, number = declared[name], float(np.mean(value))
        found[name] = ParameterEstimate(
            name, d.long_name, d.unit, number, None, None, None, number, d.lower, d.upper, True
        )
    for tie in space.ties:
        d, factor = declared[tie.name], tie.multiple
        of = [p for n, p in found.items() if without_knot(n) == tie.to]
        sd = sd_naive = interval = None
        if len(of) == 1 and of[0].sd is not None and of[0].sd_naive is not None:
            sd, sd_naive = abs(factor) * of[0].sd, abs(factor) * of[0].sd_naive
            low, high = sorted(factor * end for end in of[0].interval or (np.nan, np.nan))
            interval = (low, high)
        found[tie.name] = ParameterEstimate(
            tie.name,
            d.long_name,
            d.unit,
            factor * float(np.mean([p.estimate for p in of])),
            sd,
            sd_naive,
            interval,
            factor * of[0].initial,
            d.lower,
            d.upper,
            True,
            tied=tie.describe(),
        )
    return found


@dataclass(frozen=True)
class Start:
    """Where one start began and ended; `misfit` is J = |r|^2 / 2 at the end.

    `optimum` is the number of the optimum that it reached, 0 for that of the estimate; None where
    it reached none that is known.
    """

    initial: Mapping[str, float]
    estimate: Mapping[str, float]
    misfit: float
    converged: bool
    status: str
    optimum: int | None = None


@dataclass(frozen=True)
class Ensemble:
    """The posterior ensemble of a method that has one.

    Attributes
    ----------
    u, physical : (member, P) in whitened coordinates, and the same in physical units.
    times : pseudo-times T reached, from 0 to 1; empty for a method without.
    failed : members whose run failed, by iteration.
    """

    u: np.ndarray
    physical: np.ndarray
    times: np.ndarray
    failed: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """Result of an estimation.

    Attributes
    ----------
    parameters : every parameter by name, the free ones first.
    names : free parameters, the order of `covariance`, `correlation`, `u` and `trajectory`.
    covariance, correlation : (P, P), of the physical parameters, inflated.
    u : (P,) the optimum in whitened coordinates; where hyperparameters were estimated, in those of
        `with_hyperparameters(problem, hyperparameters)`, not of the problem that was handed in.
    misfit : (start, iteration) J on the way, NaN after a start ended.
    trajectory : (start, iteration, P) physical values on the way.
    residuals : by fitted stream, the residual variance over sigma^2, the autocorrelation and the
        term of the cost.
    prior_cost : term of the prior; it and those of the streams sum up to J.
    derived : name -> (value, sd, unit, long name).
    remarks : what a careful referee would say; `warnings` are their sentences.
    n_model_runs : model runs of all starts; a tangent or an adjoint counts as one.
    seconds : `compile` and `run`.
    hyperparameters : those that were estimated, if any.
    error_bars : `curvature`, or `ensemble` where they are the spread of the ensemble, which takes
        the declared errors at their word.
    ensemble : the members of such a posterior.
    optima : distinct optima that the starts ended at, the estimate's first; none where the optimum
        is a valley, the search did not converge, or the method has no starts.
    """

    method: str
    converged: bool
    reason: str
    seed: int
    n_iterations: int
    n_model_runs: int
    seconds: Mapping[str, float]
    parameters: Mapping[str, ParameterEstimate]
    names: tuple[str, ...]
    covariance: np.ndarray
    correlation: np.ndarray
    u: np.ndarray
    covariance_u: np.ndarray
    starts: tuple[Start, ...]
    misfit: np.ndarray
    trajectory: np.ndarray
    residuals: Mapping[str, ResidualStatistics]
    derived: Mapping[str, tuple[float, float, str, str]]
    remarks: tuple[Remark, ...]
    prior_cost: float
    hyperparameters: Hyperparameters | None = None
    error_bars: str = "curvature"
    ensemble: Ensemble | None = None
    optima: tuple[Optimum, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know, in sentences."""
        return tuple(remark.sentence for remark in self.remarks)
