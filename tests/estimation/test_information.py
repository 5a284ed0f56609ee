"""How much observations tell: coverage, any step, priors, and one likelihood for all methods."""

from __future__ import annotations

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import estimate
from caliche.estimation.curvature import posterior
from caliche.estimation.hyperparameters import Unknown, information_at, with_hyperparameters
from caliche.estimation.information import StreamRows, godambe, what_is_told, with_information
from caliche.parameters import Flat, Normal
from caliche.posterior.profile import profile
from problems import line_problem, make_problem, with_observed

DAY = 24


def design(n: int, step: float = 1.0) -> np.ndarray:
    """Slow, diurnal and fast columns (time, parameter), at hours k * step."""
    hours = step * np.arange(n)
    day = 2.0 * np.pi * hours / DAY
    return np.stack([np.ones(n), np.cos(day), np.sin(day), np.cos(2.0 * day)], axis=1)


def persistent(rng: np.random.Generator, n: int, memory: float, step: float = 1.0) -> np.ndarray:
    """Errors (n,) of unit variance whose correlation falls by e in `memory` hours."""
    rho = np.exp(-step / memory) if memory else 0.0
    e = rng.standard_normal(n)
    for k in range(1, n):
        e[k] = rho * e[k - 1] + np.sqrt(1.0 - rho**2) * e[k]
    return e


