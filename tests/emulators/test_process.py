"""The Gaussian process of the emulators against numbers and identities known from elsewhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import f

from caliche.emulators.basis import CONSTANT, LINEAR, QUADRATIC, determined, richest
from caliche.emulators.box import Box
from caliche.emulators.covariance import KERNELS, MATERN, SQUARED, covariance
from caliche.emulators.leave_out import leave_out
from caliche.emulators.process import (
    correlation,
    factorise,
    joint_at,
    likelihood_and_slope,
    moments_at,
    process_of,
    slopes_at,
    unpack,
)
from caliche.emulators.rows import Rows, padded, rows_of, thinned
from caliche.emulators.runs import Runs
from caliche.emulators.search import search

# -- three values and three slopes, with a mean of zero: two independent codes agree -------------

POINTS = jnp.array([[0.0], [0.4], [1.0]])
KNOWN = jnp.array([1.0, -0.5, 0.3, -2.0, 1.0, 0.5])
NOISE = jnp.array([0.01] * 3 + [0.04] * 3)
ORACLE = {
    SQUARED: (
        [0.02202512, 0.21259356],
        [0.00499309, 0.00496424],
        -37.50042674512553,
        -81.8085489,
    ),
    MATERN: (
        [0.06421600, 0.09029048],
        [0.01233276, 0.04567266],
        -11.252841965663118,
        -14.4687784,
    ),
}


def gaussian(kernel: str, scale: jax.Array) -> jax.Array:
    r = covariance(kernel, scale[None], POINTS, POINTS, POINTS, POINTS) + jnp.diag(NOISE)
    lower = jnp.linalg.cholesky(r)
    e = jax.scipy.linalg.solve_triangular(lower, KNOWN, lower=True)
    return -0.5 * e @ e - jnp.sum(jnp.log(jnp.diag(lower))) - 3.0 * jnp.log(2.0 * jnp.pi)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_process_with_slopes_gives_the_numbers_of_two_other_codes(kernel):
    mean, variance, likelihood, slope = ORACLE[kernel]
    at, nothing = jnp.array([[0.2], [0.7]]), jnp.zeros((0, 1))
    scales = jnp.array([0.5])
    r = covariance(kernel, scales, POINTS, POINTS, POINTS, POINTS) + jnp.diag(NOISE)
    k = covariance(kernel, scales, at, nothing, POINTS, POINTS)
    solved = jnp.linalg.solve(r, k.T)
    assert k @ jnp.linalg.solve(r, KNOWN) == pytest.approx(np.array(mean), abs=6e-9)
    assert 1.0 - jnp.sum(k.T * solved, axis=0) == pytest.approx(np.array(variance), abs=6e-9)
    value, by_scale = jax.value_and_grad(lambda s: gaussian(kernel, s))(jnp.asarray(0.5))
    assert value == pytest.approx(likelihood, abs=1e-9)
    assert by_scale == pytest.approx(slope, abs=6e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_covariances_of_slopes_are_derivatives_of_the_kernel(kernel):
    random = np.random.default_rng(0)
    x, y = jnp.asarray(random.normal(size=(2, 3)))
    scales, nothing = jnp.array([0.7, 1.3, 2.0]), jnp.zeros((0, 3))

    def k(x: jax.Array, y: jax.Array) -> jax.Array:
        return covariance(kernel, scales, x[None], nothing, y[None], nothing)[0, 0]

    whole = covariance(kernel, scales, x[None], x[None], y[None], y[None])
    assert jnp.allclose(whole[0, 1:], jax.grad(k, 1)(x, y), atol=1e-14)
    assert jnp.allclose(whole[1:, 0], jax.grad(k, 0)(x, y), atol=1e-14)
    mixed = jax.jacfwd(jax.grad(k, 0), 1)(x, y)
    assert jnp.allclose(whole[1:, 1:], mixed, atol=1e-13)
    same = covariance(kernel, scales, x[None], x[None], x[None], x[None])
    assert jnp.all(
        jnp.isfinite(jax.jacfwd(lambda s: covariance(kernel, s, *[x[None]] * 4))(scales))
    )
    assert jnp.linalg.eigvalsh(same).min() > 0.0


# -- fits -----------------------------------------------------------------------------------------

P = 3
BOX = Box(np.full(P, -1.0), np.full(P, 1.0))


def runs_of(function, n: int, seed: int = 0, p: int = P) -> Runs:
    u = np.random.default_rng(seed).uniform(-1.0, 1.0, (n, p))
    values, slopes = jax.vmap(jax.value_and_grad(function))(jnp.asarray(u))
    return Runs(u, np.asarray(values)[:, None], np.asarray(slopes)[:, None])


def curved(u: jax.Array) -> jax.Array:
    return jnp.sin(1.5 * u[0] + u[1]) + 0.5 * u[2] ** 2 + 0.3 * u[0] * u[2]


def rows(runs: Runs, slopes: bool = True, box: Box = BOX) -> Rows:
    return rows_of(runs, box, np.zeros(1), np.ones(1), slopes)


def made(kernel: str, basis: str, rows: Rows, log_theta: np.ndarray, weight=(1.0,)):
    log_theta = np.atleast_2d(log_theta)
    return process_of(
        kernel,
        basis,
        rows,
        rows.y[0],
        jnp.asarray(log_theta),
        jnp.asarray(weight),
        jnp.asarray(1.0),
    )


THETA = np.log([1.5, 2.0, 2.5, 1e-8, 1e-7])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("slopes", [False, True])
def test_the_slope_of_the_likelihood_is_exact(kernel, slopes):
    mine = rows(runs_of(curved, 11), slopes)
    log_theta = np.log([1.5, 2.0, 2.5, 1e-3, 2e-3])
    value, slope = likelihood_and_slope(kernel, LINEAR, mine, mine.y[0], jnp.asarray(log_theta))

    def plain(t: jax.Array) -> jax.Array:
        matrix = correlation(kernel, mine, unpack(t))
        return factorise(mine, mine.y[0], LINEAR, matrix).log_likelihood

    assert value == pytest.approx(float(plain(jnp.asarray(log_theta))), abs=1e-10)
    for k in range(5):
        step = np.eye(5)[k] * 1e-5
        up, down = plain(jnp.asarray(log_theta + step)), plain(jnp.asarray(log_theta - step))
        assert slope[k] == pytest.approx(float(up - down) / 2e-5, abs=2e-5)


def test_rows_that_fill_up_change_no_number():
    runs = runs_of(curved, 9)
    short = rows(runs)
    assert len(short.points) == 12
    wide = rows(runs.joined(runs_of(curved, 8, 1)))
    for run in range(9, 17):
        wide = wide.without(run)
    assert float(short.count) == float(wide.count) == 36.0
    one, other = (likelihood_and_slope(MATERN, LINEAR, r, r.y[0], THETA) for r in (short, wide))
    assert one[0] == pytest.approx(float(other[0]), abs=1e-7)
    at = jnp.array([[0.1, -0.3, 0.4]])
    first, second = (moments_at(made(MATERN, LINEAR, r, THETA), at) for r in (short, wide))
    assert first[0][0] == pytest.approx(float(second[0][0]), abs=1e-9)
    assert first[1][0] == pytest.approx(float(second[1][0]), rel=1e-6)
    assert [padded(n) for n in (0, 1, 8, 9, 12, 13, 17, 25, 33)] == [
        0,
        8,
        8,
        12,
        12,
        16,
        24,
        32,
        48,
    ]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_quadratic_is_exact_from_one_run_more_than_parameters_and_not_from_fewer(kernel):
    a = jnp.array([[1.0, 0.3, -0.2], [0.3, -0.5, 0.4], [-0.2, 0.4, 0.8]])

    def quadratic(u: jax.Array) -> jax.Array:
        return 2.0 + u @ a @ u + u @ jnp.array([1.0, -2.0, 0.5])

    new = runs_of(quadratic, 20, 9)
    for n, exact in ((P + 1, True), (P, False)):
        mine = rows(runs_of(quadratic, n))
        x = np.asarray(mine.points)[:n]
        assert determined(QUADRATIC, x, x) is exact
        basis = richest(QUADRATIC, x, x)
        assert basis == (QUADRATIC if exact else LINEAR)
        process = made(kernel, basis, mine, THETA)
        error = moments_at(process, jnp.asarray(new.u))[0] - new.values[:, 0]
        assert bool(np.abs(error).max() < 1e-8) is exact
    # Values alone would need a run for every coefficient, and some for the variance.
    x = np.asarray(runs_of(quadratic, 12).u)
    assert not determined(QUADRATIC, x, x[:0])
    assert richest(QUADRATIC, x, x[:0]) == LINEAR
    assert richest(QUADRATIC, x[:4], x[:0]) == CONSTANT


def test_a_line_is_exact_from_one_run_with_slopes():
    def line(u: jax.Array) -> jax.Array:
        return 3.0 + u @ jnp.array([1.0, -2.0, 0.5])

    mine = rows(runs_of(line, 1))
    # One run of P = 3 gives 4 numbers for 4 coefficients: nothing is left for a variance.
    assert richest(LINEAR, np.asarray(mine.points)[:1], np.asarray(mine.slopes_at)[:1]) == CONSTANT
    matrix = correlation(MATERN, mine, unpack(jnp.asarray(THETA)))
    beta = factorise(mine, mine.y[0], LINEAR, matrix).beta
    assert beta == pytest.approx(np.array([3.0, 1.0, -2.0, 0.5]), abs=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("slopes", [False, True])
def test_leaving_a_run_out_in_closed_form_equals_the_fit_without_it(kernel, slopes):
    runs, theta = runs_of(curved, 10), np.log([1.5, 2.0, 2.5, 1e-5, 1e-4])
    mine = rows(runs, slopes)
    left = leave_out(kernel, LINEAR, mine, np.asarray(mine.y[0]), theta, 10)
    whole = made(kernel, LINEAR, mine, theta)
    for run in (0, 7):
        without = made(kernel, LINEAR, mine.without(run), theta)
        mean, variance = (part[0] for part in moments_at(without, jnp.asarray(runs.u[[run]])))
        assert left.residual[run] == pytest.approx(runs.values[run, 0] - float(mean), abs=1e-9)
        # At the sigma^2 of all runs, without the factor of Student's t; the nugget's floor, N over
        # the worst condition, differs between the two.
        own = float(variance / without.t_factor * whole.variance[0] / without.variance[0])
        assert left.sd[run] ** 2 == pytest.approx(own, rel=1e-5)


def test_exchanged_and_scaled_inputs_give_the_same_process():
    runs = runs_of(curved, 9)
    mine, order = rows(runs), np.array([2, 0, 1])
    assert runs.slopes is not None
    turned = Runs(runs.u[:, order], runs.values, runs.slopes[:, :, order])
    other = rows(turned)
    theta = np.concatenate([THETA[:3][order], THETA[3:]])
    one, _ = likelihood_and_slope(MATERN, LINEAR, mine, mine.y[0], jnp.asarray(THETA))
    two, _ = likelihood_and_slope(MATERN, LINEAR, other, other.y[0], jnp.asarray(theta))
    assert one == pytest.approx(float(two), abs=1e-8)
    # Inputs times c: length-scales times c, slopes over c. 27 slopes give -27 ln c in the density
    # of the data, and the P linear coefficients +P ln c in the restricted likelihood.
    c = 2.0
    small = rows(Runs(runs.u / c, runs.values, runs.slopes * c))
    shrunk = np.concatenate([THETA[:3] - np.log(c), THETA[3:]])
    three, _ = likelihood_and_slope(MATERN, LINEAR, small, small.y[0], jnp.asarray(shrunk))
    assert three == pytest.approx(float(one) - (27 - P) * np.log(c), abs=1e-7)


def test_means_and_variances_of_one_point_and_of_several_agree():
    mine = rows(runs_of(curved, 8))
    theta = np.stack([THETA, THETA + 0.1])
    process = made(MATERN, LINEAR, mine, theta, weight=(0.5, 0.5))
    x = jnp.asarray(runs_of(curved, 4, 3).u)
    mean, variance = moments_at(process, x)
    means, covariance_ = joint_at(process, x)
    assert jnp.allclose(mean, means, atol=1e-12)
    assert jnp.allclose(variance, jnp.diag(covariance_), rtol=1e-9)
    assert np.linalg.eigvalsh(covariance_).min() > 0.0
    slopes, step = slopes_at(process, x), 1e-5
    for k in range(P):
        along = step * np.eye(P)[k]
        up, down = (moments_at(process, np.asarray(x) + sign * along)[0] for sign in (1.0, -1.0))
        assert slopes[:, k] == pytest.approx(np.asarray(up - down) / (2.0 * step), abs=1e-6)
    # At its runs it gives their values, and their slopes.
    at = mine.points[:4]
    assert moments_at(process, at)[0] == pytest.approx(np.asarray(mine.y[0, :4]), abs=1e-6)
    known = np.asarray(mine.y[0, 8:20]).reshape(4, P)
    assert slopes_at(process, at) == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_draws_of_the_prior_are_predicted_with_the_declared_variance(kernel):
    random, n, m, draws = np.random.default_rng(1), 8, 12, 100
    x = random.uniform(-1.0, 1.0, (n + m, P))
    scales = jnp.exp(THETA[:3])
    whole = covariance(kernel, scales, x, x[:n], x, x[:n]) + 1e-10 * jnp.eye(n + m + n * P)
    root = np.linalg.cholesky(np.asarray(whole))
    drawn = root @ random.standard_normal((len(root), draws))
    squares, inside = [], 0
    for k in range(draws):
        slopes = np.full((n, 1, P), 0.0)
        slopes[:, 0] = drawn[n + m :, k].reshape(n, P)
        mine = rows(Runs(x[:n], drawn[:n, k : k + 1], slopes))
        process = made(kernel, CONSTANT, mine, THETA)
        mean, variance = joint_at(process, jnp.asarray(x[n:]))
        e = drawn[n : n + m, k] - np.asarray(mean)
        squares.append(e**2 / np.diag(variance))
        distance = e @ np.linalg.solve(np.asarray(variance), e)
        left = float(process.freedom)
        inside += f.cdf(left * distance / (m * (left - 2.0)), m, left) < 0.95
    # Points of one draw are correlated: 100 draws count, not 1200 points.
    assert np.mean(squares) == pytest.approx(1.0, abs=0.2)
    assert 88 <= inside <= 100


def test_averaging_over_hyperparameters_widens_bands_that_few_runs_leave_too_narrow():
    new = runs_of(curved, 200, 5)
    held = {0: [], 8: []}
    for seed in range(4):
        mine = rows(runs_of(curved, 12, seed), slopes=False)
        found = search(SQUARED, CONSTANT, mine, np.asarray(mine.y[0]), draws=8, seed=seed)
        assert found.log_theta.shape == (9, P + 2)
        assert found.weight.sum() == pytest.approx(1.0)
        for draws in held:
            weight = np.full(draws + 1, 1.0 / (draws + 1))
            process = made(SQUARED, CONSTANT, mine, found.log_theta[: draws + 1], weight)
            mean, variance = moments_at(process, jnp.asarray(new.u))
            held[draws].append(np.abs(new.values[:, 0] - mean) < 1.96 * np.sqrt(variance))
    assert np.mean(held[8]) > np.mean(held[0]) + 0.02


def test_close_pairs_give_their_slopes_once():
    runs = runs_of(curved, 4)
    near = Runs(runs.u + 1e-3, runs.values, runs.slopes)
    kept, dropped = thinned(runs.joined(near), BOX)
    assert dropped == 4
    assert kept.with_slopes.tolist() == [True] * 4 + [False] * 4
    assert thinned(runs, BOX)[1] == 0
    assert thinned(runs.without_slopes(), BOX)[1] == 0
