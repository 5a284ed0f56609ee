"""Smoothness, size and memory of errors by marginal likelihood: known answers and known truths."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.estimation.density import log_evidence
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.estimation.hyperparameters import Unknown, estimate_hyperparameters
from caliche.estimation.method import run_method
from caliche.models.base import ParameterDeclaration
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import Normal, ParameterSpace, random_walk
from caliche.parameters.space import free_parameter
from caliche.problems.inverse import InverseProblem
from problems import SEEN, Formula, LinearGaussian

DAYS = np.arange(401) / 10.0
KNOTS = np.arange(0.0, 41.0, 2.0)
SIGMA = 0.3


def _level(params, forcing):
    return params["level"] + forcing["offset"]


LEVEL = ParameterDeclaration("level", "level", "1", 0.0, -100.0, 100.0, "a test")
MODEL = Formula(_level, (LEVEL,), ("offset",))
SPACE = ParameterSpace.build(
    [LEVEL],
    {"level": free_parameter(LEVEL, Normal(0.0, 10.0))},
    {},
    {"level": random_walk(DAYS, list(KNOTS), [f"{k:g}" for k in KNOTS], "linear", 0.1)},
)


def problem_of(observed: np.ndarray, sigma: float = 1.0, **errors) -> InverseProblem:
    """A level that wanders, seen directly ten times a day: linear and Gaussian."""
    observations = Observations.from_series({SEEN: observed}, {SEEN: sigma})
    return InverseProblem(
        MODEL,
        {"offset": jnp.zeros(len(DAYS))},
        make_operator(MODEL, [Stream(SEEN)]),
        dataclasses.replace(observations, **errors),
        SPACE,
    )


def truth(smoothness: float) -> np.ndarray:
    """A walk whose level changes so much a day (in units of the prior's sd, 10)."""
    generator = np.random.default_rng(3)
    steps = 10.0 * smoothness * np.sqrt(2.0) * generator.normal(size=len(KNOTS) - 1)
    return np.interp(DAYS, KNOTS, 2.0 + np.concatenate([[0.0], np.cumsum(steps)]))


def noise(seed: int = 7, rho: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    error = generator.normal(size=len(DAYS))
    for k in range(1, len(DAYS)):
        error[k] = rho * error[k - 1] + np.sqrt(1.0 - rho**2) * error[k]
    return SIGMA * error


@functools.cache
def fitted(smoothness: float) -> tuple:
    """Problem, optimum and hyperparameters; smoothness and sigma start from wrong guesses."""
    problem = problem_of(truth(smoothness) + noise())
    unknown = Unknown(smoothness=("level",), sigma=(SEEN,))
    return estimate_hyperparameters(problem, problem.space.initial(), unknown)


@jax.jit
def newton(problem: InverseProblem) -> jax.Array:
    """The optimum of a linear problem."""
    equations = problem.normal_equations(jnp.zeros(problem.space.size))
    return -jnp.linalg.solve(equations.hessian, equations.gradient)


def changed(problem: InverseProblem, smoothness: float = 1.0, sigma: float = 1.0):
    """The problem with both multiplied."""
    tau = smoothness * float(problem.space.variations["level"].smoothness)
    observations = dataclasses.replace(
        problem.observations, sigma=sigma * problem.observations.sigma
    )
    return dataclasses.replace(
        problem, space=problem.space.rescaled({"level": tau}), observations=observations
    )


def evidence(problem: InverseProblem) -> float:
    return log_evidence(problem, np.asarray(newton(problem)))


# -- evidence --------------------------------------------------------------------------------


def test_evidence_is_that_of_the_closed_form():
    """log N(y; A x_b, A B A^T + R); whitening by L has divided the density by det L."""
    problem = LinearGaussian.problem()
    w = np.linalg.solve(LinearGaussian.root, LinearGaussian.estimate - LinearGaussian.mean)
    log_det = np.linalg.slogdet(np.linalg.cholesky(LinearGaussian.errors))[1]
    assert log_evidence(problem, w) - log_det == pytest.approx(-3.4144807774141, abs=1e-10)


def test_evidence_of_a_walk_is_that_of_its_dense_covariance():
    """Memory of the errors included."""
    observed = truth(0.05) + noise()
    observed[100:130] = np.nan
    problem = problem_of(observed, SIGMA, autocorrelation=jnp.array([0.6]))
    variation = problem.space.variations["level"]
    spread = np.asarray(variation.basis) @ np.column_stack(
        [np.ones(variation.size), variation.smoothness * variation.increments]
    )
    seen = np.flatnonzero(np.isfinite(observed))
    errors = SIGMA**2 * 0.6 ** np.abs(seen[:, None] - seen[None, :])
    total = (100.0 * spread @ spread.T)[np.ix_(seen, seen)] + errors
    d = observed[seen]
    expected = -0.5 * (
        d @ np.linalg.solve(total, d) + np.linalg.slogdet(total)[1] + len(d) * np.log(2.0 * np.pi)
    )
    assert evidence(problem) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("which", ["smoothness", "sigma"])
def test_the_fixed_point_is_the_maximum_of_the_evidence(which):
    problem, _, found = fitted(0.05)
    assert found.converged
    scan = np.array([-0.3, -0.15, 0.0, 0.15, 0.3])
    values = np.array([evidence(changed(problem, **{which: np.exp(s)})) for s in scan])
    assert found.log_evidence == pytest.approx(values[2], abs=1e-4)
    a, b, _ = np.polyfit(scan, values, 2)
    assert a < -1.0  # a peak, in which the data have a say
    peak = -0.5 * b / a
    assert abs(peak) < 0.06
    assert values.argmax() == 2


# -- truths ----------------------------------------------------------------------------------


def test_smoothness_and_sigma_of_a_walk_are_found():
    """Sigma to the sampling error of 401 values, smoothness to that of 20 increments."""
    _, _, found = fitted(0.05)
    assert found.sigma[SEEN] == pytest.approx(SIGMA, rel=3.0 / np.sqrt(2.0 * 380.0))
    assert found.smoothness["level"] == pytest.approx(0.05, rel=3.0 / np.sqrt(2.0 * 20.0))
    assert 15.0 < found.spent["level"] < 20.0


def test_a_constant_truth_asks_for_no_variation():
    """The smoothness goes towards zero, and takes no degrees of freedom from the data."""
    problem, u, found = fitted(0.0)
    assert found.smoothness["level"] < 0.1 * fitted(0.05)[2].smoothness["level"]
    assert found.spent["level"] < 2.0
    assert found.sigma[SEEN] == pytest.approx(SIGMA, rel=3.0 / np.sqrt(2.0 * 400.0))
    knots = np.asarray(problem.space.vector(jnp.asarray(u)))
    assert np.ptp(knots) < SIGMA / 2.0
    assert knots.mean() == pytest.approx(2.0, abs=3.0 * SIGMA / np.sqrt(401.0))


def test_size_and_memory_of_errors_are_found():
    """Within the sampling error of each: a level of known smoothness, errors of unknown kind."""
    rho = 0.7
    problem = problem_of(truth(0.0) + noise(seed=8, rho=rho))
    problem = dataclasses.replace(problem, space=SPACE.rescaled({"level": 1e-3}))
    unknown = Unknown(sigma=(SEEN,), autocorrelation=(SEEN,))
    _, _, found = estimate_hyperparameters(problem, problem.space.initial(), unknown)
    assert found.converged
    n = len(DAYS)
    assert found.autocorrelation[SEEN] == pytest.approx(rho, abs=3.0 * np.sqrt((1 - rho**2) / n))
    alone = n * (1.0 - rho**2) / (1.0 + rho**2)  # so many independent squares
    assert found.sigma[SEEN] == pytest.approx(SIGMA, rel=3.0 / np.sqrt(2.0 * alone))


def test_memory_that_is_estimated_is_not_counted_again_in_the_weight():
    """What a stream is worth is asked of the errors that are left when their memory is taken out;
    asked before, it was worth a seventh, whatever memory was found later."""
    problem = problem_of(truth(0.0) + noise(seed=8, rho=0.8), SIGMA)
    problem = dataclasses.replace(problem, space=SPACE.rescaled({"level": 1e-3}))
    alone = estimate(problem, unknown=Unknown(information="weights")).hyperparameters
    assert alone.information.factors[SEEN] < 0.3
    unknown = Unknown(sigma=(SEEN,), autocorrelation=(SEEN,), information="weights")
    found = estimate(problem, unknown=unknown)
    assert found.converged
    assert found.hyperparameters.autocorrelation[SEEN] == pytest.approx(0.8, abs=0.1)
    assert found.hyperparameters.information.factors[SEEN] > 0.8


def test_size_of_heavy_tails_is_found():
    """The scale of Student's t, not its standard deviation; and a maximum of the evidence."""
    generator = np.random.default_rng(4)
    observed = truth(0.0) + SIGMA * generator.standard_t(3.0, size=len(DAYS))
    problem = problem_of(observed, freedom=(3.0,))
    problem = dataclasses.replace(problem, space=SPACE.rescaled({"level": 1e-3}))
    unknown = Unknown(sigma=(SEEN,))
    problem, u, found = estimate_hyperparameters(problem, problem.space.initial(), unknown)
    assert found.converged
    assert found.sigma[SEEN] == pytest.approx(SIGMA, rel=0.15)
    scan = np.array([-0.2, 0.0, 0.2])
    values = [log_evidence(changed(problem, sigma=np.exp(s)), u) for s in scan]
    a, b, _ = np.polyfit(scan, values, 2)
    assert abs(0.5 * b / a) < 0.03


def test_the_model_runs_of_all_rounds_are_counted():
    problem, fits = problem_of(truth(0.05) + noise()), []

    def run(*arguments):
        outcome = run_method(*arguments)
        fits.append(int(outcome.final.model_runs[0]))
        return outcome

    unknown = Unknown(smoothness=("level",), sigma=(SEEN,))
    _, _, found = estimate_hyperparameters(
        problem, problem.space.initial(), unknown, LevenbergMarquardt(), run
    )
    assert len(fits) == found.n_iterations > 2
    derivatives = 1 + problem.space.size  # a run and a tangent for each parameter
    assert found.n_model_runs == sum(fits) + (2 * (len(fits) - 1) + 1) * derivatives
    result = estimate(problem, unknown=unknown)
    before = estimate(problem)  # the fit with the errors as declared comes first
    assert result.n_model_runs > before.n_model_runs + sum(fits)


def test_an_estimate_with_unknowns():
    """The knots lie in their bands, and the result says what was found."""
    exact = truth(0.05)
    problem = problem_of(exact + noise())
    result = estimate(problem, unknown=Unknown(smoothness=("level",), sigma=(SEEN,)))
    _, _, found = fitted(0.05)
    assert result.converged
    assert result.hyperparameters.smoothness == pytest.approx(found.smoothness, rel=1e-6)
    assert result.hyperparameters.sigma == pytest.approx(found.sigma, rel=1e-6)
    assert result.n_model_runs > result.hyperparameters.n_model_runs + len(result.misfit[0])
    at_knots = np.interp(KNOTS, DAYS, exact)
    inside = [
        p.interval[0] < at_knots[k] < p.interval[1]
        for k, p in enumerate(result.parameters[name] for name in result.names)
    ]
    assert result.names == tuple(f"level[{k:g}]" for k in KNOTS)
    assert sum(inside) >= 18  # of 21, at 95 %
    sd = [result.parameters[name].sd for name in result.names]
    assert max(sd) < 0.5
    assert result.residuals[SEEN].variance_ratio == pytest.approx(1.0, abs=0.1)


def test_nothing_unknown_is_nothing_to_do():
    result = estimate(LinearGaussian.problem(), unknown=Unknown())
    assert result.hyperparameters is None
