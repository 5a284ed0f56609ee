"""The posterior of a run by several methods side by side: intervals, bands and skill.

`run_posterior` reads a run folder, works from its optimum, and adds to the folder:

- `posterior.json`: intervals of every method, diagnostics and sentences;
- `posterior.nc`: profiles, members of ensembles, and bands of the predictions;
- groups of `result.nc` that ArviZ reads, if the posterior was sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from caliche.commands.posterior.agreement import METHODS, agreement
from caliche.commands.posterior.ensembles import ENSEMBLES, ensemble_entries, ensemble_posterior
from caliche.commands.posterior.folder import (
    JSON,
    add_groups,
    bands_dataset,
    members_dataset,
    profile_dataset,
    update_dataset,
    write_json,
)
from caliche.errors import InputError, nearest
from caliche.estimation import estimate
from caliche.estimation.curvature import Posterior, posterior
from caliche.estimation.density import physical
from caliche.estimation.hyperparameters import information_at
from caliche.estimation.information import with_information
from caliche.estimation.result import Result
from caliche.evaluation.predictive import predictive_bands
from caliche.experiments.experiment import Experiment
from caliche.files.whole_file import remove
from caliche.keys.records import checked, read_table
from caliche.posterior.gaussian_draws import gaussian_draws
from caliche.posterior.profile import LEVELS, profile
from caliche.posterior.profile_result import Profiles
from caliche.posterior.sampling import Samples, Settings, sample
from caliche.problems.inverse import InverseProblem
from caliche.runs.folder import finite, versions
from caliche.runs.open_run import open_run
from caliche.runs.posterior_summary import POSTERIOR_REMEDY, PosteriorSummary

CHECKPOINT = "nuts-checkpoint.npz"
# Parts of posterior.json that one method leaves for the next.
KEPT = ("parameters", "profile", "nuts", "ensembles", "skill", "bands", "bands_by")
# An earlier posterior.json is that of this run if its J differs by no more than this.
UNCHANGED = 1e-3


@dataclass(frozen=True)
class Options:
    """What to do. `inflated` intervals allow for residuals larger or more persistent than declared,
    as those that `caliche estimate` reports do: all methods see the likelihood with the information
    that the observations hold. Otherwise the declared errors are taken at their word. `members` are
    those of each ensemble."""

    methods: Sequence[str] = ("laplace", "profile")
    inflated: bool = True
    sampling: Settings = field(default_factory=Settings)
    members: int = 200

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise InputError(
                    f"a method, one of {', '.join(METHODS)}", repr(method), nearest(method, METHODS)
                )


@dataclass(frozen=True)
class Progress:
    """What `run_posterior` tells on the way: a text, and how much of it is done."""

    what: str
    done: int = 0
    total: int = 0


def run_posterior(
    folder: Path,
    options: Options | None = None,
    callback: Callable[[Progress], None] = lambda _: None,
    command: str | None = None,
) -> Mapping[str, Any]:
    """Compute the posterior of a run, write it into the run's folder, and return posterior.json.

    What other methods found before stays, if it was found with the same errors at the same optimum.
    A sampler that was stopped goes on where it was.

    Raises
    ------
    InputError : not a run folder; no optimum; blackjax is missing.
    """
    options = options or Options()
    experiment, values = open_run(folder)
    callback(Progress("looking at the optimum"))
    problem, result = _optimum(experiment.problem(), values, options.inflated)
    curvature = posterior(problem, result.u)
    summary = _begin(folder, options, result, curvature, command)
    summary["parameters"] = _laplace(problem, result, curvature, summary["parameters"])
    datasets, samples = [], None
    draws: dict[str, np.ndarray] = {}
    if "profile" in options.methods:
        found = profile(
            problem,
            result.u,
            callback=lambda done, total: callback(Progress("profiles: fits", done, total)),
        )
        summary["profile"] = _add_profiles(found, summary["parameters"])
        datasets.append(profile_dataset(found, problem.space.names))
    if "nuts" in options.methods:
        samples = sample(
            problem,
            result.u,
            options.sampling,
            folder / CHECKPOINT,
            lambda done, total, bad: callback(
                Progress(f"sampling, {bad} divergent: steps", done, total)
            ),
        )
        draws["nuts"] = samples.u
        values = physical(problem.space, draws["nuts"])
        summary["nuts"] = _add_samples(samples, values, summary["parameters"])
        add_groups(folder, experiment, samples, values, options.inflated)
    for method in (name for name in ENSEMBLES if name in options.methods):
        callback(Progress(f"ensemble {method}"))
        u, summary["ensembles"][method] = ensemble_posterior(
            problem, method, options.members, options.sampling.seed
        )
        if u is not None:
            draws[method] = u
            for name, entry in ensemble_entries(problem, method, u).items():
                summary["parameters"][name][method] = entry
            values = physical(problem.space, u)
            datasets.append(members_dataset(method, problem.space.names, values, options.inflated))
    if draws:
        callback(Progress("bands of the predictions"))
        draws["laplace"] = gaussian_draws(problem.space, curvature, options.sampling.seed)
        datasets += _add_bands(experiment, summary, draws, curvature, options)
    summary["agreement"] = agreement(summary["parameters"], unusable(summary))
    update_dataset(folder, datasets, fresh=summary.pop("fresh"))
    summary = finite(summary)
    write_json(folder, summary)
    if samples is not None:
        remove(folder / CHECKPOINT)
    return summary


def _add_bands(
    experiment: Experiment,
    summary: dict[str, Any],
    draws: Mapping[str, np.ndarray],
    curvature: Posterior,
    options: Options,
) -> list[xr.Dataset]:
    """Skill of every set of draws u (..., P), and the bands of one: NUTS before the ensembles."""
    seed, shown = options.sampling.seed, next(iter(draws))
    datasets = []
    for method, u in draws.items():
        found = predictive_bands(experiment, u, curvature, options.inflated, seed)
        summary["skill"][method] = {
            window: {n: asdict(b.skill[window]) for n, b in found.items() if window in b.skill}
            for window in ("fit", "holdout")
        }
        if method == shown and (method == "nuts" or "nuts" not in summary):
            summary["bands"] = {n: {"covered": b.covered, "n": b.n} for n, b in found.items()}
            summary["bands_by"] = method
            datasets.append(bands_dataset(experiment, found))
    return datasets


def unusable(summary: Mapping[str, Any]) -> set[str]:
    """Methods whose draws cannot be relied upon."""
    ensembles = summary.get("ensembles", {})
    found = {name for name, said in ensembles.items() if not said["usable"]}
    return found | ({"nuts"} if not summary.get("nuts", {"usable": True})["usable"] else set())


def _optimum(
    problem: InverseProblem, values: Mapping[str, float], inflated: bool
) -> tuple[InverseProblem, Result]:
    """Where the run ended, as exactly as Levenberg-Marquardt can tell, and the problem with what
    its observations tell, or with errors at their word."""
    u = np.asarray(problem.space.to_whitened(values))
    # A parameter that ended on its bound has no finite coordinate.
    start = np.clip(np.nan_to_num(u, nan=0.0, posinf=20.0, neginf=-20.0), -20.0, 20.0)
    start = np.where(np.isfinite(u) & (np.abs(u) < 20.0), u, start)
    if inflated and problem.observations.information is None:
        problem = with_information(problem, information_at(problem, start, declared=True))
    elif not inflated:
        problem = with_information(problem, None)
    result = estimate(problem, "lm", starts=jnp.asarray(start[None]))
    if not result.converged:
        raise InputError(
            "a run that ended at an optimum", result.reason, "calibrate again with more starts"
        )
    return problem, result


def _begin(
    folder: Path, options: Options, result: Result, curvature: Posterior, command: str | None
) -> dict[str, Any]:
    """The new posterior.json, with what an earlier one holds that is still right."""
    misfit = min(start.misfit for start in result.starts)
    errors = "inflated" if options.inflated else "declared"
    old: Mapping[str, Any] = {}
    if (folder / JSON).is_file():
        old = read_table(folder / JSON, POSTERIOR_REMEDY)
        checked(PosteriorSummary, old, folder / JSON, POSTERIOR_REMEDY)
    same = old.get("errors") == errors and abs((old.get("misfit") or np.inf) - misfit) < UNCHANGED
    kept = {k: old[k] for k in KEPT if same and k in old}
    largest = max((r.inflation for r in curvature.residuals.values()), default=1.0)
    return {
        "errors": errors,
        "explanation": _explanation(options.inflated, largest),
        "misfit": misfit,
        "parameters": {},
        "ensembles": {},
        "skill": {},
        **kept,
        "inflation": {name: r.inflation for name, r in curvature.residuals.items()},
        "agreement": [],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions(),
        "fresh": not same,
    }


def _explanation(inflated: bool, largest: float) -> str:
    if not inflated:
        text = "Intervals use the declared errors as they are, as if independent"
        if largest > 1.5:
            text += (
                f"; the residuals suggest intervals up to {np.sqrt(largest):.2g} times as wide, "
                "which are those without --declared"
            )
        return f"{text}."
    return (
        "Intervals allow for residuals that are larger or more persistent than declared: up to "
        f"{np.sqrt(largest):.2g} times as wide as declared errors alone would make them. All "
        "methods see the same likelihood."
    )


def _laplace(
    problem: InverseProblem, result: Result, curvature: Posterior, earlier: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Entries of the parameters with their Gaussian intervals, those of `estimate`."""
    entries = {}
    for k, name in enumerate(problem.space.names):
        known = result.parameters[name]
        interval = known.interval
        assert interval is not None
        entries[name] = {
            **earlier.get(name, {}),
            "long_name": known.long_name,
            "unit": known.unit,
            "estimate": known.estimate,
            "at_bound": bool(curvature.held[k]),
            "laplace": {"interval95": list(interval)},
        }
    return entries


