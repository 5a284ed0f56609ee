"""The result of an ensemble method: error bars are the spread of its members.

They take the declared errors at their word: nothing is widened for residuals that are larger or
more persistent than declared, as the error bars from curvature are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.constants import NORMAL_QUANTILE
from caliche.estimation.curvature import Posterior, residual_statistics
from caliche.estimation.density import physical
from caliche.estimation.ensemble.check import (
    UNTAUGHT,
    agreement,
    doubt_of,
    moved_either_way,
    near_bounds,
    unmoved,
)
from caliche.estimation.ensemble.core import Verdict
from caliche.estimation.ensemble.members import EnsembleOutcome, term_of
from caliche.estimation.ensemble.prior import normal_prior
from caliche.estimation.hyperparameters import Hyperparameters
from caliche.estimation.method import CONVERGED, NOT_FINITE, RUNNING, STATUS
from caliche.estimation.outcome import correlation_of, prior_cost
from caliche.estimation.result import Ensemble, ParameterEstimate, Result, Start, with_the_rest
from caliche.estimation.timing import Stopwatch
from caliche.estimation.verdict import failure_note, remarks_of
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import Problem
from caliche.remarks import Remark

# An ensemble whose mean is further than this from the optimum (posterior standard deviations) has
# not arrived; those of some dozens of members miss it by one.
FAR = 3.0


def ensemble_result(
    problem: Problem,
    outcome: EnsembleOutcome,
    seed: int,
    hyper: Hyperparameters | None,
    earlier_runs: int,
    share: float,
    watch: Stopwatch,
) -> Result:
    """Result of an ensemble that is done.

    Parameters
    ----------
    hyper : hyperparameters that were estimated, if any.  earlier_runs : model runs before the
        search that gave the outcome.  share : see `Searched`.
    """
    space, engine, run = problem.space, outcome.engine, outcome.batch.grid
    method, misfit = engine.method, float(outcome.final.cost[0])
    verdict = engine.verdict or Verdict(False, "it was not finished")
    u, members = engine.estimate, outcome.members
    values, value = physical(space, members), physical(space, u)
    residual, ok = outcome.residual, bool(np.isfinite(misfit))
    if ok:
        verdict = method.promise_kept(engine.state, outcome.misfit) or verdict
    runs = int(outcome.final.model_runs[0])
    drawn = method.posterior(engine.state)
    doubt: tuple[str, ...] = ()
    near = near_bounds(space, method.name, members)
    if (method.tempered or near) and ok and verdict.converged and drawn is not None:
        seen, runs = run(members), runs + len(members)
        centre = method.estimate(engine.state)
        rows = np.concatenate([seen.reshape(len(seen), -1), term_of(problem, values)], axis=1)
        one_row = np.concatenate([residual.ravel(), term_of(problem, value)])
        found = agreement(drawn, centre, one_row, rows)
        if method.tempered:
            verdict = _arrived(verdict, found.left)
        if verdict.converged and not found.enough(
            len(drawn), space.size, chance=method.by_chance, near=bool(near)
        ):
            doubt = (doubt_of(found, len(drawn), near),)
            verdict = Verdict(False, f"came to its end, but {doubt[0]}") if near else verdict
    unseen: tuple[Remark, ...] = ()
    if ok and drawn is not None:
        unseen = _without_effect(space, method.name, drawn, u, run)
    statistics = residual_statistics(problem, residual, engine.informed) if ok else {}
    # Flat arrays: no direction is left out, and no parameter lies on a bound.
    covariance_u = np.cov(members, rowvar=False).reshape(space.size, space.size)
    nothing, one = np.zeros((space.size, 0)), np.ones(space.size)
    held = np.zeros(space.size, bool)
    curvature = Posterior(
        u, covariance_u, covariance_u, nothing, one, held, statistics, np.eye(space.size), one
    ).with_costs_over(share)
    parameters = _parameters(problem, method.name, members, values, value)
    if not ok:  # the spread of members around nothing is no error bar
        parameters = {name: _without_error_bar(p) for name, p in parameters.items()}
    covariance = np.cov(values, rowvar=False).reshape(space.size, space.size)
    status = NOT_FINITE if not ok else CONVERGED if verdict.converged else RUNNING
    trajectory = physical(space, outcome.history.u[0])
    start = Start(
        dict(zip(space.names, trajectory[0].tolist(), strict=True)),
        dict(zip(space.names, value.tolist(), strict=True)),
        misfit,
        status == CONVERGED,
        STATUS[status],
        0,
    )
    weighed = problem.observations.information is not None
    return Result(
        method=method.name,
        converged=status == CONVERGED,
        reason=verdict.reason if ok else STATUS[NOT_FINITE],
        seed=seed,
        n_iterations=outcome.n_iterations,
        n_model_runs=runs + earlier_runs,
        seconds=watch.seconds(),
        parameters=parameters,
        names=space.names,
        covariance=covariance,
        correlation=correlation_of(covariance),
        u=u,
        covariance_u=covariance_u,
        starts=(start,),
        misfit=outcome.history.misfit,
        trajectory=trajectory[None],
        residuals=curvature.residuals,
        derived=_derived(problem, u, members),
        remarks=(
            *_notes(method.name, values, outcome.failed, runs, weighed),
            *(Remark("doubt", text[0].upper() + text[1:] + ".", True) for text in doubt),
            *unseen,
            *remarks_of(space, parameters, curvature, (start,), sensitive=False),
        ),
        prior_cost=prior_cost(space, u),
        hyperparameters=hyper,
        error_bars="ensemble",
        ensemble=Ensemble(
            members, values, np.asarray(getattr(engine.state, "times", ())), tuple(engine.failed)
        ),
    )


def _without_effect(
    space: ParameterSpace,
    method: str,
    drawn: np.ndarray,
    u: np.ndarray,
    run: Callable[[np.ndarray], np.ndarray],
) -> tuple[Remark, ...]:
    """A remark on each parameter on which no output depends: of members v that kept the spread of
    the prior, one moved from the estimate either way gives what the estimate gives."""
    asked = np.flatnonzero(drawn.std(axis=0, ddof=1) > UNTAUGHT)
    if not len(asked):
        return ()
    prior = normal_prior(space, method)
    rows = moved_either_way(prior.from_u(u), asked)
    still = unmoved(run(prior.to_u(rows)).reshape(len(rows), -1))
    text = (
        "The observations do not depend on the {}: its estimate and interval are those of its "
        "prior."
    )
    return tuple(
        Remark("no-effect", text.format(space.entries[k].long_name), True, (space.names[k],))
        for k, same in zip(asked, still, strict=True)
        if same
    )


def _arrived(verdict: Verdict, away: float) -> Verdict:
    """The verdict of an ensemble at T = 1, if its members agree that it is where it should be."""
    if not away > FAR:
        return verdict
    return Verdict(
        False,
        f"reached T = 1, but by the members' own slopes the optimum is {away:.2g} standard "
        "deviations away: the model is not straight over such steps; give more steps "
        "(steps = 20), or use lm",
    )


def _parameters(
    problem: Problem, method: str, members: np.ndarray, values: np.ndarray, value: np.ndarray
) -> dict[str, ParameterEstimate]:
    """Estimates with the spread of the members; intervals are those of a normal v."""
    space = problem.space
    sd = values.std(axis=0, ddof=1)
    low, high = member_intervals(space, method, members, NORMAL_QUANTILE)
    found = {}
    for k, entry in enumerate(space.entries):
        d, p = entry.parameter.declaration, entry.parameter.prior
        found[entry.name] = ParameterEstimate(
            name=entry.name,
            long_name=entry.long_name,
            unit=d.unit,
            estimate=float(value[k]),
            sd=float(sd[k]),
            sd_naive=float(sd[k]),
            interval=(float(low[k]), float(high[k])),
            initial=entry.parameter.initial,
            lower=p.lower,
            upper=p.upper,
            fixed=False,
            prior=space.describe_prior(entry.parameter.name),
            knot=entry.knot,
        )
    return with_the_rest(space, found)


def _without_error_bar(p: ParameterEstimate) -> ParameterEstimate:
    if p.sd is None:
        return p
    return dataclasses.replace(p, sd=np.nan, sd_naive=np.nan, interval=(p.lower, p.upper))


def member_intervals(
    space: ParameterSpace, method: str, members: np.ndarray, quantile: float
) -> tuple[np.ndarray, np.ndarray]:
    """Physical ends (P,) of the intervals of members u (N, P), as if v were normal.

    By rank, the ends would be noise in so few members. `quantile` is that of the standard normal.
    """
    prior = normal_prior(space, method)
    w = np.asarray(_coordinates(space, jnp.asarray(members)))
    leads = np.array([entry.knot is None for entry in space.entries])
    v = np.where(leads, prior.from_u(w), w)
    reach = quantile * v.std(axis=0, ddof=1)
    low, high = (
        np.asarray(_values(space, jnp.asarray(np.where(leads, prior.to_u(end), end))))
        for end in (v.mean(axis=0) - reach, v.mean(axis=0) + reach)
    )
    return low, high


@jax.jit
def _coordinates(space: ParameterSpace, u: Float[Array, "member p"]) -> Float[Array, "member p"]:
    return jax.vmap(space.coordinates)(u)


@jax.jit
def _values(space: ParameterSpace, w: Float[Array, " p"]) -> Float[Array, " p"]:
    return space.from_coordinates(w)


@jax.jit
def _derived_of(problem: Problem, u: Float[Array, "member p"]) -> dict[str, Array]:
    return jax.vmap(problem.derived)(u)


def _derived(
    problem: Problem, u: np.ndarray, members: np.ndarray
) -> dict[str, tuple[float, float, str, str]]:
    """Quantities that the model computes from parameters, with the members' spread."""
    found = _derived_of(problem, jnp.asarray(np.concatenate([u[None], members])))
    return {
        name: (float(found[name][0]), float(np.std(found[name][1:], ddof=1)), unit, text)
        for name, (unit, text) in problem.derived_labels.items()
    }


def _notes(
    method: str, values: np.ndarray, failed: int, runs: int, weighed: bool
) -> tuple[Remark, ...]:
    n, p = values.shape
    kind = "200 draws from the Gaussian" if method == "uki" else f"{n} members"
    notes = [f"Error bars are the spread of {kind} of method {method}."]
    if not weighed:
        notes[0] += (
            " They take the sizes of errors at their word: nothing is added for residuals that are "
            "larger or more persistent."
        )
    if n <= p:
        notes.append(
            f"There are {n} members for {p} parameters: directions that they do not span keep "
            "the prior's value and show no spread; use more members."
        )
    said = tuple(Remark("ensemble", text, False) for text in notes)
    return (*said, *failure_note(failed, runs))
