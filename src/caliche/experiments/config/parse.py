"""From the TOML of an experiment to its configuration: its keys declared, read and joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caliche.cards.models import MODELS, model_tables
from caliche.errors import InputError
from caliche.experiments.config.methods import MethodTable, make_method
from caliche.experiments.config.objective import ObjectiveConfig
from caliche.experiments.config.parameters import (
    CorrelationTable,
    NuisanceTable,
    check_observation,
    make_nuisance,
    prior_correlations,
)
from caliche.experiments.config.sources import (
    DeriveTable,
    SourceTable,
    TowerTable,
    make_source,
    source_form,
)
from caliche.experiments.config.tables import (
    ExperimentConfig,
    ObservationConfig,
    ParameterConfig,
    Synthetic,
    VariantTable,
)
from caliche.experiments.config.training import TrainingConfig, check_training
from caliche.experiments.config.window import (
    SitesTable,
    SiteTable,
    TwinWindowTable,
    WindowTable,
    make_sites,
    make_window,
)
from caliche.files.file_names import check_file_name
from caliche.keys.declare import key
from caliche.keys.read import inside, read
from caliche.variables import variable
from caliche.wording import number_of


def _source_name(name: str) -> str:
    return check_file_name(name, "a table of [sources]")


@dataclass(frozen=True, kw_only=True)
class LikelihoodTable:
    """How observations count."""

    weights: Literal["information", "declared"] = key(
        "weights of streams: the information that their residuals hold, or as declared",
        "information",
    )


def _only_sites(raw: Mapping[str, Any]) -> bool:
    """Whether data come with a collection of sites."""
    return "sites" in raw and "synthetic" not in raw and "sources" not in raw


def _window_form(own: Mapping[str, Any], around: Mapping[str, Any]) -> type:
    return TwinWindowTable if "synthetic" in around or _only_sites(around) else WindowTable


@dataclass(frozen=True, kw_only=True)
class ExperimentTable:
    """An experiment: what is modelled, with which data, and what is estimated."""

    extends: str | None = key(
        "a bundled experiment or a file to begin from; NAME = false takes a table of it out", None
    )
    name: str | None = key("name of the experiment; the file's if left out", None)
    title: str | None = key("title, one line", None)
    description: str = key("description, a few sentences", "")
    site: SiteTable = key("the site", {})
    window: WindowTable | TwinWindowTable = key(
        "which times are used, and the time step", chooser=_window_form
    )
    synthetic: Synthetic | None = key("a twin, instead of sources", None)
    sites: SitesTable = key("many sites, instead of sources", {})
    sources: Mapping[str, SourceTable | TowerTable] = key(
        "files with data, each under a name of its own",
        {},
        chooser=source_form,
        names=_source_name,
    )
    derive: DeriveTable = key("streams that are computed from others", {})
    model: Any = key("which model, and its options", {}, forms=model_tables)
    parameters: Mapping[str, ParameterConfig] = key(
        "parameters of the model that are free, fixed or tied; the others have their defaults", {}
    )
    prior_correlations: tuple[CorrelationTable, ...] = key(
        "correlations between priors, as [[prior_correlations]]",
        (),
        example='parameters = ["A", "B"] and value = 0.5',
    )
    observations: Mapping[str, ObservationConfig] = key(
        "streams that are fitted or scored", {}, names=variable
    )
    nuisances: Mapping[str, NuisanceTable] = key("what may be wrong with observations", {})
    likelihood: LikelihoodTable = key("how observations count", {})
    method: MethodTable = key("method of estimation", {})
    objective: ObjectiveConfig = key("what is minimised", {})
    training: TrainingConfig = key("training of a network in the fluxes", {})
    variants: Mapping[str, VariantTable] = key("variants of one's own, for `caliche variants`", {})


def parse(
    raw: Mapping[str, Any], folder: Path, name: str, data: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """The configuration that a table says; `data` of sources that are in memory, by name.

    Raises
    ------
    InputError : keys that are unknown, missing, of a wrong type or out of range, or that do not go
        together.
    """
    where, data = f"experiment {name}", data or {}
    table = read(ExperimentTable, raw, where)
    utc_offset, synthetic = table.site.utc_offset, table.synthetic
    window = make_window(table.window, inside(where, "window"), utc_offset, synthetic)
    for stream, said in table.observations.items():
        check_observation(stream, said, inside(inside(where, "observations"), stream))
    check_training(table.training, inside(where, "training"), window.time_step)
    surface = table.derive.surface_temperature
    config = ExperimentConfig(
        name=check_file_name(table.name, f"name in {where}") if table.name else name,
        title=table.title or name,
        description=table.description,
        folder=folder,
        utc_offset=utc_offset,
        window=window,
        synthetic=synthetic,
        sites=make_sites(table.sites, utc_offset),
        sources={k: make_source(s, table.site, k, data) for k, s in table.sources.items()},
        derive_surface_temperature=surface and (surface.emissivity, surface.reflected),
        derive_incoming_longwave=table.derive.incoming_longwave,
        model=MODELS[table.model.name].options(
            _located(table.model, folder),
            raw.get("model", {}),
            inside(where, "model"),
            window,
            synthetic,
        ),
        parameters=table.parameters,
        observations=table.observations,
        nuisances={k: make_nuisance(s) for k, s in table.nuisances.items()},
        method=make_method(table.method, inside(where, "method")),
        training=table.training,
        raw=raw,
        prior_correlations=prior_correlations(table.prior_correlations, where),
        weights=table.likelihood.weights,
        objective=table.objective,
        data=data,
        variants=table.variants,
    )
    _check(config, where, _only_sites(raw))
    return config


def _located(model: Any, folder: Path) -> Any:
    """The table of a model with its paths as they are found from here."""
    paths = {name: getattr(model, name) for name in MODELS[model.name].paths}
    found = {name: str(folder / p) for name, p in paths.items() if (folder / p).exists()}
    return dataclasses.replace(model, **found)


def _check(config: ExperimentConfig, where: str, only_sites: bool) -> None:
    """What is wrong between tables."""
    if config.synthetic is None and not config.sources and not only_sites:
        raise InputError(
            f"[sources.NAME], [synthetic] or [sites] in {where}",
            "none of them",
            "name the tower's file",
        )
    if not any(o.fit for o in config.observations.values()):
        raise InputError(
            f"at least one stream to fit in {where}",
            "none",
            'add [observations."soil_temperature_0.05m"] with sigma = 0.2',
        )
    if not any(p.free for p in config.parameters.values()):
        raise InputError(
            f"at least one free parameter in {where}",
            "none",
            "add one, as in [parameters.thermal_conductivity], without fixed = true",
        )
    for name, nuisance in config.nuisances.items():
        streams = [config.observations.get(stream) for stream in nuisance.streams]
        if nuisance.parameter.free and not any(o is not None and o.fit for o in streams):
            raise InputError(
                f"a fitted stream among those of the nuisance {name} in {where}",
                ", ".join(nuisance.streams),
                f"fit one, give {name} a value and fixed = true, or leave it out",
            )
    fitted = (config.window.fit_until - config.window.start) / np.timedelta64(1, "s")
    period = config.model.period
    if period is not None and period > fitted + config.window.spin_up:
        raise InputError(
            f"spin_up_period_days in {where} within the fitted window",
            number_of(period / 86400.0, "day"),
            "shorten it, or lengthen the window",
        )
    for name, stream in config.observations.items():
        if stream.average is not None and stream.average > fitted:
            raise InputError(
                f"average of {name} in {where} within the fitted {fitted:g} s",
                f"{stream.average:g} s",
                "give the averaging time in seconds",
            )
