"""What SoilHeat refuses: options that do not go together, and depths off its grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caliche.errors import InputError
from caliche.models.soil_heat.closures import CLOSURES, TurbulentClosure


def check_ends(bottom: str, initial: str) -> None:
    """Raises InputError if the profile starts from a bottom temperature that there is not."""
    if initial == "bottom-temperature" and bottom == "zero-flux":
        raise InputError(
            "a bottom temperature to start from",
            "bottom = 'zero-flux'",
            "set initial = 'uniform', 'observed' or 'estimated'",
        )


def check_grid(
    node_depths: Sequence[float], layer_bottoms: Sequence[float], cell_faces: np.ndarray
) -> None:
    """Raises InputError if layers do not end on nodes (N,), or faces (N+1,) do not hold these."""
    nodes, faces = np.asarray(node_depths), np.asarray(cell_faces)
    for bottom in layer_bottoms:
        if not np.isclose(nodes[1:-1], bottom, atol=1e-9).any():
            raise InputError(
                "layer_bottoms on nodes inside the grid",
                f"{bottom:g} m",
                f"the nearest node is at {nodes[np.abs(nodes - bottom).argmin()]:g} m",
            )
    between = len(faces) == len(nodes) + 1 and (
        (faces[:-1] <= nodes).all()
        and (nodes <= faces[1:]).all()
        and (faces[2:] > faces[1:-1]).all()
    )
    if not between or faces[0] != nodes[0]:
        raise InputError(
            "cell_faces that start at the surface and hold one node between each two",
            f"{len(faces)} faces from {faces[0]:g} to {faces[-1]:g} m for {len(nodes)} nodes",
            "leave cell_faces out for faces midway between nodes",
        )


def check_moisture(moisture: str, turbulence: TurbulentClosure) -> None:
    """Raises InputError if a bucket shall feed a closure that takes no water."""
    if moisture == "bucket" and turbulence.per_wetness is None:
        able = [name for name, closure in CLOSURES.items() if closure.per_wetness is not None]
        raise InputError(
            f"turbulence = {' or '.join(map(repr, able))} with moisture = 'bucket'",
            repr(turbulence.name),
            "change turbulence, or leave moisture out",
        )
