"""What an estimation gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.posterior import ResidualStatistics


@dataclass(frozen=True)
class ParameterEstimate:
    """One parameter after estimation, in physical units.

    `sd` and `interval` (95 %) allow for the size and autocorrelation of the residuals, `sd_naive`
    does not. All three are None for a fixed parameter. An infinite sd means that the observations
    do not constrain the parameter; NaN, that it is held by a bound. `knot` names the knot of a
    parameter that varies in time, of which `estimate` is the value there.
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


@dataclass(frozen=True)
class Start:
    """Where one start began and ended; `misfit` is J = |r|^2 / 2 at the end."""

    initial: Mapping[str, float]
    estimate: Mapping[str, float]
    misfit: float
    converged: bool
    status: str


@dataclass(frozen=True)
class Result:
    """Result of an estimation.

    Attributes
    ----------
    parameters : every parameter by name, the free ones first.
    names : free parameters, the order of `covariance`, `correlation`, `u` and `trajectory`.
    covariance, correlation : (P, P), of the physical parameters, inflated.
    u : (P,) the optimum in whitened coordinates.
    misfit : (start, iteration) J on the way, NaN after a start ended.
    trajectory : (start, iteration, P) physical values on the way.
    residuals : by fitted stream, the residual variance over sigma^2 and the autocorrelation.
    derived : name -> (value, sd, unit, long name).
    n_model_runs : model runs of all starts; a tangent or an adjoint counts as one.
    seconds : `compile` and `run`.
    hyperparameters : those that were estimated, if any.
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
    warnings: tuple[str, ...]
    hyperparameters: Hyperparameters | None = None