def _add_profiles(found: Profiles, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    for name, p in found.parameters.items():
        intervals = {
            f"interval{round(100 * level)}": [end.value for end in p.intervals[level]]
            for level in LEVELS
        }
        low, high = p.intervals[LEVELS[-1]]
        entries[name]["profile"] = {
            **intervals,
            "open": [not low.closed, not high.closed],
            "at_bounds_of": sorted({*low.held, *high.held}),
            "verdict": p.verdict,
        }
    return {"n_model_runs": found.n_model_runs, "warnings": list(found.warnings)}


def _add_samples(
    samples: Samples, draws: np.ndarray, entries: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    for k, name in enumerate(samples.names):
        x = draws[:, :, k].ravel()
        entries[name]["nuts"] = {
            "interval68": np.quantile(x, [0.16, 0.84]).tolist(),
            "interval95": np.quantile(x, [0.025, 0.975]).tolist(),
            "mean": float(x.mean()),
            "median": float(np.median(x)),
            "sd": float(x.std(ddof=1)),
            "r_hat": samples.r_hat[name],
            "ess_bulk": samples.ess_bulk[name],
            "ess_tail": samples.ess_tail[name],
        }
    return {
        **asdict(samples.settings),
        "divergent": int(samples.diverging.sum()),
        "n_gradients": samples.n_gradients,
        "step_size": samples.step_size.tolist(),
        "usable": samples.usable,
        "verdict": samples.verdict,
    }
