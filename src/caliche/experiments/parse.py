"""From TOML tables to the dataclasses of a configuration, with every check that needs no data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caliche.cards.methods import METHODS, MethodCard, card_of, method_names
from caliche.data.quality import utc_text
from caliche.errors import InputError, nearest
from caliche.experiments.config import (
    ExperimentConfig,
    MethodConfig,
    ModelConfig,
    SitesConfig,
    Synthetic,
    Window,
)
from caliche.experiments.lad_config import LaDConfig, parse_lad
from caliche.experiments.parse_parameters import (
    nuisance,
    observation,
    parameter,
    prior_correlations,
    utc,
)
from caliche.experiments.section import Section
from caliche.experiments.section_data import longwave_balance, site_place, source
from caliche.experiments.training_config import parse_training
from caliche.experiments.twin import FORCINGS
from caliche.variables import variable
from caliche.wording import number_of

MODELS = ("soil-heat", "lad")
SCHEMES = ("sdirk2", "crank-nicolson", "backward-euler")
TURBULENCE = ("combined", "bowen-ratio", "bulk-transfer", "monin-obukhov")
MOISTURE = ("parameter", "bucket")
LONGWAVE = ("kirchhoff", "unweighted")
BOTTOMS = ("fixed-temperature", "varying-temperature", "measured-temperature", "zero-flux")
INITIALS = ("bottom-temperature", "uniform", "observed", "estimated")
INTERPOLATIONS = ("linear", "cubic")
THINNEST = 1e-4  # m; thinner first layers than any soil has grains for


def parse(raw: Mapping[str, Any], folder: Path, name: str) -> ExperimentConfig:
    top = Section(raw, f"experiment {name}")
    site = top.section("site", {})
    utc_offset = site.get("utc_offset", float, 0.0)
    if not -14.0 <= utc_offset <= 14.0:
        raise InputError(
            f"utc_offset in {site.where} between -14 and 14 hours", f"{utc_offset:g}",
            "give hours, local standard time = UTC + utc_offset",
        )  # fmt: skip
    site_name, place = site.get("name", str, None), site_place(site)
    site.finish()
    synthetic = _synthetic(top.section("synthetic")) if "synthetic" in raw else None
    top.get("synthetic", dict, {})
    top.get("variants", dict, {})  # read by `caliche.experiments.variants`
    only_sites = "sites" in raw and synthetic is None and "sources" not in raw
    window = _window(top.section("window"), utc_offset, synthetic, only_sites)
    config = ExperimentConfig(
        name=top.get("name", str, name),
        title=top.get("title", str, name),
        description=top.get("description", str, ""),
        folder=folder,
        utc_offset=utc_offset,
        window=window,
        synthetic=synthetic,
        sites=_sites(top.section("sites", {}), utc_offset),
        sources={k: source(s, site_name, place) for k, s in top.sections("sources").items()},
        derive_surface_temperature=_derive(top),
        derive_incoming_longwave=longwave_balance(top),
        model=_model(top.section("model", {}), window, synthetic),
        parameters={k: parameter(s, utc_offset) for k, s in top.sections("parameters").items()},
        observations={k: observation(k, s) for k, s in top.sections("observations").items()},
        nuisances={k: nuisance(s) for k, s in top.sections("nuisances").items()},
        method=_method(top.section("method", {})),
        training=parse_training(top.section("training", {}), window.time_step),
        raw=raw,
        prior_correlations=prior_correlations(top),
        weights=_weights(top.section("likelihood", {})),
    )
    top.finish()
    if synthetic is None and not config.sources and not only_sites:
        raise InputError(
            f"[sources.NAME], [synthetic] or [sites] in {top.where}", "none of them",
            "name the tower's file",
        )  # fmt: skip
    if not any(o.fit for o in config.observations.values()):
        raise InputError(
            f"at least one stream to fit in {top.where}", "none",
            'add [observations."soil_temperature_0.05m"] with sigma = 0.2',
        )  # fmt: skip
    if not any(p.free for p in config.parameters.values()):
        raise InputError(
            f"at least one free parameter in {top.where}", "none",
            "add one, as in [parameters.thermal_conductivity], without fixed = true",
        )  # fmt: skip
    fitted = (config.window.fit_until - config.window.start) / np.timedelta64(1, "s")
    period = config.model.period
    if period is not None and period > fitted + config.window.spin_up:
        raise InputError(
            f"spin_up_period_days in {top.where} within the fitted window",
            number_of(period / 86400.0, "day"), "shorten it, or lengthen the window",
        )  # fmt: skip
    for name, stream in config.observations.items():
        if stream.average is not None and stream.average > fitted:
            raise InputError(
                f"average of {name} in {top.where} within the fitted {fitted:g} s",
                f"{stream.average:g} s", "give the averaging time in seconds",
            )  # fmt: skip
    return config


def _weights(section: Section) -> Literal["information", "declared"]:
    weights = section.choice("weights", ("information", "declared"), "information")
    section.finish()
    return "declared" if weights == "declared" else "information"


def _window(
    section: Section, utc_offset: float, synthetic: Synthetic | None, only_sites: bool
) -> Window:
    time_step = section.positive("time_step", float)
    spin_up = section.positive("spin_up_days", float, None)
    spin_up = 0.0 if spin_up is None else spin_up * 86400.0
    if abs(round(spin_up / time_step) * time_step - spin_up) > 1e-6:
        raise InputError(
            f"spin_up_days in {section.where} of a whole number of time steps of {time_step:g} s",
            number_of(spin_up / 86400.0, "day"), "spin_up_days = 1.0",
        )  # fmt: skip
    if spin_up and only_sites:
        raise InputError(
            f"no spin_up_days in {section.where} when there are many sites",
            number_of(spin_up / 86400.0, "day"), "let the collection begin earlier",
        )  # fmt: skip
    fill_gaps = section.positive("fill_gaps_hours", float, None) or 0.0
    resample = section.choice("resample", ("mean", "sample"), "mean")
    if synthetic is not None:
        start = np.datetime64("2000-01-01T00:00:00", "ns")
        fit_until, end = (
            start + np.timedelta64(round(hours * 3600), "s")
            for hours in (synthetic.fit_hours, synthetic.hours)
        )
        section.finish()
        return Window(start, fit_until, end, time_step, resample, spin_up)
    if only_sites:  # whose collection brings the times
        section.finish()
        never = np.datetime64("NaT", "ns")
        return Window(never, never, never, time_step, resample)
    start = utc(section.get("start", datetime), utc_offset)
    end = utc(section.get("end", datetime), utc_offset)
    until = section.get("fit_until", datetime, None)
    fit_until = end if until is None else utc(until, utc_offset)
    section.finish()
    if not start < fit_until <= end:
        raise InputError(
            f"start before fit_until, and fit_until not after end, in {section.where}",
            f"start {utc_text(start)}, fit_until {utc_text(fit_until)}, end {utc_text(end)}",
            "put the three in order",
        )
    return Window(start, fit_until, end, time_step, resample, spin_up, fill_gaps)


def _sites(section: Section, utc_offset: float) -> SitesConfig:
    start, end = (section.get(key, datetime, None) for key in ("start", "end"))
    section.finish()
    ends = [None if t is None else utc(t, utc_offset) for t in (start, end)]
    return SitesConfig(*ends)


def _synthetic(section: Section) -> Synthetic:
    forcing = section.choice("forcing", tuple(FORCINGS), "huang-2026")
    truth = section.section("truth")
    values: dict[str, float | tuple[float, ...]] = {
        key: truth.numbers(key) if isinstance(value, list) else truth.get(key, float)
        for key, value in truth.table.items()
    }
    hours = section.positive("hours", float, 100.0)
    fit_hours = section.positive("fit_hours", float, hours)
    if fit_hours > hours:
        raise InputError(
            f"fit_hours in {section.where} up to hours = {hours:g}", f"{fit_hours:g}",
            "leave it out to fit everything",
        )  # fmt: skip
    result = Synthetic(
        hours,
        fit_hours,
        section.get("noise", bool, True),
        _seed(section),
        values,
        forcing,
    )
    section.finish()
    return result


def _derive(top: Section) -> tuple[float, bool] | None:
    outer = top.section("derive", {})
    outer.get("surface_temperature", dict, {})
    outer.get("incoming_longwave", dict, {})
    if "surface_temperature" not in outer.table:
        outer.finish()
        return None
    section = outer.section("surface_temperature")
    result = section.get("emissivity", float), section.get("reflected", bool, True)
    section.finish()
    outer.finish()
    return result


def _model(
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
            f"turbulence = {config.turbulence!r}", "leave measurement_height out",
        )  # fmt: skip
    if config.initial in ("observed", "estimated") and not config.initial_depths:
        raise InputError(
            f"initial_depths in {where} with initial = {config.initial!r}", "none",
            "list the depths in metres, as in [0.02, 0.05, 0.15]",
        )  # fmt: skip
    if config.initial == "bottom-temperature" and config.bottom == "zero-flux":
        raise InputError(
            f"a bottom temperature in {where} to start from", "bottom = 'zero-flux'",
            "set initial = 'uniform', 'observed' or 'estimated'",
        )  # fmt: skip
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
                f"layer_bottoms in {where} on nodes inside the grid", f"{bottom:g} m",
                f"{nodes[1:-1][np.abs(nodes[1:-1] - bottom).argmin()]:g} m, the nearest such node",
            )  # fmt: skip
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
                f"{list(given)}", "write [0.0, 0.01, 0.03, ...] in metres",
            )  # fmt: skip
        return given
    if nodes < 3 or depth <= 0.0:
        raise InputError(
            f"at least 3 nodes and a positive depth in {section.where}",
            f"nodes = {nodes}, depth = {depth:g}", "nodes = 51 and depth = 1.0, the defaults",
        )  # fmt: skip
    if first is None or np.isclose(first, depth / (nodes - 1)):
        return tuple(float(z) for z in np.linspace(0.0, depth, nodes))
    if not THINNEST <= first < depth / (nodes - 1):
        raise InputError(
            f"first_spacing in {section.where} between {THINNEST:g} m and the uniform spacing of "
            f"{depth / (nodes - 1):g} m",
            f"{first:g} m", "leave it out for a uniform grid, or change nodes or depth",
        )  # fmt: skip
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


def _method(section: Section) -> MethodConfig:
    name = section.choice("name", method_names(), "lm")
    starts = section.positive("starts", int, 1)
    config = MethodConfig(
        name, starts, _seed(section), method_options(section.section("options", {}), name)
    )
    section.finish()
    return config


def method_options(section: Section, method: str) -> dict[str, Any]:
    """Options of a method, which are those that its maker takes, and of the same kind."""
    card = known_method(method)
    read = section.positive if method in METHODS else section.get  # the others check their own
    options = {key: read(key, type(default), default) for key, default in card.options.items()}
    section.finish()
    given = {key: options[key] for key in options if key in section.table}
    if method not in METHODS:
        card(**given)
    return given


def _seed(section: Section) -> int:
    seed = section.get("seed", int, 0)
    if seed < 0:
        raise InputError(f"a seed in {section.where} of 0 or more", f"{seed}", "seed = 0")
    return seed


def known_method(name: str) -> MethodCard:
    """The card of a method.

    Raises
    ------
    InputError : there is none of that name.
    """
    card, known = card_of(name), method_names()
    if card is None:
        raise InputError(
            f"a method that is one of {', '.join(known)}", repr(name), nearest(name, known)
        )
    return card
