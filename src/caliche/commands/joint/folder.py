"""The folder of a joint calibration: config.toml, summary.json, parameters.csv and result.nc."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import tomli_w
import xarray as xr

from caliche._version import __version__
from caliche.commands.joint.run import TOGETHER, JointFit, values_at
from caliche.commands.joint.site import Site
from caliche.commands.joint.summary import (
    FITTED,
    HELD_OUT,
    Calibration,
    ClusterEntry,
    CostEntry,
    Estimate,
    JointSummary,
    LeftOutEntry,
    ShareEntry,
    SiteEntry,
    StreamScores,
)
from caliche.commands.joint.words import sentences
from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.method import CONVERGED
from caliche.estimation.result import ParameterEstimate
from caliche.evaluation.verdict import data_remarks, score_remarks
from caliche.files.whole_file import write_text, written_aside
from caliche.keys.records import Known, as_kept, json_text
from caliche.names import at_site, site_of, without_site
from caliche.remarks import Remark, ended, error_size_remarks, headline, unlike
from caliche.runs.folder import versions
from caliche.runs.run_summary import VerdictEntry
from caliche.variables import label
from caliche.wording import listing


def write_joint(fit: JointFit, folder: Path, command: str | None = None) -> JointSummary:
    """Write the folder (its fits are in `stages` until the end), and return the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    content = summary(fit, command)
    write_text(folder / "config.toml", tomli_w.dumps(_as_run(fit, folder)))
    write_text(folder / "parameters.csv", operational_table(fit))
    with written_aside(folder / "result.nc") as scratch:
        dataset(fit).to_netcdf(scratch, engine="h5netcdf")
    write_text(folder / "summary.json", json_text(content))
    return content


def _as_run(fit: JointFit, folder: Path) -> dict[str, Any]:
    """The file with the overrides; experiments beside it are named from the run's folder."""
    raw = dict(fit.config.raw)
    raw["sites"] = {name: dict(table) for name, table in raw["sites"].items()}
    for table in raw["sites"].values():
        if table["experiment"].endswith(".toml"):
            there = fit.config.folder / table["experiment"]
            table["experiment"] = Path(os.path.relpath(there, folder.absolute())).as_posix()
    return raw


def summary(fit: JointFit, command: str | None) -> JointSummary:
    """The content of summary.json."""
    r, taken, said = fit.result, values_at(fit), remarks(fit)
    made = JointSummary(
        title=fit.config.title,
        description=fit.config.description,
        converged=fit.converged,
        reason=r.reason,
        verdict=VerdictEntry(headline(_ended(fit), said), said),
        warnings=tuple(remark.sentence for remark in said),
        failures=dict(fit.failures),
        share={
            name: ShareEntry(how.by, fit.spreads.get(name), how.estimate_spread)
            for name, how in fit.config.share.items()
        },
        clusters=_clusters(fit),
        parameters={
            name: dataclasses.replace(
                _estimate(r.parameters[name]), sites=_who(fit, k), prior=_prior(fit, k)
            )
            for k, name in enumerate(r.names)
        },
        cost=CostEntry(
            Known(r.starts[0].misfit),
            Known(r.prior_cost),
            {name: s.cost for name, s in r.residuals.items()},
        ),
        sites={site.name: _site(fit, site, taken[site.name]) for site in fit.sites},
        left_out={
            name: LeftOutEntry(int(o.final.status[0]) == CONVERGED, float(o.final.cost[0]))
            for name, o in fit.left_out.items()
        },
        scores=_scores(fit),
        seconds=dict(fit.seconds),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
    )
    return as_kept(dataclasses.replace(made, sentences=tuple(sentences(made))))


def remarks(fit: JointFit) -> tuple[Remark, ...]:
    """What a careful referee would say of a joint calibration, at each site."""
    # Of residuals beside the declared errors; those of the fit are beside inflated ones.
    sizes = ("errors-too-small", "errors-too-large")
    found = [remark for remark in fit.result.remarks if remark.kind not in sizes]
    by_site = fit.scores.get(TOGETHER, {})
    for site in fit.sites:
        observations = site.experiment.config.observations
        inside = by_site[site.name][0] if site.name in by_site else {}
        fitted = {name: asdict(s) for name, s in inside.items() if observations[name].fit}
        found += score_remarks(fitted, site.name)
        for name, s in inside.items():
            sigma, where = observations[name].sigma, at_site(name, site.name)
            if observations[name].fit and sigma and s.rmse is not None:
                found += error_size_remarks(where, label(where), s.rmse / sigma, "residuals")
        for remark in data_remarks(site.experiment):
            names = tuple(at_site(name, site.name) for name in remark.about)
            sentence = f"{site.name}: {remark.sentence[0].lower()}{remark.sentence[1:]}"
            found.append(dataclasses.replace(remark, sentence=sentence, about=names))
    return unlike(found)


