"""The file that joins sites: which experiments, what they share, how clusters are made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from caliche.errors import InputError, nearest
from caliche.experiments.config.parse import parse
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.config.toml import load_raw, merge, parse_override
from caliche.files.file_names import check_file_name
from caliche.keys.declare import key
from caliche.keys.read import read
from caliche.parameters.shared import SMALLEST_SPREAD

GLOBAL, SITE, CLUSTER = "global", "site", "cluster"
# Predictors of clusters that are computed, besides the attributes of the sites.
CLIMATE, RESIDUALS = "climate", "residuals"


@dataclass(frozen=True, kw_only=True)
class JointSiteTable:
    """A site: its experiment, and its attributes."""

    experiment: str = key("a bundled experiment, or the path of a file")
    set: Mapping[str, Any] = key("keys of that experiment that are different here", {})
    attributes: Mapping[str, str | float] = key(
        "an attribute that tells sites apart",
        {},
        rest=True,
        noun="a word or a number",
        example='"WORD"',
    )


@dataclass(frozen=True, kw_only=True)
class SpreadTable:
    """A parameter that is partially pooled."""

    spread: float | Literal["estimate"] = key(
        "how far sites differ, as a share of the prior's sd, or that it is estimated",
        least=SMALLEST_SPREAD,
        most=1,
        noun='a number or "estimate"',
        example="0.5",
    )


@dataclass(frozen=True, kw_only=True)
class ClustersTable:
    """Groups of sites that are alike."""

    number: int | None = key(
        "number of clusters; that with the largest silhouette if left out", None, above=0
    )
    predictors: tuple[str, ...] = key(
        "what sites are told apart by: their attributes, climate or residuals",
        (CLIMATE,),
        example='["climate"]',
    )


@dataclass(frozen=True, kw_only=True)
class JointMethodTable:
    """The fit of all sites together."""

    max_iterations: int = key("iterations at most", 200, above=0)
    tolerance: float = key(
        "largest distance to the optimum", 1e-3, unit="standard deviations", above=0
    )


def _site_name(name: str) -> str:
    return check_file_name(name, "a site")


@dataclass(frozen=True, kw_only=True)
class JointTable:
    """Sites that are calibrated together."""

    extends: str | None = key("a file to begin from; NAME = false takes a table of it out", None)
    title: str = key("title, one line")
    description: str = key("description, a few sentences", "")
    common: Mapping[str, Any] = key("tables that every site's experiment takes over", {})
    sites: Mapping[str, JointSiteTable] = key("the sites", names=_site_name)
    share: Mapping[str, str | SpreadTable] = key(
        'by parameter: "global", "site", "cluster", an attribute of the sites, or a spread',
        {},
        noun="a word or a table",
        example="{ spread = 0.5 }",
    )
    clusters: ClustersTable = key("groups of sites that are alike", {})
    method: JointMethodTable = key("the fit of all sites together", {})


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
    table = read(JointTable, raw, f"{name}.toml")
    if len(table.sites) < 2:
        raise InputError(
            f"two sites or more in {name}.toml",
            f"{len(table.sites)}",
            'write a table [sites.NAME] with experiment = "..." for each',
        )
    sites = {site: _site(site, said, table.common, folder) for site, said in table.sites.items()}
    share = {parameter: _shared(how) for parameter, how in table.share.items()}
    _check_share(share, sites, name)
    _check_predictors(table.clusters.predictors, sites, name)
    return JointConfig(
        name,
        table.title,
        table.description.strip(),
        sites,
        share,
        table.clusters.number,
        table.clusters.predictors,
        table.method.max_iterations,
        table.method.tolerance,
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


def _site(name: str, table: JointSiteTable, common: Mapping[str, Any], folder: Path) -> SiteConfig:
    """[sites.NAME]: experiment, `set` with tables of its own, and attributes."""
    source = table.experiment
    inside = str(folder / source) if source.endswith(".toml") else source
    raw, where, _ = load_raw(inside)
    for more in (common, table.set):
        # A parameter or nuisance is said anew as a whole: half of another prior is none.
        for section in ("parameters", "nuisances"):
            kept = dict(raw.get(section, {}))
            for again in set(kept) & set(more.get(section, {})):
                del kept[again]
            if kept or section in raw:
                raw = {**raw, section: kept}
        raw = merge(raw, more)
    config = parse(raw, where, f"{name} ({source})")
    attributes: dict[str, str | float] = {**config.model.attributes, **table.attributes}
    return SiteConfig(name, config, attributes)


def _shared(said: str | SpreadTable) -> Shared:
    """NAME = "global", or NAME = { spread = 0.5 }."""
    if isinstance(said, str):
        return Shared(said)
    if isinstance(said.spread, str):
        return Shared(SITE, 0.5, True)
    return Shared(SITE, said.spread)


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
    for predictor in predictors:
        kinds = {type(s.attributes[predictor]) for s in sites.values() if predictor in s.attributes}
        if len(kinds) > 1:
            raise InputError(
                f"words everywhere or numbers everywhere for {predictor} in {name}.toml, [sites]",
                "both",
                "write one kind",
            )
