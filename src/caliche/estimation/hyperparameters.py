"""What cannot be told by hand: how smooth a parameter is, how large and how persistent errors are.

Chosen by marginal likelihood: the parameters are integrated out in the Gaussian about their
optimum (Laplace), and the fixed point of MacKay (1992, doi:10.1162/neco.1992.4.3.415) is iterated.
With H the Hessian, a parameter that varies takes gamma = (K - 1) - tr (H^-1)_vv of its K - 1
whitened increments v from the data, and its smoothness obeys tau^2 = tau^2 |v|^2 / gamma; a stream
with n observations of which the parameters use g obeys sigma^2 = sigma^2 S / (n - g), where S is
the derivative of |e|^2 / 2, e its residuals, by the logarithm of the scale of its misfits: |e|^2
for normal errors, less for heavy tails. The autocorrelation is that of successive residuals. Error
bars hold given these numbers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from caliche.estimation.least_squares import LevenbergMarquardt
from caliche.estimation.method import CONVERGED, Method, run_method
from caliche.estimation.posterior import LARGEST_AUTOCORRELATION, lag1_autocorrelation
from caliche.inverse_problem import InverseProblem
from caliche.observations import Observations

# Relative change of every hyperparameter at which the iteration ends.
SETTLED = 0.01
MOST_ITERATIONS = 40
# A smoothness may change so much in one iteration, and never becomes less than the smallest: there
# the data ask for no variation at all.
LARGEST_FACTOR = 5.0
SMALLEST_SMOOTHNESS = 1e-4


@dataclass(frozen=True)
class Unknown:
    """Which hyperparameters are to be estimated.

    smoothness : parameters that vary in time.  sigma, autocorrelation : streams.
    """

    smoothness: tuple[str, ...] = ()
    sigma: tuple[str, ...] = ()
    autocorrelation: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.smoothness or self.sigma or self.autocorrelation)


@dataclass(frozen=True)
class Hyperparameters:
    """Estimated hyperparameters, and how they were found.

    smoothness : by parameter.  sigma, autocorrelation : by stream; `sigma` as a factor on the
    declared one where that changes in time.  spent : degrees of freedom that each parameter's
    variation took.  log_evidence : at the end.
    """

    smoothness: Mapping[str, float] = field(default_factory=dict)
    sigma: Mapping[str, float] = field(default_factory=dict)
    autocorrelation: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    log_evidence: float = float("nan")
    converged: bool = True
    n_iterations: int = 0
    n_model_runs: int = 0


def estimate_hyperparameters(
    problem: InverseProblem,
    u: Float[Array | np.ndarray, " parameter"],
    unknown: Unknown,
    method: Method | None = None,
) -> tuple[InverseProblem, np.ndarray, Hyperparameters]:
    """The problem with its unknown hyperparameters estimated, and its optimum near `u`.

    Parameters
    ----------
    u : where the first fit starts.
    method : of the fits; Levenberg-Marquardt to a thousandth of a standard deviation by default.
    """
    chosen = LevenbergMarquardt(tolerance=1e-3) if method is None else method
    names = [stream.name for stream in problem.operator.streams]
    if unknown.autocorrelation and problem.observations.autocorrelation is None:
        observations = dataclasses.replace(
            problem.observations, autocorrelation=jnp.zeros(len(names))
        )
        problem = dataclasses.replace(problem, observations=observations)
    runs, change, iteration = 0, np.inf, 0
    spent: dict[str, float] = {}
    while iteration < MOST_ITERATIONS:
        iteration += 1
        outcome = run_method(chosen, problem, jnp.asarray(u)[None])
        runs += int(outcome.final.model_runs[0])
        if not np.isfinite(outcome.final.cost[0]):
            break
        u = outcome.final.u[0]
        if change < SETTLED and outcome.final.status[0] == CONVERGED:
            break
        problem, u, change, spent = _update(problem, np.asarray(u), unknown, names)
    scale = np.asarray(problem.observations.scale)
    rho = problem.observations.autocorrelation
    found = Hyperparameters(
        {n: float(problem.space.variations[n].smoothness) for n in unknown.smoothness},
        {n: float(np.median(scale[:, names.index(n)])) for n in unknown.sigma},
        {} if rho is None else {n: float(rho[names.index(n)]) for n in unknown.autocorrelation},
        spent, log_evidence(problem, np.asarray(u)), bool(change < SETTLED), iteration, runs,
    )  # fmt: skip
    return problem, np.asarray(u), found


@jax.jit
def _linearised(
    problem: InverseProblem, u: Float[Array, " parameter"]
) -> tuple[Array, Array, Array]:
    """Jacobian of the observations' residuals e, standardised misfits (time + 1, stream), and the
    derivative (stream,) of |e|^2 / 2 by the logarithm of the misfits' scale."""
    _, jacobian = problem.linearise(u)
    misfit = problem.standardised_misfit(u)
    function = functools.partial(problem.observations.residual, mask=problem.mask)
    residual, by_scale = jax.jvp(function, (misfit,), (misfit,))
    return jacobian[: misfit.size], misfit, jnp.sum(residual * by_scale, axis=0)


