"""One variant fitted: estimates, scores, and what the information criteria need."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation import Result, estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.hyperparameters import Hyperparameters, with_hyperparameters
from caliche.estimation.information import without_term
from caliche.evaluation.scores import score
from caliche.evaluation.verdict import data_remarks, score_remarks
from caliche.experiments import twin
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.experiment import Experiment
from caliche.parameters.space import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.remarks import as_table, ended, unlike
from caliche.runs.folder import finite
from caliche.variables import variable


@dataclass(frozen=True)
class TwinVariant(Experiment):
    """A variant of a twin, fitted to what the twin's own model made.

    The forcing is that of the variant's time step, and the observations stand at the times that
    the two time steps share.
    """

    made_by: Experiment = field(kw_only=True)

    @cached_property
    def dataset(self) -> xr.Dataset:
        made, synthetic = self.made_by.dataset, self.config.synthetic
        assert synthetic is not None
        dataset = twin.synthetic_forcing(self.config.window, synthetic.forcing)
        for name in self.forcing_sources.values():
            if name not in dataset:
                raise InputError(
                    f"{name} in the forcing of the twin",
                    "none",
                    "use this variant with the record of a tower",
                )
        ratio = self.config.window.time_step / self.made_by.config.window.time_step
        for name in {**self.config.observations, **dict.fromkeys(self.initial_streams)}:
            if name not in made:
                raise InputError(
                    f"{name} among the observations of the twin",
                    "none",
                    "add it to the experiment with fit = false",
                )
            array = made[name]
            if ratio > 1.0 and not variable(name).is_state:  # a mean over the longer step
                array = array.rolling(time=round(ratio)).mean().assign_attrs(array.attrs)
            dataset[name] = array.reindex(time=dataset.time)
        return dataset

    @cached_property
    def _tower(self) -> xr.Dataset:
        return self.dataset


def variant_experiment(base: Experiment, config: ExperimentConfig) -> Experiment:
    """The experiment of a variant, with the observations of the base."""
    if base.config.synthetic is None:
        return Experiment(config)
    return TwinVariant(config, made_by=base)


def starting_points(
    space: ParameterSpace, base: Mapping[str, Any] | None, starts: int, seed: int
) -> Float[Array, "start parameter"]:
    """The optimum of the base where it says something, the first guess, and points drawn.

    Parameters
    ----------
    base : the record of the base (`fit`), None for the base itself.
    """
    if base is None:
        return space.draw_starts(starts, seed)
    drawn = space.draw_starts(max(1, starts - 1), seed)
    near = np.array(drawn[0])
    for k, name in enumerate(space.names):
        near[k] = base["optimum"].get(name, near[k])
    # A coordinate means another value where the variant has another prior; then it is no use.
    values = np.asarray(_vector(space, jnp.asarray(near)))
    for k, name in enumerate(space.names):
        known = base["optimum_physical"].get(name)
        if known is not None and not np.isclose(values[k], known, rtol=1e-6):
            near[k] = drawn[0, k]
    return jnp.concatenate([jnp.asarray(near)[None], drawn])[:starts]


@jax.jit
def _vector(space: ParameterSpace, u: Float[Array, " parameter"]) -> Array:
    return space.vector(u)


@jax.jit
def _forward(problem: InverseProblem, u: Float[Array, " parameter"]) -> Array:
    return problem.forward(u)


def fit(
    experiment: Experiment, base: Mapping[str, Any] | None, starts: int, seed: int
) -> dict[str, Any]:
    """Calibrate by Levenberg-Marquardt, and tell of it in numbers and words alone.

    Parameters
    ----------
    base : the record of the base, None for the base itself.

    Raises
    ------
    InputError : a configuration, or data, that cannot be.
    """
    problem = experiment.problem()
    method = experiment.config.method
    options = method.options if method.name == "lm" else {}
    found = None
    if base is not None and base["hyperparameters"] is not None:
        # Errors and smoothness are those of the base: else no two fits could be compared.
        found = Hyperparameters.from_dict(base["hyperparameters"])
        problem = without_term(with_hyperparameters(problem, found), found.information)
    points = starting_points(problem.space, base, starts, seed)
    unknown = experiment.unknown if base is None else None
    result = estimate(problem, "lm", starts=points, seed=seed, unknown=unknown, **options)
    if result.hyperparameters is not None:
        found = result.hyperparameters
        problem = without_term(with_hyperparameters(problem, found), found.information)
    physical = np.asarray(_vector(problem.space, jnp.asarray(result.u)))
    scores = _scores(experiment.calibrated(found), problem, result, base)
    fitted = {name: s for name, s in scores["fit"].items() if s["fitted"]}
    remarks = unlike([*result.remarks, *score_remarks(fitted), *data_remarks(experiment)])
    record = {
        "hyperparameters": None if found is None else asdict(found),
        "status": "converged" if result.converged else "did not converge",
        "reason": "" if result.converged else result.reason,
        "optimum": dict(zip(problem.space.names, result.u.tolist(), strict=True)),
        "optimum_physical": dict(zip(problem.space.names, physical.tolist(), strict=True)),
        "parameters": {name: asdict(p) for name, p in result.parameters.items()},
        "derived": {
            name: {"estimate": value, "sd": sd, "unit": unit, "long_name": text}
            for name, (value, sd, unit, text) in result.derived.items()
        },
        "verdict": as_table(ended(result.converged, result.reason), remarks, result.starts),
        "warnings": [remark.sentence for remark in remarks],
        "n_starts": len(result.starts),
        "n_starts_at_optimum": sum(s.optimum == 0 for s in result.starts),
        "observed": fitted_observations(experiment, problem),
        "n_free": len(problem.space.names),
        **_statistics(problem, result, len(experiment.initial_streams)),
        **scores,
    }
    return finite(record)


def fitted_observations(experiment: Experiment, problem: InverseProblem) -> str:
    """What tells one set of fitted observations from another, with their sigma and averaging."""
    told = hashlib.sha256()
    times = experiment.dataset.time.values
    mask, observations = np.asarray(problem.mask), problem.observations
    step = experiment.config.window.time_step
    for k, stream in enumerate(problem.operator.streams):
        seen = mask[:, k]
        average = step * max(stream.steps, 0 if variable(stream.name).is_state else 1)
        sigma = np.asarray(observations.scale)[:, k].mean()
        rho = None if observations.autocorrelation is None else observations.autocorrelation[k]
        freedom = observations.freedom[k] if observations.freedom else None
        told.update(
            f"{stream.name} {sigma:.9g} {rho} {freedom} {average!r} {int(seen.sum())} ".encode()
        )
        told.update(times[: len(seen)][seen].astype("datetime64[s]").astype(np.int64).tobytes())
        told.update(np.asarray(observations.values)[seen, k].astype("<f8").tobytes())
    return told.hexdigest()[:16]


def _statistics(problem: InverseProblem, result: Result, taken: int) -> dict[str, Any]:
    """Number of observations and effective parameters, residuals by stream.

    `taken` is the number of observations that the model starts from: they cost as much as
    parameters do.
    """
    curvature = posterior(problem, result.u)
    informative = np.asarray(problem.space.informative)
    # The trace of the influence matrix: a parameter counts as far as the data determine it.
    determined = len(result.u) - int(curvature.held.sum()) - curvature.unseen.shape[1]
    by_prior = float(np.diag(curvature.covariance_naive)[informative & ~curvature.held].sum())
    return {
        "n_effective_parameters": max(0.0, determined - by_prior) + taken,
        "prior_misfit": 0.5 * float(np.sum(np.asarray(result.u)[informative] ** 2)),
        "residuals": {
            name: {
                "n": r.n,
                "variance_ratio": r.variance_ratio,
                "inflation": r.inflation,
                "lag1_autocorrelation": r.lag1_autocorrelation,
            }
            for name, r in curvature.residuals.items()
        },
    }


def _scores(
    experiment: Experiment,
    problem: InverseProblem,
    result: Result,
    base: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Scores in the fit and in the base's hold-out, and half the sum of squares by stream.

    Only times after both fits are held out.
    """
    scoring = experiment.scoring_problem()
    predicted = np.asarray(_forward(scoring, jnp.asarray(result.u)))
    times, n_fit = experiment.dataset.time.values, experiment.n_fit
    fit_until = experiment.config.window.fit_until
    until = fit_until if base is None else max(fit_until, np.datetime64(base["fit_until"], "ns"))
    after = times > until
    columns = {s.name: predicted[:, k] for k, s in enumerate(scoring.operator.streams)}
    fitted, held = {}, {}
    for name, values in columns.items():
        observed = np.asarray(experiment.dataset[name].values, float)
        config = experiment.config.observations[name]
        told = {"fitted": config.fit, "sigma": config.sigma, "unit": variable(name).unit}
        fitted[name] = {**asdict(score(observed[:n_fit], values[:n_fit])), **told}
        held[name] = {**asdict(score(observed[after], values[after])), **told}
    misfit = problem.standardised_misfit(jnp.asarray(result.u))
    residual = np.asarray(problem.observations.residual(misfit, problem.mask))
    squares = {
        stream.name: float(np.sum(residual[:, k] ** 2))
        for k, stream in enumerate(problem.operator.streams)
    }
    return {
        "fit": fitted,
        "holdout": held if after.any() else None,
        "chi_square": squares,
        "fit_from": _text(times[0]),
        "fit_until": _text(fit_until),
        "held_out": [_text(until), _text(times[-1])] if after.any() else None,
    }


def _text(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]"))
