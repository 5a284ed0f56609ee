"""What cannot be told by hand: how smooth a parameter is, how large and how persistent errors are.

Chosen by marginal likelihood: the parameters are integrated out in the Gaussian about their
optimum (Laplace), and the fixed point of MacKay (1992, doi:10.1162/neco.1992.4.3.415) is iterated.
With H the Hessian, a parameter that varies takes gamma = (K - 1) - tr (H^-1)_vv of its K - 1
whitened increments v from the data, and its smoothness obeys tau^2 = tau^2 |v|^2 / gamma; a stream
with n observations of which the parameters use g obeys sigma^2 = sigma^2 S / (n - g), where S is
the derivative of |e|^2 / 2, e its residuals, by the logarithm of the scale of its misfits: |e|^2
for normal errors, less for heavy tails. The autocorrelation is that of successive residuals. Error
bars hold given these numbers. How much the observations tell, with residuals of that size and
persistence, is found in the same rounds (`information`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.errors import InputError
from caliche.estimation.curvature import lag1_autocorrelation, linearised, posterior
from caliche.estimation.density import log_evidence
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.information import InformationEstimate, kept, with_information
from caliche.estimation.method import CONVERGED, Descent, Outcome, run_method
from caliche.estimation.tangent_run import run_with_tangents
from caliche.observations import Observations
from caliche.problems.base import Problem
from caliche.problems.inverse import InverseProblem
from caliche.wording import number_of

# Relative change of every hyperparameter at which the iteration ends.
SETTLED = 0.01
# And of the information of each stream, which an error bar holds the square root of.
INFORMATION_SETTLED = 0.03
MOST_ITERATIONS = 40
# Rounds in which the streams are weighed against each other. Where the model is wrong, weights that
# go on feed themselves: a stream that counts less is fitted worse, so it counts less still.
WEIGHING_ROUNDS = 2
# What observations tell is in the residuals that are left when the memory of their errors is taken
# out: that is known so well, as a change in one round, before it is asked for.
MEMORY_KNOWN = 0.05
# What the observations tell is known so near to the optimum, in its standard deviations.
CENTRE_SETTLED = 0.5
# A record holds at least so many times the memory (e-folding time) of its errors.
E_FOLDINGS = 10.0
# A smoothness may change so much in one iteration, and never becomes less than the smallest: there
# the data ask for no variation at all.
LARGEST_FACTOR = 5.0
SMALLEST_SMOOTHNESS = 1e-4


@dataclass(frozen=True)
class Unknown:
    """Which hyperparameters are to be estimated.

    smoothness : parameters that vary in time.  sigma, autocorrelation : streams.
    information : "weights" if streams count with what their residuals say that they tell, "bars" if
        they count as declared in the estimate, and as told in all that is said of its error; empty
        if errors are at their word.
    """

    smoothness: tuple[str, ...] = ()
    sigma: tuple[str, ...] = ()
    autocorrelation: tuple[str, ...] = ()
    information: Literal["", "weights", "bars"] = ""

    def __bool__(self) -> bool:
        return self.changes_declared or self.information == "weights"

    @property
    def changes_declared(self) -> bool:
        """Whether a declared error or a prior is to be estimated."""
        return bool(self.smoothness or self.sigma or self.autocorrelation)

    def now(self, change: float, told: InformationEstimate | None) -> Unknown:
        """What one round of fits is asked for: not yet how much the observations tell, while the
        memory of their errors still changes by this much in a round."""
        waits = bool(self.autocorrelation) and told is None and not change < MEMORY_KNOWN
        return dataclasses.replace(self, information="") if waits else self


class Fit(NamedTuple):
    """What a fit says about the hyperparameters that it was made with.

    u : (P,) the estimate.  covariance : (P, P) of u.  used : (stream,) degrees of freedom that the
    parameters take from each stream.  misfit : (time + 1, stream) standardised.  power : (stream,)
    S of the module's text.
    """

    u: np.ndarray
    covariance: np.ndarray
    used: np.ndarray
    misfit: np.ndarray
    power: np.ndarray

    def distance(self, u: np.ndarray) -> float:
        """Root-mean-square distance of another u (P,), in standard deviations."""
        step = u - self.u
        seen = np.linalg.pinv(self.covariance, hermitian=True)
        return float(np.sqrt(step @ seen @ step / len(step)))


@dataclass(frozen=True)
class Hyperparameters:
    """Estimated hyperparameters, and how they were found.

    smoothness : by parameter.  sigma, autocorrelation : by stream; `sigma` as a factor on the
    declared one where that changes in time.  spent : degrees of freedom that each parameter's
    variation took.  log_evidence : at the end, of observations with the weights found here; of two
    fits it compares only where their weights are the same.  n_model_runs : of all rounds together.
    information : how much the observations tell.
    """

    smoothness: Mapping[str, float] = field(default_factory=dict)
    sigma: Mapping[str, float] = field(default_factory=dict)
    autocorrelation: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    log_evidence: float = float("nan")
    converged: bool = True
    n_iterations: int = 0
    n_model_runs: int = 0
    information: InformationEstimate | None = None

    @property
    def rounds(self) -> str:
        """Whether they have settled, and after how many rounds of fits."""
        has = "the information in the observations has"
        if self.smoothness or self.sigma or self.autocorrelation:
            has = "the sizes of errors" + " and the smoothness" * bool(self.smoothness) + " have"
        no = "" if self.converged else " not"
        return f"{has}{no} settled after {number_of(self.n_iterations, 'round')}"

    @staticmethod
    def from_dict(said: Mapping[str, Any]) -> Hyperparameters:
        """What `dataclasses.asdict` gave, with None where JSON has no number."""
        told, evidence = said.get("information"), said.get("log_evidence")
        known = None if told is None else InformationEstimate(**told)
        evidence = float("nan") if evidence is None else evidence
        return Hyperparameters(**{**said, "information": known, "log_evidence": evidence})


class Searched(NamedTuple):
    """What a search found, hyperparameters included.

    problem : with them.  outcome : of the last search.  hyper : None if none were estimated.
    earlier_runs : model runs before the last search.  share : powers of the streams of `problem`
    over those in J of the outcome.  best : the start that is the estimate; without, the one of the
    lowest misfit. They are not the same where a term of the misfit belongs to one start alone.
    """

    problem: Problem
    outcome: Outcome
    hyper: Hyperparameters | None = None
    earlier_runs: int = 0
    share: float = 1.0
    best: int | None = None


def of_one_site(problem: Problem) -> InverseProblem:
    """The problem, whose hyperparameters can be estimated.

    Raises
    ------
    InputError : a problem of several sites.
    """
    if not isinstance(problem, InverseProblem):
        raise InputError(
            "errors and smoothness that are known where several sites are estimated together",
            "some that are to be estimated",
            "estimate them site by site first",
        )
    return problem


def with_hyperparameters(problem: InverseProblem, found: Hyperparameters) -> InverseProblem:
    """A problem with hyperparameters that were estimated before, of its own streams and parameters.

    A sigma that changes in time is scaled so that its median is the one found.
    """
    names = [stream.name for stream in problem.operator.streams]
    observed = problem.observations
    scale, rho = np.array(observed.sigma), observed.autocorrelation
    for name in set(found.sigma) & set(names):
        k = names.index(name)
        scale[..., k] *= found.sigma[name] / np.median(scale[..., k])
    known = {name: r for name, r in found.autocorrelation.items() if name in names}
    if known:
        values = np.zeros(len(names)) if rho is None else np.array(rho)
        for name, r in known.items():
            values[names.index(name)] = r
        rho = jnp.asarray(values)
    observations = dataclasses.replace(observed, sigma=jnp.asarray(scale), autocorrelation=rho)
    space = problem.space.rescaled(found.smoothness)
    problem = dataclasses.replace(problem, space=space, observations=observations)
    return problem if found.information is None else with_information(problem, found.information)


def estimate_hyperparameters(
    problem: InverseProblem,
    u: Float[Array | np.ndarray, " parameter"],
    unknown: Unknown,
    method: Descent | None = None,
    run: Callable[..., Outcome] = run_method,
) -> tuple[InverseProblem, np.ndarray, Hyperparameters]:
    """The problem with its unknown hyperparameters estimated, and its optimum near `u`.

    Parameters
    ----------
    u : where the first fit starts.
    method : of the fits; Levenberg-Marquardt by default.
    run : what runs it, as `run_method` does.
    """
    chosen = LevenbergMarquardt() if method is None else method
    problem = with_memory(problem, unknown)
    runs, change, iteration, weighings, told = 0, np.inf, 0, 0, None
    spent: dict[str, float] = {}
    weighed, fit, settled = unknown.information == "weights", None, False
    if not weighed:  # what is told is then found at the optimum, with all else known
        unknown = dataclasses.replace(unknown, information="")
    while iteration < MOST_ITERATIONS:
        iteration += 1
        outcome = run(chosen, problem, jnp.asarray(u)[None])
        runs += int(outcome.final.model_runs[0])
        if not np.isfinite(outcome.final.cost[0]):
            break
        found = np.asarray(outcome.final.u[0])
        there = not weighed or (
            told is not None and fit is not None and fit.distance(found) < CENTRE_SETTLED
        )
        if change < SETTLED and there and outcome.final.status[0] == CONVERGED:
            u, settled = found, True
            break
        # The term of the information is linear, and how long errors last is found in whole lags.
        # Whole steps of its centre can go to and fro for ever, so they are halved.
        keep = weighings >= WEIGHING_ROUNDS
        fit = fit_of(problem, 0.5 * (np.asarray(u) + found) if keep else found)
        asked = unknown.now(change, told)
        problem, u, change, spent, told = updated(problem, asked, fit, told, keep_weights=keep)
        weighings += told is not None
        runs += 2 * (1 + problem.space.size)  # the derivatives of residuals and of predictions
    u = np.asarray(u)
    runs += 1 + problem.space.size  # those of the evidence
    found = dataclasses.replace(
        hyperparameters_of(problem, unknown),
        spent=spent,
        log_evidence=_evidence(problem, u),
        converged=settled,
        n_iterations=iteration,
        n_model_runs=runs,
        information=told,
    )
    return problem, u, found


def with_memory(problem: InverseProblem, unknown: Unknown) -> InverseProblem:
    """The problem, its errors with a memory (of zero) where that is to be estimated."""
    if not unknown.autocorrelation or problem.observations.autocorrelation is not None:
        return problem
    observations = dataclasses.replace(
        problem.observations, autocorrelation=jnp.zeros(len(problem.operator.streams))
    )
    return dataclasses.replace(problem, observations=observations)


def hyperparameters_of(problem: InverseProblem, unknown: Unknown) -> Hyperparameters:
    """The hyperparameters that a problem has now, of those that were unknown."""
    names = [stream.name for stream in problem.operator.streams]
    scale = np.asarray(problem.observations.scale)
    rho = problem.observations.autocorrelation
    return Hyperparameters(
        {n: float(problem.space.variations[n].smoothness) for n in unknown.smoothness},
        {n: float(np.median(scale[:, names.index(n)])) for n in unknown.sigma},
        {} if rho is None else {n: float(rho[names.index(n)]) for n in unknown.autocorrelation},
    )


def fit_of(problem: InverseProblem, u: np.ndarray) -> Fit:
    """A fit that ended at u, its covariance by the curvature there."""
    _, jacobian = linearised(problem, u)
    prediction = run_with_tangents(problem, jnp.asarray(u)).prediction
    n = problem.observations.mask.size
    rows = jacobian[:n]
    covariance = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    used = np.sum((rows @ covariance) * rows, axis=1).reshape(problem.observations.mask.shape)
    return Fit(u, covariance, used.sum(axis=0), *scale_slope(problem, prediction))


def scale_slope(problem: InverseProblem, prediction: Array) -> tuple[np.ndarray, np.ndarray]:
    """`misfit` and `power` of a `Fit`, from what the model predicts (time + 1, stream)."""
    misfit, power = _scale_slope(problem, prediction)
    return np.asarray(misfit), np.asarray(power)


@jax.jit
def _scale_slope(problem: InverseProblem, prediction: Array) -> tuple[Array, Array]:
    """Standardised misfits (time + 1, stream), and the derivative (stream,) of |e|^2 / 2 by the
    logarithm of their scale, e being the residuals."""
    observed = problem.observations
    misfit = jnp.where(problem.mask, (prediction - observed.values) / observed.scale, 0.0)
    function = functools.partial(observed.residual, mask=problem.mask)
    residual, by_scale = jax.jvp(function, (misfit,), (misfit,))
    return misfit, jnp.sum(residual * by_scale, axis=0)


def updated(
    problem: InverseProblem,
    unknown: Unknown,
    fit: Fit,
    told: InformationEstimate | None = None,
    keep_weights: bool = False,
) -> tuple[InverseProblem, np.ndarray, float, dict[str, float], InformationEstimate | None]:
    """One iteration of the fixed point.

    Returns the new problem, a control vector with the same knots, the largest relative change, what
    each variation takes from the data, and how much the observations tell (`told` is what they did
    before, if that is estimated). The weights of the streams can be kept as they were.
    """
    u, covariance = np.array(fit.u), fit.covariance
    changes, spent = [0.0], {}
    smoothness = {}
    for p, where in problem.space.slices():
        if p.name in problem.space.variations:
            rest = slice(where.start + 1, where.stop)
            v, free = u[rest], rest.stop - rest.start
            gamma = max(free - float(np.trace(covariance[rest, rest])), 1e-6 * free)
            spent[p.name] = gamma
            if p.name in unknown.smoothness:
                old = float(problem.space.variations[p.name].smoothness)
                factor = np.clip(np.sqrt(v @ v / gamma), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
                smoothness[p.name] = max(old * factor, SMALLEST_SMOOTHNESS)
                changes.append(abs(np.log(smoothness[p.name] / old)))
                u[rest] *= old / smoothness[p.name]
    errors, change = _update_errors(problem, unknown, fit)
    changes.append(change)
    new = told
    if unknown.information == "weights":
        new = information_at(problem, fit.u, settled=told if keep_weights else None)
        changes.append(_change_of_information(told, new) * SETTLED / INFORMATION_SETTLED)
    elif unknown.information and told is None:  # weights as declared: the optimum stays
        new = information_at(problem, fit.u, declared=True)
        changes.append(np.inf)
    space = problem.space.rescaled(smoothness)
    problem = dataclasses.replace(problem, space=space, observations=errors)
    if new is not None:
        problem = with_information(problem, new)
    return problem, u, max(changes), spent, new


def information_at(
    problem: InverseProblem,
    u: np.ndarray,
    declared: bool = False,
    settled: InformationEstimate | None = None,
) -> InformationEstimate | None:
    """How much the observations tell at an optimum u (P,); None where the model fails there.

    If weights are as `declared`, the powers are 1, and all is in share and term; they can also have
    `settled` before.
    """
    factors = None if settled is None else np.array(list(settled.factors.values()))
    found = posterior(problem, u, at_their_word=declared, settled=factors)
    return None if found.told is None else kept(problem, u, ~found.held, found.told)


def _change_of_information(
    old: InformationEstimate | None, new: InformationEstimate | None
) -> float:
    """Largest relative change of the weights, and of the whole."""
    if old is None or new is None:
        return 0.0 if new is None else float("inf")
    pairs = [(old.factors[n], f) for n, f in new.factors.items()]
    return max((abs(float(np.log(a / b))) for a, b in pairs), default=0.0)


def _update_errors(
    problem: InverseProblem, unknown: Unknown, fit: Fit
) -> tuple[Observations, float]:
    """Observations with new sigma and autocorrelation, and the largest change."""
    observed = problem.observations
    names = [stream.name for stream in problem.operator.streams]
    mask = np.asarray(problem.mask)
    scale = np.array(observed.sigma)
    n_stream = len(names)
    rho = (
        np.zeros(n_stream)
        if observed.autocorrelation is None
        else np.array(observed.autocorrelation)
    )
    change = 0.0
    for k, name in enumerate(names):
        if name in unknown.autocorrelation:
            series = np.where(mask[:, k], fit.misfit[:, k], np.nan)
            gap = _usual_gap(mask[:, k])
            lag = max(lag1_autocorrelation(series), 0.0)
            new = min(lag ** (1.0 / gap), _longest_memory(mask[:, k]))
            change = max(change, abs(new - rho[k]))
            rho[k] = new
        if name in unknown.sigma:
            n = int(mask[:, k].sum())
            factor = np.sqrt(fit.power[k] / max(n - fit.used[k], 1.0))
            factor = float(np.clip(factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR))
            change = max(change, abs(np.log(factor)))
            scale[..., k] = scale[..., k] * factor
    autocorrelation = observed.autocorrelation
    if unknown.autocorrelation:
        autocorrelation = jnp.asarray(rho)
    return (
        dataclasses.replace(observed, sigma=jnp.asarray(scale), autocorrelation=autocorrelation),
        change,
    )


def _longest_memory(seen: np.ndarray) -> float:
    """The largest autocorrelation between successive steps that a record of this length can tell.

    Slower errors are not told from what the parameters should explain: a bias would be called
    noise, and the evidence would like it.
    """
    where = np.flatnonzero(seen)
    return float(np.exp(-E_FOLDINGS / max(int(where[-1] - where[0]), 1))) if len(where) else 0.0


def _usual_gap(seen: np.ndarray) -> int:
    """Most common number of steps between observations."""
    gaps = np.diff(np.flatnonzero(seen))
    return int(np.bincount(gaps).argmax()) if len(gaps) else 1


def _evidence(problem: InverseProblem, u: np.ndarray) -> float:
    """The log evidence, NaN where the data leave something open."""
    try:
        return log_evidence(problem, u)
    except InputError:
        return float("nan")
