"""The [model] table: a model and its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from caliche.errors import InputError
from caliche.experiments.config.soil_heat import ModelConfig, SoilHeatKeys
from caliche.experiments.config.tables import Synthetic, Window
from caliche.keys.declare import key, keys_of
from caliche.variables import variable

THINNEST = 1e-4  # m; thinner first layers than any soil has grains for


@dataclass(frozen=True, kw_only=True)
class SoilHeatTable(SoilHeatKeys):
    """Heat in soil under a surface (`caliche.models.SoilHeat`), and its grid."""

    depth: float = key("depth of the grid", 1.0, unit="m")
    nodes: int = key("number of nodes of the grid", 51, most=10_000)
    first_spacing: float | None = key(
        "first spacing of a grid that widens downwards; the grid is uniform without it",
        None,
        unit="m",
    )
    node_depths: tuple[float, ...] = key(
        "depths of all nodes, instead of depth, nodes and first_spacing", (), unit="m"
    )


def read_soil_heat(
    table: SoilHeatTable,
    given: Mapping[str, Any],
    where: str,
    window: Window,
    synthetic: Synthetic | None,
) -> ModelConfig:
    """SoilHeat of a table.

    Raises
    ------
    InputError : options that do not go together, or depths off the grid.
    """
    shared = {said.field: getattr(table, said.field) for said in keys_of(SoilHeatKeys).values()}
    config = ModelConfig(**shared, node_depths=_grid(table, where))
    stream = config.bottom_stream
    if stream is not None:
        variable(stream)
    if (config.bottom == "measured-temperature") != (stream is not None):
        raise InputError(
            f"bottom_stream in {where} together with bottom = 'measured-temperature'",
            f"bottom = {config.bottom!r} and bottom_stream = {stream!r}",
            "name the soil temperature that the bottom shall follow, or leave both out",
        )
    if config.measurement_height is not None and config.turbulence != "monin-obukhov":
        raise InputError(
            f"measurement_height in {where} together with turbulence = 'monin-obukhov'",
            f"turbulence = {config.turbulence!r}",
            "leave measurement_height out",
        )
    if config.initial in ("observed", "estimated") and not config.initial_depths:
        raise InputError(
            f"initial_depths in {where} with initial = {config.initial!r}",
            "none",
            "list the depths in metres, as in [0.02, 0.05, 0.15]",
        )
    if config.initial == "bottom-temperature" and config.bottom == "zero-flux":
        raise InputError(
            f"a bottom temperature in {where} to start from",
            "bottom = 'zero-flux'",
            "set initial = 'uniform', 'observed' or 'estimated'",
        )
    for name in ("layer_bottoms", "initial_depths"):
        values = getattr(config, name)
        if any(b <= a for a, b in pairwise(values)):
            raise InputError(
                f"{name} in {where} that increase",
                f"{list(values)}",
                f"write {sorted(set(values))}",
            )
    nodes = np.asarray(config.node_depths)
    for bottom in config.layer_bottoms:
        if not np.isclose(nodes[1:-1], bottom, atol=1e-9).any():
            raise InputError(
                f"layer_bottoms in {where} on nodes inside the grid",
                f"{bottom:g} m",
                f"{nodes[1:-1][np.abs(nodes[1:-1] - bottom).argmin()]:g} m, the nearest such node",
            )
    for depth in config.initial_depths:
        if not 0.0 <= depth <= nodes[-1]:
            raise InputError(
                f"initial_depths in {where} within the grid (0 to {nodes[-1]:g} m)",
                f"{depth:g} m",
                "deepen the grid or leave the depth out",
            )
    return config


def _grid(table: SoilHeatTable, where: str) -> tuple[float, ...]:
    """Node depths: given one by one, uniform, or growing geometrically from `first_spacing`."""
    given, depth, nodes, first = table.node_depths, table.depth, table.nodes, table.first_spacing
    if given:
        if given[0] != 0.0 or len(given) < 3 or any(b <= a for a, b in pairwise(given)):
            raise InputError(
                f"node_depths in {where} that begin with 0 and increase, at least three",
                f"{list(given)}",
                "write [0.0, 0.01, 0.03, ...] in metres",
            )
        return given
    if nodes < 3 or depth <= 0.0:
        raise InputError(
            f"at least 3 nodes and a positive depth in {where}",
            f"nodes = {nodes}, depth = {depth:g}",
            "nodes = 51 and depth = 1.0, the defaults",
        )
    if first is None or np.isclose(first, depth / (nodes - 1)):
        return tuple(float(z) for z in np.linspace(0.0, depth, nodes))
    if not THINNEST <= first < depth / (nodes - 1):
        raise InputError(
            f"first_spacing in {where} between {THINNEST:g} m and the uniform spacing of "
            f"{depth / (nodes - 1):g} m",
            f"{first:g} m",
            "leave it out for a uniform grid, or change nodes or depth",
        )
    return _stretched(depth, nodes, first)


def _stretched(depth: float, nodes: int, first: float) -> tuple[float, ...]:
    """Spacings in geometric progression that add up to `depth`."""
    from scipy.optimize import brentq
    from scipy.special import logsumexp

    powers = np.arange(nodes - 1)

    def excess(log_ratio: float) -> float:
        return float(np.log(first) + logsumexp(log_ratio * powers) - np.log(depth))

    # With the largest ratio the second spacing alone would reach the depth.
    ratio = np.exp(brentq(excess, 0.0, np.log(depth / first)))  # type: ignore[arg-type]
    spacing = first * ratio**powers
    return (0.0, *(float(z) for z in np.cumsum(spacing * depth / spacing.sum())))
