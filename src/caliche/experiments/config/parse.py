"""From the TOML of an experiment to its configuration, table by table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caliche.errors import InputError
from caliche.experiments.config.methods import parse_method
from caliche.experiments.config.models import parse_model
from caliche.experiments.config.parameters import (
    nuisance,
    observation,
    parameter,
    prior_correlations,
)
from caliche.experiments.config.section import Section
from caliche.experiments.config.sources import longwave_balance, parse_derive, site_place, source
from caliche.experiments.config.tables import (
    ExperimentConfig,
)
from caliche.experiments.config.training import parse_training
from caliche.experiments.config.window import parse_sites, parse_synthetic, parse_window
from caliche.wording import number_of


def parse(raw: Mapping[str, Any], folder: Path, name: str) -> ExperimentConfig:
    top = Section(raw, f"experiment {name}")
    site = top.section("site", {})
    utc_offset = site.get("utc_offset", float, 0.0)
    if not -14.0 <= utc_offset <= 14.0:
        raise InputError(
            f"utc_offset in {site.where} between -14 and 14 hours",
            f"{utc_offset:g}",
            "give hours, local standard time = UTC + utc_offset",
        )
    site_name, place = site.get("name", str, None), site_place(site)
    site.finish()
    synthetic = parse_synthetic(top.section("synthetic")) if "synthetic" in raw else None
    top.get("synthetic", dict, {})
    top.get("variants", dict, {})  # read by `caliche.commands.variants.run`
    only_sites = "sites" in raw and synthetic is None and "sources" not in raw
    window = parse_window(top.section("window"), utc_offset, synthetic, only_sites)
    config = ExperimentConfig(
        name=top.get("name", str, name),
        title=top.get("title", str, name),
        description=top.get("description", str, ""),
        folder=folder,
        utc_offset=utc_offset,
        window=window,
        synthetic=synthetic,
        sites=parse_sites(top.section("sites", {}), utc_offset),
        sources={k: source(s, site_name, place) for k, s in top.sections("sources").items()},
        derive_surface_temperature=parse_derive(top),
        derive_incoming_longwave=longwave_balance(top),
        model=parse_model(top.section("model", {}), window, synthetic),
        parameters={k: parameter(s, utc_offset) for k, s in top.sections("parameters").items()},
        observations={k: observation(k, s) for k, s in top.sections("observations").items()},
        nuisances={k: nuisance(s) for k, s in top.sections("nuisances").items()},
        method=parse_method(top.section("method", {})),
        training=parse_training(top.section("training", {}), window.time_step),
        raw=raw,
        prior_correlations=prior_correlations(top),
        weights=_weights(top.section("likelihood", {})),
    )
    top.finish()
    if synthetic is None and not config.sources and not only_sites:
        raise InputError(
            f"[sources.NAME], [synthetic] or [sites] in {top.where}",
            "none of them",
            "name the tower's file",
        )
    if not any(o.fit for o in config.observations.values()):
        raise InputError(
            f"at least one stream to fit in {top.where}",
            "none",
            'add [observations."soil_temperature_0.05m"] with sigma = 0.2',
        )
    if not any(p.free for p in config.parameters.values()):
        raise InputError(
            f"at least one free parameter in {top.where}",
            "none",
            "add one, as in [parameters.thermal_conductivity], without fixed = true",
        )
    fitted = (config.window.fit_until - config.window.start) / np.timedelta64(1, "s")
    period = config.model.period
    if period is not None and period > fitted + config.window.spin_up:
        raise InputError(
            f"spin_up_period_days in {top.where} within the fitted window",
            number_of(period / 86400.0, "day"),
            "shorten it, or lengthen the window",
        )
    for name, stream in config.observations.items():
        if stream.average is not None and stream.average > fitted:
            raise InputError(
                f"average of {name} in {top.where} within the fitted {fitted:g} s",
                f"{stream.average:g} s",
                "give the averaging time in seconds",
            )
    return config


def _weights(section: Section) -> Literal["information", "declared"]:
    weights = section.choice("weights", ("information", "declared"), "information")
    section.finish()
    return "declared" if weights == "declared" else "information"
