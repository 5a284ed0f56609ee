"""Window by window against closed forms: a linear problem at once, and a Kalman filter."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from caliche.assimilation import windows
from caliche.assimilation.forecast import innovation_chi_square
from caliche.assimilation.windows import WindowSettings
from caliche.errors import InputError
from caliche.estimation.curvature import linearised
from caliche.estimation.descent.levenberg_marquardt import LevenbergMarquardt
from caliche.observations import Nuisance, Stream
from caliche.problems.window import carry, cut, first_of_all, window_problem
from problems import SEEN, line_problem
from reservoir_cases import (
    KEEP,
    MEAN,
    SCALE,
    SIGMA,
    STEPS,
    draws,
    posterior_of,
    reservoir,
    rows,
    standardised,
)

TO_ROUND_OFF = LevenbergMarquardt(tolerance=1e-11)


def assimilate_windows(problem, settings, store=None):
    return windows.assimilate_windows(problem, settings, TO_ROUND_OFF, store)


def test_windows_of_a_linear_problem_give_what_the_whole_record_gives():
    values, forcing = draws()
    found = assimilate_windows(reservoir(values, forcing), WindowSettings(STEPS))
    assert len(found) == 4
    assert all(window.record["converged"] for window in found)
    jacobian, innovation, times = standardised(values, forcing, KEEP)
    for window in found:  # filtered: what the record up to its end gives
        until = times <= window.record["last"]
        u, covariance = posterior_of(jacobian.sum(axis=1)[until], innovation[until], np.eye(3))
        np.testing.assert_allclose(window.u, u, atol=1e-9)
        np.testing.assert_allclose(np.linalg.inv(window.handed.information), covariance, rtol=1e-8)
        naive = [p["sd_naive"] for p in window.record["parameters"].values()]
        np.testing.assert_allclose(naive, SCALE * np.sqrt(np.diag(covariance)), rtol=1e-8)


def test_error_bars_are_the_sandwich_over_all_windows():
    values, forcing = draws(jump=1.0)  # so that residuals are too large
    found = assimilate_windows(reservoir(values, forcing), WindowSettings(STEPS))
    jacobian, _, times = standardised(values, forcing, KEEP)
    jacobian = jacobian.sum(axis=1)
    middle, factors = np.eye(3), []
    for window in found:
        own = (times >= window.record["first"]) & (times <= window.record["last"])
        factors.append(window.record["residuals"][SEEN]["inflation"])
        middle += factors[-1] * jacobian[own].T @ jacobian[own]
    assert max(factors) > 2.0
    outside = np.linalg.inv(jacobian.T @ jacobian + np.eye(3))
    # One factor a window is the mean over the directions, of which each has its own.
    sd = np.sqrt(np.diag(found[-1].covariance_u))
    np.testing.assert_allclose(sd, np.sqrt(np.diag(outside @ middle @ outside)), rtol=0.5)
    assert (sd > 1.2 * np.sqrt(np.diag(outside))).any()


def test_the_forecast_is_made_before_and_its_innovations_have_their_chi_square():
    values, forcing = draws()
    found = assimilate_windows(reservoir(values, forcing), WindowSettings(STEPS))
    jacobian, innovation, times = standardised(values, forcing, KEEP)
    jacobian = jacobian.sum(axis=1)
    for before, window in pairwise([None, *found]):
        first, last = window.record["first"], window.record["last"]
        past, own = times < first, (times >= first) & (times <= last)
        u, covariance = posterior_of(jacobian[past], innovation[past], np.eye(3))
        assert before is None or before.record["last"] == first - 1
        d = innovation[own] - jacobian[own] @ u
        spread = np.eye(own.sum()) + jacobian[own] @ covariance @ jacobian[own].T
        entry = window.record["innovations"][SEEN]
        assert entry["n"] == entry["freedom"] == own.sum()
        assert entry["chi_square"] == pytest.approx(d @ np.linalg.solve(spread, d), rel=1e-8)
        assert entry["rmse"] == pytest.approx(SIGMA * np.sqrt(np.mean(d**2)), rel=1e-8)
        assert entry["bias"] == pytest.approx(-SIGMA * d.mean(), rel=1e-8)
        error = window.forecast[times[own] - first, 0] - values[times[own]]
        np.testing.assert_allclose(error, -SIGMA * d, atol=1e-8)


def test_forgetting_weights_the_observations_by_their_age():
    values, forcing = draws()
    settings = WindowSettings(STEPS, forget=1.7)
    last = assimilate_windows(reservoir(values, forcing), settings)[-1]
    jacobian, innovation, times = standardised(values, forcing, KEEP)
    age = 3 - np.clip((times - 1) // STEPS, 0, None)
    root = 1.7 ** (-0.5 * age)
    u, covariance = posterior_of(root[:, None] * jacobian.sum(axis=1), root * innovation, np.eye(3))
    np.testing.assert_allclose(last.u, u, atol=1e-9)
    naive = [p["sd_naive"] for p in last.record["parameters"].values()]
    np.testing.assert_allclose(naive, SCALE * np.sqrt(np.diag(covariance)), rtol=1e-8)


def wandering(jacobian: np.ndarray, drift: float) -> tuple[np.ndarray, np.ndarray]:
    """Jacobian (n, window * 3) and prior of the parameters of all windows, a random walk; w0 acts
    in the first alone."""
    windows = jacobian.shape[1]
    steps = np.where(np.arange(windows) == 0, 1.0, drift**2)
    walk = np.tril(np.ones((windows, windows)))
    prior = np.kron((walk * steps) @ walk.T, np.eye(3))
    return jacobian.reshape(len(jacobian), -1), prior


@pytest.mark.parametrize(("keep", "tolerance"), [(0.0, 1e-8), (KEEP, 0.15)])
def test_drifting_parameters_are_those_of_a_kalman_filter(keep, tolerance):
    """Exactly so where windows do not remember each other, and nearly where they do."""
    values, forcing = draws(keep)
    problem = reservoir(values, forcing, keep)
    last = assimilate_windows(problem, WindowSettings(STEPS, drift=0.5))[-1]
    jacobian, innovation, _ = standardised(values, forcing, keep)
    together, prior = wandering(jacobian, 0.5)
    mean, covariance = posterior_of(together, innovation, prior)
    sd = np.sqrt(np.diag(covariance))[-3:]
    np.testing.assert_allclose(last.u / sd, mean[-3:] / sd, atol=tolerance)
    naive = [p["sd_naive"] for p in last.record["parameters"].values()]
    np.testing.assert_allclose(naive / SCALE, sd, rtol=tolerance)


@pytest.mark.parametrize(
    ("keep", "settings"),
    [
        (0.0, {"drift": 0.5}),
        (KEEP, {"drift": 0.5}),
        (KEEP, {"drift": {"w1": 0.7}}),
        (0.0, {"forget": 30.0}),  # the state's memory is that of constant parameters
    ],
)
def test_a_parameter_that_jumps_is_followed(keep, settings):
    values, forcing = draws(keep, jump=0.8)
    found = assimilate_windows(reservoir(values, forcing, keep), WindowSettings(STEPS, **settings))
    for window, truth in ((found[1], 0.7), (found[2], 1.5)):
        w1 = window.record["parameters"]["w1"]
        assert abs(w1["estimate"] - truth) < min(2.5 * w1["sd_naive"], 0.2)


@pytest.mark.parametrize("keep", [0.0, KEEP])
def test_a_parameter_that_jumps_is_missed_where_nothing_may_drift(keep):
    values, forcing = draws(keep, jump=0.8)
    last = assimilate_windows(reservoir(values, forcing, keep), WindowSettings(STEPS))[-1]
    w1 = last.record["parameters"]["w1"]
    assert abs(w1["estimate"] - 1.5) > 5.0 * w1["sd_naive"]
    assert last.record["shift"] is not None


def test_the_state_is_handed_on_with_its_derivative():
    values, forcing = draws()
    problem = reservoir(values, forcing)
    pieces = cut(problem, STEPS)
    first = window_problem(problem, pieces[0], first_of_all(problem))
    u = np.array([0.3, -0.2, 0.5])
    state, slopes = carry(first, u, pieces[0].carry)
    jacobian = rows(forcing, KEEP)[STEPS].sum(axis=0)
    np.testing.assert_allclose(slopes, jacobian[None], rtol=1e-12)
    assert state[0] == pytest.approx(jacobian / SCALE @ (MEAN + SCALE * u))


def test_a_window_starts_from_what_it_was_handed_and_parameters_stay_those_of_the_model():
    problem = reservoir(*draws())
    pieces, u = cut(problem, STEPS), np.array([0.3, -0.2, 0.5])
    first = window_problem(problem, pieces[0], first_of_all(problem))
    state, slopes = carry(first, u, pieces[0].carry)
    handed = dataclasses.replace(first_of_all(problem), state=state, slopes=slopes, centre=u)
    second = window_problem(problem, pieces[1], handed)
    moved = jnp.asarray(u + 0.1)
    params = second.space.to_physical(moved)
    assert set(params) == {d.name for d in problem.space.declarations}
    assert second.model is problem.model
    start = ravel_pytree(second.initial_state(moved, params))[0]
    np.testing.assert_allclose(start, state + slopes @ np.full(3, 0.1), rtol=1e-14)
    assert problem.initial_state(moved, params) is None


def test_means_and_clocks_reach_across_the_cuts():
    """Observations that need the model before and after their window count in full."""
    values, forcing = draws()
    more = {
        "streams": [Stream(SEEN, 5)],
        "nuisances": [Nuisance("clock", "clock-offset", (SEEN,), -1.0, 1.0)],
    }
    problem = reservoir(values, forcing, **more)
    # After a spin-up as long as what windows look back on, so that one program serves all of them.
    found = assimilate_windows(problem, WindowSettings(STEPS, lead=6))
    assert [w.record["last"] for w in found] == [23, 40, 57, 60]
    assert sum(w.record["observations"] for w in found) == problem.n_observations
    residual, jacobian = linearised(problem, np.zeros(3))
    u = -np.linalg.solve(jacobian.T @ jacobian, jacobian.T @ residual)
    np.testing.assert_allclose(found[-1].u, u, atol=1e-9)


def test_flat_priors_and_windows_without_observations():
    """A line through y(x): nothing is known of it until the third window."""
    x = np.arange(61.0)
    y = 2.0 + 0.3 * x + np.cos(3.0 * x)
    y[1:36] = np.nan  # one value in the first window of 17 steps, none in the second
    found = assimilate_windows(line_problem(x, y), WindowSettings(STEPS))
    assert [w.record["observations"] for w in found] == [1, 0, 16, 9]
    assert found[1].record["reason"] == "no observations: carried through"
    assert np.isinf(found[0].record["parameters"]["slope"]["sd"])
    seen = np.isfinite(y)
    slope, intercept = np.polyfit(x[seen], y[seen], 1)
    last = {n: p["estimate"] for n, p in found[-1].record["parameters"].items()}
    assert last["slope"] == pytest.approx(slope, rel=1e-8)
    assert last["intercept"] == pytest.approx(intercept, rel=1e-8)
    # Two unknowns, of which the first value tells one and the third window the other.
    freedom = [w.record["innovations"].get(SEEN, {}).get("freedom") for w in found]
    assert freedom == [0, None, 15, 9]


class Kept(dict):
    """A store in memory."""

    def read(self, number):
        return self.get(number)

    def write(self, number, analysis):
        self[number] = analysis


def test_windows_that_are_kept_are_not_computed_again():
    values, forcing = draws()
    problem, settings = reservoir(values, forcing), WindowSettings(STEPS, drift=0.2)
    store = Kept()
    whole = assimilate_windows(problem, settings, store=store)
    for number in (2, 3):
        del store[number]
    again = assimilate_windows(problem, settings, store=store)
    assert again[1] is whole[1]
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a.u, b.u)
        np.testing.assert_array_equal(a.covariance_u, b.covariance_u)
        np.testing.assert_array_equal(a.handed.slopes, b.handed.slopes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 61}, "a window of 1 to 60 time steps"),
        ({"steps": 0}, "a window of 1 to 60 time steps"),
        ({"steps": 17, "drift": -0.1}, "drift of 0 or more"),
        ({"steps": 17, "forget": 0.9}, "forget of 1 or more"),
        ({"steps": 17, "forget": np.nan}, "forget of 1 or more"),
        ({"steps": 17, "forget": 1.2, "drift": 0.1}, "either drift or forget"),
        ({"steps": 17, "drift": {"w3": 0.1}}, "a free parameter that drifts"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    values, forcing = draws()
    with pytest.raises(InputError, match=words):
        assimilate_windows(reservoir(values, forcing), WindowSettings(**settings))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 3))
def test_chi_square_of_innovations_is_that_of_their_covariance(seed, p, unknown):
    """Also with directions of which nothing is known: the limit of a prior without end."""
    draw = np.random.default_rng(seed)
    unknown = min(unknown, p)
    slopes, innovation = draw.normal(size=(9, p)), draw.normal(size=9)
    precision = np.concatenate([np.zeros(unknown), draw.uniform(0.5, 2.0, p - unknown)])
    found, freedom = innovation_chi_square(innovation, slopes, np.diag(precision))
    variance = np.where(precision > 0.0, 1.0 / np.where(precision > 0.0, precision, 1.0), 1e9)
    spread = np.eye(9) + (slopes * variance) @ slopes.T
    assert found == pytest.approx(innovation @ np.linalg.solve(spread, innovation), rel=1e-4)
    assert freedom == pytest.approx(9 - unknown)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0), st.integers(0, 2))
def test_freedom_is_the_average_chi_square_of_a_stream_that_counts_less(seed, power, unknown):
    """Its errors have the variance `power` where J takes them to have 1."""
    draw = np.random.default_rng(seed)
    slopes = draw.normal(size=(9, 3))
    precision = np.concatenate([np.zeros(unknown), draw.uniform(0.5, 2.0, 3 - unknown)])
    _, freedom = innovation_chi_square(np.zeros(9), slopes, np.diag(precision), power)
    variance = np.where(precision > 0.0, 1.0 / np.where(precision > 0.0, precision, 1.0), 1e9)
    scatter = (slopes * np.where(precision > 0.0, variance, 0.0)) @ slopes.T
    spread = np.eye(9) + (slopes * variance) @ slopes.T
    average = np.trace(np.linalg.solve(spread, power * np.eye(9) + scatter))
    assert freedom == pytest.approx(average, rel=1e-5)
