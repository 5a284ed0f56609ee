"""What a profile likelihood gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class End(NamedTuple):
    """One end of an interval, in physical units.

    `closed` says whether the misfit rose to the level; if not, `value` is the parameter's bound
    (or infinite). `held` names other parameters that a bound held there: their bounds, not the
    data, then made the misfit rise.
    """

    value: float
    closed: bool
    held: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether the data alone set this end."""
        return self.closed and not self.held


@dataclass(frozen=True)
class ParameterProfile:
    """Profile of one parameter on a grid (point,) that rises and contains the optimum.

    Attributes
    ----------
    u, value : (point,) transformed coordinate and physical value at which the parameter was held.
    misfit : (point,) J after the others were fitted; infinite where the model failed.
    others : (point, P) every parameter's physical value there.
    converged : (point,) whether the fit of the others converged.
    held : (point, P) parameters that a bound held there.
    intervals : level (0.68, 0.95) -> both ends.
    verdict : what a reader should know, in words; empty if there is nothing.
    """

    name: str
    u: np.ndarray
    value: np.ndarray
    misfit: np.ndarray
    others: np.ndarray
    converged: np.ndarray
    held: np.ndarray
    intervals: Mapping[float, tuple[End, End]]
    verdict: str


@dataclass(frozen=True)
class Profiles:
    """Profiles of parameters by name; `misfit` is J at the optimum they are measured from.

    `better` is a control vector (P,) with a lower misfit, if one was met.
    """

    misfit: float
    parameters: Mapping[str, ParameterProfile]
    n_model_runs: int
    better: np.ndarray | None
    warnings: tuple[str, ...]