def _ended(fit: JointFit) -> str:
    """How all fits ended, as the beginning of the first line."""
    if not fit.result.converged:
        return ended(False, fit.result.reason)
    lost = [name for name, o in fit.left_out.items() if int(o.final.status[0]) != CONVERGED]
    parts = [f"without {listing(fit.failures)}"] if fit.failures else []
    parts += [f"but not with {listing(lost, 'or')} left out"] if lost else []
    return ", ".join(["converged", *parts])


def _site(fit: JointFit, site: Site, taken: Mapping[str, ParameterEstimate]) -> SiteEntry:
    """A site, with the values that it takes from the joint calibration."""
    scale = np.asarray(site.problem.observations.scale)
    return SiteEntry(
        attributes=dict(fit.config.sites[site.name].attributes),
        converged=site.result.converged,
        reason=site.result.reason,
        cost=Known(site.result.starts[0].misfit),
        sigma={n: float(np.median(scale[:, k])) for k, n in enumerate(site.problem.stream_names)},
        inflation={n: r.inflation for n, r in site.result.residuals.items()},
        by_itself={n: _estimate(site.result.parameters[n]) for n in site.result.names},
        together={n: _estimate(p) for n, p in taken.items()},
    )


def _estimate(p: ParameterEstimate) -> Estimate:
    return Estimate(
        long_name=p.long_name,
        unit=p.unit,
        estimate=Known(p.estimate),
        sd=p.sd,
        sd_naive=p.sd_naive,
        interval95=p.interval or (np.nan, np.nan),
        prior=p.prior,
        at_bound=p.at_bound,
    )


def _prior(fit: JointFit, row: int) -> str:
    """The prior of a joint parameter in words, without a correlation for each other site."""
    entry = fit.problem.space.entries[row]
    d = entry.parameter.declaration
    words = entry.parameter.prior.describe(d.unit)
    return f"{words}, pooled" if without_site(d.name) in fit.spreads else words


def _who(fit: JointFit, row: int) -> tuple[str, ...]:
    """Sites that take an entry of the joint control vector."""
    return tuple(s.name for s, rows in zip(fit.sites, fit.shared.rows, strict=True) if row in rows)


def _clusters(fit: JointFit) -> ClusterEntry | None:
    if fit.clusters is None:
        return None
    found: dict[str, list[str]] = {fit.sites[m].name: [] for m in fit.clusters.medoids}
    for site, k in zip(fit.sites, fit.clusters.member, strict=True):
        found[fit.sites[fit.clusters.medoids[k]].name].append(site.name)
    about = {medoid: tuple(members) for medoid, members in found.items()}
    return ClusterEntry(about, Known(fit.clusters.silhouette), tuple(fit.config.predictors))


def _scores(fit: JointFit) -> dict[Calibration, dict[str, dict[str, StreamScores]]]:
    """Calibration -> site -> stream -> scores in both windows."""
    streams = {s.name: s.experiment.config.observations for s in fit.sites}
    return {
        kind: {
            site: {
                name: StreamScores(
                    streams[site][name].fit,
                    inside[name],
                    None if outside is None else outside[name],
                )
                for name in inside
            }
            for site, (inside, outside) in by_site.items()
        }
        for kind, by_site in fit.scores.items()
    }


