"""The file that joins sites: which experiments, what they share, how clusters are made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from caliche.errors import InputError, nearest
from caliche.experiments.config.lad import LaDConfig
from caliche.experiments.config.parse import parse
from caliche.experiments.config.section import Section
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.config.toml import load_raw, merge, parse_override
from caliche.parameters.shared import SMALLEST_SPREAD

GLOBAL, SITE, CLUSTER = "global", "site", "cluster"
# Predictors of clusters that are computed, besides the attributes of the sites.
CLIMATE, RESIDUALS = "climate", "residuals"


@dataclass(frozen=True)
class SiteConfig:
    """A site: its experiment, with the tables common to all sites merged in, and its attributes:
    words such as the vegetation type, or numbers."""

    name: str
    experiment: ExperimentConfig
    attributes: Mapping[str, str | float]


@dataclass(frozen=True)
class Shared:
    """How one parameter is shared.

    by : `global`, `site`, `cluster` or an attribute of the sites.  spread : of one that is
    partially pooled, None if it is not.  estimate_spread : whether it is but a first guess.
    """

    by: str
    spread: float | None = None
    estimate_spread: bool = False


@dataclass(frozen=True)
class JointConfig:
    """Everything the file says. `folder` is where it lies, `raw` its TOML with the overrides.

    clusters : number, None for that with the largest silhouette.  predictors : of the clusters.
    """

    name: str
    title: str
    description: str
    sites: Mapping[str, SiteConfig]
    share: Mapping[str, Shared]
    clusters: int | None
    predictors: tuple[str, ...]
    max_iterations: int
    tolerance: float
    folder: Path
    raw: Mapping[str, Any] = field(repr=False)


def bundled_joint() -> dict[str, str]:
    """Bundled joint files: name -> title."""
    folder = resources.files("caliche.commands.joint") / "bundled"
    names = sorted(p.name for p in folder.iterdir() if p.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): tomllib.loads((folder / name).read_text("utf-8"))["title"]
        for name in names
    }


def read_joint(source: str | Path, overrides: Sequence[str] = ()) -> JointConfig:
    """A joint file by its path, or the name of a bundled one.

    Raises
    ------
    InputError : no such file; a key that is missing, unknown or of the wrong kind; a site whose
        experiment cannot be.
    """
    raw, folder, name = _load(str(source))
    for text in overrides:
        raw = merge(raw, parse_override(text))
    top = Section(raw, f"{name}.toml")
    title, description = top.get("title", str), top.get("description", str, "")
    common = top.get("common", dict, {})
    tables = top.sections("sites")
    if len(tables) < 2:
        raise InputError(
            f"two sites or more in {name}.toml",
            f"{len(tables)}",
            'write a table [sites.NAME] with experiment = "..." for each',
        )
    sites = {site: _site(site, table, common, folder) for site, table in tables.items()}
    share = {p: _shared(p, section) for p, section in _entries(top.section("share", {}))}
    clusters = top.section("clusters", {})
    number = clusters.positive("number", int, None)
    predictors = tuple(clusters.get("predictors", list, [CLIMATE]))
    clusters.finish()
    method = top.section("method", {})
    iterations = method.positive("max_iterations", int, 200)
    tolerance = method.positive("tolerance", float, 1e-3)
    method.finish()
    top.finish()
    _check_share(share, sites, name)
    _check_predictors(predictors, sites, name)
    return JointConfig(
        name,
        title,
        description.strip(),
        sites,
        share,
        number,
        predictors,
        iterations,
        tolerance,
        folder,
        raw,
    )


def _load(source: str) -> tuple[dict[str, Any], Path, str]:
    path = Path(source)
    if path.suffix != ".toml":
        names = bundled_joint()
        if source not in names:
            raise InputError(
                "the path of a .toml file that joins sites, or a bundled one",
                repr(source),
                nearest(source, names),
            )
        text = (resources.files("caliche.commands.joint") / "bundled" / f"{source}.toml").read_text(
            "utf-8"
        )
        return tomllib.loads(text), Path.cwd(), source
    return load_raw(source)


def _entries(section: Section) -> list[tuple[str, Section]]:
    """Each key of a table, with a section that holds it alone."""
    for key in section.table:
        section.get(key, object)
    return [(key, Section({key: value}, section.where)) for key, value in section.table.items()]


def _site(name: str, table: Section, common: Mapping[str, Any], folder: Path) -> SiteConfig:
    """[sites.NAME]: experiment, `set` with tables of its own, and attributes."""
    source = table.get("experiment", str)
    inside = str(folder / source) if source.endswith(".toml") else source
    raw, where, _ = load_raw(inside)
    for more in (common, table.get("set", dict, {})):
        # A parameter or nuisance is said anew as a whole: half of another prior is none.
        for section in ("parameters", "nuisances"):
            kept = dict(raw.get(section, {}))
            for key in set(kept) & set(more.get(section, {})):
                del kept[key]
            if kept or section in raw:
                raw = {**raw, section: kept}
        raw = merge(raw, more)
    config = parse(raw, where, f"{name} ({source})")
    attributes: dict[str, str | float] = {}
    if isinstance(config.model, LaDConfig):
        defaults = {"vegetation": "grass", "soil": "medium"}
        attributes = {key: str(config.model.options.get(key, d)) for key, d in defaults.items()}
    for key, value in table.table.items():
        if key in ("experiment", "set"):
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(
                f"a word or a number for the attribute {key} in {table.where}",
                repr(value),
                f'write {key} = "WORD"',
            )
        attributes[key] = value if isinstance(value, str) else float(value)
    return SiteConfig(name, config, attributes)


def _shared(name: str, section: Section) -> Shared:
    """NAME = "global", or NAME = { spread = 0.5 }."""
    value = section.table[name]
    if isinstance(value, str):
        return Shared(value)
    table = section.section(name)
    spread = table.table.get("spread")
    if spread == "estimate":
        table.get("spread", str)
        table.finish()
        return Shared(SITE, 0.5, True)
    number = table.get("spread", float)
    table.finish()
    if not SMALLEST_SPREAD <= number <= 1.0:
        raise InputError(
            f"a spread of {name} between {SMALLEST_SPREAD:g} and 1, as a share of its prior's",
            f"{number:g}",
            f'{name} = {{ spread = 0.5 }}, or {{ spread = "estimate" }}',
        )
    return Shared(SITE, number)


def _check_share(share: Mapping[str, Shared], sites: Mapping[str, SiteConfig], name: str) -> None:
    free: set[str] = set()
    for site in sites.values():
        c = site.experiment
        free |= {p for p, said in c.parameters.items() if said.free}
        free |= {p for p, said in c.nuisances.items() if said.parameter.free}
    for parameter, how in share.items():
        if parameter not in free:
            raise InputError(
                f"a parameter that is free at some site in {name}.toml, [share]",
                repr(parameter),
                nearest(parameter, free),
            )
        if how.by in (GLOBAL, SITE, CLUSTER):
            continue
        words = set.intersection(
            *(
                {k for k, v in site.attributes.items() if isinstance(v, str)}
                for site in sites.values()
            )
        )
        if how.by not in words:
            known = [GLOBAL, SITE, CLUSTER, *sorted(words)]
            raise InputError(
                f"{parameter} in {name}.toml, [share], to be one of {', '.join(known)}",
                repr(how.by),
                nearest(how.by, known),
            )


def _check_predictors(
    predictors: Sequence[str], sites: Mapping[str, SiteConfig], name: str
) -> None:
    known = {key for site in sites.values() for key in site.attributes} | {CLIMATE, RESIDUALS}
    for predictor in predictors:
        if predictor not in known:
            raise InputError(
                f"predictors in {name}.toml, [clusters], that are among {', '.join(sorted(known))}",
                repr(predictor),
                nearest(str(predictor), known),
            )
    for key in predictors:
        kinds = {type(s.attributes[key]) for s in sites.values() if key in s.attributes}
        if len(kinds) > 1:
            raise InputError(
                f"words everywhere or numbers everywhere for {key} in {name}.toml, [sites]",
                "both",
                "write one kind",
            )
