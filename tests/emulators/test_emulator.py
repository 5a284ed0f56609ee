"""Emulators of several outputs: fitted, judged, refused, kept in a file and read back."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.emulators.box import Box
from caliche.emulators.checks import check, pivoted_errors
from caliche.emulators.design import latin_hypercube
from caliche.emulators.emulator import Emulator, fit_emulator
from caliche.emulators.fit import Options
from caliche.emulators.leave_out import LeftOut
from caliche.emulators.runs import Runs
from caliche.emulators.store import load_emulator, save_emulator
from caliche.errors import InputError

P = 3
BOX = Box(np.array([-1.0, 0.0, -2.0]), np.array([1.0, 4.0, 2.0]), ("a", "b", "c"))


def model(u: jax.Array) -> jax.Array:
    x = (u - BOX.centre) / BOX.half
    smooth = 5.0 + 0.1 * jnp.sin(1.5 * x[0] + x[1]) + 0.05 * x[2] ** 2
    return jnp.stack([smooth, 300.0 + x[0] - 2.0 * x[1] + 0.5 * x[1] * x[2]])


values_of = jax.jit(jax.vmap(model))
slopes_of_model = jax.jit(jax.vmap(jax.jacfwd(model)))


def runs_of(n: int, seed: int = 0, slopes: bool = True) -> Runs:
    u = latin_hypercube(n, BOX, seed)
    found = np.asarray(slopes_of_model(jnp.asarray(u))) if slopes else None
    return Runs(u, np.asarray(values_of(jnp.asarray(u))), found)


@functools.cache
def fitted(slopes: bool = True) -> Emulator:
    n = 10 if slopes else 32
    held = runs_of(8, 7, slopes=False)
    return fit_emulator(runs_of(n, slopes=slopes), BOX, ("warmth", "level"), held_out=held)


def test_a_design_has_one_point_in_every_slice():
    x = BOX.to_unit(latin_hypercube(12, BOX, 0))
    slices = np.sort(np.floor((x + 1.0) / 2.0 * 12).astype(int), axis=0)
    assert (slices == np.arange(12)[:, None]).all()
    assert np.array_equal(latin_hypercube(12, BOX, 3), latin_hypercube(12, BOX, 3))


@pytest.mark.parametrize("slopes", [True, False])
def test_an_emulator_predicts_with_bands_that_hold_and_passes(slopes):
    emulator, new = fitted(slopes), runs_of(60, 11)
    mean, variance = emulator.predict(new.u)
    error = new.values - mean
    spread = new.values.std(axis=0)
    assert (np.sqrt(np.mean(error**2, axis=0)) < 0.1 * spread).all()
    assert (np.mean(np.abs(error) < 1.96 * np.sqrt(variance), axis=0) > 0.85).all()
    assert emulator.checks.passed.all()
    assert all("8 runs held out" in said for said in emulator.checks.sentences)
    assert emulator.checks.each[0].left_out < 4.0


def test_slopes_are_those_of_the_mean_and_near_those_of_the_model():
    emulator, u = fitted(), runs_of(4, 5).u
    slopes = emulator.slopes(u)
    assert slopes.shape == (4, 2, P)
    for k in range(P):
        step = 1e-5 * np.eye(P)[k]
        up, down = emulator.predict(u + step).mean, emulator.predict(u - step).mean
        assert slopes[:, :, k] == pytest.approx((up - down) / 2e-5, abs=1e-6)
    exact = np.asarray(slopes_of_model(jnp.asarray(u)))
    assert slopes == pytest.approx(exact, abs=0.15)


def test_outside_its_box_an_emulator_refuses_to_answer():
    for ask in (fitted().predict, fitted().slopes):
        with pytest.raises(InputError, match="inside the box of the emulator's runs, b between"):
            ask(np.array([[0.0, 4.2, 0.0]]))


def test_an_emulator_that_is_read_back_predicts_the_same_to_the_last_bit(tmp_path):
    path = save_emulator(fitted(), tmp_path / "emulator.nc")
    again, u = load_emulator(path), runs_of(20, 3).u
    assert np.array_equal(again.predict(u).mean, fitted().predict(u).mean)
    assert np.array_equal(again.predict(u).variance, fitted().predict(u).variance)
    assert np.array_equal(again.slopes(u), fitted().slopes(u))
    assert again.checks.sentences == fitted().checks.sentences
    assert again.options == fitted().options
    assert again.box.names == ("a", "b", "c")
    with pytest.raises(InputError, match="an emulator that caliche emulate wrote"):
        load_emulator(tmp_path / "nothing.nc")


def test_failed_runs_teach_nothing_and_are_kept():
    runs = runs_of(10)
    values = runs.values.copy()
    values[4] = np.nan
    with_gap = fit_emulator(Runs(runs.u, values, runs.slopes), BOX, ("warmth", "level"))
    assert with_gap.runs.failed.sum() == 1
    kept = fit_emulator(runs.rows(np.arange(10) != 4), BOX, ("warmth", "level"))
    u = runs_of(5, 3).u
    assert np.array_equal(with_gap.predict(u).mean, kept.predict(u).mean)
    assert "left out one by one" in kept.checks.sentences[0]


def test_runs_that_are_too_few_or_elsewhere_are_refused():
    with pytest.raises(InputError, match="at least 5 runs that did not fail"):
        fit_emulator(runs_of(4, slopes=False), BOX, ("warmth", "level"))
    narrow = Box(BOX.lower, BOX.centre)
    with pytest.raises(InputError, match="inside the box"):
        fit_emulator(runs_of(8), narrow, ("warmth", "level"))
    with pytest.raises(InputError, match="a name for each of 2 outputs"):
        fit_emulator(runs_of(8), BOX, ("warmth",))
    with pytest.raises(InputError, match="a kernel of an emulator"):
        Options(kernel="matern")


def test_an_output_with_a_jump_is_refused_and_takes_no_part():
    runs, held = runs_of(20, slopes=False), runs_of(16, 7, slopes=False)

    def jumping(runs: Runs) -> Runs:
        x = BOX.to_unit(runs.u)
        jump = np.where(np.sin(9.0 * x[:, 0]) * np.sin(9.0 * x[:, 1]) > 0.9, 1000.0, x[:, 0])
        return Runs(runs.u, np.stack([jump, runs.values[:, 1]], axis=1))

    made = jumping(runs)
    quiet = Runs(made.u[made.values[:, 0] < 2.0], made.values[made.values[:, 0] < 2.0])
    loud = jumping(held.joined(runs_of(40, 8, slopes=False)))
    emulator = fit_emulator(quiet, BOX, ("jump", "level"), held_out=loud)
    assert emulator.checks.passed.tolist() == [False, True]
    assert "refused" in emulator.checks.sentences[0]
    assert np.isinf(emulator.predict(held.u[:2]).variance[:, 0]).all()
    assert np.isfinite(emulator.predict(held.u[:2]).variance[:, 1]).all()


def test_slopes_that_mislead_are_left_out_and_it_is_said():
    runs = runs_of(24)
    assert runs.slopes is not None
    noise = np.random.default_rng(0).standard_normal(runs.slopes.shape)
    emulator = fit_emulator(
        Runs(runs.u, runs.values, runs.slopes + noise), BOX, ("warmth", "level")
    )
    assert not emulator.fits[0].slopes
    assert "slopes left out" in emulator.checks.each[0].steps[0]


def test_an_output_that_does_not_vary_is_predicted_to_stay():
    runs = runs_of(8, slopes=False)
    still = Runs(runs.u, np.full((8, 1), 7.0))
    assert fit_emulator(still, BOX, ("still",)).predict(runs.u[:1]).mean[0, 0] == 7.0


def test_more_runs_refit_an_emulator():
    more = fitted().refit(runs_of(6, 21))
    new = runs_of(60, 11)
    errors = [np.abs(new.values - e.predict(new.u).mean).mean(axis=0) for e in (fitted(), more)]
    assert errors[1][0] < errors[0][0]
    small = Box(np.array([-0.5, 1.0, -1.0]), np.array([0.5, 3.0, 1.0]), BOX.names)
    narrow = fitted().refit(runs_of(30, 21), small)
    assert small.contains(narrow.runs.u).all()
    assert len(narrow.held_out) < 8


def test_pivoted_errors_are_uncorrelated_and_give_the_distance():
    random = np.random.default_rng(0)
    root = random.normal(size=(6, 6))
    v, e = root @ root.T, random.normal(size=6)
    found, order = pivoted_errors(e, v)
    assert np.sum(found**2) == pytest.approx(e @ np.linalg.solve(v, e), rel=1e-9)
    assert sorted(order.tolist()) == list(range(6))


def test_a_check_tells_bands_too_narrow_from_bands_too_wide():
    e = np.random.default_rng(0).standard_normal(20)
    left = LeftOut(e, np.ones(20))
    right = check("it", e, np.eye(20), 40.0, 1.0, left)
    assert right.passed
    assert right.lowest < right.distance < right.highest
    narrow = check("it", 4.0 * e, np.eye(20), 40.0, 1.0, left)
    assert not narrow.passed
    assert "errors together" in narrow.sentence
    assert narrow.ratio > 1.0
    wide = check("it", 0.01 * e, np.eye(20), 40.0, 1.0, left)
    assert wide.passed
    assert "wider than they need to be" in wide.sentence
    assert not check("it", np.full(20, np.nan), np.eye(20), 40.0, 1.0, left).passed
    assert dataclasses.replace(right, distance=0.0).ratio == 0.0