def operational_table(fit: JointFit) -> str:
    """CSV: every value to use, where it holds, and what a site that was not there should take."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["parameter", "where", "estimate", "sd", "lower95", "upper95", "unit", "sites"])
    for k, name in enumerate(fit.result.names):
        p = fit.result.parameters[name]
        parameter, where = without_site(name), site_of(name)
        low, high = p.interval or (np.nan, np.nan)
        numbers = [f"{x:.6g}" for x in (p.estimate, np.nan if p.sd is None else p.sd, low, high)]
        writer.writerow([parameter, where or "all sites", *numbers, p.unit, " ".join(_who(fit, k))])
    for name, values in new_site(fit).items():
        unit = next(p.unit for n, p in fit.result.parameters.items() if without_site(n) == name)
        numbers = [f"{values[0]:.6g}", "", *(f"{x:.6g}" for x in values[1:])]
        writer.writerow([name, "a new site", *numbers, unit, ""])
    return text.getvalue()


def new_site(fit: JointFit) -> dict[str, tuple[float, float, float]]:
    """Median and 95 % interval at a site that was not there, of each pooled parameter.

    The coordinate of a new site and those of the others are correlated by rho = 1 - spread^2, so
    that it is N(rho 1^T R^-1 w, 1 - rho^2 1^T R^-1 1) given theirs, which have a covariance.
    """
    found, space, mix = {}, fit.problem.space, np.asarray(fit.problem.mix)
    w, covariance = mix @ fit.result.u, mix @ fit.result.covariance_u @ mix.T
    for name, spread in fit.spreads.items():
        rows = [k for k, n in enumerate(space.names) if without_site(n) == name]
        rho = 1.0 - spread**2
        matrix = rho + (1.0 - rho) * np.eye(len(rows))
        weights = np.linalg.solve(matrix, np.full(len(rows), rho))
        centre = weights @ w[rows]
        inside = weights @ covariance[np.ix_(rows, rows)] @ weights
        sd = float(np.sqrt(1.0 - rho * weights.sum() + inside))
        prior = space.entries[rows[0]].parameter.prior
        ends = centre + sd * NORMAL_QUANTILE * np.array([0.0, -1.0, 1.0])
        values = prior.to_physical(jnp.asarray(ends))
        found[name] = tuple(float(v) for v in values)
    return found


def dataset(fit: JointFit) -> xr.Dataset:
    """Estimates with their covariance, the values each site takes, and all scores."""
    r, taken = fit.result, values_at(fit)
    names, sites = list(r.names), [s.name for s in fit.sites]
    own = list(dict.fromkeys(n for by_name in taken.values() for n in by_name))
    estimates = [r.parameters[n] for n in names]
    table = {
        "estimate": [p.estimate for p in estimates],
        "sd": [_number(p.sd) for p in estimates],
        "sd_naive": [_number(p.sd_naive) for p in estimates],
    }
    data: dict[str, Any] = {k: ("parameter", v) for k, v in table.items()}
    data["unit"] = ("parameter", [p.unit for p in estimates])
    data["covariance"] = (("parameter", "parameter_2"), r.covariance)
    data["u"] = ("parameter", r.u)
    data["covariance_u"] = (("parameter", "parameter_2"), r.covariance_u)
    for key in ("estimate", "sd"):
        values = [
            [_number(getattr(taken[s][n], key)) if n in taken[s] else np.nan for n in own]
            for s in sites
        ]
        data[f"site_{key}"] = (("site", "site_parameter"), np.array(values))
        alone = [
            [
                _number(getattr(site.result.parameters[n], key))
                if n in site.result.names
                else np.nan
                for n in own
            ]
            for site in fit.sites
        ]
        data[f"site_{key}_by_itself"] = (("site", "site_parameter"), np.array(alone))
    streams = list(dict.fromkeys(n for i, _ in _first(fit).values() for n in i))
    for key in ("rmse", "bias", "nse"):
        cube = np.full((len(fit.scores), len(sites), len(streams), 2), np.nan)
        for a, by_site in enumerate(fit.scores.values()):
            for b, site in enumerate(sites):
                for d, window in enumerate(by_site[site]):
                    for c, stream in enumerate(streams):
                        if window is not None and stream in window:
                            cube[a, b, c, d] = _number(getattr(window[stream], key))
        data[key] = (("calibration", "site", "stream", "window"), cube)
    coordinates = {
        "parameter": names,
        "parameter_2": names,
        "site": sites,
        "site_parameter": own,
        "calibration": list(fit.scores),
        "stream": streams,
        "window": [FITTED, HELD_OUT],
    }
    attributes = {
        "title": fit.config.title,
        "source": f"caliche {__version__}",
        "Conventions": "CF-1.11",
    }
    return xr.Dataset(data, coordinates, attributes)


def _first(fit: JointFit) -> Mapping[str, Any]:
    return next(iter(fit.scores.values()))


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
