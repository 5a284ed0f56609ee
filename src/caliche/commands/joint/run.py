"""Calibrate several sites together: each by itself, all under one cost, and each left out once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from caliche._version import __version__
from caliche.commands.joint.clusters import Clusters
from caliche.commands.joint.config import CLUSTER, GLOBAL, SITE, JointConfig
from caliche.commands.joint.predictors import cluster_sites
from caliche.commands.joint.site import Site
from caliche.commands.joint.stages import Fit, Stages
from caliche.commands.joint.summary import Calibration
from caliche.errors import InputError
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.devices import side_by_side
from caliche.estimation.information import at_their_word, with_information
from caliche.estimation.method import CONVERGED, Outcome
from caliche.estimation.result import Result
from caliche.estimation.timing import Stopwatch
from caliche.evaluation.prediction import Prediction, score_windows
from caliche.evaluation.scores import Score
from caliche.experiments.experiment import Experiment
from caliche.files.checkpoint import fingerprint
from caliche.parameters.shared import SharedSpace, Sharing, share
from caliche.problems.inverse import InverseProblem
from caliche.problems.joint import JointProblem
from caliche.sites.joint_fit import (
    controls_by_site,
    fit_joint,
    fit_site,
    joint_equations,
    joint_result,
    site_result,
)
from caliche.sites.spread import best_spreads
from caliche.wording import number_of

FIRST_GUESS: Calibration = "first guess"
ALONE: Calibration = "by itself"
TOGETHER: Calibration = "together"
LEFT_OUT: Calibration = "left out"
# Rounds of fitting and finding the spreads anew, and the change at which they have settled.
MOST_ROUNDS, SETTLED = 6, 0.03

Callback = Callable[[str], None]
Scores = tuple[dict[str, Score], dict[str, Score] | None]  # fitted window, hold-out


@dataclass(frozen=True)
class JointFit:
    """All that was found.

    Attributes
    ----------
    sites : that took part.  failures : sentence for each site that could not.
    problem, shared, result : of the joint calibration.
    spreads : of pooled parameters, as used.  estimated : names of those that were estimated.
    clusters : of the sites, if any parameter asked for them.
    left_out : site -> fit without its observations.
    scores : calibration -> site -> scores in the fitted window and the hold-out.
    """

    config: JointConfig
    sites: tuple[Site, ...]
    failures: Mapping[str, str]
    problem: JointProblem
    shared: SharedSpace
    result: Result
    spreads: Mapping[str, float]
    estimated: tuple[str, ...]
    clusters: Clusters | None
    left_out: Mapping[str, Outcome]
    scores: Mapping[Calibration, Mapping[str, Scores]]
    seconds: Mapping[str, float]

    @property
    def converged(self) -> bool:
        """Whether every fit did, and no site failed."""
        fits = [int(o.final.status[0]) == CONVERGED for o in self.left_out.values()]
        return self.result.converged and all(fits) and not self.failures


def calibrate_jointly(
    config: JointConfig, folder: Path, leave_out: bool = True, callback: Callback | None = None
) -> tuple[JointFit, Stages]:
    """Calibrate the sites of a joint file.

    The sizes of errors that are to be estimated, and how much the observations tell, are those of
    each site's own calibration. A site that cannot be calibrated is named in `failures`, and the
    others go on.

    Parameters
    ----------
    folder : of the run, in which each fit is kept as soon as it is done; an earlier run that was
        stopped goes on from there.
    leave_out : whether to calibrate without each site once.
    callback : called with a line for each fit.

    Raises
    ------
    InputError : fewer than two sites that can be calibrated; what cannot be shared.
    """
    watch, tell = Stopwatch(), callback or (lambda _: None)
    method = LevenbergMarquardt(config.max_iterations, config.tolerance)
    opened, failures = _open(config)
    stages = Stages(folder, _mark(config, opened))
    sites = _by_themselves(opened, method, stages, failures, tell)
    _enough(sites, failures)
    clusters, labels = None, {}
    if any(how.by == CLUSTER for how in config.share.values()):
        clusters = cluster_sites(config, sites)
        tell(_clusters_line(clusters, sites))
    for site in sites:
        labels[site.name] = _labels(config, site.name, sites, clusters)
    shared, problem, spreads, result = _together(config, sites, labels, method, stages, tell)
    left = _leave_out(problem, result, method, stages, tell) if leave_out else {}
    scores = _scores(sites, problem, result, left)
    estimated = tuple(p for p, how in config.share.items() if how.estimate_spread)
    found = JointFit(
        config,
        tuple(sites),
        failures,
        problem,
        shared,
        result,
        spreads,
        estimated,
        clusters,
        left,
        scores,
        watch.seconds(),
    )
    return found, stages


def _open(config: JointConfig) -> tuple[dict[str, tuple[Experiment, InverseProblem]], dict]:
    """Experiments and problems of the sites, and why some have none."""
    opened, failures = {}, {}
    for name, site in config.sites.items():
        experiment = Experiment(site.experiment)
        try:
            opened[name] = experiment, experiment.problem()
        except InputError as error:
            failures[name] = str(error)
    return opened, failures


def _mark(config: JointConfig, opened: Mapping[str, tuple[Experiment, InverseProblem]]) -> str:
    """What the fits of a run belong to."""
    said = json.dumps(
        [config.raw, {n: e.config.raw for n, (e, _) in opened.items()}], default=str, sort_keys=True
    )
    return fingerprint(said, __version__, [problem for _, problem in opened.values()])


def _by_themselves(
    opened: Mapping[str, tuple[Experiment, InverseProblem]],
    method: LevenbergMarquardt,
    stages: Stages,
    failures: dict[str, str],
    tell: Callback,
) -> list[Site]:
    def one(name: str) -> Fit:
        experiment, problem = opened[name]
        kept = stages.get(f"alone-{name}")
        if kept is not None:
            return kept
        _, outcome, found = fit_site(problem, experiment.unknown, method)
        fit = stages.put(f"alone-{name}", Fit(outcome, found, {}))
        tell(f"{name} by itself: {_line(outcome)}")
        return fit

    sites = []
    for name, fit in zip(opened, side_by_side(one, list(opened)), strict=True):
        if not np.isfinite(fit.outcome.final.cost[0]):
            failures[name] = "The model gives no finite misfit at this site."
            continue
        experiment = opened[name][0].calibrated(fit.hyperparameters)
        problem, told = (
            experiment.problem(),
            fit.hyperparameters and fit.hyperparameters.information,
        )
        declared = opened[name][0].unknown.information == "bars"
        own = at_their_word(problem) if declared else problem
        result = site_result(own, fit.outcome, method, fit.hyperparameters)
        if told is not None:
            problem = with_information(problem, told, whole=False)
        sites.append(Site(name, experiment, problem, result))
    return sites


def _enough(sites: Sequence[Site], failures: Mapping[str, str]) -> None:
    if len(sites) < 2:
        why = "; ".join(f"{name}: {text}" for name, text in failures.items())
        raise InputError("two sites or more that can be calibrated", why, "mend those sites")


def _line(outcome: Outcome) -> str:
    done = "converged" if int(outcome.final.status[0]) == CONVERGED else "did not converge"
    return f"{done}, J {outcome.final.cost[0]:.6g}, {number_of(outcome.n_iterations, 'iteration')}"


def _clusters_line(clusters: Clusters, sites: Sequence[Site]) -> str:
    members = [
        ", ".join(s.name for s, c in zip(sites, clusters.member, strict=True) if c == k)
        for k in range(len(clusters.medoids))
    ]
    return f"clusters: {'; '.join(members)} (silhouette {clusters.silhouette:.2f})"


def _labels(
    config: JointConfig, name: str, sites: Sequence[Site], clusters: Clusters | None
) -> dict[str, str]:
    """The label of a site under each way of sharing."""
    found = {GLOBAL: "", SITE: name}
    attributes = config.sites[name].attributes
    found |= {key: value for key, value in attributes.items() if isinstance(value, str)}
    if clusters is not None:
        k = [site.name for site in sites].index(name)
        found[CLUSTER] = f"like {sites[clusters.medoids[clusters.member[k]]].name}"
    return found


def _together(
    config: JointConfig,
    sites: Sequence[Site],
    labels: Mapping[str, Mapping[str, str]],
    method: LevenbergMarquardt,
    stages: Stages,
    tell: Callback,
) -> tuple[SharedSpace, JointProblem, dict[str, float], Result]:
    """The joint calibration, with spreads found where that is asked for."""
    problems, watch = {site.name: site.problem for site in sites}, Stopwatch()

    def space(spreads: Mapping[str, float]) -> SharedSpace:
        free = {p.name for problem in problems.values() for p in problem.space.free}
        sharing = {
            name: Sharing(tuple(labels[site.name][how.by] for site in sites), spreads.get(name))
            for name, how in config.share.items()
            if name in free
        }
        return share(list(problems), [p.space for p in problems.values()], sharing)

    spreads = {n: how.spread for n, how in config.share.items() if how.spread is not None}
    unknown = [name for name, how in config.share.items() if how.estimate_spread]
    fit = stages.get("together")
    if fit is None:
        outcome, spreads = _fit_with_spreads(problems, spreads, unknown, space, method)
        fit = stages.put("together", Fit(outcome, None, spreads))
        tell(f"together: {_line(outcome)}")
    spreads = dict(fit.spreads)
    shared = space(spreads)
    problem = JointProblem.build(problems, shared)
    return shared, problem, spreads, joint_result(problem, fit.outcome, method, watch)


def _fit_with_spreads(
    problems: Mapping[str, InverseProblem],
    spreads: dict[str, float],
    unknown: Sequence[str],
    space: Callable[[Mapping[str, float]], SharedSpace],
    method: LevenbergMarquardt,
) -> tuple[Outcome, dict[str, float]]:
    """The joint fit, and the spreads it was made with: those of the largest evidence there."""
    coordinates, rounds = None, 0
    while True:
        rounds += 1
        shared = space(spreads)
        problem = JointProblem.build(problems, shared)
        start = None if coordinates is None else np.linalg.solve(shared.mix, coordinates)
        outcome = fit_joint(problem, method, None if start is None else jnp.asarray(start))
        u = np.asarray(outcome.final.u[0])
        if not unknown or rounds == MOST_ROUNDS or not np.isfinite(outcome.final.cost[0]):
            return outcome, spreads
        new = _spreads(problem, u, {n: spreads[n] for n in unknown}, spreads, space)
        if max(abs(np.log(new[n] / spreads[n])) for n in unknown) < SETTLED:
            return outcome, spreads
        coordinates, spreads = shared.mix @ u, {**spreads, **new}  # the same values


def _spreads(
    problem: JointProblem,
    u: np.ndarray,
    wanted: Mapping[str, float],
    spreads: Mapping[str, float],
    space: Callable[[Mapping[str, float]], SharedSpace],
) -> dict[str, float]:
    equations = joint_equations(problem, jnp.asarray(u))
    prior = problem.space.informative.astype(float)
    gradient = np.asarray(equations.gradient) - prior * u
    hessian = np.asarray(equations.hessian) - np.diag(prior)
    return best_spreads(
        problem, u, gradient, hessian, wanted, lambda some: space({**spreads, **some})
    )


def _leave_out(
    problem: JointProblem,
    result: Result,
    method: LevenbergMarquardt,
    stages: Stages,
    tell: Callback,
) -> dict[str, Outcome]:
    found = {}
    for site in problem.sites:
        kept = stages.get(f"without-{site}")
        if kept is None:
            outcome = fit_joint(problem.without(site), method, jnp.asarray(result.u))
            kept = stages.put(f"without-{site}", Fit(outcome))
            tell(f"without {site}: {_line(outcome)}")
        found[site] = kept.outcome
    return found


@jax.jit
def _forward(problem: InverseProblem, u: jax.Array) -> jax.Array:
    return problem.forward(u)


def _scores(
    sites: Sequence[Site],
    problem: JointProblem,
    result: Result,
    left: Mapping[str, Outcome],
) -> dict[Calibration, dict[str, Scores]]:
    """Scores of every site under every calibration."""
    together = controls_by_site(problem, result.u)
    controls: dict[Calibration, Mapping[str, np.ndarray]] = {
        FIRST_GUESS: {s.name: np.asarray(s.problem.space.initial()) for s in sites},
        ALONE: {s.name: s.result.u for s in sites},
        TOGETHER: together,
    }
    if left:
        controls[LEFT_OUT] = {
            name: controls_by_site(problem, np.asarray(o.final.u[0]))[name]
            for name, o in left.items()
        }

    def one(site: Site) -> dict[str, Scores]:
        scoring = site.experiment.scoring_problem()
        found = {}
        for kind, by_site in controls.items():
            values = np.asarray(_forward(scoring, jnp.asarray(by_site[site.name])))
            streams = {name: values[:, k] for k, name in enumerate(scoring.stream_names)}
            found[kind] = score_windows(site.experiment, Prediction(streams, {}, {}, {}))
        return found

    every = side_by_side(one, sites)
    return {
        kind: {site.name: found[kind] for site, found in zip(sites, every, strict=True)}
        for kind in controls
    }


def values_at(fit: JointFit) -> dict[str, dict[str, Any]]:
    """Site -> parameter -> the joint estimate it takes."""
    found: dict[str, dict[str, Any]] = {}
    for site, rows in zip(fit.sites, fit.shared.rows, strict=True):
        own = site.problem.space.names
        names = [fit.problem.space.names[row] for row in rows]
        found[site.name] = {
            mine: fit.result.parameters[name] for mine, name in zip(own, names, strict=True)
        }
    return found
