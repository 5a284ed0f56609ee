"""Screening against functions whose indices are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.errors import InputError
from caliche.files.checkpoint import Checkpoint
from caliche.parameters import Flat, LogNormal, Normal, ParameterSpace
from caliche.sensitivity import run
from caliche.sensitivity.designs import (
    STEP,
    Design,
    Groups,
    make_groups,
    morris_design,
    sobol_design,
)
from caliche.sensitivity.indices import Indices, indices
from caliche.sensitivity.run import Cube, CubeRunner, _whitened, screen, where_failed
from problems import make_problem

Function = Callable[[np.ndarray], np.ndarray]

# Ishigami with a = 7, b = 0.1; closed forms: Saltelli et al. (2008), doi:10.1002/9780470725184.
ISHIGAMI_S1 = np.array([0.31390519114781146, 0.4424111447900409, 0.0])
ISHIGAMI_ST = np.array([0.5575888552099592, 0.4424111447900409, 0.2436836640621477])
ISHIGAMI_VARIANCE = 13.844587940719254
# Sobol's g with these a.
G_A = np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0])


def ishigami(x: np.ndarray) -> np.ndarray:
    z = 2.0 * np.pi * (x - 0.5)
    wave = np.sin(z[:, 0])
    return (wave + 7.0 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * wave)[:, None]


def g_function(x: np.ndarray) -> np.ndarray:
    return np.prod((np.abs(4.0 * x - 2.0) + G_A) / (1.0 + G_A), axis=1)[:, None]


def letters(n: int, **together: list[str]) -> Groups:
    return make_groups([chr(97 + k) for k in range(n)], together)


def found(design: Design, function: Function, sets: np.ndarray | None = None) -> Indices:
    n_outputs = function(np.full((1, design.groups.dimensions), 0.5)).shape[1]
    return indices(design, screen(design, function, n_outputs).sums, sets)


def estimate(result: Indices, name: str, output: int = 0) -> np.ndarray:
    return result.by_name[name].estimate[:, output]


# -- Sobol' ----------------------------------------------------------------------------------------


def test_ishigami():
    result = found(sobol_design(letters(3), 4096, 0), ishigami)
    np.testing.assert_allclose(estimate(result, "S1"), ISHIGAMI_S1, atol=0.005)
    np.testing.assert_allclose(estimate(result, "ST"), ISHIGAMI_ST, atol=0.005)
    np.testing.assert_allclose(result.variance[0], ISHIGAMI_VARIANCE, rtol=0.002)
    np.testing.assert_allclose(result.mean[0], 3.5, atol=0.005)
    np.testing.assert_allclose(result.additive.estimate[0], ISHIGAMI_S1.sum(), atol=0.005)


def test_g_function():
    partial = 1.0 / (3.0 * (1.0 + G_A) ** 2)
    variance = np.prod(1.0 + partial) - 1.0
    total = partial * np.prod(1.0 + partial) / (1.0 + partial) / variance
    result = found(sobol_design(letters(8), 4096, 0), g_function)
    np.testing.assert_allclose(estimate(result, "S1"), partial / variance, atol=0.005)
    np.testing.assert_allclose(estimate(result, "ST"), total, atol=0.005)


def test_intervals_hold_the_truth_and_shrink():
    inside, widths = [], []
    for seed in range(10):
        result = found(sobol_design(letters(3), 512, seed), ishigami)
        for name, truth in (("S1", ISHIGAMI_S1), ("ST", ISHIGAMI_ST)):
            _, low, high = result.by_name[name]
            inside.append((low[:, 0] <= truth) & (truth <= high[:, 0]))
        widths.append(high[:, 0] - low[:, 0])
    assert np.mean(inside) > 0.9
    _, low, high = found(sobol_design(letters(3), 8192, 0), ishigami).by_name["ST"]
    assert np.all(high[:, 0] - low[:, 0] < 0.5 * np.mean(widths, axis=0))


def test_a_large_offset_costs_no_digits():
    design = sobol_design(letters(3), 256, 1)
    plain = found(design, ishigami)
    far = found(design, lambda x: ishigami(x) + 1e7)
    for name in ("S1", "ST"):
        np.testing.assert_allclose(estimate(far, name), estimate(plain, name), atol=1e-7)


def test_an_output_that_is_constant_has_no_indices():
    def function(x: np.ndarray) -> np.ndarray:
        return np.concatenate([ishigami(x), np.full((len(x), 1), 290.0)], axis=1)

    result = found(sobol_design(letters(3), 64, 0), function)
    assert np.isnan(estimate(result, "ST", 1)).all()
    assert np.isfinite(estimate(result, "ST", 0)).all()
    assert result.variance[1] == 0.0


def test_groups_take_their_interactions_with_them():
    together = letters(3, odd=["a", "c"])
    assert together.names == ("odd", "b")
    result = found(sobol_design(together, 4096, 0), ishigami)
    both = [1.0 - ISHIGAMI_S1[1], ISHIGAMI_S1[1]]
    np.testing.assert_allclose(estimate(result, "S1"), both, atol=0.005)
    np.testing.assert_allclose(estimate(result, "ST"), both, atol=0.005)
    everything = found(sobol_design(letters(3, all=["a", "b", "c"]), 64, 0), ishigami)
    np.testing.assert_allclose(estimate(everything, "ST"), 1.0, atol=0.2)


def test_groups_of_an_additive_function_add_up():
    slopes = np.array([1.0, 2.0, 3.0, 4.0])
    share = slopes**2 / np.sum(slopes**2)
    result = found(
        sobol_design(letters(4, lower=["a", "b"]), 4096, 0), lambda x: (x @ slopes)[:, None]
    )
    expected = [share[0] + share[1], share[2], share[3]]
    for name in ("S1", "ST"):
        np.testing.assert_allclose(estimate(result, name), expected, atol=0.002)


# -- Morris ----------------------------------------------------------------------------------------


def test_morris_of_a_linear_function_is_exact():
    slopes = np.array([1.0, -2.0, 0.5])
    result = found(morris_design(letters(3), 20, 0), lambda x: (300.0 + x @ slopes)[:, None])
    np.testing.assert_allclose(estimate(result, "mu"), slopes, rtol=1e-12)
    np.testing.assert_allclose(estimate(result, "mu_star"), np.abs(slopes), rtol=1e-12)
    np.testing.assert_allclose(estimate(result, "sigma"), 0.0, atol=1e-12)
    np.testing.assert_allclose(result.shares[:, 0], slopes**2 / np.sum(slopes**2), rtol=1e-12)


def test_morris_shows_an_interaction():
    # The effect of a on a b is b, uniform over four levels.
    result = found(morris_design(letters(2), 4000, 0), lambda x: np.prod(x, axis=1)[:, None])
    np.testing.assert_allclose(estimate(result, "mu_star"), 0.5, atol=0.02)
    np.testing.assert_allclose(estimate(result, "sigma"), np.sqrt(5.0) / 6.0, atol=0.01)


def test_morris_of_ishigami():
    # Expectations over the whole grid of four levels, by enumeration.
    levels = np.arange(4) / 3.0
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    mean, sd = [], []
    for k in range(3):
        moved = grid.copy()
        moved[:, k] += np.where(grid[:, k] < 0.5, STEP, -STEP)
        sign = np.where(grid[:, k] < 0.5, 1.0, -1.0)
        effect = (ishigami(moved) - ishigami(grid))[:, 0] * sign / STEP
        mean.append(np.abs(effect).mean())
        sd.append(effect.std())
    np.testing.assert_allclose(mean, [7.7042, 7.875, 6.2488], atol=5e-4)
    result = found(morris_design(letters(3), 4000, 0), ishigami)
    np.testing.assert_allclose(estimate(result, "mu_star")[1], 7.875, rtol=1e-12)
    _, low, high = result.by_name["mu_star"]
    assert np.all((low[:, 0] - 1e-9 <= mean) & (mean <= high[:, 0] + 1e-9))
    np.testing.assert_allclose(estimate(result, "sigma"), sd, rtol=0.03)


def test_morris_of_a_group_has_a_size_and_no_sign():
    slopes = np.array([1.0, 2.0, 3.0])
    result = found(
        morris_design(letters(3, pair=["a", "b"]), 4000, 0), lambda x: (x @ slopes)[:, None]
    )
    assert np.isnan(estimate(result, "mu")[0])
    np.testing.assert_allclose(estimate(result, "mu_star"), [2.0, 3.0], rtol=0.05)
    np.testing.assert_allclose(result.shares[:, 0], [5.0 / 14.0, 9.0 / 14.0], rtol=0.05)


# -- over time, through an inverse problem ---------------------------------------------------------


def test_indices_over_time_follow_the_priors():
    """y = a cos t + b sin t + c t/10, a uniform, b normal, c log-normal."""
    t = np.linspace(0.0, 2.0 * np.pi, 9)
    priors = {"a": Flat(-2.0, 4.0), "b": Normal(1.0, 0.5), "c": LogNormal(2.0, 1.0)}

    def wave(params, forcing):
        t = forcing["t"]
        return params["a"] * jnp.cos(t) + params["b"] * jnp.sin(t) + params["c"] * t / 10.0

    problem = make_problem(wave, priors, dict.fromkeys("abc", 1.0), {"t": t}, np.zeros(len(t)))
    design = sobol_design(letters(3), 4096, 0)
    runner = CubeRunner(problem, _Series(), design)
    sets = np.full((1, len(t)), 1.0 / len(t))
    result = indices(design, screen(design, runner, len(t)).sums, sets)
    parts = np.stack([3.0 * np.cos(t) ** 2, 0.25 * np.sin(t) ** 2, (t / 10.0) ** 2])
    share = parts / parts.sum(axis=0)
    for name in ("S1", "ST"):
        values = result.by_name[name].estimate
        np.testing.assert_allclose(values[:, :-1], share, atol=0.01)
        np.testing.assert_allclose(values[:, -1], parts.sum(axis=1) / parts.sum(), atol=0.01)
    np.testing.assert_allclose(result.variance[:-1], parts.sum(axis=0), rtol=0.01)
    np.testing.assert_allclose(result.additive.estimate, 1.0, atol=0.01)


class _Series(eqx.Module):
    """All of the one stream."""

    def __call__(self, prediction):
        return prediction[:, 0]


def test_the_cube_is_the_prior():
    priors = {"a": Flat(10.0, 20.0), "b": Normal(0.0, 2.0, -1.0, 1.0)}
    problem = make_problem(
        lambda p, f: p["a"] * f["t"], priors, {"a": 12.0, "b": 0.1}, {"t": np.ones(2)}, np.ones(2)
    )
    points = np.array([[0.25, 0.5], [0.9, 1e-9], [0.5, 1.0 - 1e-9]])
    values = _physical(problem, Cube(problem.space, "sobol").to_u(points))
    np.testing.assert_allclose(values[:, 0], [12.5, 19.0, 15.0])
    np.testing.assert_allclose(values[:, 1], [0.0, -1.0, 1.0], atol=1e-6)
    edge = _physical(problem, Cube(problem.space, "morris").to_u(np.array([[0.0, 1.0]])))
    np.testing.assert_allclose(edge[0, 0], 10.25)
    assert 0.9 < edge[0, 1] < 1.0


def _physical(problem, u):
    return np.stack([np.asarray(problem.space.vector(jnp.asarray(row))) for row in u])


def test_few_sizes_of_a_batch_are_compiled():
    problem = make_problem(
        lambda p, f: p["a"] * f["t"],
        {"a": Flat(10.0, 20.0)},
        {"a": 12.0},
        {"t": np.ones(2)},
        np.ones(2),
    )
    (one,) = problem.space.free
    free = {"a": dataclasses.replace(one, start=(11.0, 13.0))}
    cube = Cube(ParameterSpace.build(problem.space.declarations, free, {}), "sobol", starts=True)
    points = np.random.default_rng(0).random((128, 1))
    whole = cube.to_u(points)
    known = _whitened._cache_size()
    for number in (65, 100, 127):
        np.testing.assert_array_equal(cube.to_u(points[:number]), whole[:number])
    assert _whitened._cache_size() == known


def test_correlated_priors_are_refused():
    space = make_problem(
        lambda p, f: (p["a"] + p["b"]) * f["t"],
        {n: Normal(1.0, 1.0) for n in "ab"},
        {"a": 1.0, "b": 1.0},
        {"t": np.ones(2)},
        np.ones(2),
    ).space
    free = {p.name: p for p in space.free}
    space = ParameterSpace.build(space.declarations, free, {}, correlations={("a", "b"): 0.5})
    with pytest.raises(InputError, match=r"independent priors.* Got a correlation of 0\.5"):
        Cube(space, "sobol")


def test_a_flat_prior_without_an_end_is_refused():
    problem = make_problem(
        lambda p, f: p["a"] * f["t"], {"a": Flat(0.0)}, {"a": 1.0}, {"t": np.ones(2)}, np.ones(2)
    )
    with pytest.raises(InputError, match="give a bounds or a prior, or fix it"):
        Cube(problem.space, "sobol")


# -- runs that fail, runs that are stopped ---------------------------------------------------------


def failing(where: Callable[[np.ndarray], np.ndarray], value: float) -> Function:
    def function(x: np.ndarray) -> np.ndarray:
        return np.where(where(x)[:, None], value, ishigami(x))

    return function


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_rows_with_a_failed_run_are_left_out(value):
    design = sobol_design(letters(3), 512, 0)
    lost = design.points(7, 8)[0, 3]

    one = screen(design, failing(lambda x: (x == lost).all(axis=1), value), 1)
    assert (one.failed, one.dropped, one.sums.number.sum()) == (1, 1, 511)
    clean = indices(design, screen(design, ishigami, 1).sums)
    result = indices(design, one.sums)
    np.testing.assert_allclose(estimate(result, "ST"), estimate(clean, "ST"), atol=0.02)


@pytest.mark.parametrize("make", [sobol_design, morris_design])
def test_a_third_may_fail(make):
    design = make(letters(3), 1024, 0)
    hash_ = np.array([12.9898, 78.233, 37.719])  # a run fails or not by where it is
    state = screen(design, failing(lambda x: (1e4 * np.sin(x @ hash_)) % 1.0 < 0.3, np.nan), 1)
    assert 0.2 < state.failed / (design.rows * design.per_row) < 0.4
    assert state.dropped == 1024 - state.sums.number.sum()
    result = indices(design, state.sums)
    name = "ST" if "ST" in result.by_name else "mu_star"
    assert np.argmin(estimate(result, name)) == 2
    assert np.isfinite(estimate(result, name)).all()


def test_where_runs_fail_is_told():
    state = screen(sobol_design(letters(3), 256, 0), failing(lambda x: x[:, 1] > 0.9, np.nan), 1)
    assert where_failed(state, ("a", "b", "c")) == ", most where b is high"


def test_all_failed_is_told_early(tmp_path):
    calls = []

    def function(x: np.ndarray) -> np.ndarray:
        calls.append(len(x))
        return np.full((len(x), 1), np.nan)

    checkpoint = Checkpoint(tmp_path / "state.npz")
    with pytest.raises(InputError, match=r"samples without a run that fails. Got 0, .*narrow the"):
        screen(sobol_design(letters(3), 2**15, 0), function, 1, checkpoint)
    assert sum(calls) < 2**15
    assert not checkpoint.path.exists()


@pytest.mark.parametrize("make", [sobol_design, morris_design])
def test_a_run_that_was_stopped_ends_the_same(tmp_path, monkeypatch, make):
    monkeypatch.setattr(run, "BLOCK", 64)
    monkeypatch.setattr(run, "KEEP_EVERY", 0.0)
    design = make(letters(3), 256, 5)
    function = failing(lambda x: x[:, 0] > 0.95, np.nan)
    whole = screen(design, function, 1)
    calls = []

    def stopped(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return function(x)

    path = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        screen(design, stopped, 1, Checkpoint(path))
    again = screen(design, function, 1, Checkpoint(path, resume=True))
    assert len(calls) == 4
    for name, values in whole.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values)

    other = make(letters(3), 256, 6)
    with pytest.raises(InputError, match="a state of the same problem"):
        screen(other, function, 1, Checkpoint(path, resume=True))
    path.write_bytes(b"half a file")
    with pytest.raises(InputError, match="another --out"):
        screen(design, function, 1, Checkpoint(path, resume=True))


# -- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("together", "phrase"),
    [
        ({"g": ["a", "z"]}, "free parameters in group g"),
        ({"g": ["a"], "h": ["a"]}, "a in one group"),
        ({"b": ["a"]}, "rename the group"),
        ({"g": []}, "write g="),
    ],
)
def test_groups_that_cannot_be(together, phrase):
    with pytest.raises(InputError, match=phrase):
        make_groups(["a", "b", "c"], together)


def test_too_few_and_too_many_samples():
    for make, rows in ((sobol_design, 4), (morris_design, 2), (sobol_design, 2**21)):
        with pytest.raises(InputError, match="samples"):
            make(letters(2), rows, 0)


def test_agrees_with_salib():
    sobol = pytest.importorskip("SALib.analyze.sobol")
    design = sobol_design(letters(3), 1024, 0)
    points = design.points(0, design.rows)
    order = [0, 2, 3, 4, 1]  # A, the mixed points, B
    y = ishigami(points[:, order].reshape(-1, 3))[:, 0]
    spec = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[0.0, 1.0]] * 3}
    theirs = sobol.analyze(spec, y, calc_second_order=False, num_resamples=10)
    ours = found(design, ishigami)
    for name in ("S1", "ST"):
        np.testing.assert_allclose(estimate(ours, name), theirs[name], atol=2e-3)
