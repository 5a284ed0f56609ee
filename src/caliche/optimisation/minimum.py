"""The posterior of the minimum value: how low an emulator believes that a value can go."""

from __future__ import annotations

import numpy as np

from caliche.optimisation.composite import LearnedParts
from caliche.optimisation.proposals import EDGE
from caliche.optimisation.surrogate import Learned

_POINTS, _DRAWS = 256, 256


def minimum_of(
    learned: Learned | LearnedParts, centre: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """The 2.5 %, 50 % and 97.5 % quantiles (3,) of the lowest value in the unit box.

    Of the least of joint draws at points about the best one, at all distances, and anywhere.
    """
    p = len(centre)
    points = 2.0 * random.random((_POINTS, p)) - 1.0
    reach = 10.0 ** -(4.0 * random.random((_POINTS // 2, 1)))
    points[: _POINTS // 2] = centre + reach * points[: _POINTS // 2]
    points[0] = centre
    points = np.clip(points, EDGE - 1.0, 1.0 - EDGE)
    draws = learned.draws(points, _DRAWS, random)
    return np.quantile(draws.min(axis=1), (0.025, 0.5, 0.975))
