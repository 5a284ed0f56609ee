"""The [model] table: a model and its grid."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from caliche.errors import InputError
from caliche.experiments.config.lad import LaDConfig, parse_lad
from caliche.experiments.config.section import Section
from caliche.experiments.config.tables import ModelConfig, Synthetic, Window
from caliche.variables import variable

MODELS = ("soil-heat", "lad")
SCHEMES = ("sdirk2", "crank-nicolson", "backward-euler")
TURBULENCE = ("combined", "bowen-ratio", "bulk-transfer", "monin-obukhov")
MOISTURE = ("parameter", "bucket")
LONGWAVE = ("kirchhoff", "unweighted")
BOTTOMS = ("fixed-temperature", "varying-temperature", "measured-temperature", "zero-flux")
INITIALS = ("bottom-temperature", "uniform", "observed", "estimated")
INTERPOLATIONS = ("linear", "cubic")
THINNEST = 1e-4  # m; thinner first layers than any soil has grains for


def parse_model(
    section: Section, window: Window, synthetic: Synthetic | None
) -> ModelConfig | LaDConfig:
    if section.choice("name", MODELS, "soil-heat") == "lad":
        dry = synthetic is not None and synthetic.forcing == "huang-2026"
        return parse_lad(section, window.time_step, dry)
    stream = section.get("bottom_stream", str, None)
    if stream is not None:
        variable(stream)
    config = ModelConfig(
        name=section.choice("name", MODELS, "soil-heat"),
        node_depths=_grid(section),
        scheme=section.choice("scheme", SCHEMES, "sdirk2"),
        turbulence=section.choice("turbulence", TURBULENCE, "combined"),
        longwave=section.choice("longwave", LONGWAVE, "kirchhoff"),
        bottom=section.choice("bottom", BOTTOMS, "fixed-temperature"),
        bottom_stream=stream,
        initial=section.choice("initial", INITIALS, "bottom-temperature"),
        initial_depths=section.numbers("initial_depths"),
        layer_bottoms=section.numbers("layer_bottoms"),
        period=_period(section),
        initial_interpolation=section.choice("initial_interpolation", INTERPOLATIONS, "linear"),
        moisture=section.choice("moisture", MOISTURE, "parameter"),
        measurement_height=section.positive("measurement_height", float, None),
    )
    section.finish()
    where = section.where
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
    for key in ("layer_bottoms", "initial_depths"):
        values = getattr(config, key)
        if any(b <= a for a, b in pairwise(values)):
            raise InputError(
                f"{key} in {where} that increase", f"{list(values)}", f"write {sorted(set(values))}"
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


def _grid(section: Section) -> tuple[float, ...]:
    """Node depths: given one by one, uniform, or growing geometrically from `first_spacing`."""
    given = section.numbers("node_depths")
    depth, nodes = section.get("depth", float, 1.0), section.get("nodes", int, 51)
    first = section.get("first_spacing", float, None)
    if given:
        if given[0] != 0.0 or len(given) < 3 or any(b <= a for a, b in pairwise(given)):
            raise InputError(
                f"node_depths in {section.where} that begin with 0 and increase, at least three",
                f"{list(given)}",
                "write [0.0, 0.01, 0.03, ...] in metres",
            )
        return given
    if nodes < 3 or depth <= 0.0:
        raise InputError(
            f"at least 3 nodes and a positive depth in {section.where}",
            f"nodes = {nodes}, depth = {depth:g}",
            "nodes = 51 and depth = 1.0, the defaults",
        )
    if first is None or np.isclose(first, depth / (nodes - 1)):
        return tuple(float(z) for z in np.linspace(0.0, depth, nodes))
    if not THINNEST <= first < depth / (nodes - 1):
        raise InputError(
            f"first_spacing in {section.where} between {THINNEST:g} m and the uniform spacing of "
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


def _period(section: Section) -> float | None:
    days = section.positive("spin_up_period_days", float, None)
    return None if days is None else days * 86400.0
