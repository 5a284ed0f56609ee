"""Where a profile rises through a threshold."""

from __future__ import annotations

import numpy as np


def crossing(distance: np.ndarray, rise: np.ndarray, threshold: float) -> float:
    """Distance at which the rise reaches the threshold, by interpolation of its root.

    The root of the rise is a straight line where the misfit is a parabola.
    """
    from scipy.interpolate import PchipInterpolator  # not worth its import time elsewhere

    root = np.sqrt(np.maximum(np.append(0.0, rise), 0.0))
    distance = np.append(0.0, distance)
    crossed = int(np.flatnonzero(root >= np.sqrt(threshold))[0])
    stop = crossed + 1
    while stop < len(root) and np.isfinite(root[stop]) and root[stop] > root[stop - 1]:
        stop += 1
    first = crossed - 1
    while first > 0 and root[first - 1] < root[first]:
        first -= 1
    inverse = PchipInterpolator(root[first:stop], distance[first:stop])
    return float(inverse(np.sqrt(threshold)))
