"""Coordinates v in which every prior is N(0, 1), flat ones with bounds included.

An informative prior has them already: v = u. A flat prior between two bounds is uniform there, and
v is the normal quantile of where it stands between them; `u` is then logistic in the same
probability. A flat prior that lacks a bound says nothing about its size; the parameter's start
range, if there is one, stands in as a normal prior of u that has 95 % between its ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from caliche.constants import NORMAL_QUANTILE
from caliche.errors import InputError
from caliche.parameters.space import Entry, ParameterSpace


@dataclass(frozen=True)
class NormalPrior:
    """The map between v and u, both (..., P).

    bounded : (P,) entries with a flat prior between two bounds.  centre, scale : (P,) of the other
    entries, u = centre + scale v.
    """

    bounded: np.ndarray
    centre: np.ndarray
    scale: np.ndarray

    def to_u(self, v: np.ndarray) -> np.ndarray:
        logistic = log_ndtr(v) - log_ndtr(-v)
        return np.where(self.bounded, logistic, self.centre + self.scale * v)

    def from_u(self, u: np.ndarray) -> np.ndarray:
        # From the smaller tail, which keeps its digits: log sigmoid(-|u|).
        tail = ndtri_exp(-np.logaddexp(0.0, np.abs(u)))
        return np.where(self.bounded, -np.sign(u) * tail, (u - self.centre) / self.scale)


def normal_prior(space: ParameterSpace, method: str) -> NormalPrior:
    """Coordinates in which the prior of a space is N(0, I).

    Raises
    ------
    InputError : a flat prior without two bounds or a start range.
    """
    rows = [_entry(entry, method) for entry in space.entries]
    bounded, centre, scale = (np.array(column) for column in zip(*rows, strict=True))
    return NormalPrior(bounded.astype(bool), centre, scale)


def _entry(entry: Entry, method: str) -> tuple[bool, float, float]:
    prior, start = entry.parameter.prior, entry.parameter.start
    if entry.informative:
        return False, 0.0, 1.0
    if math.isfinite(prior.lower) and math.isfinite(prior.upper):
        return True, 0.0, 1.0
    if start is None:
        raise InputError(
            f"a prior, two bounds or a start range of {entry.name}, from which {method} draws",
            "a flat prior without them",
            f"give {entry.parameter.name} bounds or a prior, or use lm or cma",
        )
    low, high = (float(prior.to_whitened(jnp.asarray(end))) for end in start)
    return False, 0.5 * (low + high), 0.5 * (high - low) / NORMAL_QUANTILE