def told(jacobian: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Error of the least-squares estimate, and its covariance by what the residuals tell."""
    hessian = jacobian.T @ jacobian
    off = np.linalg.solve(hessian, jacobian.T @ errors)
    residual = errors - jacobian @ off
    n, p = jacobian.shape
    rows = StreamRows(residual[:, None], jacobian[:, None, :], np.ones((n, 1), bool))
    found = what_is_told(rows, np.zeros((p, p)), np.ones(p, bool), np.ones(1), declared=True)
    return off, np.linalg.inv(found.share * hessian + found.rows.T @ found.rows)


@pytest.mark.parametrize("memory", [0.0, 2.0, 8.0])
def test_intervals_cover_and_are_no_wider_than_they_need_be(memory):
    rng, n = np.random.default_rng(5), 240
    jacobian = design(n)
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    true = np.exp(-lag / memory) if memory else np.eye(n)
    inverse = np.linalg.inv(jacobian.T @ jacobian)
    width = np.sqrt(np.diag(inverse @ jacobian.T @ true @ jacobian @ inverse))
    width = np.maximum(width, np.sqrt(np.diag(inverse)))  # no more is told than is declared
    inside, wide, draws = 0, np.zeros(4), 120
    for _ in range(draws):
        off, covariance = told(jacobian, persistent(rng, n, memory))
        sd = np.sqrt(np.diag(covariance))
        inside += int((np.abs(off) < 1.96 * sd).sum())
        wide += sd / width / draws
    assert 0.92 < inside / (4 * draws) < 0.99
    assert (wide > 0.9).all()
    assert (wide < 1.3).all()


def test_error_bars_do_not_depend_on_the_step():
    """The same record at 30 minutes, one and two hours."""
    rng = np.random.default_rng(11)
    n, step = 48 * 60, 0.5
    errors, jacobian = persistent(rng, n, 10.0, step), design(n, step)[:, :3]
    found = [np.sqrt(np.diag(told(jacobian[::k], errors[::k])[1])) for k in (1, 2, 4)]
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=0.1)


def test_errors_of_two_streams_that_are_the_same_count_once():
    rng, n = np.random.default_rng(3), 400
    jacobian, errors = design(n), persistent(rng, n, 0.0)
    hessian = jacobian.T @ jacobian
    residual = errors - jacobian @ np.linalg.solve(hessian, jacobian.T @ errors)
    twice = StreamRows(
        np.stack([residual] * 2, axis=1), np.stack([jacobian] * 2, axis=1), np.ones((n, 2), bool)
    )
    found = what_is_told(twice, np.zeros((4, 4)), np.ones(4, bool), np.ones(2), declared=True)
    whole = found.share * 2.0 * hessian + found.rows.T @ found.rows
    sd = np.sqrt(np.diag(np.linalg.inv(whole)))
    once = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert (sd > 0.85 * once).all()  # independent streams would give 0.71


def test_godambe_is_the_inverse_of_the_sandwich():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((9, 4)), rng.standard_normal((9, 4))
    data, middle = a.T @ a, a.T @ a + b.T @ b
    found = godambe(data, middle, data, np.zeros((4, 4)), np.ones(4, bool))
    inverse = np.linalg.inv(data)
    np.testing.assert_allclose(np.linalg.inv(found), inverse @ middle @ inverse, rtol=1e-9)


# -- problems ---------------------------------------------------------------------------------

X = np.linspace(-1.0, 1.0, 201)


def noisy_line(memory: float, size: float = 1.0, **priors) -> object:
    rng = np.random.default_rng(8)
    y = 1.0 + 2.0 * X + size * 0.1 * persistent(rng, len(X), memory)
    return line_problem(X, y, 0.1, **priors)


def test_no_posterior_is_wider_than_its_prior():
    """Errors ten times as large as declared, and persistent: the prior stays what it is."""
    problem = noisy_line(12.0, 10.0, slope=Normal(1.5, 0.2), intercept=Normal(0.8, 0.1))
    result = estimate(problem, unknown=Unknown(information="weights"))
    for name, sd in (("slope", 0.2), ("intercept", 0.1)):
        found = result.parameters[name]
        assert found.sd < sd
        assert abs(found.estimate - {"slope": 1.5, "intercept": 0.8}[name]) < 2.0 * sd
    told = result.hyperparameters.information
    assert told.factors["surface_temperature"] < 0.01


def test_weights_as_declared_leave_the_optimum_where_it_is():
    problem = noisy_line(5.0, 3.0)
    plain = estimate(problem)
    bars = estimate(problem, unknown=Unknown(information="bars"))
    np.testing.assert_allclose(bars.u, plain.u, rtol=1e-9)
    for name in plain.names:
        assert bars.parameters[name].sd == pytest.approx(plain.parameters[name].sd, rel=1e-6)
        assert bars.parameters[name].sd > 2.0 * bars.parameters[name].sd_naive


def test_the_optimum_of_a_flat_prior_is_that_of_the_powers_and_its_curvature_what_is_told():
    problem = noisy_line(5.0, 3.0)
    result = estimate(problem)
    bars = posterior(problem, result.u)
    whole = with_information(problem, information_at(problem, result.u, declared=True))
    again = estimate(whole, starts=jnp.asarray(result.u + 0.3)[None])
    np.testing.assert_allclose(again.u, result.u, rtol=1e-6)
    np.testing.assert_allclose(posterior(whole, again.u).covariance, bars.covariance, rtol=1e-5)


def test_profile_and_gaussian_agree_on_a_straight_line():
    problem = noisy_line(5.0, 3.0)
    result = estimate(problem, unknown=Unknown(information="weights"))
    whole = with_hyperparameters(problem, result.hyperparameters)
    found = profile(whole, result.u)
    for name in result.names:
        ends = [end.value for end in found.parameters[name].intervals[0.95]]
        np.testing.assert_allclose(ends, result.parameters[name].interval, rtol=1e-3)


def test_hyperparameters_come_back_from_what_was_written():
    problem = noisy_line(5.0, 3.0)
    found = estimate(problem, unknown=Unknown(information="weights")).hyperparameters
    again = type(found).from_dict(dataclasses.asdict(found))
    assert again == found
    one, other = (with_hyperparameters(problem, h) for h in (found, again))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), one, other))


def test_derivatives_of_a_weighed_problem():
    """Reverse = forward = finite differences, and the normal equations of them."""
    priors = {"k": Flat(0.0, 4.0), "c": Normal(1.0, 0.5)}
    rng = np.random.default_rng(2)
    y = np.exp(-1.3 * np.abs(X)) + 0.1 * persistent(rng, len(X), 6.0)
    problem = make_problem(
        lambda p, f: p["c"] * jnp.exp(-p["k"] * f["x"]),
        priors,
        {"k": 1.0, "c": 1.0},
        {"x": np.abs(X)},
        y,
        0.05,
    )
    result = estimate(problem, unknown=Unknown(information="weights"))
    whole = with_hyperparameters(problem, result.hyperparameters)
    assert float(jnp.abs(whole.adjustment.root).max()) > 0.0
    u = jnp.asarray(result.u) + jnp.asarray([0.3, -0.2])
    reverse, forward = jax.grad(whole.cost)(u), jax.jacfwd(whole.cost)(u)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10)
    step = 1e-6 * np.eye(2)
    difference = [(whole.cost(u + h) - whole.cost(u - h)) / 2e-6 for h in step]
    np.testing.assert_allclose(reverse, difference, rtol=1e-6)
    equations = whole.normal_equations(u)
    residual, jacobian = whole.linearise(u)
    np.testing.assert_allclose(equations.cost, whole.cost(u), rtol=1e-12)
    np.testing.assert_allclose(equations.gradient, reverse, rtol=1e-10)
    np.testing.assert_allclose(equations.hessian, jacobian.T @ jacobian, rtol=1e-10)
    np.testing.assert_allclose(residual, whole.residual(u), rtol=1e-9, atol=1e-12)


# -- beside bounds ------------------------------------------------------------------------------


def scaled(upper: float, truth: float) -> object:
    problem = make_problem(
        lambda p, f: p["a"] * f["x"],
        {"a": Flat(0.0, upper)},
        {"a": 0.5 * upper},
        {"x": np.ones(50)},
        np.full(50, truth),
        0.1,
    )
    return problem


@pytest.mark.parametrize("away", [0.05, 0.5, 1.0, 1.9])
def test_an_interval_beside_a_bound_is_cut_off_there(away):
    """In the bent coordinate it was hundreds of standard deviations wide."""
    sd = 0.1 / np.sqrt(50.0)
    found = estimate(scaled(1.0, 1.0 - away * sd)).parameters["a"]
    low, high = found.interval
    reach = (found.estimate - low) / found.sd
    assert reach == pytest.approx(1.96, rel=0.02)
    assert high == pytest.approx(1.0, abs=1e-9)


def test_an_interval_of_a_parameter_on_its_bound_has_an_end_inside():
    sd = 0.1 / np.sqrt(50.0)
    found = estimate(scaled(1.0, 1.0 + sd)).parameters["a"]
    assert found.at_bound
    low, high = found.interval
    # (a - 1 - sd)^2 / sd^2 rises by 1.96^2 from that at the bound.
    assert low == pytest.approx(1.0 + sd - sd * np.sqrt(1.0 + 1.959964**2), rel=1e-3)
    assert high == pytest.approx(1.0)


def test_others_are_not_conditional_on_a_parameter_on_its_bound():
    """Two parameters that the data hardly tell apart: the profile of the free one is wide."""
    x = np.linspace(1.0, 1.3, 60)
    sigma = 0.02
    y = 0.5 + 1.02 * x + sigma * np.cos(7.0 * np.arange(60.0) ** 2)
    problem = line_problem(x, y, sigma, slope=Flat(0.0, 1.0), intercept=Flat(-2.0, 3.0))
    result = estimate(problem)
    assert result.parameters["slope"].at_bound
    found = result.parameters["intercept"]
    whole = with_information(problem, information_at(problem, result.u, declared=True))
    ends = [end.value for end in profile(whole, result.u).parameters["intercept"].intervals[0.95]]
    np.testing.assert_allclose(found.interval, ends, rtol=0.03)
    conditional = sigma / np.sqrt(60.0)
    assert found.interval[1] - found.interval[0] > 6.0 * conditional
    assert found.sd > 2.0 * conditional


def test_a_model_that_is_not_finite_has_no_error_bar():
    """Slopes may be finite where values are not."""
    problem = make_problem(
        lambda p, f: p["k"] * f["x"] + jnp.sqrt(-1.0 - f["x"] ** 2),
        {"k": Flat(0.0, 2.0)},
        {"k": 0.3},
        {"x": X},
        X,
        0.1,
    )
    result = estimate(problem)
    assert not result.converged
    assert np.isnan(result.parameters["k"].sd)
    assert np.isnan(result.parameters["k"].interval).all()


def test_observations_can_be_exchanged():
    problem = noisy_line(0.0)
    other = with_observed(problem, np.asarray(problem.observations.values) + 1.0)
    first, second = (estimate(p, unknown=Unknown(information="bars")) for p in (problem, other))
    assert second.parameters["intercept"].estimate == pytest.approx(
        first.parameters["intercept"].estimate + 1.0
    )


# -- what is said of it ---------------------------------------------------------------------------


def kinds(result) -> set[str]:
    return {remark.kind for remark in result.remarks}


def test_a_record_too_short_for_the_memory_of_its_errors_is_said():
    long = estimate(noisy_line(3.0), unknown=Unknown(information="bars"))
    assert "short-record" not in kinds(long)
    drift = np.cos(np.linspace(0.0, np.pi, len(X))) ** 3
    short = line_problem(X, 1.0 + 2.0 * X + drift, 0.1)
    result = estimate(short, unknown=Unknown(information="weights"))
    (said,) = [r.sentence for r in result.remarks if r.kind == "short-record"]
    assert "too short to tell how long errors last" in said


def test_priors_that_declared_weights_outvote_are_said():
    problem = noisy_line(12.0, 10.0, slope=Normal(1.5, 0.2))
    bars = estimate(problem, unknown=Unknown(information="bars"))
    (said,) = [r.sentence for r in bars.remarks if r.kind == "weights"]
    assert said.startswith("The priors of slope count little")
    assert "weights" not in kinds(estimate(problem, unknown=Unknown(information="weights")))
    assert "weights" not in kinds(estimate(noisy_line(12.0), unknown=Unknown(information="bars")))


def test_weights_of_streams_settle_once_and_what_does_not_settle_is_said(monkeypatch):
    x, rng = np.linspace(0.0, 1.0, 60), np.random.default_rng(4)
    problem = line_problem(x, 1.0 + x**2 + 0.1 * rng.standard_normal(60), 0.05)
    u = np.asarray(problem.space.initial())
    told = information_at(with_information(problem, None), u)
    assert told is not None
    half = dataclasses.replace(told, factors={n: 0.5 * f for n, f in told.factors.items()})
    again = information_at(with_information(problem, half), u, settled=half)
    assert again is not None
    assert again.factors == half.factors
    assert again.inflation == told.inflation
    module = importlib.import_module("caliche.estimation.hyperparameters")
    monkeypatch.setattr(module, "MOST_ITERATIONS", 1)
    result = estimate(problem, unknown=Unknown(information="weights"))
    assert not result.converged
    assert result.reason.endswith("has not settled after 1 round")