def _update(
    problem: InverseProblem, u: np.ndarray, unknown: Unknown, names: list[str]
) -> tuple[InverseProblem, np.ndarray, float, dict[str, float]]:
    """One iteration of the fixed point: the new problem, a control vector with the same knots, the
    largest relative change, and what each variation takes from the data."""
    u = np.array(u)
    jacobian, misfit, power = (np.asarray(x) for x in _linearised(problem, jnp.asarray(u)))
    hessian = jacobian.T @ jacobian + np.diag(problem.space.informative.astype(float))
    covariance = np.linalg.pinv(hessian, hermitian=True)
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
    errors, change = _update_errors(problem, unknown, names, jacobian, misfit, power, covariance)
    changes.append(change)
    space = problem.space.rescaled(smoothness)
    return dataclasses.replace(problem, space=space, observations=errors), u, max(changes), spent


def _update_errors(
    problem: InverseProblem,
    unknown: Unknown,
    names: list[str],
    jacobian: np.ndarray,
    misfit: np.ndarray,
    power: np.ndarray,
    covariance: np.ndarray,
) -> tuple[Observations, float]:
    """Observations with new sigma and autocorrelation, and the largest change."""
    observed = problem.observations
    mask = np.asarray(problem.mask)
    by_stream = jacobian.reshape(*mask.shape, -1)
    scale = np.array(observed.sigma)
    n_stream = len(names)
    rho = np.zeros(n_stream) if observed.autocorrelation is None else np.array(
        observed.autocorrelation
    )  # fmt: skip
    change = 0.0
    for k, name in enumerate(names):
        if name in unknown.autocorrelation:
            series = np.where(mask[:, k], misfit[:, k], np.nan)
            gap = _usual_gap(mask[:, k])
            lag = float(np.clip(lag1_autocorrelation(series), 0.0, LARGEST_AUTOCORRELATION))
            new = lag ** (1.0 / gap)
            change = max(change, abs(new - rho[k]))
            rho[k] = new
        if name in unknown.sigma:
            rows = by_stream[:, k]
            used = float(np.sum((rows @ covariance) * rows))
            n = int(mask[:, k].sum())
            factor = np.sqrt(power[k] / max(n - used, 1.0))
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


def _usual_gap(seen: np.ndarray) -> int:
    """Most common number of steps between observations."""
    gaps = np.diff(np.flatnonzero(seen))
    return int(np.bincount(gaps).argmax()) if len(gaps) else 1


@jax.jit
def _cost_and_curvature(problem: InverseProblem, u: Float[Array, " parameter"]) -> tuple:
    equations = problem.normal_equations(u)
    return (
        equations.cost,
        equations.hessian,
        problem.observations.log_normaliser(problem.mask),
    )


def log_evidence(problem: InverseProblem, u: np.ndarray) -> float:
    """Log marginal likelihood of the observations in the Gaussian about the optimum u (Laplace).

    Exact for a linear problem with normal errors. Directions with a flat prior are integrated over
    the whitened coordinate with unit density, so that only differences between problems that share
    their flat priors mean something.
    """
    cost, hessian, normaliser = _cost_and_curvature(problem, jnp.asarray(u))
    flat = int((~problem.space.informative).sum())
    _, log_det = np.linalg.slogdet(np.asarray(hessian))
    return float(-cost - 0.5 * log_det + 0.5 * flat * np.log(2.0 * np.pi) - normaliser)
