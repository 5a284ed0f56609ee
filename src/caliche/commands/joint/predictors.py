"""What sites are told apart by: their attributes, their climate, and what the model misses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from caliche.commands.joint.clusters import Clusters, Predictor, gower, k_medoids
from caliche.commands.joint.config import CLIMATE, RESIDUALS, JointConfig
from caliche.problems.inverse import InverseProblem

if TYPE_CHECKING:
    from caliche.commands.joint.site import Site

# Means over the fitted window that make up a climate.
CLIMATE_VARIABLES = (
    "air_temperature",
    "incoming_shortwave",
    "precipitation",
    "specific_humidity",
    "wind_speed",
)


def cluster_sites(config: JointConfig, sites: Sequence[Site]) -> Clusters:
    """Clusters of sites by the predictors of the configuration, each with the same weight."""
    table: dict[str, Predictor] = {}
    weights: dict[str, float] = {}
    for predictor in config.predictors:
        if predictor == CLIMATE:
            found = _climate(sites)
        elif predictor == RESIDUALS:
            found = _residuals(sites)
        else:
            values = [config.sites[s.name].attributes.get(predictor) for s in sites]
            words = any(isinstance(v, str) for v in values)
            found = {predictor: _filled(values, words)}
        table |= found
        weights |= dict.fromkeys(found, 1.0 / max(len(found), 1))
    return k_medoids(gower(table, weights), config.clusters)


def _filled(values: Sequence[str | float | None], words: bool) -> Predictor:
    """Attributes of sites, "" or NaN where one has none."""
    if words:
        return ["" if v is None else str(v) for v in values]
    return [np.nan if v is None else float(v) for v in values]


def _climate(sites: Sequence[Site]) -> dict[str, Predictor]:
    """Means of the weather over the fitted window; NaN where a model does not need it."""
    found: dict[str, Predictor] = {}
    for name in CLIMATE_VARIABLES:
        forcing = [site.problem.forcing.get(name) for site in sites]
        values = [np.nan if f is None else float(np.mean(f)) for f in forcing]
        if np.isfinite(values).any():
            found[f"mean {name}"] = values
    return found


@jax.jit
def _misfit(problem: InverseProblem) -> jax.Array:
    return problem.standardised_misfit(problem.space.initial())


def _residuals(sites: Sequence[Site]) -> dict[str, Predictor]:
    """Mean and size of the standardised misfit of each stream at the first guess."""
    found: dict[str, list[float]] = {}
    streams = list(dict.fromkeys(n for site in sites for n in site.problem.stream_names))
    for k, site in enumerate(sites):
        misfit, mask = np.asarray(_misfit(site.problem)), np.asarray(site.problem.mask)
        for name in streams:
            for kind in ("bias", "size"):
                found.setdefault(f"{kind} of {name}", [np.nan] * len(sites))
            if name in site.problem.stream_names:
                column = site.problem.stream_names.index(name)
                values = misfit[mask[:, column], column]
                found[f"bias of {name}"][k] = float(values.mean())
                found[f"size of {name}"][k] = float(np.log(np.sqrt(np.mean(values**2))))
    return found  # type: ignore[return-value]
